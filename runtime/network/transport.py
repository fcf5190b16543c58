"""What the node sees of the network: a Transport. One is libp2p over TCP, one is simulated.

Rules:
- Frames to one peer on one channel arrive in order, whole and once, or the peer is disconnected. What was queued when a
  peer is disconnected is lost without notice: whoever sends states that others need sends it again on PeerConnected.
- Nothing here blocks on a slow peer: `send` says False when that peer's bounded queue is full.
- Each channel has one bounded inbox for all peers. While it is full, each peer has at most one frame waiting for room,
  first come first served, so that no peer can crowd the others out, and its connection is held back.
- Every channel's `incoming` and `events` have to be read for as long as `run` runs.
- A peer is named by its libp2p peer id, which it has proved; it says nothing about validator keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NewType, Protocol

from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.network.limits import KIB
from runtime.types import U64, Hash, Struct

if TYPE_CHECKING:  # the command line, which needs the names of peers alone, starts without trio
    import trio
    from trio_typing import TaskStatus  # libp2p brings stubs of trio that are older than trio.TaskStatus

PeerId = NewType("PeerId", str)


@dataclass(frozen=True, slots=True)
class ChannelBounds:
    """frame: bytes of one payload. queue: what may wait to be sent to one peer. inbox: frames that wait to be read."""

    frame_bytes_max: int
    queue_frames_max: int
    queue_bytes_max: int
    inbox_frames_max: int


class Channel(IntEnum):
    """Classes of frames; each has its own stream and queues, so that votes do not wait behind blocks."""

    CONSENSUS = 1  # votes, proposals, certificates
    BLOCK_PARTS = 2
    TRANSACTIONS = 3

    @property
    def bounds(self) -> ChannelBounds:
        """How much a frame, a send queue and the inbox of this channel may hold."""
        return _BOUNDS[self]


_BOUNDS: Mapping[Channel, ChannelBounds] = {
    Channel.CONSENSUS: ChannelBounds(64 * KIB, 1024, 4096 * KIB, 256),
    Channel.BLOCK_PARTS: ChannelBounds(320 * KIB, 128, 8192 * KIB, 64),
    Channel.TRANSACTIONS: ChannelBounds(TRANSACTION_BYTES_MAX + 64 * KIB, 256, 4096 * KIB, 64),
}


class Handshake(Struct):
    """What two nodes tell each other first. Another genesis hash is refused; the rest is for the node to judge."""

    genesis_hash: Hash
    runtime_digest: Hash
    height: U64


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A connected peer. known: it is configured; dialled: by this node; round_trip_ms: of the last heartbeat."""

    peer_id: PeerId
    address: str
    known: bool
    dialled: bool
    handshake: Handshake
    round_trip_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A frame as it came. payload: at most its channel's frame_bytes_max."""

    peer_id: PeerId
    channel: Channel
    payload: bytes


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """Frames to and from this peer flow from now on: tell it again what it has to know."""

    info: PeerInfo


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The connection ended, and what was queued is lost. reason: for people."""

    peer_id: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """A connection came to nothing. peer_id is None where the other end did not prove one. Left out when events lag."""

    peer_id: PeerId | None
    address: str
    reason: str


PeerEvent = PeerConnected | PeerDisconnected | ConnectionFailed

RequestHandler = Callable[[PeerId, bytes], Awaitable[bytes]]
"""Answers a peer's request with at most RESPONSE_BYTES_MAX bytes. Raises CallerError: refused, with its sentence;
PeerError: the peer is disconnected; OurError: goes on to the node. All else is logged and refused as internal error."""


class Transport(Protocol):
    """The node's network. Made outside, run by the node in its nursery, once."""

    @property
    def peer_id(self) -> PeerId:
        """This node's own name, from its network key."""
        ...

    def peers(self) -> Mapping[PeerId, PeerInfo]:
        """The connected peers now."""
        ...

    def send(self, peer_id: PeerId, channel: Channel, payload: bytes) -> bool:
        """Queue a frame. False: the peer is gone or its queue is full. Raises FrameTooLarge."""
        ...

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        """`send` to every connected peer; to how many it was queued."""
        ...

    def incoming(self, channel: Channel) -> trio.MemoryReceiveChannel[Received]:
        """The channel's inbox. It ends when `run` ends."""
        ...

    @property
    def events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """Peers that come and go, in order. It ends when `run` ends."""
        ...

    async def request(self, peer_id: PeerId, payload: bytes, timeout_s: float) -> bytes:
        """Ask one peer and wait for its answer. Raises RequestFailed: refused, busy, timed out, peer gone."""
        ...

    def disconnect(self, peer_id: PeerId, reason: str) -> None:
        """Tell the peer why, close, and keep it away for some seconds. Nothing happens if it is gone."""
        ...

    async def run(self, *, task_status: TaskStatus[None] = ...) -> None:
        """Serve until cancelled; started once it listens. Raises ListenError."""
        ...
