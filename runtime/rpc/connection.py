"""One accepted connection, as Hypercorn uses it, with bounds on time; and the answer to one too many.

What must not live here: HTTP, except for that one answer.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress

import trio

from runtime.rpc import bounds
from runtime.rpc.problems import MEDIA_TYPE, document


class Connection:
    """What Hypercorn needs of a trio.SocketStream. A reader that does not take what it asked for is cut off."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.closed = trio.Event()
        self.socket = stream.socket
        with suppress(OSError, AttributeError):  # where the system has it; without, TCP gives up later
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, bounds.DEAD_PEER_MS_MAX)

    async def send_all(self, data: bytes) -> None:
        """Raises trio.BrokenResourceError once the reader has not taken a piece of it in time."""
        with memoryview(data) as whole:
            for start in range(0, len(data), bounds.SEND_BYTES_MAX):
                await self._send(whole[start : start + bounds.SEND_BYTES_MAX])

    async def _send(self, piece: memoryview) -> None:
        with trio.move_on_after(bounds.SEND_S_MAX) as patience:
            await self._stream.send_all(piece)
        if patience.cancelled_caught:
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError(f"the reader did not take {len(piece)} bytes in {bounds.SEND_S_MAX:g} s")

    async def receive_some(self, bytes_max: int) -> bytes:
        """At most `bytes_max` bytes, and no more than our own bound; b"" at the end, which sets `closed`."""
        data = b""
        try:
            data = bytes(await self._stream.receive_some(min(bytes_max, bounds.RECEIVE_BYTES_MAX)))
        finally:
            if not data:  # Hypercorn answers nothing after this
                self.closed.set()
        return data

    async def send_eof(self) -> None:
        """Nothing is sent after this; what comes in is still read."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Sets `closed`; the other end is not waited for."""
        self.closed.set()
        await self._stream.aclose()


async def refuse(stream: trio.SocketStream, reason: str) -> None:
    """Say 503 on a connection whose request is not even read."""
    body = json.dumps(document(503, "too-many-connections", reason)).encode()
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        "connection: close\r\nretry-after: 1\r\n\r\n"
    )
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(bounds.REFUSAL_S_MAX):
        await stream.send_all(head.encode() + body)
        await stream.send_eof()
        while await stream.receive_some(bounds.RECEIVE_BYTES_MAX):
            pass  # what it asked is taken off the wire, so that closing does not take the answer back
