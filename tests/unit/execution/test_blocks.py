"""Hooks, validator updates, receipts, history: what a block does besides its transactions."""

from __future__ import annotations

from typing import Annotated

import pytest

from runtime import (
    U64,
    AccountId,
    Genesis,
    Item,
    Map,
    MaxLen,
    Module,
    Offence,
    PublicKey,
    Root,
    Struct,
    ValidatorPower,
    call,
    hook,
    query,
)
from runtime.codec import codec
from runtime.execution import (
    BlockInputs,
    BlockReceipt,
    Chain,
    ExecutionFault,
    InvariantBroken,
    Receipt,
    receipt_proof,
    verify_receipt,
)
from runtime.state import HeightUnavailable, verify_proof
from runtime.testing.bank import Bank

KEYS = tuple(PublicKey(bytes([each]) * 32) for each in range(1, 5))


class Seen(Struct):
    """What a hook saw of its block."""

    height: U64
    time_ms: U64
    proposer: PublicKey
    offenders: Annotated[tuple[PublicKey, ...], MaxLen(8)]
    signers: Annotated[tuple[PublicKey, ...], MaxLen(8)]


class Watch(Module):
    """Remembers what its hooks saw."""

    name = "watch"
    seen: Item[Seen] = Item()
    hungry: Item[bool] = Item(default=False)

    @call(gas=0)
    def eat(self, origin: Root) -> None:
        """From now on the hook uses more than it said."""
        self.hungry = True

    @hook(gas=1_000_000)
    def begin_block(self) -> None:
        """Looks around."""
        block = self.block
        self.seen = Seen(
            self.height,
            self.time_ms,
            block.proposer,
            tuple(offence.public_key for offence in block.evidence),
            block.last_signers,
        )
        if self.hungry:
            self.charge(2_000_000)

    @query
    def last(self) -> Seen:
        """What was seen last."""
        return self.seen


class Powers(Module):
    """A validator set that Root writes."""

    name = "powers"
    powers: Map[PublicKey, U64] = Map()
    is_broken: Item[bool] = Item(default=False)

    class GenesisConfig(Genesis):
        """The first set."""

        powers: dict[PublicKey, U64] = {}

    def genesis(self, config: GenesisConfig) -> None:
        """Writes the first set."""
        for key, power in config.powers.items():
            self.powers[key] = power

    @call(gas=0)
    def set_power(self, origin: Root, *, key: PublicKey, power: U64) -> None:
        """Set or remove."""
        if power:
            self.powers[key] = power
        else:
            del self.powers[key]

    @call(gas=0)
    def set_broken(self, origin: Root) -> None:
        """From now on the set cannot be read."""
        self.is_broken = True

    def validators(self) -> tuple[ValidatorPower, ...]:
        """As ValidatorSource."""
        if self.is_broken:
            raise KeyError("a bug")
        return tuple(ValidatorPower(key, power) for key, power in self.powers.items(limit=1000))


def test_hooks_see_their_block() -> None:
    chain = Chain(Watch)
    chain.block(time_ms=chain.time_ms + 17, proposer=KEYS[0], evidence=[Offence(KEYS[1], 3)], last_signers=KEYS[2:])
    assert chain.query(Watch.last) == Seen(1, chain.time_ms, KEYS[0], (KEYS[1],), KEYS[2:])


def test_a_failing_hook_is_rolled_back_and_the_chain_goes_on(chain: Chain) -> None:
    chain.root(Bank.break_hook.build(is_broken=True))
    ticks = chain.query(Bank.tick_count)
    executed = chain.block()
    assert chain.query(Bank.tick_count) == ticks
    event = chain.decode_event(executed.block_receipt.end_events[0])
    assert (event.module, event.hook, event.error) == ("bank", "end_block", "bank.Misbehaviour")
    assert "Asked for, and delivered" in executed.faults[0]
    chain.root(Bank.break_hook.build(is_broken=False))
    chain.block()
    assert chain.query(Bank.tick_count) > ticks


def test_a_hook_that_uses_more_than_it_said_fails() -> None:
    chain = Chain(Watch)
    chain.block()
    chain.root(Watch.eat.build())
    before = chain.query(Watch.last)
    executed = chain.block()
    assert chain.decode_event(executed.block_receipt.begin_events[0]).error == "runtime.OutOfGas"
    assert executed.gas_used == 1_000_000
    assert chain.query(Watch.last) == before


def powers_chain() -> Chain:
    return Chain(Powers, genesis={"powers": {"powers": {KEYS[0]: 10, KEYS[1]: 5}}})


def test_validator_updates_are_the_differences() -> None:
    chain = powers_chain()
    assert chain.application.validators() == (ValidatorPower(KEYS[0], 10), ValidatorPower(KEYS[1], 5))
    chain.root(
        Powers.set_power.build(key=KEYS[0], power=0),
        Powers.set_power.build(key=KEYS[1], power=6),
        Powers.set_power.build(key=KEYS[2], power=1),
    )
    assert chain.last is not None
    expected = (ValidatorPower(KEYS[0], 0), ValidatorPower(KEYS[1], 6), ValidatorPower(KEYS[2], 1))
    assert chain.last.validator_updates == expected
    assert chain.block().validator_updates == ()
    assert chain.application.validators() == (ValidatorPower(KEYS[1], 6), ValidatorPower(KEYS[2], 1))
    assert chain.application.validators(0) == (ValidatorPower(KEYS[0], 10), ValidatorPower(KEYS[1], 5))


def test_a_set_that_cannot_be_is_refused_and_the_old_one_stays() -> None:
    chain = powers_chain()
    chain.root(Powers.set_power.build(key=KEYS[0], power=0), Powers.set_power.build(key=KEYS[1], power=0))
    assert chain.last is not None
    assert chain.last.validator_updates == ()
    assert "0 validators" in chain.decode_event(chain.last.block_receipt.end_events[0]).reason
    assert len(chain.application.validators()) == 2
    chain.root(Powers.set_power.build(key=KEYS[3], power=1))
    updates = chain.last.validator_updates
    assert updates == (ValidatorPower(KEYS[0], 0), ValidatorPower(KEYS[1], 0), ValidatorPower(KEYS[3], 1))
    chain.root(Powers.set_broken.build())
    assert chain.decode_event(chain.last.block_receipt.end_events[0]).reason == "KeyError"
    assert chain.application.validators() == (ValidatorPower(KEYS[3], 1),)


def test_every_receipt_is_proven_under_the_receipts_root(chain: Chain) -> None:
    alice = chain.account("alice")
    data = [
        chain.transaction(Bank.transfer.build(to=alice.id, amount=each), signer=alice, nonce=each) for each in range(5)
    ]
    executed = chain.block(data)
    assert len(executed.leaves) == 6
    for index, leaf in enumerate(executed.leaves):
        proof = receipt_proof(executed.leaves, index)
        assert verify_receipt(leaf, index, 6, proof, executed.receipts_root)
        assert not verify_receipt(leaf, (index + 1) % 6, 6, proof, executed.receipts_root)
    assert codec(Receipt).decode(executed.leaves[2]) == executed.receipts[2]
    assert codec(BlockReceipt).decode(executed.leaves[5]) == executed.block_receipt
    assert [event.module for event in executed.events] == ["bank"] * 5


def test_stored_values_are_proven_at_every_height(chain: Chain) -> None:
    alice, carol = chain.account("alice"), chain.account("carol")
    for amount in (3, 4):
        chain.submit(Bank.transfer.build(to=carol.id, amount=amount), signer=alice)
    for height, expected in ((0, None), (1, 3), (2, 7)):
        proven = chain.application.prove("bank", "balances", carol.id, height=height)
        value = None if proven.value is None else int.from_bytes(codec(bytes_of_u128()).decode(proven.value), "big")
        assert value == expected
        verify_proof(proven.state_root, proven.module, proven.key, proven.value, proven.proof)
        assert chain.query_at(height, Bank.balance_of, account=carol.id) == (expected or 0)
    item = chain.application.prove("bank", "supply")
    verify_proof(chain.application.state_root, "bank", item.key, item.value, item.proof)


def bytes_of_u128() -> object:
    return Annotated[bytes, MaxLen(16)]


def test_invalid_height_of_a_query(chain: Chain) -> None:
    with pytest.raises(HeightUnavailable):
        chain.query_at(7, Bank.tick_count)


@pytest.mark.parametrize("height", [0, 2])
def test_invalid_height_of_a_block(chain: Chain, height: int) -> None:
    with pytest.raises(ExecutionFault, match="cannot follow"):
        chain.application.execute(BlockInputs(height, 0))


def test_an_invariant_that_breaks_is_found(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(self: Bank, payer: AccountId, fee: int, refund: int) -> None:
        self.balances[payer] += refund

    monkeypatch.setattr(Bank, "settle_fee", leaky)
    with pytest.raises(InvariantBroken, match=r"bank\.supply_is_conserved does not hold after block 1"):
        chain.submit(Bank.transfer.build(to=chain.account("bob").id, amount=1), signer=chain.account("alice"))


def test_executing_touches_nothing_and_commit_applies_it(chain: Chain) -> None:
    application, root = chain.application, chain.application.state_root
    inputs = BlockInputs(1, chain.time_ms + 1)
    first, second = application.execute(inputs), application.execute(inputs)
    assert application.state_root == root
    assert first.state_root == second.state_root != root
    application.commit(first, extra={b"note": b"of the node"})
    assert (application.state_root, application.height) == (first.state_root, 1)
    assert application.store.get_extra(b"note") == b"of the node"
