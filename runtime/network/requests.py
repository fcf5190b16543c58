"""Requests and responses over one stream: both ends ask and both answer, told apart by the asker's ids.

A frame's payload is eight bytes of id and the body; a REFUSAL's body is its reason, for people.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from runtime.errors import CallerError, OurError, PeerError
from runtime.network.errors import FrameTooLarge, RequestFailed
from runtime.network.framing import Frame, Kind, encode_frame
from runtime.network.limits import (
    GOODBYE_BYTES_MAX,
    REQUEST_BYTES_MAX,
    REQUESTS_IN_FLIGHT_MAX,
    REQUESTS_SERVED_MAX,
    RESPONSE_BYTES_MAX,
)
from runtime.network.queues import SendQueue

_ID = struct.Struct(">Q")
_log = structlog.get_logger("armillary.network")

REQUEST_FRAME_BOUNDS: Final = {
    Kind.REQUEST: _ID.size + REQUEST_BYTES_MAX,
    Kind.RESPONSE: _ID.size + RESPONSE_BYTES_MAX,
    Kind.REFUSAL: _ID.size + GOODBYE_BYTES_MAX,
}
Answer = Callable[[bytes], Awaitable[bytes]]


class Requests:
    """One connection's requests. Frames go out by the queue; frames that come in are handed to `on_frame`.

    answer: the node's handler (transport.RequestHandler states what its errors mean). abort: ends the connection.
    """

    def __init__(self, queue: SendQueue, answer: Answer, abort: Callable[[str], None]) -> None:
        self._queue = queue
        self._answer = answer
        self._abort = abort
        self._next_id = 0
        self._waiting: dict[int, Waiting] = {}
        self._serving = 0

    async def ask(self, body: bytes, timeout_s: float) -> bytes:
        """Raises RequestFailed."""
        if len(self._waiting) >= REQUESTS_IN_FLIGHT_MAX:
            raise RequestFailed(f"{REQUESTS_IN_FLIGHT_MAX} requests to this peer are in flight already")
        self._next_id += 1
        request_id = self._next_id
        waiting = self._waiting[request_id] = Waiting()
        try:
            if not self._queue.offer(_encode(Kind.REQUEST, request_id, body)):
                raise RequestFailed("the queue to this peer is full or closed")
            with trio.move_on_after(timeout_s):
                return await waiting.result()
            raise RequestFailed(f"no answer within {timeout_s:g} s")
        finally:
            del self._waiting[request_id]

    async def on_frame(self, frame: Frame, nursery: trio.Nursery) -> None:
        """Raises PeerError if the frame is short of an id."""
        request_id, body = _decode(frame)
        if frame.kind is Kind.REQUEST:
            if self._serving >= REQUESTS_SERVED_MAX:
                await self._queue.put(_encode(Kind.REFUSAL, request_id, b"busy: too many requests at once"))
                return
            self._serving += 1
            nursery.start_soon(self._serve, request_id, body)
        elif (waiting := self._waiting.get(request_id)) is not None:  # else it came too late
            if frame.kind is Kind.RESPONSE:
                waiting.succeed(body)
            else:
                waiting.fail("refused: " + _printable(body))

    def fail_all(self, reason: str) -> None:
        """The connection is over."""
        for waiting in self._waiting.values():
            waiting.fail(reason)

    async def _serve(self, request_id: int, body: bytes) -> None:
        try:
            await self._queue.put(await self._response(request_id, body))
        except PeerError as error:
            self._abort(str(error))
        finally:
            self._serving -= 1

    async def _response(self, request_id: int, body: bytes) -> bytes:
        try:
            return _encode(Kind.RESPONSE, request_id, await self._answer(body))
        except (CallerError, RequestFailed) as error:
            return _encode(Kind.REFUSAL, request_id, str(error).encode("ascii", "replace")[:GOODBYE_BYTES_MAX])
        except Exception as error:
            if isinstance(error, (OurError, PeerError)) and not isinstance(error, FrameTooLarge):
                raise
            # A fault of this node that a peer's bytes brought out must not be a way to stop the node.
            _log.exception("a request could not be answered", request_bytes=len(body))
            return _encode(Kind.REFUSAL, request_id, b"internal error")


class Waiting:
    """A request in flight."""

    def __init__(self) -> None:
        self._done = trio.Event()
        self._body = b""
        self._failure: str | None = None

    def succeed(self, body: bytes) -> None:
        """The answer came."""
        self._body = body
        self._done.set()

    def fail(self, reason: str) -> None:
        """The request came to nothing, for a reason that people read."""
        self._failure = reason
        self._done.set()

    async def result(self) -> bytes:
        """The answer, once there is one. Raises RequestFailed with the reason of `fail`."""
        await self._done.wait()
        if self._failure is not None:
            raise RequestFailed(self._failure)
        return self._body


def _encode(kind: Kind, request_id: int, body: bytes) -> bytes:
    return encode_frame(kind, _ID.pack(request_id) + body, REQUEST_FRAME_BOUNDS[kind])


def _decode(frame: Frame) -> tuple[int, bytes]:
    if len(frame.payload) < _ID.size:
        raise PeerError(f"a {frame.kind.name} frame of {len(frame.payload)} bytes has no request id")
    (request_id,) = _ID.unpack_from(frame.payload)
    return request_id, frame.payload[_ID.size :]


def _printable(text: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in text)
