"""Hypercorn inside the node's nursery. The socket is bound here, so that a taken port is one clear line."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.utils import wrap_app

from runtime.errors import UsageError
from runtime.rpc.guard import Asgi

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p brings stubs of trio that are older than trio.TaskStatus

BACKLOG = 128
GRACE_S = 0.5
KEEP_ALIVE_S = 30.0


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
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise HttpListenError(f"http.listen: {host}:{port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


async def serve(
    app: Asgi, listener: socket.socket, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. On leaving, the socket is closed."""
    config = Config()
    config.graceful_timeout = GRACE_S
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = 16 * 1024
    sockets = Sockets(secure_sockets=[], insecure_sockets=[listener], quic_sockets=[])
    task_status.started()
    with listener:
        await worker_serve(wrap_app(app, config.wsgi_max_body_size, "asgi"), config, sockets=sockets)  # type: ignore[arg-type]  # its types are narrower than ASGI
