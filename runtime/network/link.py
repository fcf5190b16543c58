"""One connection to one peer, from its hellos to its end: queues, heartbeat, inboxes.

Rules:
- `close` decides why the link ends, once; what a peer does wrong becomes such a reason. Only OurError leaves `run`.
- The heartbeat counts its own turns, not the clock: a node that was suspended does not take its peers for silent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import trio

from runtime.errors import PeerError
from runtime.network.errors import ConnectionLost, PeerRefused, ProtocolViolation
from runtime.network.framing import Frame, FrameReader, Kind, encode_frame
from runtime.network.hello import Farewell, Hello, Streams, farewell_frame, farewell_of
from runtime.network.limits import (
    GOODBYE_TIMEOUT_S,
    HEARTBEAT_S,
    RESPONSE_BYTES_MAX,
    SILENCE_HEARTBEATS_MAX,
    STALL_TIMEOUT_S,
    WRITE_BATCH_BYTES,
)
from runtime.network.queues import SendQueue
from runtime.network.requests import REQUEST_FRAME_BOUNDS, Requests
from runtime.network.transport import Channel, PeerInfo, Received, RequestHandler
from runtime.network.yamux import YamuxSession, YamuxStream

Inboxes = Mapping[Channel, trio.MemorySendChannel[Received]]


class Link:
    """A peer's streams at work. `ended` is set when `run` is over and the peer's going has been announced."""

    def __init__(
        self,
        session: YamuxSession,
        streams: Streams,
        hello: Hello,
        info: PeerInfo,
        inboxes: Inboxes,
        handler: RequestHandler,
    ) -> None:
        self.ended = trio.Event()
        self.instance = hello.instance
        self.reason: str | None = None
        self.retry_after_s = 0.0
        self._session = session
        self._streams = streams
        self._info = info
        self._inboxes = inboxes
        self._round_trip_ms: float | None = None
        self._control = SendQueue(frames_max=64, bytes_max=64 * 1024)
        self._queues = {channel: _queue_of(channel) for channel in Channel}
        self._request_queue = SendQueue(frames_max=256, bytes_max=2 * RESPONSE_BYTES_MAX)
        self._requests = Requests(self._request_queue, lambda body: handler(info.peer_id, body), self.close)
        self._closing = trio.Event()
        self._goodbye_written = trio.Event()
        self._pings = 0
        self._ping_sent_at = 0.0

    @property
    def info(self) -> PeerInfo:
        """The peer as it is now: with the round trip of the last heartbeat."""
        return replace(self._info, round_trip_ms=self._round_trip_ms)

    @property
    def is_open(self) -> bool:
        """Until `close`: from then on nothing is sent or taken in."""
        return self.reason is None

    def send(self, channel: Channel, frame: bytes) -> bool:
        """A DATA frame, encoded."""
        return self._queues[channel].offer(frame)

    async def request(self, body: bytes, timeout_s: float) -> bytes:
        """Raises RequestFailed."""
        return await self._requests.ask(body, timeout_s)

    def close(self, reason: str, farewell: Farewell | None = None) -> None:
        """End the link; the first reason counts. With a farewell the peer is told."""
        if self.reason is not None:
            return
        self.reason = reason
        for queue in (*self._queues.values(), self._request_queue):
            queue.close()
        self._requests.fail_all(f"the connection ended: {reason}")
        if farewell is None or not self._control.offer(farewell_frame(farewell, reason)):
            self._goodbye_written.set()
        self._closing.set()

    async def decline(self, reason: str, farewell: Farewell) -> NoReturn:
        """In place of `run`: tell the peer why, and raise PeerRefused."""
        with trio.move_on_after(GOODBYE_TIMEOUT_S):
            await self._streams.control.write(farewell_frame(farewell, reason))
        raise PeerRefused(reason)

    async def run(self) -> None:
        """Serve until the link is closed or lost."""
        try:
            async with trio.open_nursery() as nursery:
                for channel, stream in self._streams.channels.items():
                    nursery.start_soon(self._guarded, self._read_channel, channel, stream)
                    nursery.start_soon(self._guarded, self._write_queue, stream, self._queues[channel], channel.name)
                requests = self._streams.requests
                nursery.start_soon(self._guarded, self._read_requests, requests, nursery)
                nursery.start_soon(self._guarded, self._write_queue, requests, self._request_queue, "requests")
                nursery.start_soon(self._guarded, self._read_control)
                nursery.start_soon(self._guarded, self._write_control)
                nursery.start_soon(self._guarded, self._heartbeat)
                await self._closing.wait()
                with trio.move_on_after(GOODBYE_TIMEOUT_S):
                    await self._goodbye_written.wait()
                nursery.cancel_scope.cancel()
        finally:
            self.close("closed by this node")

    async def _guarded(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await task(*args)
        except PeerError as error:
            if self._session.is_over and task != self._read_control:
                return  # the control stream is read to its end: a goodbye there says why
            self.close(str(error), Farewell.CLOSING if isinstance(error, ProtocolViolation) else None)

    # Reading

    async def _read_channel(self, channel: Channel, stream: YamuxStream) -> None:
        frames = FrameReader(stream, {Kind.DATA: channel.bounds.frame_bytes_max})
        inbox = self._inboxes[channel]
        while True:
            frame = await frames.next()
            await inbox.send(Received(self._info.peer_id, channel, frame.payload))

    async def _read_requests(self, stream: YamuxStream, nursery: trio.Nursery) -> None:
        frames = FrameReader(stream, REQUEST_FRAME_BOUNDS)
        while True:
            await self._requests.on_frame(await frames.next(), nursery)

    async def _read_control(self) -> None:
        while True:
            self._on_control(await self._streams.control_frames.next())

    def _on_control(self, frame: Frame) -> None:
        if frame.kind is Kind.PING:
            self._control.offer(encode_frame(Kind.PONG, frame.payload, 8))
        elif frame.kind is Kind.PONG:
            if frame.payload == self._pings.to_bytes(8, "big"):
                self._round_trip_ms = (trio.current_time() - self._ping_sent_at) * 1000
        elif frame.kind is Kind.GOODBYE:
            farewell = farewell_of(frame.payload)
            self.retry_after_s = farewell.retry_after_s
            raise farewell
        else:
            raise ProtocolViolation(f"a {frame.kind.name} frame behind the hello")

    # Writing

    async def _write_queue(self, stream: YamuxStream, queue: SendQueue, name: str) -> None:
        while True:
            await _write(stream, await queue.take(WRITE_BATCH_BYTES), name)

    async def _write_control(self) -> None:
        while True:
            batch = await self._control.take(WRITE_BATCH_BYTES)
            ends_with_goodbye = self._closing.is_set()  # one that is being written when the link closes does not
            await _write(self._streams.control, batch, "control")
            if ends_with_goodbye:
                self._goodbye_written.set()

    async def _heartbeat(self) -> None:
        silent, heard = 0, -1
        while True:
            received = self._session.bytes_received
            silent, heard = (0 if received != heard else silent + 1), received
            if silent >= SILENCE_HEARTBEATS_MAX:
                raise ConnectionLost(f"silent for {SILENCE_HEARTBEATS_MAX * HEARTBEAT_S:g} s")
            self._pings += 1
            self._ping_sent_at = trio.current_time()
            self._control.offer(encode_frame(Kind.PING, self._pings.to_bytes(8, "big"), 8))
            await trio.sleep(HEARTBEAT_S)


def _queue_of(channel: Channel) -> SendQueue:
    bounds = channel.bounds
    return SendQueue(frames_max=bounds.queue_frames_max, bytes_max=bounds.queue_bytes_max)


async def _write(stream: YamuxStream, batch: bytes, name: str) -> None:
    with trio.move_on_after(STALL_TIMEOUT_S):
        await stream.write(batch)
        return
    raise ConnectionLost(f"took nothing of {name.lower()} for {STALL_TIMEOUT_S:g} s")
