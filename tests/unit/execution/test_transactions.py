"""What a transaction does once it is in a block: all or nothing, the fee either way, gas within the limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import AccountId, Call, OutOfGas
from runtime.execution import BlockInputs, Chain, InvalidTransaction, Receipt
from runtime.limits import EVENTS_PER_TRANSACTION_MAX
from runtime.module import BadValue, CallError, ModuleFault
from runtime.testing.bank import FAILURES, MONEY, Bank, Misbehaviour, Moved, TooPoor, bank_chain

PEOPLE = ("alice", "bob", "carol", "dora")


def balance(chain: Chain, name: str) -> int:
    return chain.query(Bank.balance_of, account=chain.account(name).id)


def do(chain: Chain, what: str, **options: Any) -> Receipt:
    return chain.submit(Bank.write_then.build(what=what), signer=chain.account("alice"), **options)


def pay(chain: Chain, to: str, amount: int) -> Call:
    return Bank.transfer.build(to=chain.account(to).id, amount=amount)


# --- properties

PAYMENTS = st.tuples(st.sampled_from(PEOPLE), st.integers(0, MONEY + 1))


@settings(max_examples=40, deadline=None)
@given(
    calls=st.lists(PAYMENTS, min_size=1, max_size=4),
    gas_limit=st.integers(500_000, 1_200_000),
    tip=st.integers(0, 10**6),
)
def test_a_transaction_does_all_of_its_calls_or_nothing_but_the_fee(
    calls: list[tuple[str, int]], gas_limit: int, tip: int
) -> None:
    chain = bank_chain()
    before = {name: balance(chain, name) for name in PEOPLE}
    receipt = chain.submit(
        *(pay(chain, to, amount) for to, amount in calls), signer=chain.account("alice"), gas_limit=gas_limit, tip=tip
    )
    assert receipt.gas_used <= gas_limit
    assert receipt.fee == chain.application.params().fees.fee(receipt.gas_used) + tip
    expected = {**before, "alice": before["alice"] - receipt.fee}
    if receipt.is_ok:
        for to, amount in calls:
            expected["alice"] -= amount
            expected[to] += amount
        assert len(receipt.events) == len(calls)
    else:
        assert receipt.events == ()
    assert {name: balance(chain, name) for name in PEOPLE} == expected
    assert chain.nonce(chain.account("alice").id) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.integers(0, 3), st.integers(0, MONEY))))
def test_a_proposed_block_executes_to_what_its_proposer_saw(
    wishes: list[tuple[str, str, int, int]],
) -> None:
    chain = bank_chain()
    candidates = [
        chain.transaction(pay(chain, to, amount), signer=chain.account(who), nonce=nonce, gas_limit=2_000_000)
        for who, to, nonce, amount in wishes
    ]
    inputs = BlockInputs(1, chain.time_ms + 1)
    proposed, dropped = chain.application.propose(inputs, candidates)
    assert len(proposed.transactions) + len(dropped) == len(candidates)
    again = chain.application.execute(replace(inputs, transactions=proposed.transactions))
    assert (again.state_root, again.receipts_root, again.leaves) == (
        proposed.state_root,
        proposed.receipts_root,
        proposed.leaves,
    )
    assert chain.application.height == 0


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(6)), threads=st.booleans())
def test_preparing_candidates_in_any_order_changes_nothing(order: list[int], threads: bool) -> None:
    from concurrent.futures import ThreadPoolExecutor

    made = bank_chain()
    data = [made.transaction(pay(made, "bob", each), signer=made.account("alice"), nonce=each) for each in range(6)]
    inputs = BlockInputs(1, made.time_ms + 1, tuple(data))
    expected = bank_chain().application.execute(inputs)
    if threads:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(made.application.prepare, [data[each] for each in order]))
    else:
        for each in order:
            made.application.prepare(data[each])
    found = made.application.execute(inputs)
    assert (found.state_root, found.leaves) == (expected.state_root, expected.leaves)


@settings(max_examples=60, deadline=None)
@given(what=st.sampled_from([each for each in FAILURES if each != "memory"]), gas_limit=st.integers(430_000, 600_000))
def test_gas_is_never_above_the_limit_whatever_the_module_does(what: str, gas_limit: int) -> None:
    chain = bank_chain()
    receipt = do(chain, what, gas_limit=gas_limit)
    assert 0 < receipt.gas_used <= gas_limit
    assert chain.query(Bank.tick_count) == (1001 if receipt.is_ok else 1)


# --- what module code may raise


@pytest.mark.parametrize(
    ("what", "error", "takes_all"),
    [
        ("error", Misbehaviour(note="asked"), False),
        ("overflow", BadValue(module="bank", where="balances"), False),
        ("gas", OutOfGas(gas_limit=200_000_000), True),
        ("hidden gas", OutOfGas(gas_limit=200_000_000), True),
        *(
            (what, ModuleFault(module="bank", call="bank.write_then"), True)
            for what in ("bug", "recursion", "exit", "base", "undeclared", "missing", "bad field", "none such")
        ),
    ],
)
def test_a_failing_call_is_a_receipt_that_names_module_and_error(
    chain: Chain, what: str, error: CallError, takes_all: bool
) -> None:
    receipt = do(chain, what)
    assert chain.error(receipt) == error
    assert receipt.error is not None
    assert receipt.error.call == 0
    assert (receipt.gas_used == 200_000_000) is takes_all
    assert receipt.events == ()
    assert "Traceback" not in chain.explanation


def test_a_fault_leaves_its_traceback_to_the_log(chain: Chain) -> None:
    do(chain, "bug")
    assert chain.last is not None
    assert "ZeroDivisionError" in chain.last.faults[0]


def test_memory_running_out_stops_the_node_and_writes_no_receipt(chain: Chain) -> None:
    root = chain.application.state_root
    with pytest.raises(MemoryError):
        do(chain, "memory")
    assert (chain.application.state_root, chain.height) == (root, 0)
    assert do(chain, "nothing").is_ok


def test_the_failing_call_is_numbered_and_undoes_those_before_it(chain: Chain) -> None:
    alice = chain.account("alice")
    receipt = chain.submit(pay(chain, "bob", 5), pay(chain, "bob", 6), pay(chain, "bob", 2 * MONEY), signer=alice)
    assert receipt.error is not None
    assert receipt.error.call == 2
    error = chain.error(receipt)
    assert isinstance(error, TooPoor)
    assert error.amount == 2 * MONEY
    assert str(error).startswith("The account holds less than that (held=")
    assert balance(chain, "bob") == MONEY


def test_an_event_is_read_back_as_it_was_emitted(chain: Chain) -> None:
    alice, bob = chain.account("alice").id, chain.account("bob").id
    receipt = chain.submit(pay(chain, "bob", 5), signer=chain.account("alice"))
    assert chain.events(receipt) == (Moved(sender=alice, recipient=bob, amount=5),)


def test_unused_gas_is_given_back_and_the_tip_is_not(chain: Chain) -> None:
    receipt = chain.submit(pay(chain, "bob", 5), signer=chain.account("alice"), gas_limit=100_000_000, tip=11)
    assert receipt.gas_used < 1_000_000
    assert receipt.fee == -(-receipt.gas_used // 1000) + 11
    assert balance(chain, "alice") == MONEY - 5 - receipt.fee


def test_what_a_call_cannot_spend_is_the_fee_that_was_set_aside(chain: Chain) -> None:
    receipt = chain.submit(pay(chain, "bob", MONEY), signer=chain.account("alice"))
    assert isinstance(chain.error(receipt), TooPoor)


def test_recursion_fails_at_one_depth_however_deep_the_caller_stands(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths: list[int] = []

    def dive(bank: Bank, depth: int = 0) -> None:
        depths[-1] = depth
        dive(bank, depth + 1)

    def from_depth(levels: int) -> None:
        if levels:
            return from_depth(levels - 1)
        depths.append(0)
        data = chain.transaction(Bank.write_then.build(what="dive"), signer=chain.account("alice"), nonce=0)
        chain.application.execute(BlockInputs(1, chain.time_ms + 1, (data,)))
        return None

    monkeypatch.setitem(FAILURES, "dive", dive)
    from_depth(0)
    from_depth(150)
    assert depths[0] == depths[1] > 100


def test_simulate_tells_what_would_happen_and_changes_nothing(chain: Chain) -> None:
    root = chain.application.state_root
    alice = chain.account("alice")
    outcome = chain.simulate(pay(chain, "bob", 2 * MONEY), signer=alice)
    assert "The account holds less" in outcome.explanation
    good = chain.simulate(pay(chain, "bob", 2), signer=alice)
    assert good.receipt.is_ok
    assert chain.application.state_root == root
    assert chain.submit(pay(chain, "bob", 2), signer=alice).gas_used == good.receipt.gas_used


def test_events_are_bounded(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    def flood(bank: Bank) -> None:
        for _ in range(EVENTS_PER_TRANSACTION_MAX):
            bank.emit(Moved(sender=bank.account, recipient=bank.account, amount=0))

    monkeypatch.setitem(FAILURES, "flood", flood)
    receipt = do(chain, "flood")
    assert receipt.error is not None
    assert receipt.error.name == "BoundExceeded"


def test_a_block_takes_what_fits_into_its_gas_and_leaves_the_rest(chain: Chain) -> None:
    room = chain.application.params().block_gas_max - chain.application.composition.hook_gas
    alice = chain.account("alice")
    data = [
        chain.transaction(pay(chain, "bob", 1), signer=alice, nonce=0, gas_limit=room),
        chain.transaction(pay(chain, "bob", 1), signer=alice, nonce=1, gas_limit=room),
        chain.transaction(pay(chain, "bob", 1), signer=alice, nonce=1, gas_limit=room // 2),
    ]
    executed, dropped = chain.application.propose(BlockInputs(1, chain.time_ms + 1), data)
    assert executed.transactions == (data[0], data[2])
    assert [(each.data, each.rule.value, each.is_invalid) for each in dropped] == [(data[1], "block_gas", False)]


def test_a_settlement_that_fails_stops_the_node(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.execution import ExecutionFault

    def broken(self: Bank, payer: AccountId, fee: int, refund: int) -> None:
        raise Misbehaviour(note="settle")

    monkeypatch.setattr(Bank, "settle_fee", broken)
    with pytest.raises(ExecutionFault, match="cannot be settled"):
        chain.submit(pay(chain, "bob", 1), signer=chain.account("alice"))


def test_invalid_transaction_leaves_no_trace_in_an_environment(chain: Chain) -> None:
    """The proposer goes on with the next candidate in the same environment."""
    poor = chain.transaction(pay(chain, "bob", 1), signer=chain.account("carol"))
    rich = chain.transaction(pay(chain, "bob", 1), signer=chain.account("alice"))
    with_poor, dropped = chain.application.propose(BlockInputs(1, chain.time_ms + 1), [poor, rich])
    without, _ = chain.application.propose(BlockInputs(1, chain.time_ms + 1), [rich])
    assert [each.rule.value for each in dropped] == ["funds"]
    assert with_poor.leaves == without.leaves
    assert with_poor.state_root == without.state_root
    with pytest.raises(InvalidTransaction):
        chain.application.check(poor)
