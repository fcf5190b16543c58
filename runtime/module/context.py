"""The running context: state through an overlay, a gas meter, events, checkpoints. Modules hold a reference to one.

Lives here: metered access. Must not: know modules, calls, transactions or fees (runtime.execution).
Gas is charged before what it pays for. A meter that ran out stays out: whoever catches OutOfGas and goes on fails at
the next charge, and the dispatcher asks `is_exhausted` at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

from runtime.codec import Codec
from runtime.limits import (
    BLOCK_EVENT_BYTES_MAX,
    EVENT_BYTES_MAX,
    EVENT_FRAME_BYTES,
    EVENTS_PER_TRANSACTION_MAX,
)
from runtime.module import gas
from runtime.module.block import BlockInfo
from runtime.module.errors import BoundExceeded, OutOfGas, OutsideContext, QueryWrites
from runtime.module.wire import EventRecord
from runtime.state import Overlay
from runtime.types import Hash, Name

UNLIMITED: Final = 1 << 63
T = TypeVar("T")


class State(Protocol):
    """What the context needs of an overlay."""

    def get(self, module: str, key: bytes) -> bytes | None:
        """The bytes now; None where the key is absent."""
        ...

    def set(self, module: str, key: bytes, value: bytes) -> None:
        """Undone by a rollback to an earlier checkpoint."""
        ...

    def delete(self, module: str, key: bytes) -> None:
        """An absent key stays absent."""
        ...

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Items in the order of their keys. start: from this key on; limit: so many at most."""
        ...

    def pending(self, module: str, prefix: bytes, *, start: bytes | None = None) -> int:
        """How many keys of that range are changed here, deleted ones included: what `iterate` has to lay over."""
        ...

    def put_blob(self, chunk: bytes) -> Hash:
        """Keep a chunk, by its hash."""
        ...

    def get_blob(self, name: Hash) -> bytes | None:
        """None where no such chunk is held."""
        ...

    def checkpoint(self) -> None:
        """Open a level that the next `commit` or `rollback` ends; they nest."""
        ...

    def commit(self) -> None:
        """What changed since the last checkpoint now belongs to the level below."""
        ...

    def rollback(self) -> None:
        """What changed since the last checkpoint is undone."""
        ...


class _Closed:
    """In place of the overlay while nothing runs."""

    def __getattr__(self, name: str) -> Any:
        raise OutsideContext


_CLOSED: Any = _Closed()


class Context:
    """One run over one overlay: a block, a query, the genesis. Reused; `open` begins, `close` ends."""

    __slots__ = ("block", "event_bytes", "events", "gas_left", "gas_limit", "has_writes", "is_writable", "state")

    def __init__(self) -> None:
        self.state: State = _CLOSED
        self.block = BlockInfo(height=0, time_ms=0)
        self.events: list[EventRecord] = []
        self.event_bytes = 0
        self.gas_limit = self.gas_left = UNLIMITED
        self.is_writable = True
        self.has_writes = False

    def open(self, overlay: Overlay, block: BlockInfo, *, writable: bool = True) -> None:
        """Begin a run with an unlimited meter."""
        self.state = overlay
        self.block = block
        self.events = []
        self.event_bytes = 0
        self.is_writable = writable
        self.set_gas(UNLIMITED)

    def close(self) -> None:
        """End the run: from here on every access raises OutsideContext."""
        self.state = _CLOSED

    # --- gas

    def set_gas(self, limit: int) -> None:
        """A fresh meter."""
        self.gas_limit = self.gas_left = limit

    @property
    def gas_used(self) -> int:
        """Never above the limit."""
        return self.gas_limit - max(self.gas_left, 0)

    @property
    def is_exhausted(self) -> bool:
        """Whether the meter ran out at any moment."""
        return self.gas_left < 0

    def charge(self, amount: int) -> None:
        """Take gas. Raises OutOfGas where it does not suffice."""
        if amount < 0:
            raise ValueError(f"a charge of {amount} gas: it cannot be negative")
        self.gas_left -= amount
        if self.gas_left < 0:
            raise OutOfGas(gas_limit=self.gas_limit)

    # --- state

    def read(self, module: str, key: bytes) -> bytes | None:
        """The value, or None. Raises OutOfGas."""
        self.gas_left -= gas.READ_GAS
        if self.gas_left < 0:
            raise OutOfGas(gas_limit=self.gas_limit)
        value = self.state.get(module, key)
        if value is not None:
            self.charge(gas.READ_BYTE_GAS * len(value))
        return value

    def write(self, module: str, key: bytes, value: bytes) -> None:
        """Bind the key. Raises QueryWrites where nothing may be written, OutOfGas."""
        if not self.is_writable:
            raise QueryWrites(module=Name(module))
        self.charge(gas.WRITE_GAS + gas.WRITE_BYTE_GAS * (len(key) + len(value)))
        self.state.set(module, key, value)

    def delete(self, module: str, key: bytes) -> None:
        """Make the key absent. Raises QueryWrites where nothing may be written, OutOfGas."""
        if not self.is_writable:
            raise QueryWrites(module=Name(module))
        self.charge(gas.DELETE_GAS)
        self.state.delete(module, key)

    def scan(self, module: str, prefix: bytes, limit: int, start: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """At most `limit` items under a prefix in key order, each charged as it is read; first, what the block has
        changed there: all of it is laid over what is stored, and deletions are passed uncounted."""
        self.charge(gas.SCAN_GAS)
        self.charge(gas.SCAN_PENDING_GAS * self.state.pending(module, prefix, start=start))
        for key, value in self.state.iterate(module, prefix, limit=limit, start=start):
            self.charge(gas.READ_GAS + gas.READ_BYTE_GAS * (len(key) + len(value)))
            yield key, value

    def decode(self, codec: Codec[T], data: bytes) -> T:
        """The value of stored bytes."""
        self.charge(gas.CODEC_UNIT_GAS * codec.work(len(data)))
        return codec.decode(data)

    def encode(self, codec: Codec[T], value: T) -> bytes:
        """The bytes of a value to store or emit. Charged after: how many they are, nobody knows before. Raises
        CodecError."""
        data = codec.encode(value)
        self.charge(gas.CODEC_UNIT_GAS * codec.work(len(data)))
        return data

    def put_blob(self, module: str, chunk: bytes) -> Hash:
        """Keep a chunk beside the state until the block is committed. Uncharged: the caller did. Raises QueryWrites."""
        if not self.is_writable:
            raise QueryWrites(module=Name(module))
        return self.state.put_blob(chunk)

    # --- events

    def emit(self, record: EventRecord) -> None:
        """Add an event. Raises BoundExceeded beyond EVENTS_PER_TRANSACTION_MAX or EVENT_BYTES_MAX, and where the events
        of the whole run, but for those undone, would exceed BLOCK_EVENT_BYTES_MAX: else a block's receipts might be
        too large to keep. That last bound is for calls and hooks, which can fail; what runs unmetered cannot."""
        self.charge(gas.EVENT_GAS + gas.EVENT_BYTE_GAS * len(record.data))
        if len(record.data) > EVENT_BYTES_MAX:
            raise BoundExceeded(what="event, bytes", size=len(record.data), limit=EVENT_BYTES_MAX)
        if len(self.events) >= EVENTS_PER_TRANSACTION_MAX:
            raise BoundExceeded(what="events", size=len(self.events) + 1, limit=EVENTS_PER_TRANSACTION_MAX)
        bytes_all = self.event_bytes + EVENT_FRAME_BYTES + len(record.data)
        if bytes_all > BLOCK_EVENT_BYTES_MAX and self.gas_limit < UNLIMITED:
            raise BoundExceeded(what="events of a block, bytes", size=bytes_all, limit=BLOCK_EVENT_BYTES_MAX)
        self.event_bytes = bytes_all
        self.events.append(record)

    def take_events(self) -> tuple[EventRecord, ...]:
        """The events so far; the list begins anew."""
        events = tuple(self.events)
        self.events = []
        return events

    def drop_events(self, mark: int = 0) -> None:
        """Undo the events from number `mark` on."""
        self.event_bytes -= sum(EVENT_FRAME_BYTES + len(event.data) for event in self.events[mark:])
        del self.events[mark:]

    # --- checkpoints

    @contextmanager
    def checkpoint(self) -> Iterator[None]:
        """Keep what happens inside, or undo state, blobs and events where it raises. Gas is not given back."""
        self.charge(gas.CHECKPOINT_GAS)
        self.state.checkpoint()
        mark = len(self.events)
        try:
            yield
        except BaseException:
            self.state.rollback()
            self.drop_events(mark)
            raise
        self.state.commit()
