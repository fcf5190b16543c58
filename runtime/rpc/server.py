"""Hypercorn's connections inside the node's own nursery. The socket is bound here: a taken port is one clear line.

What lives here: accepting, bounds on connections, containment, the way down. Hypercorn's own accept loop is not used:
an exception of one connection (in 0.18 a WebSocket handshake with a byte that is not ASCII) would end the node.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from runtime.errors import UsageError
from runtime.rpc import bounds
from runtime.rpc.connection import Connection, refuse
from runtime.rpc.routes import Web

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p brings stubs of trio that are older than trio.TaskStatus


class HttpListenError(UsageError):
    """The HTTP address cannot be listened on."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises HttpListenError naming the address and the reason."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise HttpListenError(f"http.listen: {host}:{port}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(bounds.BACKLOG)
    except OSError as error:
        listener.close()
        raise HttpListenError(f"http.listen: {host}:{port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


async def serve(
    web: Web,
    listener: socket.socket,
    *,
    connections_max: int = bounds.CONNECTIONS_MAX,
    on_fault: Callable[[Exception], None],
    task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then readers of events are told, and what is under way has GRACE_S.

    on_fault: told of every exception that escaped a connection, which ends that connection alone.
    """
    server = _Server(web, connections_max, on_fault)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run, listener)
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await server.stop()


class _Server:
    """Its `run` outlives a cancellation around it, until `stop` has ended it."""

    def __init__(self, web: Web, connections_max: int, on_fault: Callable[[Exception], None]) -> None:
        self._web = web
        self._on_fault = on_fault
        self._max = connections_max
        self._open: set[trio.SocketStream] = set()
        self._refusing = 0
        self._config = _config()
        self._context = WorkerContext(None)
        self._app = wrap_app(web.asgi, self._config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]  # its types are narrower than ASGI
        self._accepting = trio.CancelScope()
        self._everything = trio.CancelScope(shield=True)
        self._ended = trio.Event()

    async def run(self, listener: socket.socket) -> None:
        accepted = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        try:
            with self._everything:
                async with trio.open_nursery() as connections:
                    with self._accepting:
                        await trio.serve_listeners(self._connection, [accepted], handler_nursery=connections)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Take no more, tell those that read events, give the rest GRACE_S, then cut."""
        self._accepting.cancel()
        self._web.stopping.set()
        await self._context.terminated.set()
        with trio.move_on_after(bounds.GRACE_S):
            await self._ended.wait()
        for stream in tuple(self._open):
            await trio.aclose_forcefully(stream)  # frees who waits for a reader; Hypercorn shields that
        self._everything.cancel()

    async def _connection(self, stream: trio.SocketStream) -> None:
        if len(self._open) >= self._max:
            await self._too_many(stream)
            return
        self._open.add(stream)
        try:
            await self._speak(Connection(stream))
        finally:
            self._open.discard(stream)
            await trio.aclose_forcefully(stream)

    async def _speak(self, connection: Connection) -> None:
        spoken = TCPServer(self._app, self._config, self._context, ConnectionState({}), connection)  # type: ignore[arg-type]  # it uses what Connection has
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._leave, connection, nursery.cancel_scope)
                await spoken.run()
                nursery.cancel_scope.cancel()
        except* Exception as group:  # noqa: BLE001  whatever the library raises ends this connection alone
            for error in group.exceptions:
                self._on_fault(error)

    async def _leave(self, connection: Connection, scope: trio.CancelScope) -> None:
        """End what a closed connection left: Hypercorn's pings of a WebSocket sleep on, a handler answers nobody."""
        await connection.closed.wait()
        with trio.move_on_after(bounds.LINGER_S):
            await self._web.stopping.wait()
        scope.cancel()

    async def _too_many(self, stream: trio.SocketStream) -> None:
        if self._refusing < bounds.REFUSALS_MAX:
            self._refusing += 1
            try:
                await refuse(stream, f"this node serves {self._max} connections at once")
            finally:
                self._refusing -= 1
        await trio.aclose_forcefully(stream)


def _config() -> Config:
    config = Config()
    config.graceful_timeout = bounds.GRACE_S
    config.keep_alive_timeout = bounds.IDLE_S_MAX
    config.keep_alive_max_requests = bounds.REQUESTS_PER_CONNECTION_MAX
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = bounds.HEAD_BYTES_MAX
    config.websocket_ping_interval = bounds.PING_S
    config.websocket_max_message_size = bounds.MESSAGE_FROM_READER_BYTES_MAX
    return config
