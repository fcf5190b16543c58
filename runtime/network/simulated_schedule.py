"""What the simulated network is made of: actions due at a moment, and the frames under way in one direction."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from runtime.network.transport import Channel, PeerId, Received

Action = Callable[[], None]
_HELD_RETRY_S = 0.001


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """latency_s: the least and the most, drawn evenly for each frame; above zero, so that nothing happens at once.
    loss: the chance that a frame is dropped, as full queues and reconnections lose them."""

    latency_s: tuple[float, float] = (0.005, 0.02)
    loss: float = 0.0

    def __post_init__(self) -> None:
        least, most = self.latency_s
        if not 0 < least <= most:
            raise ValueError(f"latency_s is {self.latency_s}; expected 0 < least <= most")
        if not 0 <= self.loss <= 1:
            raise ValueError(f"loss is {self.loss}; expected 0 to 1")


@dataclass(order=True)
class _Entry:
    due: float
    receiver: str
    sender: str
    number: int
    action: Action = field(compare=False)


class Schedule:
    """Actions in the order of their moment, then of receiver, sender and number; `run` performs them when due."""

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._changed = trio.Event()

    def at(self, due: float, sender: str, receiver: str, action: Action) -> None:
        """Perform `action` at the moment `due`, in seconds of trio's clock; in the past: at the next turn."""
        number = self._numbers[sender, receiver] = self._numbers.get((sender, receiver), 0) + 1
        heapq.heappush(self._heap, _Entry(due, receiver, sender, number, action))
        self._changed.set()

    async def run(self) -> None:
        """Perform what is due, until cancelled. An error of an action leaves it."""
        while True:
            while self._heap and self._heap[0].due <= trio.current_time():
                heapq.heappop(self._heap).action()
            self._changed = trio.Event()
            with trio.move_on_at(self._heap[0].due if self._heap else float("inf")):
                await self._changed.wait()


class Path:
    """Frames from one peer to another while they are connected. `cut` is asked at each delivery."""

    def __init__(
        self,
        sender: PeerId,
        receiver: PeerId,
        rng: random.Random,
        schedule: Schedule,
        inboxes: dict[Channel, trio.MemorySendChannel[Received]],
        is_cut: Callable[[], bool],
    ) -> None:
        self.sender = sender
        self.receiver = receiver
        self.is_closed = False
        self._rng = rng
        self._schedule = schedule
        self._inboxes = inboxes
        self._is_cut = is_cut
        self._under_way: dict[Channel, deque[bytes]] = {channel: deque() for channel in Channel}
        self._bytes = dict.fromkeys(Channel, 0)
        self._arrived = dict.fromkeys(Channel, 0)
        self._last_due = dict.fromkeys(Channel, 0.0)

    def send(self, channel: Channel, payload: bytes, conditions: Conditions) -> bool:
        """False if too much is under way, as a full queue."""
        waiting, bounds = self._under_way[channel], channel.bounds
        full = len(waiting) >= bounds.queue_frames_max or self._bytes[channel] + len(payload) > bounds.queue_bytes_max
        if self.is_closed or (waiting and full):
            return False
        delay, lost = self.draw(conditions)
        if not lost:
            waiting.append(payload)
            self._bytes[channel] += len(payload)
            due = self._last_due[channel] = max(self._last_due[channel], trio.current_time() + delay)
            self._schedule.at(due, self.sender, self.receiver, lambda: self._arrive(channel))
        return True

    def draw(self, conditions: Conditions) -> tuple[float, bool]:
        """The latency of a frame, and whether it is lost: always two draws, so that new conditions shift nothing."""
        return self._rng.uniform(*conditions.latency_s), self._rng.random() < conditions.loss

    def _arrive(self, channel: Channel) -> None:
        """One more frame may be delivered. If some are held up, the retry that is scheduled takes it along."""
        self._arrived[channel] += 1
        if self._arrived[channel] == 1:
            self._deliver(channel)

    def _deliver(self, channel: Channel) -> None:
        """Deliver what has arrived, in order; try again later where the inbox is full or the way is cut."""
        waiting, inbox = self._under_way[channel], self._inboxes[channel]
        try:
            while self._arrived[channel] and not self.is_closed:
                if self._is_cut():
                    raise trio.WouldBlock
                inbox.send_nowait(Received(self.sender, channel, waiting[0]))
                self._bytes[channel] -= len(waiting.popleft())
                self._arrived[channel] -= 1
        except trio.WouldBlock:
            retry = trio.current_time() + _HELD_RETRY_S
            self._schedule.at(retry, self.sender, self.receiver, lambda: self._deliver(channel))
