"""Receipts as a weapon: no block's receipts are too large for a node to keep, no failing call fills them for free."""

from __future__ import annotations

from typing import Annotated

from runtime import U64, CallError, Event, Map, MaxLen, Module, Signed, call, hook
from runtime.codec import codec
from runtime.execution import BlockInputs, Chain, Executed
from runtime.limits import (
    BLOCK_EVENT_BYTES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    ERROR_BYTES_MAX,
    EVENT_BYTES_MAX,
    EVENT_FRAME_BYTES,
    EVENTS_PER_TRANSACTION_MAX,
)
from runtime.module import BoundExceeded, ModuleFault
from runtime.node.block_store import Receipts
from runtime.state.bounds import EXTRA_VALUE_BYTES_MAX

LONG = EVENT_BYTES_MAX - 3  # the event's own header beside


class Shouted(Event):
    data: Annotated[bytes, MaxLen(EVENT_BYTES_MAX)]


class Wordy(CallError):
    """Says much."""

    words: Annotated[bytes, MaxLen(EVENT_BYTES_MAX)]


class Loud(Module):
    """Emits as much as it may."""

    name = "loud"
    heard: Map[U64, U64] = Map(default=0)

    @call(gas=0)
    def shout(self, origin: Signed, *, count: U64, fails: bool) -> None:
        """So many of the longest events."""
        for _ in range(count):
            self.emit(Shouted(data=bytes(LONG - 1)))
        self.heard[0] += count
        if fails:
            raise Wordy(words=b"")

    @call(gas=0)
    def fail(self, origin: Signed, *, size: U64) -> None:
        """With so many bytes to say why."""
        raise Wordy(words=bytes(size))

    @hook(gas=100_000_000)
    def end_block(self) -> None:
        """As long as there is room."""
        for _ in range(4):
            self.emit(Shouted(data=bytes(400)))


def chain_of() -> Chain:
    return Chain(Loud, params={"runtime": {"block_gas_max": 15_000_000_000}})


def shouts(chain: Chain, count: int, *, fails: bool = False, each: int = EVENTS_PER_TRANSACTION_MAX) -> Executed:
    """A block of so many transactions with as many of the longest events as one may have."""
    block = [
        chain.transaction(
            Loud.shout.build(count=each, fails=fails), signer=chain.account(f"s{place}"), gas_limit=100_000_000
        )
        for place in range(count)
    ]
    return chain.application.execute(BlockInputs(chain.height + 1, chain.time_ms + 1, tuple(block)))


def test_a_blocks_events_are_bounded_in_bytes() -> None:
    chain = chain_of()
    executed = shouts(chain, 6)
    fitting = BLOCK_EVENT_BYTES_MAX // ((EVENT_BYTES_MAX + EVENT_FRAME_BYTES) * EVENTS_PER_TRANSACTION_MAX)
    assert [receipt.is_ok for receipt in executed.receipts] == [place < fitting for place in range(6)]
    error = executed.receipts[-1].error
    assert error is not None
    assert (error.module, error.name) == ("runtime", BoundExceeded.__name__)
    assert executed.receipts[-1].gas_used < 100_000_000
    assert sum(map(len, executed.leaves)) < BLOCK_EVENT_BYTES_MAX
    assert len(executed.block_receipt.end_events) == 4


def test_events_that_were_undone_leave_room() -> None:
    chain = chain_of()
    executed = shouts(chain, 6, fails=True)
    assert all(receipt.error is not None and receipt.error.name == "Wordy" for receipt in executed.receipts)
    assert executed.block_receipt.end_events


def test_a_hook_has_room_whatever_the_transactions_emit() -> None:
    """Their room is full to the last event: nobody can keep a hook from its work by filling it."""
    chain = chain_of()
    room = BLOCK_EVENT_BYTES_MAX // (EVENT_BYTES_MAX + EVENT_FRAME_BYTES)
    each = [EVENTS_PER_TRANSACTION_MAX] * (room // EVENTS_PER_TRANSACTION_MAX) + [room % EVENTS_PER_TRANSACTION_MAX]
    block = [
        chain.transaction(
            Loud.shout.build(count=count, fails=False), signer=chain.account(f"t{place}"), gas_limit=100_000_000
        )
        for place, count in enumerate(each)
    ]
    executed = chain.block(block)
    assert all(receipt.is_ok for receipt in executed.receipts)
    assert [event.name for event in executed.block_receipt.end_events] == ["Shouted"] * 4


def test_an_error_says_no_more_than_its_bound() -> None:
    chain = chain_of()
    short = chain.submit(Loud.fail.build(size=ERROR_BYTES_MAX - 4), signer=chain.account("alice"))
    assert short.error is not None
    assert (short.error.name, len(short.error.data)) == ("Wordy", ERROR_BYTES_MAX)
    long = chain.submit(Loud.fail.build(size=ERROR_BYTES_MAX - 3), signer=chain.account("alice"))
    assert long.error is not None
    assert long.error.name == ModuleFault.__name__


def test_a_node_keeps_the_receipts_of_any_block() -> None:
    """The most events of transactions and of hooks, the most transactions, each with the longest error."""
    leaf, events = bytes(ERROR_BYTES_MAX + 300), bytes(BLOCK_EVENT_BYTES_MAX + 20_000)
    leaves = (leaf,) * (BLOCK_TRANSACTIONS_MAX - 1) + (events, events)
    assert len(codec(Receipts).encode(leaves)) < EXTRA_VALUE_BYTES_MAX
