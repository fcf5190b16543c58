"""What HTTP shows of blocks in the store: lists, a page at a time, and the events of each block.

What must not live here: the state, transactions that wait, or anything of FastAPI.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from runtime.codec import codec
from runtime.consensus import block_id
from runtime.execution import BlockReceipt, Receipt
from runtime.module import EventRecord
from runtime.node.block_store import BlockStore
from runtime.rpc.api import NotFound
from runtime.rpc.bounds import PAGE_BLOCKS_MAX
from runtime.rpc.events import BlockEvents, Emitted, EventFilter
from runtime.rpc.paging import Page
from runtime.rpc.values import Values
from runtime.rpc.views import BlockMessage, BlockSummary, EventMessage, TransactionStatus, TransactionView
from runtime.types import Hash

CACHE_BYTES_MAX: Final = 32 * 1024 * 1024
_EVENT_BYTES: Final = 1024  # what an event takes beside its text, more or less


class BlockReader:
    """Reads from the store; every method may run in a thread. The last blocks' events are kept, for many readers."""

    def __init__(self, store: BlockStore, values: Values) -> None:
        self._store = store
        self._values = values
        self._kept: OrderedDict[int, tuple[BlockEvents, int]] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    def blocks(self, newest: int, limit: int) -> Page[BlockSummary]:
        """From height `newest` down."""
        last = max(newest - limit, 0)
        items = [found for height in range(newest, last, -1) if (found := self._summary(height)) is not None]
        return Page(items=items, next=str(last + 1) if last > 0 and len(items) == newest - last else None)

    def transactions(self, height: int, first: int, limit: int) -> Page[TransactionView]:
        """Of a block. Raises NotFound."""
        leaves = self._leaves(height)[:-1]
        shown = leaves[first : first + limit]
        items = [self.transaction(leaf, height, first + place) for place, leaf in enumerate(shown)]
        end = first + limit
        return Page(items=items, next=str(end) if end < len(leaves) else None)

    def transaction(self, leaf: bytes, height: int, index: int) -> TransactionView:
        """A transaction's outcome, from the bytes of its receipt."""
        receipt: Receipt = codec(Receipt).decode(leaf)
        return TransactionView(
            hash=receipt.transaction,
            status=TransactionStatus.COMMITTED if receipt.is_ok else TransactionStatus.FAILED,
            height=height,
            index=index,
            gas_used=receipt.gas_used,
            fee=receipt.fee,
            events=[self._values.event(event) for event in receipt.events],
            error=self._values.error(receipt),
        )

    def events_page(self, wanted: EventFilter, height: int, index: int, limit: int, tip: int) -> Page[EventMessage]:
        """From event `index` of block `height` on, up to block `tip`; it ends early where it has read enough."""
        items: list[EventMessage] = []
        last = min(tip, height + PAGE_BLOCKS_MAX - 1)
        for at in range(height, last + 1):
            for event in wanted.of_block(self.events(at)):
                if at == height and event.view.index < index:
                    continue
                if len(items) == limit:
                    return Page(items=items, next=f"{at}.{event.view.index}")
                items.append(event.view)
        return Page(items=items, next=f"{last + 1}.0" if last < tip else None)

    def events(self, height: int) -> BlockEvents:
        """What a block emitted. Raises NotFound where it is not held."""
        with self._lock:
            if height not in self._kept:
                made = self._read_events(height)
                size = len(made.text) + sum(len(event.text) + _EVENT_BYTES for event in made.events)
                self._kept[height] = made, size
                self._kept_bytes += size
                while self._kept_bytes > CACHE_BYTES_MAX and len(self._kept) > 1:
                    self._kept_bytes -= self._kept.popitem(last=False)[1][1]
            return self._kept[height][0]

    def _read_events(self, height: int) -> BlockEvents:
        leaves, block = self._leaves(height), self._store.block(height)
        if block is None:
            raise NotFound(f"block {height} is not held here")
        events = tuple(self._emitted(height, leaves))
        view = BlockMessage(
            height=height,
            block_id=block_id(block.header),
            time_ms=block.header.time_ms,
            transactions=len(leaves) - 1,
            events=len(events),
        )
        return BlockEvents(view, view.model_dump_json(), events)

    def _emitted(self, height: int, leaves: tuple[bytes, ...]) -> Iterator[Emitted]:
        for index, (during, transaction, record) in enumerate(_records(leaves)):
            shown = self._values.event(record)
            view = EventMessage(
                height=height,
                index=index,
                during=during,
                transaction=transaction,
                module=shown.module,
                name=shown.name,
                fields=shown.fields,
            )
            yield Emitted(view, view.model_dump_json(), self._values.accounts(record))

    def _leaves(self, height: int) -> tuple[bytes, ...]:
        leaves = self._store.receipts(height)
        if not leaves:
            raise NotFound(f"block {height} is not held here")
        return leaves

    def _summary(self, height: int) -> BlockSummary | None:
        encoded, block = self._store.encoded_block(height), self._store.block(height)
        if encoded is None or block is None:
            return None
        return BlockSummary(
            height=height,
            block_id=block_id(block.header),
            time_ms=block.header.time_ms,
            proposer=block.header.proposer,
            transactions=len(block.transactions),
            bytes=len(encoded),
        )


def _records(leaves: tuple[bytes, ...]) -> Iterator[tuple[Any, Hash | None, EventRecord]]:
    """Every event of a block in order: the hooks before, the transactions, the hooks after."""
    block: BlockReceipt = codec(BlockReceipt).decode(leaves[-1])
    for record in block.begin_events:
        yield "begin_block", None, record
    for leaf in leaves[:-1]:
        receipt: Receipt = codec(Receipt).decode(leaf)
        for record in receipt.events:
            yield "transaction", receipt.transaction, record
    for record in block.end_events:
        yield "end_block", None, record
