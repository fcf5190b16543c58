"""The paths. Each function is a line or two: parse, ask the node, show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from runtime.limits import HEIGHT_MAX
from runtime.rpc import problems
from runtime.rpc.api import NodeApi
from runtime.rpc.guard import Asgi, Guard
from runtime.rpc.views import (
    BlockView,
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
ARGUMENTS_MAX = 32
RESERVED = ("height", "prove")


def build_app(node: NodeApi, *, request_bytes_max: int, on_fault: Callable[[Exception], None], version: str) -> Asgi:
    """The ASGI application of one node."""
    app = FastAPI(title="Armillary node", version=version, docs_url=None, redoc_url=None)
    problems.install(app)
    _transactions(app, node)
    _chain(app, node)
    return Guard(app, request_bytes_max=request_bytes_max, on_fault=on_fault)


def _transactions(app: FastAPI, node: NodeApi) -> None:
    @app.post("/transactions", responses=_problems(400, 503))
    async def submit(body: SubmitRequest) -> SubmitView:
        """Check a signed transaction, keep it for the next block and tell the peers."""
        return await node.submit(bytes.fromhex(body.transaction))

    @app.post("/simulate", responses=_problems(400))
    async def simulate(body: SubmitRequest) -> SimulationView:
        """Dry run: what the signed transaction would do in the next block. Nothing is kept."""
        return await node.simulate(bytes.fromhex(body.transaction))

    @app.get("/transactions/{hash}")
    async def transaction(hash: HashPath) -> TransactionView:
        """Where a transaction stands: pending, committed, failed or unknown."""
        return await node.transaction(Hash(bytes.fromhex(hash)))

    @app.get("/receipts/{hash}", responses=_problems(404))
    async def receipt(hash: HashPath) -> TransactionView:
        """The receipt of a transaction in a block."""
        return await node.receipt(Hash(bytes.fromhex(hash)))


def _chain(app: FastAPI, node: NodeApi) -> None:
    @app.get("/status")
    async def status() -> StatusView:
        """The node at a glance."""
        return await node.status()

    @app.get("/blocks/latest", responses=_problems(404))
    async def latest_block() -> BlockView:
        """The last decided block."""
        return await node.block(None)

    @app.get("/blocks/{height}", responses=_problems(404))
    async def block(height: HeightPath) -> BlockView:
        """A decided block, its header and its commit certificate."""
        return await node.block(height)

    @app.get("/query/{module}/{query}", responses=_problems(400, 404))
    async def query(
        request: Request, module: NamePath, query: NamePath, height: HeightQuery = None, prove: bool = False
    ) -> Response:
        """Ask a module. The query's own arguments are further parameters, in the form that JSON shows them."""
        given = request.query_params.multi_items()
        arguments = {key: value for key, value in given if key not in RESERVED}
        if len(given) > ARGUMENTS_MAX or len(arguments) + sum(key in RESERVED for key, _ in given) != len(given):
            detail = f"at most {ARGUMENTS_MAX} parameters, each given once"
            return problems.problem(400, "malformed-query", detail)
        view: QueryView = await node.query(module, query, arguments, height=height, prove=prove)
        return JSONResponse(view.model_dump(mode="json"))

    @app.get("/certificates/{record}", responses=_problems(404))
    async def certificate(
        record: Annotated[str, Path(pattern="^[0-9a-z]{1,64}$", description="the record's id")],
    ) -> RecordCertificateView:
        """The decision certificate of one inference record."""
        return await node.certificate(record)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {problems.MEDIA_TYPE: {"schema": {"type": "object"}}}
    return {status: {"description": "a problem (RFC 9457)", "content": content} for status in statuses}
