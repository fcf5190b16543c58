"""Validators: who votes, by a model and by name; what consensus gets; evidence and jail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from modules.accounts import Accounts
from modules.validators import Validators
from modules.validators.module import (
    GenesisValidator,
    Jailed,
    LastValidator,
    LastValidatorSpared,
    NotJailed,
    NotOperator,
    OperatorTaken,
    PeerChanged,
    PeerTaken,
    PowerChanged,
    PowerTooLarge,
    Released,
    TooManyValidators,
    Totals,
    UnknownValidator,
    ValidatorAdded,
    ValidatorEntry,
    ValidatorExists,
    ValidatorRemoved,
    ZeroPower,
)
from modules.validators.protocol import Operators, Validator
from runtime import CallError, Module, Offence, PublicKey, Signed, Uses, ValidatorPower, call
from runtime.consensus import EVIDENCE_PER_BLOCK_MAX
from runtime.execution import Chain, GenesisError, InvalidTransaction, Rule
from runtime.limits import VALIDATORS_MAX, VOTING_POWER_TOTAL_MAX
from runtime.network.identity import peer_id_of

NAMES = tuple(f"v{number}" for number in range(5))


def key(name: str) -> PublicKey:
    return Chain().account(name).key.public_key


def operator(name: str) -> Any:
    return Chain().account(f"operator of {name}")


def peer(name: str) -> str:
    return peer_id_of(key(f"node of {name}"))


def entry(name: str, power: int = 10) -> GenesisValidator:
    return GenesisValidator(public_key=key(name), operator=operator(name).id, power=power, peer=peer(name))


def chain_of(*names: str) -> Chain:
    return Chain(Accounts, Validators, genesis={"validators": {"validators": tuple(entry(name) for name in names)}})


def added(name: str, power: int = 10, like: str | None = None) -> Any:
    """The call that adds a validator; `like`: with that one's operator and peer."""
    return Validators.add.build(
        public_key=key(name), operator=operator(like or name).id, power=power, peer=peer(like or name)
    )


def voting(chain: Chain) -> dict[PublicKey, int]:
    return {each.public_key: each.power for each in chain.application.validators()}


def member(chain: Chain, name: str) -> Validator | None:
    return chain.query(Validators.validator, public_key=key(name))


# --- a model of it all -----------------------------------------------------------------------------------------------


class ValidatorsAgainstAModel(RuleBasedStateMachine):
    """Every call succeeds exactly where the rules say so; what consensus gets is who is not jailed, in the order of
    keys, and the updates add up to it."""

    names = st.sampled_from(NAMES)
    powers = st.sampled_from([0, 1, 10, VOTING_POWER_TOTAL_MAX - 20, VOTING_POWER_TOTAL_MAX + 1])

    @initialize()
    def begin(self) -> None:
        self.chain = chain_of("v0", "v1")
        self.model: dict[str, tuple[int, bool]] = {"v0": (10, False), "v1": (10, False)}
        self.followed = voting(self.chain)

    def sums(self, model: dict[str, tuple[int, bool]]) -> tuple[int, int]:
        powers = [power for power, jailed in model.values() if not jailed]
        return len(powers), sum(powers)

    def root(self, call_: Any, changed: dict[str, tuple[int, bool]] | None) -> None:
        """Runs it; `changed`: the model afterwards, None where it must fail whatever the bounds say."""
        if changed is not None:
            count, total = self.sums(changed)
            if count == 0 or total > VOTING_POWER_TOTAL_MAX:
                changed = None
        if changed is None:
            with pytest.raises(CallError):
                self.chain.root(call_)
        else:
            self.chain.root(call_)
            self.model = changed
        self.compare()

    def compare(self) -> None:
        expected = {key(name): power for name, (power, jailed) in self.model.items() if not jailed}
        assert voting(self.chain) == expected
        count, total = self.sums(self.model)
        assert self.chain.query(Validators.totals) == Totals(members=len(self.model), voting=count, power=total)
        for update in () if self.chain.last is None else self.chain.last.validator_updates:
            self.followed[update.public_key] = update.power
        assert {each: power for each, power in self.followed.items() if power} == expected

    @rule(name=names, power=powers)
    def add(self, name: str, power: int) -> None:
        fine = name not in self.model and power > 0
        self.root(added(name, power), self.model | {name: (power, False)} if fine else None)

    @rule(name=names)
    def remove(self, name: str) -> None:
        rest = {each: value for each, value in self.model.items() if each != name}
        self.root(Validators.remove.build(public_key=key(name)), rest if name in self.model else None)

    @rule(name=names, power=powers)
    def set_power(self, name: str, power: int) -> None:
        fine = name in self.model and power > 0
        changed = self.model | {name: (power, self.model[name][1])} if fine else None
        self.root(Validators.set_power.build(public_key=key(name), power=power), changed)

    @rule(name=names)
    def unjail(self, name: str) -> None:
        fine = name in self.model and self.model[name][1]
        changed = self.model | {name: (self.model[name][0], False)} if fine else None
        self.root(Validators.unjail.build(public_key=key(name)), changed)

    @rule(names=st.lists(names, max_size=3))
    def equivocate(self, names: list[str]) -> None:
        height = self.chain.height + 1
        self.chain.block(evidence=[Offence(public_key=key(name), height=height) for name in names])
        for name in names:
            if name in self.model and not self.model[name][1] and self.sums(self.model)[0] > 1:
                self.model = self.model | {name: (self.model[name][0], True)}
        self.compare()


ValidatorsAgainstAModel.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestValidatorsAgainstAModel = ValidatorsAgainstAModel.TestCase


# --- what happens, by name -------------------------------------------------------------------------------------------


def test_the_genesis_set_is_what_consensus_begins_with() -> None:
    chain = chain_of("v0", "v1", "v2")
    ordered = sorted(key(name) for name in ("v0", "v1", "v2"))
    assert chain.application.validators() == tuple(ValidatorPower(public_key=each, power=10) for each in ordered)


def test_root_changes_the_set_and_consensus_gets_the_changes_alone() -> None:
    chain = chain_of("v0", "v1")
    events = chain.root(added("v2", 7), Validators.set_power.build(public_key=key("v0"), power=3))
    assert [chain.decode_event(event) for event in events] == [
        ValidatorAdded(public_key=key("v2"), operator=operator("v2").id, power=7),
        PowerChanged(public_key=key("v0"), power=3),
    ]
    assert chain.last is not None
    assert {each.public_key: each.power for each in chain.last.validator_updates} == {key("v2"): 7, key("v0"): 3}
    (event,) = chain.root(Validators.remove.build(public_key=key("v1")))
    assert chain.decode_event(event) == ValidatorRemoved(public_key=key("v1"))
    assert {each.public_key: each.power for each in chain.last.validator_updates} == {key("v1"): 0}
    chain.block()
    assert chain.last.validator_updates == ()


def test_equivocation_jails_and_release_settles_it() -> None:
    chain = chain_of("v0", "v1")
    chain.blocks(4)
    executed = chain.block(evidence=[Offence(public_key=key("v1"), height=3)])
    begin = [chain.decode_event(event) for event in executed.block_receipt.begin_events]
    assert begin == [Jailed(public_key=key("v1"), height=3)]
    assert voting(chain) == {key("v0"): 10}
    (event,) = chain.root(Validators.unjail.build(public_key=key("v1")))
    assert chain.decode_event(event) == Released(public_key=key("v1"))
    released = chain.height
    chain.block(evidence=[Offence(public_key=key("v1"), height=released)])
    assert voting(chain) == {key("v0"): 10, key("v1"): 10}  # what it signed up to its release is settled
    chain.block(evidence=[Offence(public_key=key("v1"), height=released + 1)])
    assert voting(chain) == {key("v0"): 10}


def test_the_last_validator_is_never_jailed() -> None:
    chain = chain_of("v0", "v1")
    offences = [Offence(public_key=key(name), height=1) for name in ("v1", "v0", "v0", "stranger")]
    executed = chain.block(evidence=offences)
    assert [chain.decode_event(event) for event in executed.block_receipt.begin_events] == [
        Jailed(public_key=key("v1"), height=1),
        LastValidatorSpared(public_key=key("v0"), height=1),
        LastValidatorSpared(public_key=key("v0"), height=1),
    ]
    assert voting(chain) == {key("v0"): 10}


def test_as_much_evidence_as_a_block_may_carry_fits_into_the_hooks_gas() -> None:
    names = [f"many{number}" for number in range(VALIDATORS_MAX)]
    chain = chain_of(*names)
    guilty = [Offence(public_key=key(name), height=1) for name in names[:EVIDENCE_PER_BLOCK_MAX]]
    assert len(chain.block(evidence=guilty).validator_updates) == EVIDENCE_PER_BLOCK_MAX


def test_invalid_validator_more_than_there_may_be() -> None:
    chain = chain_of(*(f"many{number}" for number in range(VALIDATORS_MAX)))
    with pytest.raises(TooManyValidators):
        chain.root(added("one more"))


def test_operators_and_peers_lead_to_their_validator() -> None:
    chain = chain_of("v0", "v1")
    found = ValidatorEntry(public_key=key("v1"), validator=_member(chain, "v1"))
    assert chain.query(Validators.operated_by, operator=operator("v1").id) == found
    assert chain.query(Validators.at_peer, peer=peer("v1")) == found
    assert chain.query(Validators.operated_by, operator=operator("v9").id) is None
    assert chain.query(Validators.at_peer, peer=peer("v9")) is None


def _member(chain: Chain, name: str) -> Validator:
    found = member(chain, name)
    assert found is not None
    return found


def test_invalid_move_by_another_or_to_anothers_peer(fails: Any) -> None:
    chain = chain_of("v0", "v1")
    moved = Validators.set_peer.build(public_key=key("v0"), peer=peer("new"))
    fails(chain, moved, operator("v1"), NotOperator(operator=operator("v0").id))
    taken = Validators.set_peer.build(public_key=key("v0"), peer=peer("v1"))
    fails(chain, taken, operator("v0"), PeerTaken(peer=peer("v1"), public_key=key("v1")))
    unknown = Validators.set_peer.build(public_key=key("v9"), peer=peer("v9"))
    fails(chain, unknown, operator("v0"), UnknownValidator(public_key=key("v9")))


def test_an_operator_moves_its_node() -> None:
    chain = chain_of("v0", "v1")
    moved = Validators.set_peer.build(public_key=key("v0"), peer=peer("new"))
    receipt = chain.submit(moved, signer=operator("v0"))
    assert chain.events(receipt) == (PeerChanged(public_key=key("v0"), peer=peer("new")),)
    assert _member(chain, "v0").peer == peer("new")
    assert chain.query(Validators.at_peer, peer=peer("v0")) is None
    assert chain.submit(moved, signer=operator("v0")).is_ok  # to where it is already


def test_pages_come_in_order_and_join_without_a_gap() -> None:
    chain = chain_of(*NAMES)
    pages: list[ValidatorEntry] = []
    after = None
    while page := chain.query(Validators.page, after=after, limit=2):
        assert len(page) <= 2
        pages += page
        after = page[-1].public_key
    assert [each.public_key for each in pages] == sorted(key(name) for name in NAMES)
    assert len(chain.query(Validators.page, after=None, limit=255)) == 5


def test_who_is_jailed_or_was_released_stays_so_on_the_next_chain(continued: Callable[..., Chain]) -> None:
    chain = chain_of(*NAMES)
    chain.block()
    chain.block(evidence=[Offence(public_key=key("v3"), height=1), Offence(public_key=key("v4"), height=1)])
    chain.root(Validators.unjail.build(public_key=key("v4")))
    again = continued(chain)
    assert again.query(Validators.totals) == chain.query(Validators.totals) == Totals(members=5, voting=4, power=40)
    assert again.query(Validators.validator, public_key=key("v3")) == chain.query(
        Validators.validator, public_key=key("v3")
    )
    again.root(Validators.unjail.build(public_key=key("v3")))
    again.block(evidence=[Offence(public_key=key("v4"), height=1)])
    assert [each.public_key for each in again.application.validators()] == sorted(key(f"v{n}") for n in range(4))


def test_invalid_genesis_that_jails_all_or_settles_for_nobody() -> None:
    alone = {"jailed": (entry("v0"),)}
    with pytest.raises(GenesisError, match=LastValidator.__name__):
        Chain(Accounts, Validators, genesis={"validators": alone})
    nobody = {"validators": (entry("v0"),), "settled": {key("v1"): 3}}
    with pytest.raises(GenesisError, match=UnknownValidator.__name__):
        Chain(Accounts, Validators, genesis={"validators": nobody})


class Asks(Module):
    """Uses the operators."""

    name = "asks"
    operators: Uses[Operators]

    @call(gas=0)
    def ask(self, origin: Signed, *, public_key: PublicKey) -> None:
        """Succeeds for the operator."""
        if self.operators.operator_of(public_key) != origin.account:
            raise NotOperator(operator=origin.account)


def test_modules_ask_for_the_operator() -> None:
    genesis = {"validators": {"validators": (entry("v0"),)}}
    chain = Chain(Accounts, Validators, Asks, genesis=genesis)
    assert chain.submit(Asks.ask.build(public_key=key("v0")), signer=operator("v0")).is_ok
    assert not chain.submit(Asks.ask.build(public_key=key("v1")), signer=operator("v0")).is_ok


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (added("v0"), ValidatorExists(public_key=key("v0"))),
        (added("v9", power=0), ZeroPower()),
        (added("v9", like="v1"), OperatorTaken(operator=operator("v1").id, public_key=key("v1"))),
        (
            Validators.add.build(public_key=key("v9"), operator=operator("v9").id, power=1, peer=peer("v1")),
            PeerTaken(peer=peer("v1"), public_key=key("v1")),
        ),
        (
            added("v9", power=VOTING_POWER_TOTAL_MAX - 19),
            PowerTooLarge(total=VOTING_POWER_TOTAL_MAX + 1, limit=VOTING_POWER_TOTAL_MAX),
        ),
        (Validators.set_power.build(public_key=key("v0"), power=0), ZeroPower()),
        (Validators.set_power.build(public_key=key("v9"), power=1), UnknownValidator(public_key=key("v9"))),
        (Validators.remove.build(public_key=key("v9")), UnknownValidator(public_key=key("v9"))),
        (Validators.unjail.build(public_key=key("v9")), UnknownValidator(public_key=key("v9"))),
        (Validators.unjail.build(public_key=key("v0")), NotJailed(public_key=key("v0"))),
    ],
)
def test_invalid_change_by_root(made: Any, expected: CallError) -> None:
    chain = chain_of("v0", "v1")
    with pytest.raises(type(expected)) as caught:
        chain.root(made)
    assert caught.value.args == expected.args


def test_invalid_removal_of_the_last_that_votes() -> None:
    chain = chain_of("v0", "v1")
    chain.block(evidence=[Offence(public_key=key("v1"), height=1)])
    with pytest.raises(LastValidator):
        chain.root(Validators.remove.build(public_key=key("v0")))
    chain.root(Validators.remove.build(public_key=key("v1")))  # a jailed one may go
    assert member(chain, "v1") is None


def test_invalid_release_beyond_the_bound_of_power() -> None:
    chain = chain_of("v0", "v1")
    chain.block(evidence=[Offence(public_key=key("v1"), height=1)])
    chain.root(Validators.set_power.build(public_key=key("v0"), power=VOTING_POWER_TOTAL_MAX))
    with pytest.raises(PowerTooLarge):
        chain.root(Validators.unjail.build(public_key=key("v1")))


@pytest.mark.parametrize("name", ["add", "remove", "set_power", "unjail"])
def test_invalid_origin(name: str) -> None:
    chain = chain_of("v0", "v1")
    calls = {
        "add": added("v2"),
        "remove": Validators.remove.build(public_key=key("v0")),
        "set_power": Validators.set_power.build(public_key=key("v0"), power=99),
        "unjail": Validators.unjail.build(public_key=key("v0")),
    }
    with pytest.raises(InvalidTransaction) as caught:
        chain.submit(calls[name], signer=operator("v0"))
    assert caught.value.rule is Rule.ORIGIN


@pytest.mark.parametrize("entries", [(), (entry("v0"), entry("v0")), (entry("v0", power=0),)])
def test_invalid_genesis(entries: tuple[GenesisValidator, ...]) -> None:
    with pytest.raises(GenesisError):
        Chain(Accounts, Validators, genesis={"validators": {"validators": entries}})
