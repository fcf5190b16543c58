"""The stream of events: whatever is asked for and whenever, all of it, once, in order; its ends say why."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from runtime.bech32m import encode_address
from runtime.rpc import bounds
from runtime.rpc.events import EventFilter, messages
from runtime.types import AccountId
from tools.client import AsyncNodeClient, BlockDone, ChainEvent, NodeError

ACCOUNTS = [AccountId(bytes([number]) * 32) for number in range(3)]
ADDRESSES = [encode_address(account, "arm") for account in ACCOUNTS]

event = st.tuples(
    st.sampled_from(["tokens", "oracle", "registry"]),
    st.sampled_from(["Moved", "Made"]),
    st.lists(st.sampled_from(ACCOUNTS), max_size=2),
)
chains = st.lists(st.lists(event, max_size=4), min_size=1, max_size=8)


def some(values: Sequence[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True)


def narrow(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)


@asynccontextmanager
async def socket_at(
    port: int, query: str = "", path: str = "/events", *, is_narrow: bool = False
) -> AsyncIterator[WebSocketConnection]:
    """is_narrow: the system keeps little of what is not read yet."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    if is_narrow:
        narrow(stream)
    try:
        async with stream, trio.open_nursery() as nursery:
            yield await wrap_client_stream(nursery, stream, "node", f"{path}?{query}")
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def until_closed(reader: WebSocketConnection) -> tuple[list[dict[str, Any]], int, str]:
    """What came, and the close code and reason."""
    came = []
    try:
        while True:
            came.append(json.loads(await reader.get_message()))
    except ConnectionClosed as closed:
        reason = closed.reason
    return came, reason.code, reason.reason or ""


@settings(max_examples=100)
@given(
    chain=chains,
    modules=some(["tokens", "oracle"]),
    names=some(["Moved", "Made"]),
    accounts=some(range(3)),
    start=st.integers(1, 8),
    data=st.data(),
)
def test_a_reader_is_sent_what_its_filter_lets_through_past_and_present_alike(
    make_node: Any, chain: Any, modules: Any, names: Any, accounts: Any, start: int, data: st.DataObject
) -> None:
    """Against a model: the list of all events, filtered, from the first height on; and each block's own line."""
    start = min(start, len(chain))
    before = data.draw(st.integers(0, len(chain)), label="blocks that are there before the reader comes")
    node = make_node()
    wanted = EventFilter.of(modules, names, [ADDRESSES[number] for number in accounts], "arm")

    def admits(event: Any) -> bool:
        module, name, named = event
        return (
            (not modules or module in modules)
            and (not names or name in names)
            and (not accounts or any(ACCOUNTS[number] in named for number in accounts))
        )

    expected: list[tuple[int, int | None]] = []
    for height in range(start, len(chain) + 1):
        expected += [(height, index) for index, event in enumerate(chain[height - 1]) if admits(event)]
        expected.append((height, None))

    async def live() -> None:
        for block in chain[before:]:
            await trio.lowlevel.checkpoint()
            node.emit(*block)

    async def main() -> list[tuple[int, int | None]]:
        found: list[tuple[int, int | None]] = []
        for block in chain[:before]:
            node.emit(*block)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live)
            async with aclosing(messages(node, wanted, start)) as stream:
                async for height, text in stream:
                    message = json.loads(text)
                    assert message["height"] == height
                    found.append((height, message.get("index")))
                    if height == len(chain) and message["type"] == "block":
                        return found
        raise AssertionError

    assert trio.run(main) == expected


async def test_messages_have_their_documented_form(make_node: Any, serve: Any) -> None:
    node = make_node()
    node.emit(("tokens", "Moved", ACCOUNTS[:1]))
    async with serve(node) as port, socket_at(port, "from_height=1") as reader:
        event, block = [json.loads(await reader.get_message()) for _ in range(2)]
    assert event == {
        "type": "event", "height": 1, "index": 0, "during": "transaction", "transaction": "ab" * 32,
        "module": "tokens", "name": "Moved", "fields": {"filler": ""},
    }  # fmt: skip
    assert block == {
        "type": "block", "height": 1, "block_id": "ab" * 32, "time_ms": 1, "transactions": 1, "events": 1
    }  # fmt: skip


async def test_without_a_height_a_reader_begins_with_the_next_block(make_node: Any, serve: Any) -> None:
    node = make_node()
    node.emit(("tokens", "Moved", ()))
    async with serve(node) as port, socket_at(port, "module=tokens") as reader:
        node.emit(("oracle", "Made", ()), ("tokens", "Made", ()))
        assert json.loads(await reader.get_message())["height"] == 2
        assert json.loads(await reader.get_message())["type"] == "block"


async def test_a_node_that_stops_tells_its_readers(make_node: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "GRACE_S", 30)  # on a busy machine the last words take their time
    node, ends = make_node(), []

    async def read(port: int, ready: trio.Event) -> None:
        async with socket_at(port) as reader:
            ready.set()
            ends.append((await until_closed(reader))[1:])

    async with trio.open_nursery() as nursery, serve(node) as port:
        events = [trio.Event() for _ in range(3)]
        for ready in events:
            nursery.start_soon(read, port, ready)
            await ready.wait()
    assert ends == [(1001, "the node stops")] * 3


async def test_a_reader_that_does_not_read_is_cut_and_holds_up_nobody(
    make_node: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "SEND_S_MAX", 1.0)
    monkeypatch.setattr(bounds, "SLOW_S_MAX", 60.0)  # who does read is as slow as this machine
    node = make_node()
    async with serve(node) as port:
        deaf = await trio.open_tcp_stream("127.0.0.1", port)
        narrow(deaf)
        await deaf.send_all(
            b"GET /events?from_height=1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        async with socket_at(port, "module=registry") as other:
            for _ in range(60):
                node.emit(*[("tokens", "Moved", ())] * 4, filler="x" * 60_000)
            heights = [json.loads(await other.get_message())["height"] for _ in range(60)]
        assert heights == list(range(1, 61))
        await trio.testing.wait_all_tasks_blocked(1.5)  # longer than SEND_S_MAX with nothing to do: it has passed
        received = 0
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
            while data := await deaf.receive_some(1 << 20):
                received += len(data)
            raise trio.BrokenResourceError
        assert received < 60 * 4 * 60_000
        await deaf.aclose()


async def test_a_slow_reader_is_told_where_to_go_on(
    make_node: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "SLOW_S_MAX", 0.05)
    node = make_node()
    for _ in range(40):
        node.emit(*[("tokens", "Moved", ())] * 4, filler="x" * 60_000)
    async with serve(node) as port, socket_at(port, "from_height=1", is_narrow=True) as reader:
        await trio.testing.wait_all_tasks_blocked(0.3)  # the way to here is full, and for longer than SLOW_S_MAX
        came, code, reason = await until_closed(reader)
    last = came[-1]["height"]
    assert code == 1013
    assert reason == f"too slow: a message took over 0.05 s; from_height={last} goes on"
    assert len(came) < 200, "not all was sent"


async def test_a_reader_has_nothing_to_say(make_node: Any, serve: Any) -> None:
    async with serve(make_node()) as port, socket_at(port) as reader:
        await reader.send_message("hello")
        assert (await until_closed(reader))[1:] == (1003, "this stream takes no messages: the filter is in the query")


async def test_a_block_that_is_no_longer_held_ends_the_stream(make_node: Any, serve: Any) -> None:
    node = make_node()
    node.emit()
    node.oldest = 5
    async with serve(node) as port, socket_at(port, "from_height=1") as reader:
        assert (await until_closed(reader))[1:] == (1013, "block 1 is not held here")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/events?from_height=0", 422, "from_height"),
        ("/events?from_height=x", 422, "from_height"),
        ("/events?module=Tokens", 422, "module"),
        ("/events?event=1", 422, "event"),
        ("/events?" + "&".join(["module=tokens"] * 17), 422, "module"),
        ("/events?account=arm1", 400, "account: "),
        ("/events?account=" + "ab" * 32, 400, "account: "),
        ("/events?account=" + encode_address(ACCOUNTS[0], "cosmos"), 400, "prefix"),
        ("/events?module=token", 404, "this chain has no module token: it has tokens, oracle, registry"),
        ("/events?event=Moved2", 404, "this chain has no event Moved2: Made, Moved"),
        ("/events?module=tokens&event=moved", 404, "tokens has no event moved"),
        ("/status", 404, "there is no WebSocket at /status: it is at /events"),
        ("/", 404, "there is no WebSocket"),
    ],
)
async def test_invalid_streams_are_refused_as_problems(
    make_node: Any, serve: Any, path: str, status: int, words: str
) -> None:
    async with serve(make_node()) as port:
        with pytest.raises(ConnectionRejected) as caught:
            async with socket_at(port, *path.partition("?")[::-2]):
                pass
    assert caught.value.status_code == status
    assert (b"content-type", b"application/problem+json") in caught.value.headers
    assert words in json.loads(caught.value.body or b"")["detail"]


async def test_readers_are_bounded(make_node: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SUBSCRIBERS_MAX", 2)
    async with serve(make_node()) as port:
        async with socket_at(port), socket_at(port):
            with pytest.raises(ConnectionRejected) as caught:
                async with socket_at(port):
                    pass
            assert caught.value.status_code == 503
            assert "2 readers of events" in json.loads(caught.value.body or b"")["detail"]
        async with socket_at(port):
            pass


# --- the client's side ------------------------------------------------------------------------------------------------


async def test_the_client_goes_on_where_a_connection_was_lost(make_node: Any, serve: Any) -> None:
    """A relay between client and node that cuts after so many bytes, again and again."""
    node = make_node()
    for number in range(30):
        node.emit(*[("tokens", "Moved", ACCOUNTS[:1])] * (number % 4))
    cuts = 0

    async def pass_on(source: trio.SocketStream, sink: trio.SocketStream, left: int) -> None:
        nonlocal cuts
        async for data in source:
            await sink.send_all(data[:left])
            left -= len(data)
            if left <= 0:
                cuts += 1
                break
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(sink)

    async def relay(port: int, client: trio.SocketStream) -> None:
        upstream = await trio.open_tcp_stream("127.0.0.1", port)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pass_on, client, upstream, 1 << 30)
                nursery.start_soon(pass_on, upstream, client, 1500 + 400 * cuts)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass

    seen: list[ChainEvent | BlockDone] = []
    async with trio.open_nursery() as nursery, serve(node) as port:
        between = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        nursery.start_soon(trio.serve_listeners, lambda stream: relay(port, stream), [between])
        url = f"http://127.0.0.1:{between.socket.getsockname()[1]}"
        async with (
            AsyncNodeClient(url) as client,
            client.follow(accounts=ADDRESSES[:1], from_height=1) as stream,
        ):
            async for message in stream:
                seen.append(message)
                if message.height == 30 and isinstance(message, BlockDone):
                    break
        nursery.cancel_scope.cancel()
    assert cuts > 2
    expected = []
    for height in range(1, 31):
        expected += [(height, index) for index in range((height - 1) % 4)] + [(height, None)]
    assert [(message.height, getattr(message, "index", None)) for message in seen] == expected


async def test_the_client_yields_events_alone_and_passes_its_users_errors_on(make_node: Any, serve: Any) -> None:
    node = make_node()
    node.emit(("tokens", "Moved", ()), ("oracle", "Made", ()))
    async with serve(node) as port, AsyncNodeClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(KeyError, match="the user's own"):  # noqa: PT012
            async with client.events(names=["Made"], from_height=1) as events:
                async for event in events:
                    assert (event.module, event.name, event.index) == ("oracle", "Made", 1)
                    raise KeyError("the user's own")


async def test_invalid_subscriptions_are_the_nodes_own_sentence(make_node: Any, serve: Any) -> None:
    async with serve(make_node()) as port, AsyncNodeClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(NodeError, match=r"^account: .*prefix") as caught:  # noqa: PT012
            async with client.events(accounts=[encode_address(ACCOUNTS[0], "btc")], from_height=1) as events:
                async for _ in events:
                    pass
    assert caught.value.status == 400


async def test_a_lost_stream_ends_when_patience_does(make_node: Any, serve: Any) -> None:
    async with serve(make_node()) as port:
        url = f"http://127.0.0.1:{port}"
    async with AsyncNodeClient(url) as client:
        with pytest.raises(NodeError, match=f"the stream of events of {url} is lost: "):  # noqa: PT012
            async with client.events(from_height=1, patience_s=0.1) as events:
                async for _ in events:
                    pass


def test_a_filter_is_written_into_the_query() -> None:
    from tools.client.events import Subscription

    wanted = Subscription(("a", "b"), ("C",), ("arm1x",), 7)
    assert wanted.query() == "module=a&module=b&event=C&account=arm1x&from_height=7"
