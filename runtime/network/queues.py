"""The bounded queue between those who send and the one task that writes a stream."""

from __future__ import annotations

from collections import deque

import trio

from runtime.network.errors import ConnectionLost


class SendQueue:
    """Frames that wait to be written, bounded in number and bytes; one task takes them, all that fit at once.

    An empty queue takes any frame, so that a bound below the largest frame cannot block it for good.
    """

    def __init__(self, *, frames_max: int, bytes_max: int) -> None:
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._filled = trio.Event()
        self._drained = trio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._frames)

    def offer(self, frame: bytes) -> bool:
        """Queue the frame unless the queue is full or closed."""
        if self._closed or not self._has_room(len(frame)):
            return False
        self._frames.append(frame)
        self._bytes += len(frame)
        self._filled.set()
        return True

    async def put(self, frame: bytes) -> None:
        """Queue the frame, waiting for room. Raises ConnectionLost once the queue is closed."""
        while not self.offer(frame):
            if self._closed:
                raise ConnectionLost("the connection was closed before the frame could be queued")
            if self._drained.is_set():  # several may wait for the same event
                self._drained = trio.Event()
            await self._drained.wait()

    async def take(self, bytes_max: int) -> bytes:
        """At least one frame, and all further ones that fit into `bytes_max`, joined. Waits for the first."""
        while not self._frames:
            self._filled = trio.Event()
            await self._filled.wait()
        batch = [self._frames.popleft()]
        size = len(batch[0])
        while self._frames and size + len(self._frames[0]) <= bytes_max:
            batch.append(self._frames.popleft())
            size += len(batch[-1])
        self._bytes -= size
        self._drained.set()
        return b"".join(batch)

    def close(self) -> None:
        """Refuse everything from now on and drop what waits."""
        self._closed = True
        self._frames.clear()
        self._bytes = 0
        self._drained.set()

    def _has_room(self, size: int) -> bool:
        if not self._frames:
            return True
        return len(self._frames) < self._frames_max and self._bytes + size <= self._bytes_max
