"""HTTP over a node's view: paths, forms of values, problems, bounds; nothing escapes as a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import CallerError, OurError
from runtime.rpc import server
from runtime.rpc.api import Busy, NotFound
from runtime.rpc.routes import build_app
from runtime.rpc.views import (
    BlockView,
    QueryView,
    RecordCertificateView,
    SimulationView,
    StatusView,
    SubmitView,
    TransactionStatus,
    TransactionView,
    ValidatorView,
)
from runtime.types import Hash, PublicKey

HASH = Hash(b"\xab" * 32)
BODY_MAX = 4096


class Refused(CallerError):
    """With a field of data."""

    def __init__(self) -> None:
        self.rule = "nonce_low"
        super().__init__("nonce 1 is used")


class FakeNode:
    """Answers from constants; raises what `failure` says."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.seen: Any = None

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def status(self) -> StatusView:
        self._check()
        return StatusView(
            name="n", version="1", chain="c", genesis_hash=HASH, address_prefix="arm", fee_units=1, fee_per_gas=10,
            block_gas_max=2**60, height=2**60, block_id=HASH, state_root=HASH, time_ms=1, behind=0, round=-1, peers=3,
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


def client(node: FakeNode, faults: list[Exception] | None = None) -> httpx.AsyncClient:
    on_fault = [].append if faults is None else faults.append
    app = build_app(node, request_bytes_max=BODY_MAX, on_fault=on_fault, version="1")
    transport = httpx.ASGITransport(app=app.asgi, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://node")


async def test_values_have_their_documented_forms() -> None:
    node = FakeNode()
    async with client(node) as http:
        status = (await http.get("/status")).json()
        assert status["height"] == 2**60
        assert status["genesis_hash"] == "ab" * 32
        assert (await http.post("/transactions", json={"transaction": "00ff"})).json() == {"hash": "ab" * 32}
        assert node.seen == b"\x00\xff"
        assert (await http.post("/simulate", json={"transaction": ""})).json()["fee"] == str(2**100)
        view = (await http.get(f"/transactions/{'cd' * 32}")).json()
        assert (view["hash"], view["status"], view["height"]) == ("cd" * 32, "unknown", None)
        assert (await http.get("/certificates/12")).json()["certificate"] == "00ff"
        paths = (await http.get("/openapi.json")).json()["paths"]
        assert {"/status", "/transactions", "/transactions/{hash}", "/blocks/{height}", "/receipts/{hash}"} <= set(
            paths
        )


async def test_a_query_passes_its_own_arguments_on() -> None:
    node = FakeNode()
    async with client(node) as http:
        answer = await http.get("/query/tokens/balance_of", params={"account": "x", "n": "5", "height": "9"})
        assert answer.json() == {"height": 9, "state_root": "ab" * 32, "result": {"amount": str(2**100)}}
        assert node.seen == ("tokens", "balance_of", {"account": "x", "n": "5"}, 9, False)
        twice = await http.get("/query/tokens/balance_of?a=1&a=2")
        assert twice.status_code == 400
        assert "once" in twice.json()["detail"]


@pytest.mark.parametrize(
    ("failure", "status", "kind", "words"),
    [
        (Refused(), 400, "refused", "nonce 1 is used"),
        (Busy("the mempool is full"), 503, "busy", "full"),
        (OurError("disk on fire"), 500, "node-fault", "its log says more"),
        (ZeroDivisionError("secret"), 500, "internal-error", "its log says more"),
    ],
)
async def test_invalid_or_failing_requests_are_problems(failure: Exception, status: int, kind: str, words: str) -> None:
    faults: list[Exception] = []
    async with client(FakeNode(failure), faults) as http:
        answer = await http.post("/transactions", json={"transaction": "00"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:armillary:problem:{kind}"
    assert words in problem["detail"]
    assert "secret" not in answer.text
    assert (problem["status"], problem.get("rule")) == (status, getattr(failure, "rule", None))
    assert faults == ([failure] if status == 500 else [])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/transactions", b'{"transaction": "0"}', 422, "transaction"),
        ("POST", "/transactions", b'{"transaction": "AB"}', 422, "transaction"),
        ("POST", "/transactions", b'{"transaction": "00", "x": 1}', 422, "x"),
        ("POST", "/transactions", b"{", 400, "body"),
        ("POST", "/transactions", b"[" * 3000, 400, "body"),
        ("POST", "/transactions", b"x" * (BODY_MAX + 1), 413, f"at most {BODY_MAX} bytes"),
        ("GET", "/transactions/xyz", b"", 422, "hash"),
        ("GET", "/blocks/0", b"", 422, "height"),
        ("GET", "/blocks/99999999999999999999", b"", 422, "height"),
        ("GET", "/blocks/5", b"", 404, "no block 5"),
        ("GET", "/blocks/latest", b"", 404, "no block None"),
        ("GET", "/receipts/" + "00" * 32, b"", 404, "no such transaction"),
        ("GET", "/query/Tokens/x", b"", 422, "module"),
        ("GET", "/nothing", b"", 404, "Not Found"),
        ("DELETE", "/status", b"", 405, "Not Allowed"),
    ],
)
async def test_invalid_requests_name_what_is_wrong(
    method: str, path: str, body: bytes, status: int, words: str
) -> None:
    async with client(FakeNode()) as http:
        answer = await http.request(method, path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_invalid_bytes_as_a_body_are_never_a_fault(body: bytes) -> None:
    faults: list[Exception] = []

    async def main() -> None:
        async with client(FakeNode(), faults) as http:
            answer = await http.post("/transactions", content=body, headers={"content-type": "application/json"})
            assert 200 <= answer.status_code < 500

    trio.run(main)
    assert faults == []


async def test_a_body_without_a_declared_length_is_bounded_too() -> None:
    async def chunks() -> Any:
        for _ in range(10):
            yield b"x" * 1000

    async with client(FakeNode()) as http:
        answer = await http.post("/transactions", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


async def test_the_server_answers_on_its_socket_and_closes_it() -> None:
    listener = server.bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with pytest.raises(server.HttpListenError, match=f"http.listen: 127.0.0.1:{port}: Address already in use"):
        server.bind("127.0.0.1", port)
    app = build_app(FakeNode(), request_bytes_max=BODY_MAX, on_fault=[].append, version="1")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(server.serve, app, listener, on_fault=[].append))
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/status")).status_code == 200
        nursery.cancel_scope.cancel()
    server.bind("127.0.0.1", port).close()


def test_invalid_address_is_one_clear_line() -> None:
    with pytest.raises(server.HttpListenError, match=r"http\.listen: 203\.0\.113\.1:80"):
        server.bind("203.0.113.1", 80)
