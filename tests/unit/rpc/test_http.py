"""HTTP over a node's view: paths, forms of values, problems, bounds; nothing escapes as a traceback."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import CallerError, OurError
from runtime.rpc import server
from runtime.rpc.api import Busy
from runtime.rpc.routes import Web, build_app
from runtime.types import Hash

HASH = Hash(b"\xab" * 32)
BODY_MAX = 4096


class Refused(CallerError):
    """With a field of data."""

    def __init__(self) -> None:
        self.rule = "nonce_low"
        super().__init__("nonce 1 is used")


def client(node: Any, faults: list[Exception] | None = None) -> httpx.AsyncClient:
    on_fault = [].append if faults is None else faults.append
    return client_of(build_app(node, request_bytes_max=BODY_MAX, on_fault=on_fault, version="1"))


@pytest.fixture(scope="module")
def application(make_node: Any) -> tuple[Web, list[Exception]]:
    """One for many examples: making it takes longer than asking it; and the faults that it had."""
    faults: list[Exception] = []
    return build_app(make_node(), request_bytes_max=BODY_MAX, on_fault=faults.append, version="1"), faults


def client_of(web: Web) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=web.asgi, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://node")


async def test_values_have_their_documented_forms(node: Any) -> None:
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


async def test_a_query_passes_its_own_arguments_on(node: Any) -> None:
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
async def test_invalid_or_failing_requests_are_problems(
    make_node: Any, failure: Exception, status: int, kind: str, words: str
) -> None:
    faults: list[Exception] = []
    async with client(make_node(failure), faults) as http:
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
    node: Any, method: str, path: str, body: bytes, status: int, words: str
) -> None:
    async with client(node) as http:
        answer = await http.request(method, path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200))
def test_invalid_bytes_as_a_body_are_never_a_fault(application: Any, body: bytes) -> None:
    app, faults = application

    async def main() -> None:
        async with client_of(app) as http:
            answer = await http.post("/transactions", content=body, headers={"content-type": "application/json"})
            assert 200 <= answer.status_code < 500

    trio.run(main)
    assert faults == []


async def test_a_body_without_a_declared_length_is_bounded_too(node: Any) -> None:
    async def chunks() -> Any:
        for _ in range(10):
            yield b"x" * 1000

    async with client(node) as http:
        answer = await http.post("/transactions", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


async def test_the_server_answers_on_its_socket_and_closes_it(node: Any) -> None:
    listener = server.bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with pytest.raises(server.HttpListenError, match=f"http.listen: 127.0.0.1:{port}: Address already in use"):
        server.bind("127.0.0.1", port)
    app = build_app(node, request_bytes_max=BODY_MAX, on_fault=[].append, version="1")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(server.serve, app, listener, on_fault=[].append))
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/status")).status_code == 200
        nursery.cancel_scope.cancel()
    server.bind("127.0.0.1", port).close()


def test_invalid_address_is_one_clear_line() -> None:
    with pytest.raises(server.HttpListenError, match=r"http\.listen: 203\.0\.113\.1:80"):
        server.bind("203.0.113.1", 80)
