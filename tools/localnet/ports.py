"""Free TCP ports on this machine."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from runtime.errors import UsageError

PORT_MAX = 65_535


def free_base_port(count: int, *, start: int = 27_000) -> int:
    """The first port from `start` on with `count` free ports in a row on 127.0.0.1. Raises UsageError if none is."""
    base = start
    while base + count <= PORT_MAX:
        busy = first_busy(base, count)
        if busy is None:
            return base
        base = busy + 1
    raise UsageError(f"no {count} free ports in a row from {start} on")


def first_busy(base: int, count: int) -> int | None:
    """The first port of base, base + 1, ... on which a node could not listen on 127.0.0.1, or None.

    Connections that linger after their listener has left (TIME_WAIT) do not keep a port busy.
    """
    with ExitStack() as held:
        for port in range(base, base + count):
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return port
    return None
