"""Bounds of the HTTP server: hostile bytes, too many connections, too slow, too much; others are served meanwhile."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio

from runtime.rpc import bounds

UPGRADE = b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
HOSTILE = {
    "websocket_key_not_ascii": b"GET /events HTTP/1.1\r\n" + UPGRADE + b"Sec-WebSocket-Key: \xff\r\n\r\nxxxxxxxx",
    "websocket_extension_not_ascii": b"GET /events HTTP/1.1\r\n" + UPGRADE + KEY
    + b"Sec-WebSocket-Extensions: permessage-deflate; x=\xff\r\n\r\n\xff\xff\xff\xff",
    "websocket_frames_before_the_handshake": b"GET /events HTTP/1.1\r\n" + UPGRADE + KEY + b"\r\n" + b"\xff" * 5000,
    "websocket_without_key": b"GET /events HTTP/1.1\r\n" + UPGRADE + b"\r\n",
    "websocket_http_1_0": b"GET /events HTTP/1.0\r\n" + UPGRADE + b"\r\n",
    "websocket_huge_frame": b"GET /events HTTP/1.1\r\n" + UPGRADE + KEY + b"\r\n\x82\xff" + b"\x7f" * 12,
    "path_not_utf8": b"GET /%ff%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "target_not_ascii": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "http2_settings": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    + b"Upgrade: h2c\r\nHTTP2-Settings: !\r\n\r\n",
    "http2_garbage": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 500,
    "no_http": b"\x13/multistream/1.0.0\n\r\n\r\n",
    "bad_chunk": b"POST /transactions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "two_lengths": b"POST /transactions HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length_is_a_lie": b"POST /transactions HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{}",
    "long_head": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "pipeline": b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n" * 30,
    "nothing": b"",
}  # fmt: skip


async def read(stream: trio.SocketStream, within_s: float = 60.0) -> bytes:
    data = b""
    with trio.move_on_after(within_s):
        try:
            while more := await stream.receive_some(65536):
                data += more
        except trio.BrokenResourceError:
            pass
    return data


def problem_of(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return json.loads(body)


@pytest.mark.parametrize("what", sorted(HOSTILE))
async def test_invalid_bytes_end_their_own_connection_alone(node: Any, serve: Any, what: str) -> None:
    """Some of them make Hypercorn raise, which with its own accept loop ended the node."""
    faults: list[Exception] = []
    async with serve(node, faults) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(HOSTILE[what])
            await stream.send_eof()
            await read(stream)
        assert (await http.get("/status")).status_code == 200
    assert all("secret" not in str(fault) for fault in faults)


async def test_connections_are_bounded_and_those_too_many_are_told(node: Any, serve: Any) -> None:
    async with serve(node, connections_max=3) as port:
        held = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
        for stream in held:
            await stream.send_all(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200" in await stream.receive_some(100)
        extra = await trio.open_tcp_stream("127.0.0.1", port)
        async with extra:
            await extra.send_all(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n")
            problem = problem_of(await read(extra))
        assert (problem["status"], problem["type"]) == (503, "urn:armillary:problem:too-many-connections")
        assert "3 connections" in problem["detail"]
        await held.pop().aclose()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            with trio.fail_after(20):  # a place that was given up is soon free again
                while (await http.get("/status")).status_code != 200:  # noqa: ASYNC110  the server tells nobody
                    await trio.sleep(0.05)
        for stream in held:
            await stream.aclose()


async def test_a_body_that_does_not_come_is_not_waited_for(
    node: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "REQUEST_S_MAX", 0.1)
    async with serve(node) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"POST /transactions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            problem = problem_of(await read(stream))
    assert (problem["status"], problem["detail"]) == (408, "the body did not come within 0.1 s")


async def test_an_answer_that_is_not_ready_is_not_waited_for(
    make_node: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(make_node):  # type: ignore[misc]  # a class from a fixture
        async def status(self) -> Any:
            await trio.sleep_forever()

    async with serve(Slow()) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        with monkeypatch.context() as hurried:
            hurried.setattr(bounds, "REQUEST_S_MAX", 0.1)
            answer = await http.get("/status")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:armillary:problem:busy")
        assert answer.headers["retry-after"] == "1"
        assert (await http.get("/certificates/1")).status_code == 200


async def test_requests_in_flight_are_bounded(make_node: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REQUESTS_IN_FLIGHT_MAX", 2)
    go = trio.Event()
    statuses: list[int] = []

    class Held(make_node):  # type: ignore[misc]  # a class from a fixture
        async def status(self) -> Any:
            await go.wait()
            return await super().status()

    async with serve(Held()) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

        async def ask() -> None:
            statuses.append((await http.get("/status")).status_code)
            if len(statuses) == 3:
                go.set()

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
    assert sorted(statuses) == [200, 200, 503, 503, 503]


async def test_stopping_waits_for_what_is_under_way_but_not_for_ever(
    make_node: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Node(make_node):  # type: ignore[misc]  # a class from a fixture
        seconds = 0.05
        asked = trio.Event()

        async def status(self) -> Any:
            self.asked.set()
            await trio.sleep(self.seconds)
            return await super().status()

    got: list[Any] = []

    async def ask(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            try:
                got.append((await http.get("/status")).status_code)
            except httpx.HTTPError as error:
                got.append(type(error))

    node = Node()
    monkeypatch.setattr(bounds, "GRACE_S", 30)
    async with trio.open_nursery() as nursery, serve(node) as port:
        nursery.start_soon(ask, port)
        await node.asked.wait()
    assert got == [200]
    monkeypatch.setattr(bounds, "GRACE_S", 0.05)
    node.seconds, node.asked = 1_000, trio.Event()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery, serve(node) as port:
            nursery.start_soon(ask, port)
            await node.asked.wait()
    assert got[1] in (httpx.RemoteProtocolError, httpx.ReadError)


async def test_405_says_what_is_allowed(node: Any, serve: Any) -> None:
    async with serve(node) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        answer = await http.put("/status")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/blocks", (None, 50)),
        ("/blocks?limit=3&cursor=9", (9, 3)),
        ("/blocks/7/transactions?limit=100", (7, 0, 100)),
        ("/blocks/7/transactions?cursor=12", (7, 12, 50)),
    ],
)
async def test_lists_take_a_limit_and_a_cursor(node: Any, serve: Any, path: str, seen: Any) -> None:
    async with serve(node) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        answer = await http.get(path)
    assert answer.json().keys() == {"items", "next"}
    assert node.seen == seen


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/blocks?limit=0", 422),
        ("/blocks?limit=101", 422),
        ("/blocks?cursor=x", 422),
        ("/blocks?cursor=1.2", 400),
        ("/events?cursor=1", 400),
        ("/events?limit=-1", 422),
        ("/events?account=arm1zz", 400),
        ("/transactions/" + "ab" * 32 + "?wait_ms=999999", 422),
    ],
)
async def test_invalid_pages_are_problems(node: Any, serve: Any, path: str, status: int) -> None:
    async with serve(node) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        answer = await http.get(path)
    assert answer.status_code == status
    assert answer.json()["status"] == status


async def test_a_list_is_fetched_page_by_page(make_node: Any, serve: Any) -> None:
    from runtime.rpc.paging import Page
    from tools.client import AsyncNodeClient

    class Listing(make_node):  # type: ignore[misc]  # a class from a fixture
        async def blocks(self, below: int | None, limit: int) -> Any:
            top = 12 if below is None else below - 1
            items = [
                {"height": n, "block_id": "ab" * 32, "time_ms": 1, "proposer": "ab" * 32, "transactions": 0, "bytes": 1}
                for n in range(top, max(top - limit, 0), -1)
            ]
            return Page(items=items, next=str(top - limit + 1) if top > limit else None)

    async with serve(Listing()) as port, AsyncNodeClient(f"http://127.0.0.1:{port}") as client:
        heights = [block["height"] async for block in client.items("/blocks", limit=5)]
    assert heights == list(range(12, 0, -1))
