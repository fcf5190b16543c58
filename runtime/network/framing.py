"""Frames on a byte stream: four bytes of length (big-endian, of the payload), one byte of kind, the payload.

The codec is pure: bytes in, frames out. A length is checked against the bound of its kind before anything is kept.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple, Protocol

from runtime.network.errors import ConnectionLost, FrameTooLarge, ProtocolViolation
from runtime.network.limits import FRAME_HEADER_BYTES, READ_BYTES

_HEADER = struct.Struct(">IB")


class Kind(IntEnum):
    """The byte after the length. Below 16: control stream; 16: a channel's stream; from 32: the stream of requests."""

    HELLO = 1
    PING = 2
    PONG = 3
    GOODBYE = 4
    DATA = 16
    REQUEST = 32
    RESPONSE = 33
    REFUSAL = 34


class Frame(NamedTuple):
    """One frame, decoded. payload: without length and kind, within the bound of its kind."""

    kind: Kind
    payload: bytes


def encode_frame(kind: Kind, payload: bytes, payload_bytes_max: int) -> bytes:
    """The frame's bytes. Raises FrameTooLarge: the sender, not the peer, is wrong."""
    if len(payload) > payload_bytes_max:
        raise FrameTooLarge(f"a {kind.name} frame of {len(payload)} bytes; at most {payload_bytes_max} are allowed")
    return _HEADER.pack(len(payload), kind) + payload


class FrameDecoder:
    """Cuts one stream into frames. bounds: the kinds that may occur, and the most payload bytes of each.

    It never holds more than one frame of the largest bound and the bytes of one read.
    """

    def __init__(self, bounds: Mapping[Kind, int]) -> None:
        self._bounds = {int(kind): limit for kind, limit in bounds.items()}
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with `data`. Raises ProtocolViolation: the stream is of no more use."""
        buffer = self._buffer
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= FRAME_HEADER_BYTES:
            size, kind = self._header(start)
            end = start + FRAME_HEADER_BYTES + size
            if len(buffer) < end:
                break
            frames.append(Frame(kind, bytes(buffer[start + FRAME_HEADER_BYTES : end])))
            start = end
        del buffer[:start]
        return frames

    def _header(self, start: int) -> tuple[int, Kind]:
        size, kind = _HEADER.unpack_from(self._buffer, start)
        limit = self._bounds.get(kind)
        if limit is None:
            raise ProtocolViolation(f"a frame of kind {kind}, which this stream does not carry")
        if size > limit:
            raise ProtocolViolation(f"a {Kind(kind).name} frame of {size} bytes; at most {limit} are allowed")
        return size, Kind(kind)


class Readable(Protocol):
    """What of a stream is needed to read frames."""

    async def read(self, size_max: int) -> bytes:
        """At most `size_max` bytes, as many as came; b"" at the end."""
        ...


class FrameReader:
    """The frames of one stream, one at a time."""

    def __init__(self, stream: Readable, bounds: Mapping[Kind, int]) -> None:
        self._stream = stream
        self._decoder = FrameDecoder(bounds)
        self._frames: deque[Frame] = deque()

    async def next(self) -> Frame:
        """Raises ConnectionLost at the end of the stream, ProtocolViolation on a frame that may not be there."""
        while not self._frames:
            data = await self._stream.read(READ_BYTES)
            if not data:
                raise ConnectionLost("the peer finished a stream that is to last")
            self._frames.extend(self._decoder.feed(data))
        return self._frames.popleft()
