"""Calls under Root: for one module alone, all or none, within their own gas and events."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import (
    U64,
    Call,
    CallError,
    Event,
    Item,
    MaxLen,
    Module,
    Name,
    Root,
    RootCalls,
    RootOutcome,
    Signed,
    Uses,
    call,
    hook,
    query,
)
from runtime.execution import Application, Chain, GenesisError
from runtime.module import BadArgument, CallFailure, OriginRefused, UnknownCall
from runtime.module.services import ROOT_EVENTS_MAX
from runtime.state import MemoryStore

GAS = 30_000_000
WIDE = bytes(16 * 1024 - 4)  # and the codec's frame
Calls = Annotated[tuple[Call, ...], MaxLen(8)]


class Added(Event):
    """So much was added."""

    amount: U64


class Wide(Event):
    """As large as events are."""

    data: Annotated[bytes, MaxLen(16 * 1024)]


class Refused(CallError):
    """On purpose."""


class Sum(Module):
    """What the chain may change."""

    name = "sum"
    total: Item[U64] = Item(default=0)

    @call(gas=0)
    def add(self, origin: Root, *, amount: U64) -> None:
        """Add."""
        self.total += amount
        self.emit(Added(amount=amount))

    @call(gas=0)
    def refuse(self, origin: Root) -> None:
        """Fail, after a change."""
        self.total += 1_000
        raise Refused()

    @call(gas=0)
    def crash(self, origin: Root) -> None:
        """Break."""
        raise RuntimeError("a bug")

    @call(gas=0)
    def burn(self, origin: Root) -> None:
        """Use more gas than there is, and hide it."""
        try:
            self.charge(GAS)
        except CallError:
            return

    @call(gas=0)
    def chatter(self, origin: Root, *, times: U64) -> None:
        """Emit so many events."""
        for _ in range(times):
            self.emit(Added(amount=0))

    @call(gas=0)
    def flood(self, origin: Signed | Root, *, times: U64) -> None:
        """Emit so many of the largest events."""
        for _ in range(times):
            self.emit(Wide(data=WIDE))

    @call(gas=0)
    def greet(self, origin: Signed) -> None:
        """For people only."""

    @query
    def value(self) -> U64:
        """The sum."""
        return self.total


class Done(Event):
    """What became of the list."""

    outcome: RootOutcome


class Steward(Module):
    """Runs what it was given at the end of the block."""

    name = "steward"
    root: Uses[RootCalls]
    waiting: Item[Calls] = Item(default=())

    @call(gas=0)
    def give(self, origin: Signed, *, calls: Calls) -> None:
        """Take a list of calls."""
        self.root.check_root_calls(calls)
        self.waiting = calls

    @hook(gas=50_000_000)
    def end_block(self) -> None:
        """Run it, and tell."""
        calls = self.waiting
        self.waiting = ()
        before = self._context.gas_left
        outcome = self.root.run_as_root(calls, gas_limit=GAS)
        assert self._context.gas_left == before - outcome.gas_used
        self.emit(Done(outcome=outcome))


class Usurper(Module):
    """Wants to run calls as Root, too."""

    name = "usurper"
    root: Uses[RootCalls]


def run(*calls: Call) -> tuple[RootOutcome, int, int]:
    """What became of the calls, the sum after them, and the number of events besides."""
    chain = Chain(Sum, Steward)
    assert chain.submit(Steward.give.build(calls=calls), signer=chain.account("alice")).is_ok, chain.explanation
    assert chain.last is not None
    *others, done = chain.last.block_receipt.end_events
    return chain.decode_event(done).outcome, chain.query(Sum.value), len(others)


def add(amount: int) -> Call:
    return Sum.add.build(amount=amount)


REFUSE, CRASH, BURN = Sum.refuse.build(), Sum.crash.build(), Sum.burn.build()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 9).map(add), st.sampled_from([REFUSE, CRASH, BURN])), max_size=8))
def test_all_of_the_calls_or_none(calls: list[Call]) -> None:
    outcome, total, events = run(*calls)
    bad = next((place for place, each in enumerate(calls) if each.name != "sum.add"), None)
    if bad is None:
        added = [Sum.add.codec.decode(each.arguments).amount for each in calls]
        assert (outcome.failure, total, events) == (None, sum(added), len(added))
        assert outcome.gas_used < GAS
        return
    errors = {REFUSE: "Refused", CRASH: "ModuleFault", BURN: "OutOfGas"}
    assert outcome.failure is not None
    assert outcome.failure.call == bad
    assert outcome.failure.error.endswith(f".{errors[calls[bad]]}")
    assert (total, events) == (0, 0)
    assert (outcome.gas_used == GAS) == (calls[bad] != REFUSE)


def test_no_calls_cost_nothing() -> None:
    assert run() == (RootOutcome(gas_used=0, failure=None), 0, 0)


def test_events_are_bounded() -> None:
    assert run(Sum.chatter.build(times=ROOT_EVENTS_MAX))[2] == ROOT_EVENTS_MAX
    outcome, _, events = run(Sum.chatter.build(times=ROOT_EVENTS_MAX - 1), add(1), add(1))
    assert outcome.failure == CallFailure(call=2, error="runtime.BoundExceeded")
    assert events == 0


def test_bytes_of_events_are_bounded() -> None:
    outcome, _, events = run(add(1), Sum.flood.build(times=16))
    assert (outcome.failure, events) == (CallFailure(call=1, error="runtime.BoundExceeded"), 0)
    assert run(add(1), Sum.flood.build(times=15))[0].failure is None


def test_a_block_full_of_events_does_not_make_the_calls_fail() -> None:
    """Hooks have room of their own: nobody delays what was decided by filling blocks."""
    chain = Chain(Sum, Steward)
    alice = chain.account("alice")
    calls = [Sum.flood.build(times=times) for times in (256, 256, 256, 240)]
    transactions = [chain.transaction(each, signer=alice, nonce=place) for place, each in enumerate(calls)]
    give = chain.transaction(Steward.give.build(calls=(add(1),)), signer=alice, nonce=len(calls))
    done = chain.block([*transactions, give])
    assert all(receipt.is_ok for receipt in done.receipts), done.explanations
    assert [event.name for event in done.block_receipt.end_events] == ["Added", "Done"]
    assert chain.query(Sum.value) == 1


def test_a_bug_under_root_is_in_the_nodes_log() -> None:
    chain = Chain(Sum, Steward)
    chain.submit(Steward.give.build(calls=(CRASH,)), signer=chain.account("alice"))
    assert chain.last is not None
    assert any("a bug" in fault for fault in chain.last.faults)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Call("sum.nothing", b""), UnknownCall(call="sum.nothing")),
        (Sum.greet.build(), OriginRefused(call="sum.greet", origin="Root")),
        (Call("sum.add", b"\xff"), BadArgument(call="sum.add")),
    ],
)
def test_invalid_calls_are_found_before_they_wait(bad: Call, error: CallError) -> None:
    chain = Chain(Sum, Steward)
    receipt = chain.submit(Steward.give.build(calls=(add(1), bad)), signer=chain.account("alice"))
    assert chain.error(receipt) == error


def test_invalid_use_by_a_module_without_the_role() -> None:
    with pytest.raises(GenesisError, match=r"roles.governance: module usurper would run calls as Root: bind the role"):
        Chain(Sum, Steward, Usurper)
    made = Chain(Sum, Steward).application
    modules = tuple(made.composition.modules[entry.name] for entry in made.genesis.modules)
    for bound, sentence in ((None, "steward would run"), (Name("sum"), "sum runs no calls as Root")):
        roles = msgspec.structs.replace(made.genesis.roles, governance=bound)
        with pytest.raises(GenesisError, match=sentence):
            Application(msgspec.structs.replace(made.genesis, roles=roles), modules, MemoryStore())


def test_invalid_gas_limit_above_what_the_hook_has() -> None:
    """The hook fails and is rolled back; the chain goes on."""

    class Spender(Steward):
        """Promises more gas than it has."""

        name = "spender"

        @hook(gas=1_000_000)
        def end_block(self) -> None:
            """Promise too much."""
            self.root.run_as_root((add(1),), gas_limit=2_000_000)

    chain = Chain(Sum, Spender)
    chain.block()
    assert chain.last is not None
    (failed,) = (chain.decode_event(event) for event in chain.last.block_receipt.end_events)
    assert failed.error == "runtime.OutOfGas"
    assert chain.query(Sum.value) == 0
