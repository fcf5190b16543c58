"""The stream of events: a reader's filter and its way through the blocks, one after another.

A reader is a height and a filter: replaying the past and following the present are one loop, so that nothing is left
out or comes twice where they meet, nothing is queued for who reads slowly, and a block never waits for a reader.

What must not live here: reading the store (the node does it, once for all readers of a block).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

import trio
from fastapi import Query
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from runtime.bech32m import Bech32mError, decode_address
from runtime.errors import CallerError
from runtime.limits import HEIGHT_MAX
from runtime.rpc import bounds
from runtime.rpc.api import Busy, NodeApi, NotFound
from runtime.rpc.problems import from_error
from runtime.rpc.views import BlockMessage, EventMessage
from runtime.types import IDENTIFIER, AccountId

GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
INTERNAL: Final = 1011
TRY_AGAIN: Final = 1013
REASON_BYTES_MAX: Final = 120

_MANY: Final = bounds.FILTER_VALUES_MAX
Modules = Annotated[
    list[Annotated[str, Query(pattern=f"^{IDENTIFIER}$", max_length=48)]],
    Query(alias="module", max_length=_MANY, description="only events of these modules"),
]
Names = Annotated[
    list[Annotated[str, Query(pattern="^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]],
    Query(alias="event", max_length=_MANY, description="only events of these names"),
]
Accounts = Annotated[
    list[Annotated[str, Query(max_length=90)]],
    Query(alias="account", max_length=_MANY, description="only events that name one of these addresses in a field"),
]
FromHeight = Annotated[int | None, Query(ge=1, le=HEIGHT_MAX, description="the first block; the next one if left out")]


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event of a block. accounts: those that its fields name, at any depth."""

    view: EventMessage
    text: str
    accounts: frozenset[AccountId]


@dataclass(frozen=True, slots=True)
class BlockEvents:
    """What a block emitted, in order, made ready for all readers."""

    view: BlockMessage
    text: str
    events: tuple[Emitted, ...]


@dataclass(frozen=True)
class EventFilter:
    """What a reader wants: one of each kind that it names. An empty kind lets all through."""

    modules: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    accounts: frozenset[AccountId] = frozenset()

    @classmethod
    def of(cls, modules: list[str], names: list[str], accounts: list[str], prefix: str) -> EventFilter:
        """Raises CallerError for what is no address of this chain."""
        try:
            found = frozenset(AccountId(decode_address(text, prefix)) for text in accounts)
        except Bech32mError as error:
            raise CallerError(f"account: {error}") from None
        return cls(frozenset(modules), frozenset(names), found)

    def admits(self, event: Emitted) -> bool:
        """Whether the reader wants this event: it fits every kind that the filter names."""
        return (
            (not self.modules or event.view.module in self.modules)
            and (not self.names or event.view.name in self.names)
            and (not self.accounts or not self.accounts.isdisjoint(event.accounts))
        )

    def of_block(self, block: BlockEvents) -> Iterator[Emitted]:
        """Those of the block's events that are admitted, in their order."""
        return filter(self.admits, block.events)


def wanted_of(node: NodeApi, modules: list[str], names: list[str], accounts: list[str]) -> EventFilter:
    """A reader's filter. Raises NotFound for what no module of the chain declares, CallerError for a wrong address."""
    for module in modules:
        if module not in node.modules:
            raise NotFound(f"module: this chain has no module {module}: it has {', '.join(node.modules)}")
    declared = {name for module in modules or node.modules for name in node.modules[module].events}
    for name in names:
        if name not in declared:
            raise NotFound(
                f"event: {' or '.join(modules) or 'this chain'} has no event {name}: {', '.join(sorted(declared))}"
            )
    return EventFilter.of(modules, names, accounts, node.address_prefix)


async def messages(node: NodeApi, wanted: EventFilter, height: int) -> AsyncGenerator[tuple[int, str], None]:
    """What a reader is sent from block `height` on, for ever, each with its height: the events that it wants, then the
    block's own line. Raises NotFound where a block is no longer held."""
    while True:
        await node.reached(height)
        block = await node.block_events(height)
        for event in wanted.of_block(block):
            yield height, event.text
        yield height, block.text
        height += 1


class EventStream:
    """The WebSockets of one node, up to a bound. `stopping` is set when the node stops."""

    def __init__(self, node: NodeApi, stopping: trio.Event) -> None:
        self._node = node
        self._stopping = stopping
        self._readers = 0

    async def serve(self, socket: WebSocket, wanted: EventFilter, from_height: int | None) -> None:
        """One reader, until it leaves, is too slow, or the node stops."""
        if self._readers >= bounds.SUBSCRIBERS_MAX:
            await refuse(socket, Busy(f"{bounds.SUBSCRIBERS_MAX} readers of events are here already"))
            return
        self._readers += 1
        try:
            height = await self._node.height() + 1 if from_height is None else from_height
            await socket.accept()
            code, reason = await self._serve(socket, wanted, height)
            if socket.client_state is WebSocketState.CONNECTED:
                await socket.close(code, reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore"))
        finally:
            self._readers -= 1

    async def _serve(self, socket: WebSocket, wanted: EventFilter, height: int) -> tuple[int, str]:
        """Send until something ends it; the close code and the reason."""
        ends: list[tuple[int, str]] = []
        async with trio.open_nursery() as nursery:

            async def until(end: Callable[[], Awaitable[tuple[int, str]]]) -> None:
                ends.append(await end())
                nursery.cancel_scope.cancel()

            nursery.start_soon(until, self._node_stops)
            nursery.start_soon(until, partial(_listen, socket))
            nursery.start_soon(until, partial(self._send, socket, wanted, height))
        return ends[0]

    async def _node_stops(self) -> tuple[int, str]:
        await self._stopping.wait()
        return GOING_AWAY, "the node stops"

    async def _send(self, socket: WebSocket, wanted: EventFilter, height: int) -> tuple[int, str]:
        at = height
        try:
            async with aclosing(messages(self._node, wanted, height)) as stream:
                async for at, text in stream:
                    started = trio.current_time()
                    await socket.send_text(text)
                    if trio.current_time() - started > bounds.SLOW_S_MAX:
                        reason = f"too slow: a message took over {bounds.SLOW_S_MAX:g} s; from_height={at} goes on"
                        return TRY_AGAIN, reason
        except NotFound as error:
            return TRY_AGAIN, str(error)
        except WebSocketDisconnect:
            pass
        return INTERNAL, "the connection is gone"


async def _listen(socket: WebSocket) -> tuple[int, str]:
    """Wait for the reader to leave; it has nothing to say."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        return INTERNAL, "the reader left"
    return UNSUPPORTED, "this stream takes no messages: the filter is in the query"


async def refuse(socket: WebSocket, error: CallerError) -> None:
    """Answer the handshake with a problem in place of a WebSocket."""
    await socket.send_denial_response(from_error(error))
