"""Which heights are asked of whom, what has arrived, and what is verified next.

Rules:
- Heights above the last applied one are asked for in windows, several peers at a time, a bounded way ahead.
- A block leaves only verified, in order: the caller's `verify` checks its certificate against the validator set of its
  height, which is known once the block before it is applied.
- A block that fails is a lie of the peer that sent it: the peer is banned, all that came from it is dropped, others are
  asked. A peer that is late, refuses or has nothing thrice in a row is left alone for a while.
- A claim of a great height alone moves nothing: it only causes requests, and those fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import CallerError, PeerError
from runtime.sync.messages import WINDOW_BLOCKS_MAX, BlocksResponse, SyncedBlock
from runtime.sync.peers import SyncPeer

AHEAD_BLOCKS_MAX = 128
REQUESTS_MAX = 4
GRACE_MS = 500  # one block behind is normal while a height is being decided


@dataclass(frozen=True)
class Request:
    """Effect: ask this peer for blocks. Answer with `responded` or `failed`, always."""

    peer: str
    height: int
    count: int


@dataclass(frozen=True)
class Ban:
    """Effect: this peer lied; disconnect it."""

    peer: str
    reason: str


SyncEffect = Request | Ban


@dataclass(frozen=True)
class _Arrived:
    peer: str
    item: SyncedBlock


class BlockSync:
    """The state of catching up. `height` is that of the last block applied here."""

    def __init__(self, height: int) -> None:
        self.height = height
        self._peers: dict[str, SyncPeer] = {}
        self._asked: dict[int, str] = {}  # height -> the peer that was asked
        self._arrived: dict[int, _Arrived] = {}
        self._lagging_since_ms: int | None = None

    def target(self, now_ms: int) -> int:
        """The greatest height that a usable peer claims; at least our own."""
        return max((peer.height for peer in self._peers.values() if peer.usable(now_ms)), default=self.height)

    def behind(self, now_ms: int) -> int:
        """By how many blocks usable peers are ahead; 0 when none is."""
        return max(0, self.target(now_ms) - self.height)

    # --- events
    # ---------------------------------------------------------------------------------------------------------

    def peer_at(self, peer: str, height: int) -> None:
        """A peer says that its last block is `height`."""
        known = self._peers.get(peer)
        if known is None:
            self._peers[peer] = SyncPeer(height)
        else:
            known.height = height

    def peer_left(self, peer: str) -> None:
        """A peer is gone; what it delivered stays until it is verified. A ban outlives the connection."""
        known = self._peers.get(peer)
        if known is not None and known.banned:
            known.busy = False
        else:
            self._peers.pop(peer, None)
        self._asked = {height: asked for height, asked in self._asked.items() if asked != peer}

    def applied(self, height: int) -> None:
        """A block was applied, from sync or by consensus."""
        self.height = height
        self._lagging_since_ms = None
        self._arrived = {at: item for at, item in self._arrived.items() if at > height}
        self._asked = {at: peer for at, peer in self._asked.items() if at > height}

    def poll(self, now_ms: int) -> list[SyncEffect]:
        """What to ask now. Call it after every event, and about every 100 ms."""
        if not self._should_ask(now_ms):
            return []
        effects: list[SyncEffect] = []
        free = REQUESTS_MAX - sum(peer.busy for peer in self._peers.values())
        while free > 0:
            request = self._next_request(now_ms)
            if request is None:
                break
            effects.append(request)
            free -= 1
        return effects

    def responded(self, request: Request, response: BlocksResponse, now_ms: int) -> list[SyncEffect]:
        """The answer to `request`. What does not belong to it is a lie at once; the rest is verified in its turn."""
        peer = self._finish(request)
        if peer is None:
            return []
        if len(response.blocks) > request.count:
            return self._ban(request.peer, f"answered {len(response.blocks)} blocks to a request for {request.count}")
        for offset, item in enumerate(response.blocks):
            height = request.height + offset
            if item.certificate.height != height:
                claimed = item.certificate.height
                return self._ban(request.peer, f"sent a certificate of height {claimed} where {height} was asked for")
            if height > self.height and height not in self._arrived:
                self._arrived[height] = _Arrived(request.peer, item)
        if response.blocks:
            peer.succeeded(len(response.blocks))
        else:
            peer.failed(now_ms)
        return self.poll(now_ms)

    def failed(self, request: Request, now_ms: int) -> list[SyncEffect]:
        """The request timed out or was refused."""
        peer = self._finish(request)
        if peer is not None:
            peer.failed(now_ms)
        return self.poll(now_ms)

    def next_block(self, verify: Callable[[SyncedBlock], None]) -> tuple[SyncedBlock | None, list[SyncEffect]]:
        """The block after `height`, verified, when it is there. A lie is dropped and its sender banned.

        verify raises CallerError or PeerError with the reason. The block stays until `applied` says it was used.
        """
        arrived = self._arrived.get(self.height + 1)
        if arrived is None:
            return None, []
        try:
            verify(arrived.item)
        except (CallerError, PeerError) as error:
            return None, self._ban(arrived.peer, f"sent a false block {self.height + 1}: {error}")
        return arrived.item, []

    # --- asking
    # ---------------------------------------------------------------------------------------------------------

    def _should_ask(self, now_ms: int) -> bool:
        behind = self.behind(now_ms)
        if behind == 0:
            self._lagging_since_ms = None
            return False
        if self._lagging_since_ms is None:
            self._lagging_since_ms = now_ms
        return behind > 1 or now_ms - self._lagging_since_ms >= GRACE_MS

    def _next_request(self, now_ms: int) -> Request | None:
        low = self.height + 1
        while low in self._asked or low in self._arrived:
            low += 1
        if low > self.height + AHEAD_BLOCKS_MAX:
            return None
        able = [
            (peer.rank, name)
            for name, peer in self._peers.items()
            if peer.usable(now_ms) and not peer.busy and peer.height >= low
        ]
        if not able:
            return None
        name = max(able)[1]
        high = min(self._peers[name].height, low + WINDOW_BLOCKS_MAX - 1, self.height + AHEAD_BLOCKS_MAX)
        count = 1
        while low + count <= high and low + count not in self._asked and low + count not in self._arrived:
            count += 1
        self._peers[name].busy = True
        self._asked.update(dict.fromkeys(range(low, low + count), name))
        return Request(name, low, count)

    def _finish(self, request: Request) -> SyncPeer | None:
        for height in range(request.height, request.height + request.count):
            if self._asked.get(height) == request.peer:
                del self._asked[height]
        peer = self._peers.get(request.peer)
        if peer is None or peer.banned:
            return None
        peer.busy = False
        return peer

    def _ban(self, name: str, reason: str) -> list[SyncEffect]:
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers[name] = SyncPeer(0)
        peer.banned = True
        self._arrived = {height: item for height, item in self._arrived.items() if item.peer != name}
        self._asked = {height: asked for height, asked in self._asked.items() if asked != name}
        return [Ban(name, reason)]
