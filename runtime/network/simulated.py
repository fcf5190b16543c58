"""The Transport in memory: many nodes in one process, with seeded latency, loss and partitions.

For tests under trio's mock clock; it is product, not a test helper. Kept of the real one: order within a channel,
bounded queues that make `send` say False, bounded inboxes that hold a sender back, requests, handshakes that refuse
another genesis, peers that are noticed to be gone after the heartbeat's silence. Left out: bytes and encryption.

Determinism: each direction of each link has its own random generator, from the network's seed and the two peers; what
is due at one moment happens in the order of receiver, sender, number. So the same sends at the same moments give the
same deliveries, whatever order trio runs its tasks in; `run_simulation` makes trio's own order repeatable too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import trio
import trio.testing

from runtime.errors import CallerError, OurError, PeerError
from runtime.network.errors import FrameTooLarge, RequestFailed
from runtime.network.limits import (
    BACKOFF_MAX_S,
    BACKOFF_MIN_S,
    BANNED_S,
    HEARTBEAT_S,
    REFUSED_RETRY_S,
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    SILENCE_HEARTBEATS_MAX,
)
from runtime.network.requests import Waiting
from runtime.network.simulated_schedule import Conditions, Path, Schedule
from runtime.network.transport import (
    Channel,
    ConnectionFailed,
    Handshake,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerId,
    PeerInfo,
    Received,
    RequestHandler,
)

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p brings stubs of trio that are older than trio.TaskStatus

__all__ = ["Conditions", "SimulatedNetwork", "SimulatedTransport", "run_simulation"]

_T = TypeVar("_T")
_SILENCE_S = HEARTBEAT_S * SILENCE_HEARTBEATS_MAX


class SimulatedNetwork:
    """Everyone is connected to everyone whom `partition` does not keep apart. `run` has to run beside the nodes."""

    def __init__(self, seed: int, conditions: Conditions | None = None) -> None:
        self.conditions = conditions or Conditions()
        self.schedule = Schedule()
        self._seed = seed
        self._nodes: dict[PeerId, SimulatedTransport] = {}
        self._group: dict[PeerId, int] | None = None
        self._generators: dict[str, random.Random] = {}

    def transport(
        self, name: str, *, handshake: Callable[[], Handshake], handler: RequestHandler
    ) -> SimulatedTransport:
        """A node named by its peer id. A node that was stopped comes back as a new transport of the same name."""
        return SimulatedTransport(self, PeerId(name), handshake, handler)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Perform what is due, until cancelled. An error of an action, and so of a node, leaves it."""
        task_status.started()
        await self.schedule.run()

    def partition(self, *groups: Collection[str]) -> None:
        """Only nodes of one group reach each other; a node in none reaches nobody. Replaces the former partition."""
        self._group = {PeerId(name): number for number, group in enumerate(groups) for name in group}
        for node in self._nodes.values():
            for peer_id in node.connections:
                if node.peer_id < peer_id and self.is_cut(node.peer_id, peer_id):
                    self._after(_SILENCE_S, node.peer_id, peer_id, self._notice_silence)
        self._reconnect()

    def heal(self) -> None:
        """Everyone reaches everyone. Links whose silence was not noticed yet go on where they were."""
        self._group = None
        self._reconnect()

    def is_cut(self, one: PeerId, other: PeerId) -> bool:
        """Whether the partition keeps the two apart; a node in no group is cut from everyone."""
        if self._group is None:
            return False
        group = self._group.get(one)
        return group is None or group != self._group.get(other)

    def generator(self, sender: PeerId, receiver: PeerId) -> random.Random:
        """For the frames of one direction."""
        return self._generator(f"{sender}/{receiver}")

    def node(self, peer_id: PeerId) -> SimulatedTransport | None:
        """The node if it runs."""
        return self._nodes.get(peer_id)

    def join(self, node: SimulatedTransport) -> None:
        """The transport's: it runs. Raises OurError where one of that name runs."""
        if node.peer_id in self._nodes:
            raise OurError(f"two nodes named {node.peer_id} run at once")
        self._nodes[node.peer_id] = node
        for peer_id in sorted(self._nodes):
            if peer_id != node.peer_id:
                delay_s = self._delay_s(node.peer_id, peer_id, self.conditions.latency_s)
                self._after(delay_s, min(node.peer_id, peer_id), max(node.peer_id, peer_id), self._connect)

    def leave(self, node: SimulatedTransport) -> None:
        """The transport's: it stops. Its peers see the connection close."""
        del self._nodes[node.peer_id]
        for peer_id in sorted(node.connections):
            self.sever(node.peer_id, peer_id, "closed by this node", "closed by the peer")

    def sever(self, one: PeerId, other: PeerId, reason: str, reason_of_other: str) -> None:
        """End a connection at once on both ends."""
        for mine, its, why in ((one, other, reason), (other, one, reason_of_other)):
            node = self._nodes.get(mine)
            if node is not None:
                node.drop(its, why)

    def reconnect_later(self, one: PeerId, other: PeerId, delay_s: float) -> None:
        """Connect the two after `delay_s`, if both run by then and are not connected yet."""
        self._after(delay_s, one, other, self._connect)

    def _reconnect(self) -> None:
        for one in sorted(self._nodes):
            for other in sorted(self._nodes):
                if one < other and not self.is_cut(one, other):
                    delay_s = self._delay_s(one, other, (BACKOFF_MIN_S, BACKOFF_MAX_S))
                    self._after(delay_s, one, other, self._connect)

    def _connect(self, one: PeerId, other: PeerId) -> None:
        nodes = self._nodes.get(one), self._nodes.get(other)
        if nodes[0] is None or nodes[1] is None or other in nodes[0].connections or self.is_cut(one, other):
            return
        shakes = nodes[0].handshake(), nodes[1].handshake()
        if shakes[0].genesis_hash != shakes[1].genesis_hash:
            nodes[0].fail(other, "another chain")
            nodes[1].fail(one, "another chain")
            self.reconnect_later(one, other, REFUSED_RETRY_S)
            return
        nodes[0].connect(nodes[1], shakes[1], dialled=True)
        nodes[1].connect(nodes[0], shakes[0], dialled=False)

    def _notice_silence(self, one: PeerId, other: PeerId) -> None:
        if self.is_cut(one, other):
            reason = f"silent for {_SILENCE_S:g} s"
            self.sever(one, other, reason, reason)

    def _delay_s(self, one: PeerId, other: PeerId, bounds_s: tuple[float, float]) -> float:
        """Of a connection being made; drawn apart from the frames, and the same whoever comes first."""
        low, high = sorted((one, other))
        return self._generator(f"{low}={high}").uniform(*bounds_s)

    def _generator(self, name: str) -> random.Random:
        if name not in self._generators:
            self._generators[name] = random.Random(f"{self._seed}/{name}")  # noqa: S311 - a simulation
        return self._generators[name]

    def _after(self, delay_s: float, one: PeerId, other: PeerId, action: Callable[[PeerId, PeerId], None]) -> None:
        self.schedule.at(trio.current_time() + delay_s, one, other, lambda: action(one, other))


class SimulatedTransport:
    """runtime.network.transport.Transport of one node. Errors of the handler that are not the caller's or the peer's
    leave `run`: a test is to see them."""

    def __init__(
        self,
        network: SimulatedNetwork,
        peer_id: PeerId,
        handshake: Callable[[], Handshake],
        handler: RequestHandler,
    ) -> None:
        self.handshake = handshake
        self.connections: dict[PeerId, PeerInfo] = {}
        self._network = network
        self._peer_id = peer_id
        self._handler = handler
        self._paths: dict[PeerId, Path] = {}
        self._waiting: dict[PeerId, set[Waiting]] = {}
        self._nursery: trio.Nursery | None = None
        self._event_sender, self._events = trio.open_memory_channel[PeerEvent](math.inf)
        inboxes = {c: trio.open_memory_channel[Received](c.bounds.inbox_frames_max) for c in Channel}
        self._inbox_senders = {channel: sender for channel, (sender, _) in inboxes.items()}
        self._inboxes = {channel: receiver for channel, (_, receiver) in inboxes.items()}

    @property
    def peer_id(self) -> PeerId:
        """As Transport."""
        return self._peer_id

    @property
    def events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """As Transport, without a bound: a test may read them when it likes."""
        return self._events

    def incoming(self, channel: Channel) -> trio.MemoryReceiveChannel[Received]:
        """As Transport."""
        return self._inboxes[channel]

    def peers(self) -> Mapping[PeerId, PeerInfo]:
        """As Transport."""
        return dict(self.connections)

    def send(self, peer_id: PeerId, channel: Channel, payload: bytes) -> bool:
        """As Transport."""
        _check_size(f"{channel.name} frame", payload, channel.bounds.frame_bytes_max)
        path = self._paths.get(peer_id)
        return path is not None and path.send(channel, payload, self._network.conditions)

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        """As Transport, in the order of peer ids."""
        return sum(self.send(peer_id, channel, payload) for peer_id in sorted(self.connections))

    async def request(self, peer_id: PeerId, payload: bytes, timeout_s: float) -> bytes:
        """As Transport."""
        _check_size("REQUEST frame", payload, REQUEST_BYTES_MAX)
        path = self._paths.get(peer_id)
        if path is None:
            raise RequestFailed(f"peer {peer_id} is not connected")
        waiting = Waiting()
        self._waiting[peer_id].add(waiting)
        try:
            self._later(path, lambda: self._ask(path, payload, waiting))
            with trio.move_on_after(timeout_s):
                return await waiting.result()
            raise RequestFailed(f"no answer within {timeout_s:g} s")
        finally:
            self._waiting.get(peer_id, set()).discard(waiting)

    def disconnect(self, peer_id: PeerId, reason: str) -> None:
        """As Transport: the two are connected again after BANNED_S."""
        if peer_id in self.connections:
            self._network.sever(self.peer_id, peer_id, reason, f"the peer said: {reason}")
            self._network.reconnect_later(self.peer_id, peer_id, BANNED_S)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """As Transport; the network's `run` has to run beside it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._network.join(self)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._network.leave(self)
                for peer_id in tuple(self.connections):
                    self.drop(peer_id, "closed by this node")
                self._event_sender.close()
                for inbox in self._inbox_senders.values():
                    inbox.close()

    # The network's

    def connect(self, other: SimulatedTransport, handshake: Handshake, *, dialled: bool) -> None:
        """The network's: this end of a new connection. handshake: the other's."""
        info = PeerInfo(other.peer_id, f"/memory/{other.peer_id}", True, dialled, handshake)
        self.connections[other.peer_id] = info
        self._waiting[other.peer_id] = set()
        self._paths[other.peer_id] = Path(
            self.peer_id,
            other.peer_id,
            self._network.generator(self.peer_id, other.peer_id),
            self._network.schedule,
            other._inbox_senders,
            lambda: self._network.is_cut(self.peer_id, other.peer_id),
        )
        self._event_sender.send_nowait(PeerConnected(info))

    def drop(self, peer_id: PeerId, reason: str) -> None:
        """The network's: this end of a connection is gone; what waits for its answers fails."""
        if self.connections.pop(peer_id, None) is None:
            return
        self._paths.pop(peer_id).is_closed = True
        for waiting in self._waiting.pop(peer_id):
            waiting.fail(f"the connection ended: {reason}")
        self._event_sender.send_nowait(PeerDisconnected(peer_id, reason))

    def fail(self, peer_id: PeerId, reason: str) -> None:
        """The network's: a connection to this peer came to nothing."""
        self._event_sender.send_nowait(ConnectionFailed(peer_id, f"/memory/{peer_id}", reason))

    # Requests

    def _later(self, path: Path, action: Callable[[], None]) -> None:
        """Perform at the other end, unless the frame is lost, cut off or the connection ends."""
        delay_s, lost = path.draw(self._network.conditions)

        def arrive() -> None:
            if not path.is_closed and not self._network.is_cut(path.sender, path.receiver):
                action()

        if not lost:
            self._network.schedule.at(trio.current_time() + delay_s, path.sender, path.receiver, arrive)

    def _ask(self, path: Path, payload: bytes, waiting: Waiting) -> None:
        other = self._network.node(path.receiver)
        if other is not None and other._nursery is not None:
            other._nursery.start_soon(other._answer, self.peer_id, payload, waiting)

    async def _answer(self, peer_id: PeerId, payload: bytes, waiting: Waiting) -> None:
        reply: Callable[[], None]
        try:
            response = await self._handler(peer_id, payload)
            _check_size("RESPONSE frame", response, RESPONSE_BYTES_MAX)
        except (CallerError, RequestFailed) as error:
            refusal = f"refused: {error}"
            reply = lambda: waiting.fail(refusal)  # noqa: E731 - two short actions, one name
        except PeerError as error:
            self.disconnect(peer_id, str(error))
            return
        else:
            reply = lambda: waiting.succeed(response)  # noqa: E731 - as above
        path = self._paths.get(peer_id)
        if path is not None:
            self._later(path, reply)


def _check_size(what: str, payload: bytes, limit: int) -> None:
    if len(payload) > limit:
        raise FrameTooLarge(f"a {what} of {len(payload)} bytes; at most {limit} are allowed")


def run_simulation(main: Callable[..., Awaitable[_T]], *args: Any, seed: int) -> _T:
    """trio.run under a mock clock that jumps to the next deadline, with trio's scheduling repeatable for a seed."""
    with _repeatable_scheduling(seed):
        return trio.run(main, *args, clock=trio.testing.MockClock(autojump_threshold=0))


@contextmanager
def _repeatable_scheduling(seed: int) -> Iterator[None]:
    """trio shuffles tasks on purpose, by a generator of its own; the switch is there for test tools (Hypothesis)."""
    internals: Any = import_module("trio._core._run")
    state, switch = internals._r.getstate(), internals._ALLOW_DETERMINISTIC_SCHEDULING
    internals._r.seed(seed)
    internals._ALLOW_DETERMINISTIC_SCHEDULING = True
    try:
        yield
    finally:
        internals._ALLOW_DETERMINISTIC_SCHEDULING = switch
        internals._r.setstate(state)
