"""Yamux 1.0: several byte streams over one secured connection, with flow control that is enforced.

Source: https://github.com/hashicorp/yamux/blob/master/spec.md; the sections are named beside the branches.
Not libp2p's own: that one neither enforces the receive window nor lets its stream class be replaced (docs/adr/002).

Rules:
- A stream holds at most its window of bytes that were not read. A peer that sends more is disconnected.
- The task that reads never writes: it leaves control frames to `_write_control`, so that two ends which both have much
  to send cannot wait for each other.
- A write that is cancelled half-way leaves the connection of no use: it ends the session.
- When the session ends, every stream that is read or written raises ConnectionLost with the reason.
"""

from __future__ import annotations

import struct
from collections import deque
from contextlib import suppress
from typing import Final, Protocol

import trio

from runtime.errors import PeerError
from runtime.network.errors import ConnectionLost, ProtocolViolation
from runtime.network.limits import (
    GOODBYE_TIMEOUT_S,
    YAMUX_CONTROL_FRAMES_MAX,
    YAMUX_DATA_BYTES_MAX,
    YAMUX_STREAMS_MAX,
    YAMUX_WINDOW_BYTES,
)

_HEADER = struct.Struct("!BBHII")  # version, type, flags, stream id, length
_DATA, _WINDOW_UPDATE, _PING, _GO_AWAY = range(4)
_SYN, _ACK, _FIN, _RST = 1, 2, 4, 8
_NORMAL, _PROTOCOL_ERROR = 0, 1
_WINDOW_MAX: Final = 1 << 32


class SecureChannel(Protocol):
    """An authenticated, encrypted connection. `receive` and `send` raise ConnectionLost."""

    async def receive(self) -> bytes:
        """The next bytes, as many as came; b"" at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Encrypt and write all of it."""
        ...

    async def aclose(self) -> None:
        """Close the connection, without a farewell of Yamux."""
        ...


class YamuxStream:
    """One stream. One task may read and one may write at a time. It is never half-closed by this end, only reset."""

    def __init__(self, session: YamuxSession, stream_id: int) -> None:
        self.stream_id = stream_id
        self._session = session
        self._buffer = bytearray()
        self._window_bytes = YAMUX_WINDOW_BYTES
        self._receive_window = YAMUX_WINDOW_BYTES
        self._send_window = YAMUX_WINDOW_BYTES
        self._readable = trio.Event()
        self._writable = trio.Event()
        self._read_ended = False
        self._lost: str | None = None

    async def read(self, size_max: int) -> bytes:
        """At most `size_max` bytes; b"" once the peer has finished. Raises ConnectionLost."""
        while not self._buffer:
            if self._lost is not None:
                raise ConnectionLost(self._lost)
            if self._read_ended:
                return b""
            self._readable = trio.Event()
            await self._readable.wait()
        data = bytes(self._buffer[:size_max])
        del self._buffer[:size_max]
        self._credit()
        return data

    async def write(self, data: bytes) -> None:
        """Send everything, waiting for the peer's window. Raises ConnectionLost."""
        view = memoryview(data)
        while view:
            while self._send_window == 0 and self._lost is None:
                self._writable = trio.Event()
                await self._writable.wait()
            if self._lost is not None:
                raise ConnectionLost(self._lost)
            size = min(self._send_window, YAMUX_DATA_BYTES_MAX, len(view))
            self._send_window -= size
            await self._session.send_frame(_HEADER.pack(0, _DATA, 0, self.stream_id, size) + view[:size])
            view = view[size:]

    def widen(self, window_bytes: int) -> None:
        """Let the peer send up to `window_bytes` ahead of what is read; never less than the start."""
        grown = window_bytes - self._window_bytes
        if grown > 0:
            self._window_bytes = window_bytes
            self._grant(grown)

    def reset(self) -> None:
        """Give the stream up in both directions. (spec: Stream half close, RST)"""
        if self._lost is None:
            self._session.queue_control(_WINDOW_UPDATE, _RST, self.stream_id, 0)
        self.lose("the stream was reset by this node")
        self._session.forget(self)

    def lose(self, reason: str) -> None:
        """The session's: the stream is over; wake who waits. What has arrived can still be read."""
        if self._lost is None:
            self._lost = reason
        self._readable.set()
        self._writable.set()

    def take_in(self, data: bytes | bytearray) -> None:
        """The session's: bytes of a data frame, which `reserve` has let in."""
        self._buffer += data
        self._readable.set()

    def reserve(self, size: int) -> None:
        """The session's: a data frame of `size` begins. Raises ProtocolViolation above the window."""
        if size > self._receive_window:
            raise ProtocolViolation(f"{size} bytes on a stream whose window has {self._receive_window} left")
        if self._read_ended and size:
            raise ProtocolViolation("bytes on a stream that the peer had finished")
        self._receive_window -= size

    def grant_sending(self, size: int) -> None:
        """The session's: the peer's window update. (spec: Flow control) Raises ProtocolViolation beyond 2**32."""
        self._send_window += size
        if self._send_window >= _WINDOW_MAX:
            raise ProtocolViolation("a window update beyond 32 bits")
        self._writable.set()

    def finish_reading(self) -> None:
        """The session's: the peer sends no more."""
        self._read_ended = True
        self._readable.set()

    def _credit(self) -> None:
        """Return what was read to the peer, once per half window rather than per read."""
        free = self._window_bytes - self._receive_window - len(self._buffer)
        if 2 * free >= self._window_bytes:
            self._grant(free)

    def _grant(self, size: int) -> None:
        self._receive_window += size
        if self._lost is None and not self._read_ended:
            self._session.queue_control(_WINDOW_UPDATE, 0, self.stream_id, size)


class YamuxSession:
    """One connection's streams. `run` serves it; the other methods may be called while it runs.

    accepts: whether the peer may open streams. Streams that are not wanted are reset, as are those above the bound.
    """

    def __init__(self, channel: SecureChannel, *, is_dialer: bool, accepts: bool) -> None:
        self.accepts = accepts
        self.bytes_received = 0
        self._channel = channel
        self._streams: dict[int, YamuxStream] = {}
        self._next_id = 1 if is_dialer else 2  # spec: StreamID field
        self._peer_id_last = 0 if is_dialer else -1
        self._stray_bytes = 0
        self._buffer = bytearray()
        self._body: tuple[YamuxStream | None, int, int] | None = None  # stream, bytes left, flags
        self._control: deque[bytes] = deque()
        self._control_waits = trio.Event()
        self._write_lock = trio.Lock()
        self._torn = False
        self._ended: str | None = None
        self._scope = trio.CancelScope()
        self._opened, self._to_accept = trio.open_memory_channel[YamuxStream](YAMUX_STREAMS_MAX)

    @property
    def is_over(self) -> bool:
        """Whether `run` has ended: streams are of no use from then on."""
        return self._ended is not None

    async def run(self) -> str:
        """Serve until the connection ends or the task is cancelled, then close it. Returns why it ended."""
        farewell = _NORMAL
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write_control)
                    try:
                        await self._read_all()
                    except ConnectionLost as error:
                        self._end(str(error))
                    except ProtocolViolation as error:
                        farewell = _PROTOCOL_ERROR
                        self._end(str(error))
                    self._end("closed by the peer")
        finally:
            self._end("closed by this node")
            await self._close(farewell)
        return self._ended or ""

    async def open(self) -> YamuxStream:
        """A new stream of this end; usable at once, before the peer acknowledges it. Raises ConnectionLost."""
        if self._ended is not None:
            raise ConnectionLost(self._ended)
        stream = YamuxStream(self, self._next_id)
        self._next_id += 2
        self._streams[stream.stream_id] = stream
        await self.send_frame(_HEADER.pack(0, _WINDOW_UPDATE, _SYN, stream.stream_id, 0))
        return stream

    async def accept(self) -> YamuxStream:
        """The next stream that the peer opens. Raises ConnectionLost."""
        try:
            return await self._to_accept.receive()
        except trio.EndOfChannel:
            raise ConnectionLost(self._ended or "the session ended") from None

    async def send_frame(self, frame: bytes) -> None:
        """For streams: write control frames that wait, then this one. Raises ConnectionLost."""
        async with self._write_lock:
            if self._ended is not None:
                raise ConnectionLost(self._ended)
            data = self._take_control() + frame
            if not data:  # another frame took the control frames along; Noise's reader takes no bytes for the end
                return
            self._torn = True
            try:
                await self._channel.send(data)
            except BaseException:
                self._end("a write was cut short")
                raise
            self._torn = False

    def queue_control(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """For streams: leave a frame to the control task. Raises ProtocolViolation if a peer causes too many."""
        if len(self._control) >= YAMUX_CONTROL_FRAMES_MAX:
            raise ProtocolViolation(f"over {YAMUX_CONTROL_FRAMES_MAX} control frames wait to be answered")
        self._control.append(_HEADER.pack(0, kind, flags, stream_id, value))
        self._control_waits.set()

    def forget(self, stream: YamuxStream) -> None:
        """For streams: this one is closed on both sides."""
        self._streams.pop(stream.stream_id, None)

    # Writing

    async def _write_control(self) -> None:
        try:
            while True:
                while not self._control:
                    self._control_waits = trio.Event()
                    await self._control_waits.wait()
                await self.send_frame(b"")
        except ConnectionLost as error:
            self._end(str(error))

    def _take_control(self) -> bytes:
        if not self._control:
            return b""
        frames = b"".join(self._control)
        self._control.clear()
        return frames

    async def _close(self, farewell: int) -> None:
        with trio.CancelScope(deadline=trio.current_time() + GOODBYE_TIMEOUT_S, shield=True):
            if not self._torn and not self._write_lock.locked():
                with suppress(PeerError):
                    await self._channel.send(_HEADER.pack(0, _GO_AWAY, 0, 0, farewell))
            await self._channel.aclose()

    def _end(self, reason: str) -> None:
        if self._ended is not None:
            return
        self._ended = reason
        self._scope.cancel()
        self._opened.close()
        for stream in self._streams.values():
            stream.lose(reason)

    # Reading

    async def _read_all(self) -> None:
        while data := await self._channel.receive():
            self.bytes_received += len(data)
            if not self._consume(data):
                return

    def _consume(self, data: bytes) -> bool:
        """Handle all that is complete; what is not waits in the buffer. False once the peer says it goes away."""
        buffer = self._buffer
        buffer += data
        start = 0
        while True:
            if self._body is not None:
                start = self._consume_body(start)
                if self._body is not None:
                    break
            if len(buffer) - start < _HEADER.size:
                break
            header = _HEADER.unpack_from(buffer, start)
            start += _HEADER.size
            if not self._on_header(*header):
                return False
        del buffer[:start]
        return True

    def _consume_body(self, start: int) -> int:
        assert self._body is not None
        stream, left, flags = self._body
        end = min(start + left, len(self._buffer))
        if stream is not None and end > start:
            stream.take_in(self._buffer[start:end])
        left -= end - start
        self._body = (stream, left, flags) if left else None
        if not left and stream is not None:
            self._after_frame(stream, flags)
        return end

    def _on_header(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> bool:
        if version != 0:
            raise ProtocolViolation(f"a frame of Yamux version {version}")
        if kind in (_DATA, _WINDOW_UPDATE):
            self._on_stream_frame(kind, flags, stream_id, length)
        elif kind == _PING:
            if flags & _SYN:
                self.queue_control(_PING, _ACK, 0, length)
        elif kind == _GO_AWAY:
            self._end("closed by the peer" if length == _NORMAL else f"the peer ended the session with code {length}")
            return False
        else:
            raise ProtocolViolation(f"a frame of Yamux type {kind}")
        return True

    def _on_stream_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        stream = self._open_by_peer(stream_id) if flags & _SYN else self._streams.get(stream_id)
        if stream is None:
            self._on_stray(stream_id, length if kind == _DATA else 0)
        if kind == _DATA:
            if stream is not None:
                stream.reserve(length)
            self._body = (stream, length, flags)
            return
        if stream is not None:
            stream.grant_sending(length)
            self._after_frame(stream, flags)

    def _after_frame(self, stream: YamuxStream, flags: int) -> None:
        if flags & _FIN:
            stream.finish_reading()
        if flags & _RST:
            stream.lose("the stream was reset by the peer")
            self.forget(stream)

    def _open_by_peer(self, stream_id: int) -> YamuxStream | None:
        """spec: SYN opens a stream; the answer is ACK, or RST to refuse it."""
        if stream_id == 0 or stream_id % 2 == self._next_id % 2 or stream_id <= self._peer_id_last:
            raise ProtocolViolation(f"a stream opened with id {stream_id}, which is not the peer's next")
        self._peer_id_last = stream_id
        if not self.accepts or len(self._streams) >= YAMUX_STREAMS_MAX:
            self.queue_control(_WINDOW_UPDATE, _RST, stream_id, 0)
            return None
        stream = YamuxStream(self, stream_id)
        try:
            self._opened.send_nowait(stream)
        except trio.WouldBlock:
            self.queue_control(_WINDOW_UPDATE, _RST, stream_id, 0)
            return None
        self._streams[stream_id] = stream
        self.queue_control(_WINDOW_UPDATE, _ACK, stream_id, 0)
        return stream

    def _on_stray(self, stream_id: int, size: int) -> None:
        """Frames for a stream that was reset may still be under way: as many as its window, then it is abuse."""
        is_ours = stream_id % 2 == self._next_id % 2
        if not 0 < stream_id <= (self._next_id - 2 if is_ours else self._peer_id_last):
            raise ProtocolViolation(f"a frame for stream {stream_id}, which was never opened")
        self._stray_bytes += size
        if self._stray_bytes > YAMUX_STREAMS_MAX * YAMUX_WINDOW_BYTES:
            raise ProtocolViolation("too many bytes for streams that were reset")
