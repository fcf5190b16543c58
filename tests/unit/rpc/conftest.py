"""A node of constants behind HTTP, and a chain of events that a test makes block by block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from runtime.rpc import server
from runtime.rpc.api import NotFound
from runtime.rpc.events import BlockEvents, Emitted, EventFilter
from runtime.rpc.paging import Page
from runtime.rpc.routes import build_app
from runtime.rpc.views import (
    BlockMessage,
    BlockSummary,
    BlockView,
    EventMessage,
    QueryView,
    RecordCertificateView,
    SimulationView,
    StatusView,
    SubmitView,
    TransactionStatus,
    TransactionView,
    ValidatorView,
)
from runtime.types import AccountId, Hash, PublicKey

EVENTS = {name: SimpleNamespace(name=name, docs="It happened.", fields=()) for name in ("Moved", "Made")}
MODULE = SimpleNamespace(docs="A module.", version=1, calls={}, queries={}, events=EVENTS, errors={})
HASH = Hash(b"\xab" * 32)
BODY_MAX = 4096


class FakeNode:
    """Answers from constants; raises what `failure` says."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.seen: Any = None
        self.chain: list[BlockEvents] = []
        self.oldest = 1
        self.modules: Mapping[str, Any] = dict.fromkeys(("tokens", "oracle", "registry"), MODULE)
        self._advanced = trio.Event()

    def emit(self, *events: tuple[str, str, Sequence[AccountId]], filler: str = "") -> None:
        """The next block: events of a module, a name, accounts."""
        height = len(self.chain) + 1
        made = []
        for index, (module, name, accounts) in enumerate(events):
            view = EventMessage(
                height=height, index=index, during="transaction", transaction=HASH, module=module, name=name,
                fields={"filler": filler},
            )  # fmt: skip
            made.append(Emitted(view, view.model_dump_json(), frozenset(accounts)))
        block = BlockMessage(height=height, block_id=HASH, time_ms=height, transactions=1, events=len(made))
        self.chain.append(BlockEvents(block, block.model_dump_json(), tuple(made)))
        self._advanced.set()
        self._advanced = trio.Event()

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def status(self) -> StatusView:
        self._check()
        return StatusView(
            name="n", version="1", runtime_digest=HASH, chain="c", genesis_hash=HASH, address_prefix="arm",
            fee_units=1, fee_per_gas=10, block_gas_max=2**60, transaction_gas_max=2**60,
            height=2**60, block_id=HASH, state_root=HASH, time_ms=1, behind=0, round=-1, peers=3,
            peer_id="p", validator=None, voting=False, validators=[ValidatorView(public_key=PublicKey(HASH), power=1)],
            mempool_transactions=0, mempool_bytes=0, oldest_height=0,
        )  # fmt: skip

    async def submit(self, transaction: bytes) -> SubmitView:
        self._check()
        self.seen = transaction
        return SubmitView(hash=HASH)

    async def simulate(self, transaction: bytes) -> SimulationView:
        self._check()
        return SimulationView(hash=HASH, height=1, succeeds=True, gas_used=5, fee=2**100, events=[], error=None)

    async def transaction(self, hash_: Hash, *, wait_ms: int) -> TransactionView:
        self.seen = wait_ms
        return TransactionView(hash=hash_, status=TransactionStatus.UNKNOWN)

    async def receipt(self, hash_: Hash) -> TransactionView:
        raise NotFound("no such transaction")

    async def block(self, height: int | None) -> BlockView:
        raise NotFound(f"no block {height}")

    async def query(
        self, module: str, query: str, arguments: Mapping[str, str], *, height: int | None, prove: bool
    ) -> QueryView:
        self._check()
        self.seen = (module, query, dict(arguments), height, prove)
        return QueryView(height=height or 7, state_root=HASH, result={"amount": str(2**100)})

    async def certificate(self, record: str) -> RecordCertificateView:
        return RecordCertificateView(record=record, height=1, certificate="00ff")

    async def blocks(self, below: int | None, limit: int) -> Page[BlockSummary]:
        self.seen = (below, limit)
        return Page(items=[], next=None)

    async def transactions(self, height: int, first: int, limit: int) -> Page[TransactionView]:
        self.seen = (height, first, limit)
        return Page(items=[], next=str(first + limit))

    async def events(self, wanted: EventFilter, height: int, index: int, limit: int) -> Page[EventMessage]:
        self.seen = (wanted, height, index, limit)
        return Page(items=[], next="7.3")

    @property
    def address_prefix(self) -> str:
        return "arm"

    async def height(self) -> int:
        return len(self.chain)

    async def reached(self, height: int) -> None:
        while len(self.chain) < height:
            await self._advanced.wait()

    async def block_events(self, height: int) -> BlockEvents:
        if height < self.oldest:
            raise NotFound(f"block {height} is not held here")
        await trio.lowlevel.checkpoint()
        return self.chain[height - 1]


@asynccontextmanager
async def served(node: FakeNode, faults: list[Exception] | None = None, **settings: Any) -> AsyncIterator[int]:
    """The node behind a real socket; the port. Leaving it stops the server, as a node that stops does."""
    noted = [] if faults is None else faults
    listener = server.bind("127.0.0.1", 0)
    web = build_app(node, request_bytes_max=BODY_MAX, on_fault=noted.append, version="1")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(server.serve, web, listener, on_fault=noted.append, **settings))
        yield listener.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="session")
def make_node() -> type[FakeNode]:
    return FakeNode


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractAsyncContextManager[int]]:
    return served


@pytest.fixture
def node() -> FakeNode:
    """Answers from constants."""
    return FakeNode()
