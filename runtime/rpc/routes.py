"""The paths. Each function is a line or two: parse, ask the node, show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import trio
from fastapi import FastAPI, Path, Query, Request, Response, WebSocket
from fastapi.exceptions import WebSocketRequestValidationError
from fastapi.responses import JSONResponse

from runtime.errors import CallerError
from runtime.limits import HEIGHT_MAX
from runtime.module.signature import QUERY_OPTIONS
from runtime.rpc import events, openapi, problems
from runtime.rpc.api import NodeApi, NotFound
from runtime.rpc.bounds import PAGE_ITEMS_DEFAULT, WAIT_MS_MAX
from runtime.rpc.events import EventStream
from runtime.rpc.guard import Asgi, Guard
from runtime.rpc.metrics import HttpMetrics
from runtime.rpc.paging import Cursor, Limit, Page, place
from runtime.rpc.views import (
    BlockSummary,
    BlockView,
    EventMessage,
    ProvenQueryView,
    QueryView,
    RecordCertificateView,
    SimulationView,
    StatusView,
    SubmitRequest,
    SubmitView,
    TransactionView,
)
from runtime.types import Hash

HashPath = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="32 bytes in lower-case hex")]
NamePath = Annotated[str, Path(pattern="^[a-z][a-z0-9_]*$", max_length=48)]
HeightPath = Annotated[int, Path(ge=1, le=HEIGHT_MAX)]
HeightQuery = Annotated[int | None, Query(ge=0, le=HEIGHT_MAX, description="default: the last block's state")]
ProveQuery = Annotated[bool, Query(description="with a proof of the answer, to be checked offline; from height 1 on")]
WaitQuery = Annotated[int, Query(ge=0, le=WAIT_MS_MAX, description="wait so long while it is pending")]
ARGUMENTS_MAX = 32


@dataclass(frozen=True)
class Web:
    """The ASGI application of one node. stopping: set it when the node stops, for those that read events."""

    asgi: Asgi
    stopping: trio.Event


def build_app(
    node: NodeApi,
    *,
    request_bytes_max: int,
    on_fault: Callable[[Exception], None],
    version: str,
    metrics: HttpMetrics | None = None,
) -> Web:
    """The paths over a node. metrics: counts requests and serves /metrics."""
    app = FastAPI(
        title="Armillary node",
        version=version,
        description=openapi.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses=problems.responses(422, 500, 503),
    )
    stopping = trio.Event()
    problems.install(app)
    _transactions(app, node)
    _chain(app, node)
    _lists(app, node)
    _stream(app, node, EventStream(node, stopping))
    if metrics is not None:
        metrics.install(app)
    openapi.complete(app, node.modules)
    guard = Guard(app, request_bytes_max=request_bytes_max, on_fault=on_fault)
    return Web(guard if metrics is None else metrics.around(guard), stopping)


def _transactions(app: FastAPI, node: NodeApi) -> None:
    @app.post("/transactions", responses=problems.responses(400, 408, 413))
    async def submit(body: SubmitRequest) -> SubmitView:
        """Check a signed transaction, keep it for the next block and tell the peers."""
        return await node.submit(bytes.fromhex(body.transaction))

    @app.post("/simulate", responses=problems.responses(400, 408, 413))
    async def simulate(body: SubmitRequest) -> SimulationView:
        """Dry run: what the signed transaction would do in the next block. Nothing is kept."""
        return await node.simulate(bytes.fromhex(body.transaction))

    @app.get("/transactions/{hash}")
    async def transaction(hash: HashPath, wait_ms: WaitQuery = 0) -> TransactionView:
        """Where a transaction stands: pending, committed, failed or unknown."""
        return await node.transaction(Hash(bytes.fromhex(hash)), wait_ms=wait_ms)

    @app.get("/receipts/{hash}", responses=problems.responses(404))
    async def receipt(hash: HashPath) -> TransactionView:
        """The receipt of a transaction in a block."""
        return await node.receipt(Hash(bytes.fromhex(hash)))


def _chain(app: FastAPI, node: NodeApi) -> None:
    @app.get("/status")
    async def status() -> StatusView:
        """The node at a glance."""
        return await node.status()

    @app.get("/blocks/latest", responses=problems.responses(404))
    async def latest_block() -> BlockView:
        """The last decided block."""
        return await node.block(None)

    @app.get("/blocks/{height}", responses=problems.responses(404))
    async def block(height: HeightPath) -> BlockView:
        """A decided block, its header and its commit certificate."""
        return await node.block(height)

    answers: dict[int | str, dict[str, Any]] = {200: {"model": QueryView | ProvenQueryView}}

    @app.get("/query/{module}/{query}", responses=answers | problems.responses(400, 404))
    async def query(
        request: Request, module: NamePath, query: NamePath, height: HeightQuery = None, prove: ProveQuery = False
    ) -> Response:
        """Ask a module. The query's own arguments are further parameters, in the form that JSON shows them."""
        given = request.query_params.multi_items()
        arguments = {key: value for key, value in given if key not in QUERY_OPTIONS}
        if len(given) > ARGUMENTS_MAX or len(arguments) + sum(key in QUERY_OPTIONS for key, _ in given) != len(given):
            detail = f"at most {ARGUMENTS_MAX} parameters, each given once"
            return problems.problem(400, "malformed-query", detail)
        view: QueryView = await node.query(module, query, arguments, height=height, prove=prove)
        return JSONResponse(view.model_dump(mode="json"))

    @app.get("/certificates/{record}", responses=problems.responses(404))
    async def certificate(
        record: Annotated[str, Path(pattern="^[0-9a-z]{1,64}$", description="the record's id")],
    ) -> RecordCertificateView:
        """The decision certificate of one inference record."""
        return await node.certificate(record)


def _lists(app: FastAPI, node: NodeApi) -> None:
    @app.get("/blocks", responses=problems.responses(400))
    async def blocks(limit: Limit = PAGE_ITEMS_DEFAULT, cursor: Cursor = None) -> Page[BlockSummary]:
        """The decided blocks, the newest first."""
        at = place(cursor, 1)
        return await node.blocks(None if at is None else at[0], limit)

    @app.get("/blocks/{height}/transactions", responses=problems.responses(400, 404))
    async def block_transactions(
        height: HeightPath, limit: Limit = PAGE_ITEMS_DEFAULT, cursor: Cursor = None
    ) -> Page[TransactionView]:
        """The transactions of a block with their receipts, in order."""
        return await node.transactions(height, (place(cursor, 1) or (0,))[0], limit)

    @app.get("/events", responses=problems.responses(400, 404))
    async def events_page(
        module: events.Modules = [],  # noqa: B006  FastAPI copies its defaults, and an Annotated list may have no other
        event: events.Names = [],  # noqa: B006
        account: events.Accounts = [],  # noqa: B006
        from_height: events.FromHeight = None,
        limit: Limit = PAGE_ITEMS_DEFAULT,
        cursor: Cursor = None,
    ) -> Page[EventMessage]:
        """Events of the past, in order, from `from_height` (default 1) on.

        A page may hold fewer than `limit`, even none, and still have a next one. The same path as a WebSocket has them
        as they happen.
        """
        wanted = events.wanted_of(node, module, event, account)
        height, index = place(cursor, 2) or (from_height or 1, 0)
        return await node.events(wanted, height, index, limit)


def _stream(app: FastAPI, node: NodeApi, stream: EventStream) -> None:
    @app.websocket("/events")
    async def events_stream(
        socket: WebSocket,
        module: events.Modules = [],  # noqa: B006  as above
        event: events.Names = [],  # noqa: B006
        account: events.Accounts = [],  # noqa: B006
        from_height: events.FromHeight = None,
    ) -> None:
        try:
            wanted = events.wanted_of(node, module, event, account)
        except CallerError as error:
            await events.refuse(socket, error)
        else:
            await stream.serve(socket, wanted, from_height)

    @app.websocket("/{path:path}")
    async def no_stream(socket: WebSocket, path: str) -> None:
        await events.refuse(socket, NotFound(f"there is no WebSocket at /{path}: it is at /events"))

    async def malformed(socket: WebSocket, error: Exception) -> None:
        assert isinstance(error, WebSocketRequestValidationError)
        await socket.send_denial_response(problems.malformed(error.errors()))

    app.add_exception_handler(WebSocketRequestValidationError, malformed)
