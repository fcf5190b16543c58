"""The WebSocket under AsyncNodeClient.follow: connects, keeps it alive, connects again where it was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, WebSocketConnection, wrap_client_stream

from tools.client.events import MESSAGE_BYTES_MAX, BadMessage, BlockDone, ChainEvent, Subscription
from tools.client.exchange import Node, NodeError

PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 2.0
ALIVE_S: Final = 20.0  # a ping is sent so often, and must be answered within as long
CONNECT_S_MAX: Final = 10.0
BUFFERED_MAX: Final = 64
TRY_AGAIN_FROM_STATUS: Final = 500  # below, the node refused the request itself
FOR_GOOD: Final = (1003, 1008)  # close codes: the same would happen again

ENDS: Final = (OSError, ConnectionClosed, HandshakeError, BadMessage, trio.TooSlowError, trio.BrokenResourceError)

Message = ChainEvent | BlockDone
Out = trio.MemorySendChannel[Message]


@asynccontextmanager
async def followed(
    node: Node, height: Callable[[], Awaitable[int]], wanted: Subscription, patience_s: float
) -> AsyncIterator[Messages]:
    """A subscription's messages, which a task in the background brings. Who reads slowly is waited for by the node.

    height: asks for the node's. The subscription begins at a height even where none was asked for, so that nothing is
    lost with the first connection.
    """
    if wanted.height is None:
        wanted.height = await height() + 1
    outlet, inlet = trio.open_memory_channel[Message](BUFFERED_MAX)
    pump = _Pump(node, wanted, patience_s)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run, outlet)
            yield Messages(inlet, pump)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # the pump raises nothing: it is what the reader raised
        raise next((error for error in group.exceptions if not isinstance(error, trio.Cancelled)), group) from None


class Messages:
    """What a subscription brings, in `async for`. Raises NodeError where it ends."""

    def __init__(self, inlet: trio.MemoryReceiveChannel[Message], pump: _Pump) -> None:
        self._inlet = inlet
        self._pump = pump

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self._inlet.receive()
        except trio.EndOfChannel:
            raise self._pump.failure or StopAsyncIteration from None


class Events:
    """The events alone."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> ChainEvent:
        while True:
            message = await anext(self._messages)
            if isinstance(message, ChainEvent):
                return message


@dataclass
class _Pump:
    """From one connection after another into a channel, until it is in vain; `failure` says why."""

    node: Node
    wanted: Subscription
    patience_s: float
    failure: NodeError | None = field(default=None, init=False)
    _last_s: float = field(default=0.0, init=False)  # when something came last
    _pause_s: float = field(default=PAUSE_S, init=False)

    async def run(self, outlet: Out) -> None:
        async with outlet:
            try:
                await self._keep_on(outlet)
            except NodeError as error:
                self.failure = error
            except trio.BrokenResourceError:
                pass  # nobody reads any more

    async def _keep_on(self, outlet: Out) -> None:
        self._last_s = trio.current_time()
        while True:
            try:
                await self._connection(outlet)
            except ConnectionRejected as error:
                if error.status_code < TRY_AGAIN_FROM_STATUS:
                    raise self.node.refusal("/events", error.status_code, error.body or b"") from None
                reason = str(self.node.refusal("/events", error.status_code, error.body or b""))
            except ConnectionClosed as error:
                said = error.reason
                reason = f"closed with {said.code}: {said.reason}" if said is not None else "closed"
                if said is not None and said.code in FOR_GOOD:
                    raise NodeError(f"{self.node.url} ended the stream of events: {said.reason}") from None
            except (OSError, HandshakeError, trio.TooSlowError) as error:
                reason = str(error.__cause__ or error) or type(error).__name__
            except BadMessage as error:
                raise NodeError(f"{self.node.url}/events: {error}") from None
            if trio.current_time() - self._last_s > self.patience_s:
                raise NodeError(f"the stream of events of {self.node.url} is lost: {reason}")
            await trio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, PAUSE_S_MAX)

    async def _connection(self, outlet: Out) -> None:
        """Bring messages until the connection ends, with one of ENDS in any case."""
        with trio.fail_after(CONNECT_S_MAX):
            stream = await _connected(self.node.url)
        ends: list[BaseException] = []
        try:
            async with stream, trio.open_nursery() as nursery:
                socket = await self._socket(nursery, stream)
                nursery.start_soon(_stay_alive, socket)
                await self._bring(socket, outlet)
        except* ENDS as group:
            ends = _leaves(group)
        raise ends[0]

    async def _socket(self, nursery: trio.Nursery, stream: trio.SocketStream | trio.SSLStream) -> WebSocketConnection:
        parts = urlsplit(self.node.url)
        resource = f"{parts.path}/events?{self.wanted.query()}"
        with trio.fail_after(CONNECT_S_MAX):
            return await wrap_client_stream(nursery, stream, parts.netloc, resource, max_message_size=MESSAGE_BYTES_MAX)

    async def _bring(self, socket: WebSocketConnection, outlet: Out) -> None:
        while True:
            text = await socket.get_message()
            self._last_s, self._pause_s = trio.current_time(), PAUSE_S
            message = self.wanted.read(text)
            if message is not None:
                await outlet.send(message)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _connected(url: str) -> trio.SocketStream | trio.SSLStream:
    """Our own stream below the WebSocket, which closes it whatever happens (trio-websocket 0.12 may leave it open)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return await trio.open_ssl_over_tcp_stream(host, parts.port or 443, https_compatible=True)
    return await trio.open_tcp_stream(host, parts.port or 80)


async def _stay_alive(socket: WebSocketConnection) -> None:
    """Notice a node that is gone without a word: raises trio.TooSlowError."""
    while True:
        await trio.sleep(ALIVE_S)
        with trio.fail_after(ALIVE_S):
            await socket.ping()
