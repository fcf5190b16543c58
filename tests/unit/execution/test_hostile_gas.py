"""Gas limits as a weapon: at any limit a transaction does all that it says, or nothing but pay; and no token is made or
lost by it, whoever pays, whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modules.tokens import Tokens
from runtime import Call
from runtime.execution import BlockInputs, Chain, Executed, FeeParams, InvalidBlock, Rule
from runtime.execution.executor import run_transaction
from runtime.execution.gas import fixed_gas
from runtime.module.context import Context

ENOUGH = 20_000_000
Changes = Mapping[str, Mapping[bytes, bytes | None]]


def execute(chain: Chain, *transactions: bytes) -> Executed:
    return chain.application.execute(BlockInputs(chain.height + 1, chain.time_ms + 1_000, transactions))


def attempt(chain: Chain, transaction: bytes) -> Executed | InvalidBlock:
    """What the block does, or why it may not be."""
    try:
        return execute(chain, transaction)
    except InvalidBlock as refused:
        return refused


def changes_of(executed: Executed) -> Changes:
    """What the block changes, without what the runtime itself writes."""
    return {name: changed for name, changed in executed.prepared.changes.items() if name != "runtime"}


def besides_paying(chain: Chain, executed: Executed, *payers: str) -> dict[str, dict[bytes, bytes | None]]:
    """The changes, without nonces, the payers' balances and the fee's own bookkeeping."""
    spared = {Tokens.balances.storage_key((chain.account(name).id, "arm")) for name in (*payers, "carol")}
    spared.add(Tokens.denoms.storage_key("arm"))
    left = {}
    for name, changed in changes_of(executed).items():
        kept = {
            key: value
            for key, value in changed.items()
            if not (name == "accounts" and key.startswith(b"nonces\0")) and not (name == "tokens" and key in spared)
        }
        if kept:
            left[name] = kept
    return left


def supply_is_kept(chain: Chain, executed: Executed) -> None:
    """Per denomination: what balances lose, others or the supply take."""
    balances, denoms = Tokens.balances, Tokens.denoms
    held: dict[str, int] = {}
    supply: dict[str, int] = {}
    changed = executed.prepared.changes.get("tokens", {})
    for key, value in changed.items():
        before = chain.application.store.get("tokens", key)
        if key.startswith(balances.prefix):
            _, denom = balances._keys.decode(key[len(balances.prefix) :])
            held[denom] = held.get(denom, 0) + number(balances, value) - number(balances, before)
        elif key.startswith(denoms.prefix):
            denom = denoms._keys.decode(key[len(denoms.prefix) :])
            supply[denom] = total(denoms, value) - total(denoms, before)
    assert {denom: delta for denom, delta in held.items() if delta} == {
        denom: delta for denom, delta in supply.items() if delta
    }


def number(declared: Any, value: bytes | None) -> int:
    return 0 if value is None else declared._codec.decode(value)


def total(declared: Any, value: bytes | None) -> int:
    return 0 if value is None else declared._codec.decode(value).supply


# --- every gas limit -------------------------------------------------------------------------------------------------


def at_any_limit(chain: Chain, calls: list[Call], limit: int, needed: int, full: Executed) -> None:
    """The property at one gas limit. needed: what the transaction uses where it has enough; full: what it does then."""
    data = chain.transaction(*calls, signer=chain.account("alice"), gas_limit=limit)
    executed = attempt(chain, data)
    if isinstance(executed, InvalidBlock):
        assert executed.rule == Rule.GAS_LIMIT
        assert limit < fixed_gas(len(data), 1)
        return
    receipt = executed.receipts[0]
    supply_is_kept(chain, executed)
    if limit >= needed:
        assert replace(receipt, transaction=full.receipts[0].transaction) == full.receipts[0]
        assert executed.state_root == full.state_root
        return
    assert receipt.error is not None
    assert (receipt.error.module, receipt.error.name) == ("runtime", "OutOfGas")
    assert receipt.gas_used == limit
    assert receipt.fee == chain.application.params().fees.fee(limit)
    assert receipt.events == ()
    assert executed.blobs == ()
    assert besides_paying(chain, executed, "alice") == {}


CALLS = (
    "transfer",
    "transfer to oneself",
    "mint",
    "burn",
    "set issuer",
    "set minimum",
    "set metadata",
    "approve",
    "transfer from",
    "rotate",
    "begin upload",
    "upload chunk",
    "cancel upload",
    "infer",
)


@pytest.mark.parametrize("name", CALLS)
def test_any_gas_limit_gives_all_or_nothing(whole: Chain, good_calls: dict[str, Call], name: str) -> None:
    """Around every charge: just below it, and at it."""
    call = good_calls[name]
    charges = charges_of(whole, call)
    needed = charges[-1]
    full = execute(whole, whole.transaction(call, signer=whole.account("alice"), gas_limit=ENOUGH))
    assert full.receipts[0].is_ok
    assert full.receipts[0].gas_used == needed
    for limit in sorted({limit for charge in charges for limit in (charge - 1, charge)} | {0, 1, needed + 1}):
        at_any_limit(whole, [call], limit, needed, full)


class Watched(Context):
    """A context that keeps the meter's readings after each charge: the only places where gas can run out."""

    __slots__ = ()
    readings: ClassVar[list[int]] = []

    def charge(self, amount: int) -> None:
        super().charge(amount)
        self.readings.append(self.gas_used)

    def read(self, module: str, key: bytes) -> bytes | None:
        found = super().read(module, key)
        self.readings.append(self.gas_used)
        return found


def charges_of(chain: Chain, call: Call) -> list[int]:
    """The readings of the transaction where it has enough gas, ascending."""
    prepared = chain.application.prepare(chain.transaction(call, signer=chain.account("alice"), gas_limit=ENOUGH))
    with chain.application._next_block() as run:
        run.environment.context.__class__ = Watched
        Watched.readings.clear()
        used = run_transaction(run.environment, prepared).receipt.gas_used
    return sorted({reading for reading in Watched.readings if prepared.fixed_gas <= reading <= used})


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_gas_limit_for_any_calls(whole: Chain, good_calls: dict[str, Call], data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from([name for name in CALLS if name != "infer"]), min_size=1, max_size=4))
    calls = [good_calls[name] for name in names]
    full = execute(whole, whole.transaction(*calls, signer=whole.account("alice"), gas_limit=ENOUGH))
    supply_is_kept(whole, full)
    needed = full.receipts[0].gas_used
    limit = data.draw(st.integers(0, needed + 1))
    if full.receipts[0].is_ok:
        at_any_limit(whole, calls, limit, needed, full)
    else:
        assert besides_paying(whole, full, "alice") == {}


@pytest.mark.soak
@pytest.mark.parametrize("name", CALLS)
def test_every_single_gas_limit_gives_all_or_nothing(whole: Chain, good_calls: dict[str, Call], name: str) -> None:
    """Not only at the charges: a prime step through all limits."""
    call = good_calls[name]
    full = execute(whole, whole.transaction(call, signer=whole.account("alice"), gas_limit=ENOUGH))
    needed = full.receipts[0].gas_used
    for limit in range(0, min(needed, 1_000_000) + 2, 997):
        at_any_limit(whole, [call], limit, needed, full)


# --- who pays --------------------------------------------------------------------------------------------------------

MOST = (1 << 128) - 1


@settings(max_examples=60, deadline=None)
@given(
    sender=st.sampled_from(["alice", "bob", "dora", "carol"]),
    payer=st.sampled_from([None, "alice", "bob", "dora", "carol"]),
    to=st.sampled_from(["alice", "bob", "dora", "carol", "erin"]),
    amount=st.sampled_from([0, 1, 10**6, 10**15, MOST - 1, MOST]) | st.integers(0, 10**15),
    tip=st.sampled_from([0, 1, 10**6, 10**15, MOST]),
    denom=st.sampled_from(["arm", "gold", "none"]),
)
def test_payers_pay_what_the_receipt_says(
    whole: Chain, sender: str, payer: str | None, to: str, amount: int, tip: int, denom: str
) -> None:
    """Sender, payer, recipient and the collector of fees (carol) in all ways one person; amounts to the last unit."""
    call = Tokens.transfer.build(to=whole.account(to).id, denom=denom, amount=amount)
    options: dict[str, Any] = {"gas_limit": 600_000, "tip": tip, "max_fee": min(600 + tip, MOST)}
    if payer is not None:
        options["payer"] = whole.account(payer)
    data = whole.transaction(call, signer=whole.account(sender), **options)
    before = {name: held(whole, None, name) for name in ("alice", "bob", "dora", "carol", "erin")}
    paying = payer or sender
    executed = attempt(whole, data)
    if isinstance(executed, InvalidBlock):
        assert executed.rule == (Rule.FUNDS if 600 + tip <= MOST else Rule.FEE)
        assert executed.rule == Rule.FEE or before[paying] < 600 + tip
        return
    supply_is_kept(whole, executed)
    receipt = executed.receipts[0]
    expected = dict(before)
    expected[paying] -= receipt.fee
    expected["carol"] += receipt.fee
    if receipt.is_ok and denom == "arm":
        expected[sender] -= amount
        expected[to] += amount
    assert receipt.fee == whole.application.params().fees.fee(receipt.gas_used) + tip
    assert {name: held(whole, executed, name) for name in before} == expected


def held(chain: Chain, executed: Executed | None, name: str) -> int:
    """What someone holds of arm, before or after."""
    key = Tokens.balances.storage_key((chain.account(name).id, "arm"))
    changed = {} if executed is None else executed.prepared.changes.get("tokens", {})
    value = changed[key] if key in changed else chain.application.store.get("tokens", key)
    return number(Tokens.balances, value)


@pytest.mark.parametrize("collector", [None, "carol", "alice"])
@pytest.mark.parametrize("fees", [FeeParams(0, 1), FeeParams(1, 1_000), FeeParams(7, 3), FeeParams(1 << 30, 1)])
def test_fees_are_burned_or_collected_to_the_unit(
    make_whole: Callable[..., Chain], collector: str | None, fees: FeeParams
) -> None:
    chain = make_whole(fees=fees, collector=collector, funds=10**30)
    transfer = Tokens.transfer.build(to=chain.account("bob").id, denom="arm", amount=5)
    broke = Tokens.transfer.build(to=chain.account("bob").id, denom="arm", amount=10**31)
    for call, ok in ((transfer, True), (broke, False)):
        for payer in (None, "bob"):
            options = {} if payer is None else {"payer": chain.account(payer)}
            receipt = chain.submit(call, signer=chain.account("alice"), tip=3, gas_limit=1_000_000, **options)
            assert receipt.is_ok == ok
            assert receipt.fee == fees.fee(receipt.gas_used) + 3
    chain.application.check_invariants()
