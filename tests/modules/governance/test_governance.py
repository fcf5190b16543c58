"""Governance: each rule of each call, deposits, tallies, enactment, and the bounds of its hook."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modules.accounts import Accounts
from modules.governance import Governance
from modules.governance.endings import CLOSED_PER_BLOCK, ENACTED_PER_BLOCK, ENACTMENT_GAS
from modules.governance.errors import (
    BadProposal,
    ContentTooLarge,
    EnactmentTooEarly,
    EnactmentTooLate,
    NoTitle,
    NotProposer,
    NotVoter,
    NotVoting,
    ParamOutOfRange,
    UnknownDepositDenom,
    UnknownProposal,
)
from modules.governance.events import Cancelled, Closed, DepositLost, Enacted, Proposed, Voted
from modules.governance.module import CONTENT_BYTES_MAX
from modules.governance.proposals import BLOCKS_MAX
from modules.governance.protocol import PARTS, Choice, Content, GenesisProposal, Proposal, Rules, Status, Tally, outcome
from modules.tokens import Tokens
from modules.validators import Validators
from modules.validators.module import GenesisValidator
from runtime import Call, CallError, CallFailure, Denom, Module, ModuleParams, Name, Offence
from runtime.codec import codec
from runtime.execution import Chain, GenesisError
from runtime.execution.core import Core, NoParams, ParamsRefused
from runtime.limits import VALIDATORS_MAX
from runtime.module import BadArgument, OriginRefused, UnknownCall

ARM = Denom("arm")
DEPOSIT, FUNDS = 1_000, 10**9
POWERS = {"alice": 50, "bob": 30, "carol": 20}
VOTING, DELAY = 3, 2
YES, NO, ABSTAIN, VETO = Choice


def peer(place: int) -> str:
    digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    return f"12D3KooW{'1' * 41}{digits[place // 3364]}{digits[place // 58 % 58]}{digits[place % 58]}"


def chain_of(*more: type[Module], powers: dict[str, int] = POWERS, **params: Any) -> Chain:
    """Operators answer for validators of these powers; the key of alice's is that of the account "alice-key"."""
    named = Chain().account
    validators = tuple(
        GenesisValidator(named(f"{name}-key").key.public_key, named(name).id, power=power, peer=peer(place))
        for place, (name, power) in enumerate(powers.items())
    )
    people = [*list(powers)[:8], "dora"]
    return Chain(
        Accounts,
        Tokens,
        Validators,
        Governance,
        *more,
        genesis={
            "tokens": {"balances": {named(name).id: {ARM: FUNDS} for name in people}},
            "validators": {"validators": validators},
        },
        params={
            "governance": {"deposit": DEPOSIT, "voting_blocks": VOTING, "delay_blocks": DELAY} | params,
        },
    )


@pytest.fixture
def chain() -> Chain:
    return chain_of()


def key(chain: Chain, name: str) -> Any:
    return chain.account(f"{name}-key").key.public_key


def balance(chain: Chain, name: str = "dora") -> int:
    return chain.query(Tokens.balance_of, account=chain.account(name).id, denom=ARM)


def proposing(*calls: Call, enact_at: int | None = None, title: str = "t", text: str = "") -> Call:
    return Governance.propose.build(title=title, text=text, calls=calls, enact_at=enact_at)


def propose(chain: Chain, *calls: Call, by: str = "dora", enact_at: int | None = None) -> int:
    receipt = chain.submit(proposing(*calls, enact_at=enact_at), signer=chain.account(by))
    assert receipt.is_ok, chain.explanation
    return chain.query(Governance.count) - 1


def vote(chain: Chain, number: int, **choices: Choice) -> None:
    """All in one block."""
    calls = {name: Governance.vote.build(proposal=number, choice=choice) for name, choice in choices.items()}
    done = chain.block([chain.transaction(each, signer=chain.account(name)) for name, each in calls.items()])
    assert all(receipt.is_ok for receipt in done.receipts), done.explanations


def state_of(chain: Chain, number: int) -> Proposal:
    found = chain.query(Governance.proposal, id=number)
    assert found is not None
    return found


def until(chain: Chain, height: int) -> list[Any]:
    """Empty blocks up to and with `height`; the events of the last one's hooks."""
    chain.blocks(height - chain.height)
    assert chain.last is not None
    return [chain.decode_event(event) for event in chain.last.block_receipt.end_events]


def mint(chain: Chain, amount: int, to: str = "bob") -> Call:
    return Tokens.mint.build(to=chain.account(to).id, denom=ARM, amount=amount)


# --- a proposal's way


def test_a_proposal_passes_and_its_calls_run_at_its_height(chain: Chain) -> None:
    receipt = chain.submit(proposing(mint(chain, 7), enact_at=20), signer=chain.account("dora"))
    proposed = Proposed(proposal=0, proposer=chain.account("dora").id, voting_ends=4, enact_at=20)
    assert chain.events(receipt)[-1] == proposed
    assert balance(chain) == FUNDS - DEPOSIT
    vote(chain, 0, alice=YES, bob=NO)
    tally = Tally(yes=50, no=30, abstain=0, veto=0, total=100)
    assert chain.query(Governance.tally, id=0) == tally
    assert until(chain, 4)[-1] == Closed(proposal=0, status=Status.PASSED, tally=tally, burned=0)
    assert balance(chain) == FUNDS
    until(chain, 19)
    assert (balance(chain, "bob"), state_of(chain, 0).status) == (FUNDS, Status.PASSED)
    *_, enacted = until(chain, 20)
    assert enacted == Enacted(proposal=0, gas_used=enacted.gas_used, failure=None)
    assert (balance(chain, "bob"), state_of(chain, 0).status) == (FUNDS + 7, Status.ENACTED)
    assert chain.query(Governance.tally, id=0) == tally
    assert chain.query_at(19, Governance.proposal, id=0).status is Status.PASSED


def test_parameters_change_by_a_proposal_and_open_ones_keep_their_rules(chain: Chain) -> None:
    new = Governance.Params(deposit=DEPOSIT, voting_blocks=50, delay_blocks=1, threshold=9_000, quorum=10_000)
    change = Core.set_params.build(module=Name("governance"), params=codec(Governance.Params).encode(new))
    first = propose(chain, change)
    vote(chain, first, alice=YES, bob=YES)
    until(chain, 5)
    second = propose(chain)
    vote(chain, second, alice=YES, bob=NO)
    assert state_of(chain, first).status is Status.ENACTED
    third = propose(chain)
    assert state_of(chain, third).rules.threshold == 9_000
    assert state_of(chain, third).voting_ends == chain.height + 50
    until(chain, 10)
    assert state_of(chain, second).rules.threshold == 5_000
    assert state_of(chain, second).status is Status.PASSED


def test_a_validator_is_added_by_a_proposal(chain: Chain) -> None:
    added = Validators.add.build(
        public_key=key(chain, "dora"), operator=chain.account("dora").id, power=40, peer=peer(99)
    )
    number = propose(chain, added, Validators.set_power.build(public_key=key(chain, "carol"), power=1))
    vote(chain, number, alice=YES, carol=YES)
    until(chain, state_of(chain, number).enact_at)
    assert chain.last is not None
    assert {each.public_key: each.power for each in chain.last.validator_updates} == {
        key(chain, "dora"): 40,
        key(chain, "carol"): 1,
    }
    vote(chain, propose(chain), dora=NO)


def test_words_alone_are_enacted_without_gas(chain: Chain) -> None:
    number = propose(chain)
    vote(chain, number, alice=YES)
    assert until(chain, state_of(chain, number).enact_at) == [Enacted(proposal=number, gas_used=0, failure=None)]


def test_a_failing_call_undoes_all_and_is_recorded(chain: Chain) -> None:
    wrong = Tokens.burn.build(holder=chain.account("nobody").id, denom=ARM, amount=1)
    number = propose(chain, mint(chain, 7), wrong)
    vote(chain, number, alice=YES)
    (enacted,) = until(chain, state_of(chain, number).enact_at)
    failure = CallFailure(call=1, error="tokens.InsufficientBalance")
    assert (enacted.failure, enacted.gas_used > 0) == (failure, True)
    found = state_of(chain, number)
    assert (found.status, found.failure) == (Status.FAILED, failure)
    assert balance(chain, "bob") == FUNDS
    chain.blocks(5)
    assert state_of(chain, number) == found


def test_the_voting_power_is_that_of_the_end_and_the_jailed_have_none(chain: Chain) -> None:
    number = propose(chain)
    vote(chain, number, alice=NO, bob=YES, carol=YES)
    chain.root(Validators.set_power.build(public_key=key(chain, "carol"), power=25))
    chain.block(evidence=[Offence(key(chain, "alice"), 1)])
    assert state_of(chain, number).tally == Tally(yes=55, no=0, abstain=0, veto=0, total=55)


def test_a_vote_in_the_last_block_of_the_period_counts(chain: Chain) -> None:
    number = propose(chain)
    until(chain, 3)
    vote(chain, number, alice=YES)
    assert (chain.height, state_of(chain, number).status) == (4, Status.PASSED)


# --- what becomes of the deposit


@pytest.mark.parametrize(
    ("choices", "status", "burned"),
    [
        ({"alice": YES}, Status.PASSED, 0),
        ({"alice": NO}, Status.REJECTED, 0),
        ({"alice": ABSTAIN}, Status.REJECTED, 0),
        ({"alice": YES, "bob": VETO}, Status.VETOED, DEPOSIT),
        ({"alice": YES, "carol": VETO}, Status.PASSED, 0),
        ({"bob": YES}, Status.NO_QUORUM, 0),
        ({}, Status.NO_QUORUM, 0),
    ],
)
def test_each_outcome_and_its_deposit(chain: Chain, choices: dict[str, Choice], status: Status, burned: int) -> None:
    number = propose(chain)
    vote(chain, number, **choices)
    closed = until(chain, 4)[-1]
    assert (closed.status, closed.burned) == (status, burned)
    assert balance(chain) == FUNDS - burned


def test_a_missed_quorum_burns_where_the_parameters_say_so() -> None:
    chain = chain_of(burns_without_quorum=True)
    propose(chain)
    assert until(chain, 4)[-1].burned == DEPOSIT
    info = chain.query(Tokens.denomination, denom=ARM)
    assert (balance(chain), info and info.supply) == (FUNDS - DEPOSIT, 4 * FUNDS - DEPOSIT)


def test_cancelling_burns_a_part() -> None:
    chain = chain_of(cancel_burn=2_500)
    number = propose(chain)
    vote(chain, number, alice=VETO)
    receipt = chain.submit(Governance.cancel.build(proposal=number), signer=chain.account("dora"))
    assert chain.events(receipt)[-1] == Cancelled(proposal=number, burned=250)
    assert balance(chain) == FUNDS - 250
    assert until(chain, 10) == []
    assert (state_of(chain, number).status, chain.query(Governance.tally, id=number)) == (Status.CANCELLED, None)


def test_a_deposit_of_nothing_is_possible() -> None:
    chain = chain_of(deposit=0)
    propose(chain, by="dora")
    until(chain, 4)
    assert state_of(chain, 0).status is Status.NO_QUORUM


def test_governance_goes_on_where_a_deposit_was_taken_away() -> None:
    """Root may burn what anyone holds, the module's own account included; the invariant then says so."""
    chain = chain_of(voting_blocks=1, delay_blocks=1)
    account = chain.application.composition.environment().modules["governance"].account
    theft = Tokens.burn.build(holder=account, denom=ARM, amount=DEPOSIT)
    chain.application.check_invariants = lambda: None  # type: ignore[method-assign] # they do not hold meanwhile
    propose(chain)
    chain.root(theft)
    assert chain.last is not None
    events = [chain.decode_event(event) for event in chain.last.block_receipt.end_events]
    assert events[0] == DepositLost(proposal=0, deposit=DEPOSIT)
    assert state_of(chain, 0).status is Status.NO_QUORUM
    propose(chain)


# --- properties

SHARES = st.sampled_from([0, 1, 3_333, 3_334, 5_000, 6_667, 9_999])
POWER = st.one_of(st.integers(0, 3), st.integers(0, 1 << 58))


@given(st.tuples(POWER, POWER, POWER, POWER), POWER, SHARES, SHARES, SHARES)
def test_the_outcome_is_that_of_exact_fractions(
    counts: tuple[int, int, int, int], silent: int, quorum: int, threshold: int, veto: int
) -> None:
    yes, no, abstain, vetoes = counts
    voted, total = sum(counts), sum(counts) + silent
    found = outcome(Tally(yes, no, abstain, vetoes, total), Rules(quorum, threshold, veto, 0, False))
    if not voted or Fraction(voted, total) < Fraction(quorum, 10_000):
        assert found is Status.NO_QUORUM
    elif Fraction(vetoes, voted) > Fraction(veto, 10_000):
        assert found is Status.VETOED
    elif yes and Fraction(yes, yes + no + vetoes) > Fraction(threshold, 10_000):
        assert found is Status.PASSED
    else:
        assert found is Status.REJECTED


VOTES = st.lists(st.tuples(st.sampled_from(list(POWERS)), st.sampled_from(list(Choice))), max_size=8)


@settings(max_examples=25, deadline=None)
@given(VOTES)
def test_the_last_vote_of_each_counts(votes: list[tuple[str, Choice]]) -> None:
    chain = chain_of()
    number = propose(chain)
    ballots = [
        chain.transaction(
            Governance.vote.build(proposal=number, choice=choice),
            signer=chain.account(name),
            nonce=sum(other == name for other, _ in votes[:place]),
        )
        for place, (name, choice) in enumerate(votes)
    ]
    done = chain.block(ballots)
    last = dict(votes)
    for (name, choice), receipt in zip(votes, done.receipts, strict=True):
        expected = Voted(proposal=number, validator=key(chain, name), choice=choice)
        assert chain.events(receipt) == (expected,)
    found = {each.validator: each.choice for each in chain.query(Governance.votes, id=number, after=None, limit=64)}
    assert found == {key(chain, name): choice for name, choice in last.items()}
    until(chain, 4)
    sums = [sum(POWERS[name] for name, choice in last.items() if choice is wanted) for wanted in Choice]
    assert state_of(chain, number).tally == Tally(*sums, total=100)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["propose", "yes", "veto", "cancel", "wait"]), st.integers(0, 5)), max_size=25)
)
def test_invariants_hold_and_nothing_is_lost_whatever_is_done(steps: list[tuple[str, int]]) -> None:
    """The chain checks every invariant after each block; at the end every deposit is back or burned."""
    chain = chain_of()
    dora, alice = chain.account("dora"), chain.account("alice")
    for what, number in steps:
        if what == "propose":
            chain.submit(proposing(mint(chain, 1)), signer=dora)
        elif what in ("yes", "veto"):
            choice = YES if what == "yes" else VETO
            chain.submit(Governance.vote.build(proposal=number, choice=choice), signer=alice)
        elif what == "cancel":
            chain.submit(Governance.cancel.build(proposal=number), signer=dora)
        else:
            chain.blocks(number)
    chain.blocks(VOTING + DELAY + 10)
    found = [each.proposal for each in chain.query(Governance.page, after=None, limit=64)]
    assert all(each.status not in (Status.VOTING, Status.PASSED) for each in found)
    burned = {Status.VETOED: DEPOSIT, Status.CANCELLED: DEPOSIT // 2}
    assert balance(chain) == FUNDS - sum(burned.get(each.status, 0) for each in found)
    assert balance(chain, "bob") == FUNDS + sum(each.status is Status.ENACTED for each in found)


# --- bounds of a block's work


def test_a_full_validator_set_fits_into_the_hook() -> None:
    """The most validators, all votes in, as much closing and enacting as a block does, and room for calls to use up."""
    powers = {f"v{place}": 1 for place in range(VALIDATORS_MAX)}
    chain = chain_of(powers=powers, quorum=0, voting_blocks=4, delay_blocks=3)
    many = tuple(mint(chain, 1) for _ in range(16))
    proposals = [proposing(*many, enact_at=enact_at) for enact_at in (10, 10, 20, 20, 20)]
    dora = chain.account("dora")
    first = chain.block([chain.transaction(each, signer=dora, nonce=place) for place, each in enumerate(proposals[:2])])
    assert all(receipt.is_ok for receipt in first.receipts), first.explanations
    chain.blocks(1)
    votes = [Governance.vote.build(proposal=number, choice=YES) for number in (0, 1)]
    chain.block([chain.transaction(*votes, signer=chain.account(name)) for name in powers])
    until(chain, 5)
    assert chain.last is not None
    counting = chain.last.block_receipt.gas_used
    assert [state_of(chain, number).status for number in (0, 1)] == [Status.PASSED] * CLOSED_PER_BLOCK
    until(chain, 10)
    enacting = chain.last.block_receipt.gas_used
    assert [state_of(chain, number).status for number in (0, 1)] == [Status.ENACTED] * ENACTED_PER_BLOCK
    worst_of_calls = ENACTED_PER_BLOCK * ENACTMENT_GAS
    gas = Governance.metadata().hooks["end_block"]
    assert counting + enacting + worst_of_calls < gas, (counting, enacting)


def test_more_than_fits_into_a_block_waits_for_the_next(chain: Chain) -> None:
    dora, alice = chain.account("dora"), chain.account("alice")
    many = 2 * CLOSED_PER_BLOCK + 1
    chain.block([chain.transaction(proposing(), signer=dora, nonce=place) for place in range(many)])
    votes = [Governance.vote.build(proposal=number, choice=YES) for number in range(many)]
    chain.block([chain.transaction(*votes, signer=alice)])
    seen = []
    for height in range(4, 12):
        events = until(chain, height)
        closed = [each.proposal for each in events if isinstance(each, Closed)]
        enacted = [each.proposal for each in events if isinstance(each, Enacted)]
        seen.append((height, closed, enacted))
    assert seen == [
        (4, [0, 1], []),
        (5, [2, 3], []),
        (6, [4], [0, 1]),
        (7, [], [2, 3]),
        (8, [], [4]),
        *((height, [], []) for height in range(9, 12)),
    ]


def test_what_waits_to_be_counted_is_not_voted_on_any_more(chain: Chain) -> None:
    dora = chain.account("dora")
    chain.block([chain.transaction(proposing(), signer=dora, nonce=place) for place in range(5)])
    until(chain, 4)
    assert state_of(chain, 4).status is Status.VOTING
    receipt = chain.submit(Governance.vote.build(proposal=4, choice=YES), signer=chain.account("alice"))
    assert chain.error(receipt) == NotVoting(proposal=4, voting_ends=4)
    receipt = chain.submit(Governance.cancel.build(proposal=4), signer=dora)
    assert chain.error(receipt) == NotVoting(proposal=4, voting_ends=4)


# --- reading


def test_pages_and_contents(chain: Chain) -> None:
    texts = ["one", "two", "three"]
    for text in texts:
        chain.submit(proposing(mint(chain, 1), text=text), signer=chain.account("dora"))
    assert [each.id for each in chain.query(Governance.page, after=None, limit=2)] == [0, 1]
    assert [each.id for each in chain.query(Governance.page, after=1, limit=64)] == [2]
    assert chain.query(Governance.content, id=2) == Content(text="three", calls=(mint(chain, 1),))
    assert chain.query(Governance.content, id=3) is None
    assert chain.query(Governance.proposal, id=3) is None
    assert chain.query(Governance.tally, id=3) is None


def test_votes_are_paged_in_the_order_of_keys(chain: Chain) -> None:
    number = propose(chain)
    vote(chain, number, alice=YES, bob=NO, carol=VETO)
    keys = sorted(key(chain, name) for name in POWERS)
    first = chain.query(Governance.votes, id=number, after=None, limit=2)
    rest = chain.query(Governance.votes, id=number, after=first[-1].validator, limit=2)
    assert [each.validator for each in (*first, *rest)] == keys


# --- what is refused


def refused(chain: Chain, call: Call, by: str, expected: CallError, fails: Any) -> None:
    """In the one block that `fails` makes nothing is due."""
    fails(chain, call, chain.account(by), expected)


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        ((Call("tokens.nothing", b"\x90"),), UnknownCall(call="tokens.nothing")),
        ((Call("tokens.mint", b"\x90"),), BadArgument(call="tokens.mint")),
        ((Governance.cancel.build(proposal=0),), OriginRefused(call="governance.cancel", origin="Root")),
    ],
)
def test_invalid_calls_cannot_be_proposed(chain: Chain, fails: Any, calls: tuple[Call, ...], error: CallError) -> None:
    refused(chain, proposing(*calls), "dora", error, fails)


def test_invalid_proposal_without_title(chain: Chain, fails: Any) -> None:
    refused(chain, proposing(title=""), "dora", NoTitle(), fails)


def test_invalid_proposal_that_is_too_large(chain: Chain, fails: Any) -> None:
    params = Core.set_params.build(module=Name("governance"), params=bytes(8 * 1024))
    size = 7 * len(params.arguments)
    expected = ContentTooLarge(size_bytes=size, limit=CONTENT_BYTES_MAX)
    refused(chain, proposing(*[params] * 7), "dora", expected, fails)
    assert chain.submit(proposing(mint(chain, 1), *[params] * 5, text="€" * 2000), signer=chain.account("dora")).is_ok


def changing(module: str, params: ModuleParams) -> Call:
    return Core.set_params.build(module=Name(module), params=codec(type(params)).encode(params))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            changing("governance", Governance.Params(quorum=10_001)),
            ParamOutOfRange(param=Name("quorum"), low=0, high=PARTS),
        ),
        (
            changing("governance", Governance.Params(deposit_denom=Denom("tin"))),
            UnknownDepositDenom(denom=Denom("tin")),
        ),
        (changing("nobody", Governance.Params()), NoParams(module=Name("nobody"))),
        (Core.set_params.build(module=Name("governance"), params=b"\x90"), ParamsRefused(module=Name("governance"))),
    ],
)
def test_invalid_parameters_cannot_be_proposed(chain: Chain, fails: Any, change: Call, error: CallError) -> None:
    """Neither alone nor behind other changes; behind a call of another kind they can, which may make room for them."""
    good = changing("governance", Governance.Params(quorum=10_000))
    for calls in ((change,), (good, change), (change, mint(chain, 1))):
        refused(chain, proposing(*calls), "dora", error, fails)
    assert chain.submit(proposing(mint(chain, 1), change), signer=chain.account("dora")).is_ok


def test_parameters_that_are_proposed_are_as_they_were(chain: Chain) -> None:
    before = chain.query(Core.params_of, module="governance")
    receipt = chain.submit(proposing(changing("governance", Governance.Params(quorum=1))), signer=chain.account("dora"))
    assert receipt.is_ok
    assert [event.name for event in receipt.events if event.module == "runtime"] == []
    assert chain.query(Core.params_of, module="governance") == before


def test_invalid_height_of_enactment(chain: Chain, fails: Any) -> None:
    first = 1 + VOTING + DELAY
    too_early = EnactmentTooEarly(enact_at=first - 1, earliest=first)
    refused(chain, proposing(enact_at=first - 1), "dora", too_early, fails)
    latest = 2 + VOTING + DELAY + BLOCKS_MAX
    too_late = EnactmentTooLate(enact_at=latest + 1, latest=latest)
    refused(chain, proposing(enact_at=latest + 1), "dora", too_late, fails)
    assert chain.submit(proposing(enact_at=latest + 1), signer=chain.account("dora")).is_ok


def test_invalid_proposal_without_the_deposit(chain: Chain) -> None:
    receipt = chain.submit(proposing(), signer=chain.account("poor"))
    assert receipt.error is not None
    assert receipt.error.name == "InsufficientBalance"
    assert chain.query(Governance.count) == 0


def test_invalid_vote(chain: Chain, fails: Any) -> None:
    ballot = Governance.vote.build(proposal=0, choice=YES)
    refused(chain, ballot, "alice", UnknownProposal(proposal=0), fails)
    propose(chain)
    refused(chain, ballot, "dora", NotVoter(account=chain.account("dora").id), fails)
    until(chain, 5)
    refused(chain, ballot, "alice", NotVoting(proposal=0, voting_ends=5), fails)


def test_invalid_cancel(chain: Chain, fails: Any) -> None:
    cancel = Governance.cancel.build(proposal=0)
    refused(chain, cancel, "dora", UnknownProposal(proposal=0), fails)
    propose(chain)
    refused(chain, cancel, "alice", NotProposer(proposer=chain.account("dora").id), fails)
    assert chain.submit(cancel, signer=chain.account("dora")).is_ok
    refused(chain, cancel, "dora", NotVoting(proposal=0, voting_ends=5), fails)


@pytest.mark.parametrize(
    ("changes", "name", "low", "high"),
    [
        ({"voting_blocks": 0}, "voting_blocks", 1, BLOCKS_MAX),
        ({"voting_blocks": BLOCKS_MAX + 1}, "voting_blocks", 1, BLOCKS_MAX),
        ({"delay_blocks": 0}, "delay_blocks", 1, BLOCKS_MAX),
        ({"quorum": 10_001}, "quorum", 0, 10_000),
        ({"threshold": 10_000}, "threshold", 0, 9_999),
        ({"veto": 10_001}, "veto", 0, 10_000),
        ({"cancel_burn": 10_001}, "cancel_burn", 0, 10_000),
    ],
)
def test_invalid_parameters(chain: Chain, changes: dict[str, int], name: str, low: int, high: int) -> None:
    wrong = codec(Governance.Params).encode(Governance.Params(**changes))
    with pytest.raises(ParamOutOfRange) as error:
        chain.root(Core.set_params.build(module=Name("governance"), params=wrong))
    assert error.value == ParamOutOfRange(param=Name(name), low=low, high=high)
    with pytest.raises(GenesisError, match=f"ParamOutOfRange.*{name}"):
        chain_of(**changes)


def test_invalid_denomination_of_deposits(chain: Chain) -> None:
    wrong = codec(Governance.Params).encode(Governance.Params(deposit_denom=Denom("tin")))
    with pytest.raises(UnknownDepositDenom, match="tin"):
        chain.root(Core.set_params.build(module=Name("governance"), params=wrong))


# --- the next chain


def test_what_is_voted_on_and_what_waits_goes_on_on_the_next_chain(continued: Callable[..., Chain]) -> None:
    chain = chain_of()
    chain.blocks(5)
    passed = propose(chain, mint(chain, 7))
    vote(chain, passed, alice=YES, bob=YES)
    until(chain, state_of(chain, passed).voting_ends)
    voted = propose(chain, mint(chain, 9))
    vote(chain, voted, alice=YES)
    before = {number: state_of(chain, number) for number in (passed, voted)}
    height, again = chain.height, continued(chain)
    assert balance(again, "bob") == balance(chain, "bob")
    for number, proposal in before.items():
        assert state_of(again, number).voting_ends == max(proposal.voting_ends - height, 0)
        assert state_of(again, number).enact_at == proposal.enact_at - height
        assert again.query(Governance.content, id=number) == chain.query(Governance.content, id=number)
    vote(again, voted, bob=YES)
    until(again, state_of(again, voted).enact_at)
    assert [state_of(again, number).status for number in before] == [Status.ENACTED] * 2
    assert balance(again, "bob") == FUNDS + 16


def proposal_of(**changes: Any) -> GenesisProposal:
    """An open one without a deposit."""
    person = Chain().account("dora").id
    rules = Rules(quorum=1, threshold=1, veto=1, cancel_burn=1, burns_without_quorum=False)
    made = Proposal(
        *(person, "t", 0, 3, 5, 0, ARM, rules, Status.VOTING, None, None),
    )
    return GenesisProposal(replace(made, **changes), Content("", ()))


NONE, ALL = Tally(0, 0, 0, 0, 10), Tally(10, 0, 0, 0, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"tally": NONE},
        {"status": Status.PASSED},
        {"status": Status.PASSED, "tally": NONE},
        {"status": Status.PASSED, "tally": Tally(11, 0, 0, 0, 10)},
        {"status": Status.REJECTED, "tally": ALL},
        {"status": Status.ENACTED, "tally": ALL, "failure": CallFailure(0, "x")},
        {"status": Status.FAILED, "tally": ALL},
    ],
)
def test_invalid_genesis_of_a_proposal_that_contradicts_itself(changes: dict[str, Any]) -> None:
    genesis = {"governance": {"proposals": (proposal_of(), proposal_of(**changes))}}
    with pytest.raises(GenesisError, match=rf"{BadProposal.__name__}.*1"):
        Chain(Accounts, Tokens, Validators, Governance, genesis=_founded() | genesis)


def test_invalid_genesis_of_a_vote_on_nothing() -> None:
    votes = {1: {Chain().account("alice-key").key.public_key: YES}}
    genesis = {"governance": {"proposals": (proposal_of(),), "votes": votes}}
    with pytest.raises(GenesisError, match=UnknownProposal.__name__):
        Chain(Accounts, Tokens, Validators, Governance, genesis=_founded() | genesis)


def _founded() -> dict[str, Any]:
    named = Chain().account
    founder = GenesisValidator(named("alice-key").key.public_key, named("alice").id, power=1, peer=peer(0))
    return {"tokens": {"balances": {named("alice").id: {ARM: FUNDS}}}, "validators": {"validators": (founder,)}}
