"""Gossip of transactions as values: events in, effects out.

Hash lists go first and bytes only on demand, so a transaction crosses each link about once. The shell calls
`flush` every 10 to 50 ms (at once when idle), and `tick` about once a second for unanswered requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.mempool.messages import (
    ANNOUNCED_MAX,
    BATCH_BYTES_MAX,
    FETCH_MAX,
    Announced,
    FetchTransactions,
    MempoolMessage,
    TransactionHashes,
    Transactions,
)
from runtime.mempool.seen import Seen
from runtime.mempool.transaction import Checked
from runtime.types import Hash

PEER_KNOWN_MAX = 16_384
REFUSED_MAX = 16_384
WANTED_MAX = 16_384
WANTED_PER_PEER_MAX = 4_096
CROWDED_OUT_PER_PEER_MAX = 4_096
ANNOUNCERS_MAX = 4
FETCH_TIMEOUT_MS = 1_000


class Holder(Protocol):
    """What gossip needs of the pool."""

    def get(self, hash_: Hash, /) -> Checked | None:
        """By the hash of its bytes; None where it does not wait."""
        ...

    def was_committed(self, hash_: Hash, /) -> bool:
        """Whether one of the last blocks holds it: it is not asked for again."""
        ...

    def hashes(self) -> Iterable[Hash]:
        """Of everything that waits."""
        ...


@dataclass(frozen=True)
class Send:
    """Effect: send this message to this peer."""

    peer: str
    message: MempoolMessage


@dataclass(frozen=True)
class Offer:
    """Effect: check these transactions and add them; tell `refused` about those that fail."""

    peer: str
    transactions: tuple[bytes, ...]


@dataclass(frozen=True)
class Misbehaved:
    """Effect: this peer broke the protocol."""

    peer: str
    reason: str


Effect = Send | Offer | Misbehaved


@dataclass
class _Peer:
    known: Seen = field(default_factory=lambda: Seen(PEER_KNOWN_MAX))
    outbox: dict[Hash, int] = field(default_factory=dict)
    queue: dict[Hash, int] = field(default_factory=dict)  # wanted from this peer, not yet asked for
    asked: dict[Hash, int] = field(default_factory=dict)  # asked for, not yet answered; the sizes announced
    crowded_out: dict[Hash, int] = field(default_factory=dict)  # it has them, and the pool had no room; their sizes
    deadline_ms: int = 0


class Gossip:
    """Who knows what, and what is being fetched from whom. Everything is bounded per peer."""

    def __init__(self, pool: Holder, hash_of: Callable[[bytes], Hash]) -> None:
        self._pool = pool
        self._hash_of = hash_of
        self._peers: dict[str, _Peer] = {}
        self._wanted: dict[Hash, list[str]] = {}  # announcers, the one being asked first
        self._refused = Seen(REFUSED_MAX)

    @property
    def pending(self) -> bool:
        """Whether `flush` has something to send."""
        return any(peer.outbox for peer in self._peers.values())

    # --- events ---------------------------------------------------------------------------------------------

    def joined(self, peer: str) -> None:
        """A peer is connected: everything that waits is announced to it."""
        state = self._peers[peer] = _Peer()
        for hash_ in self._pool.hashes():
            self._announce(state, hash_)

    def left(self, peer: str, now_ms: int) -> list[Effect]:
        """A peer is gone: what was asked of it is asked of the next announcer."""
        state = self._peers.pop(peer, None)
        if state is None:
            return []
        return self._reassign([*state.asked, *state.queue], peer, now_ms)

    def added(self, hash_: Hash) -> None:
        """The pool took a transaction: announce it to everyone who does not know it."""
        self._wanted.pop(hash_, None)
        for state in self._peers.values():
            self._announce(state, hash_)

    def refused(self, hash_: Hash) -> None:
        """The check or the pool refused it: do not fetch it again soon."""
        self._wanted.pop(hash_, None)
        self._refused.add(hash_)

    def crowded_out(self, peer: str, hash_: Hash, size: int) -> None:
        """The pool is full of better ones. The peer announces what it has once: this end remembers, for `retry`."""
        state = self._peers.get(peer)
        if state is not None and len(state.crowded_out) < CROWDED_OUT_PER_PEER_MAX:
            state.crowded_out[hash_] = size

    def retry(self, room: int, room_bytes: int, now_ms: int) -> list[Effect]:
        """The pool has room for so many: fetch what was crowded out, the longest ago first."""
        effects: list[Effect] = []
        for peer, state in self._peers.items():
            for hash_, size in list(state.crowded_out.items()):
                if room < 1 or size > room_bytes:
                    break
                del state.crowded_out[hash_]
                if self._want(peer, hash_, size):
                    room, room_bytes = room - 1, room_bytes - size
            effects += self._ask(peer, now_ms)
        return effects

    def flush(self) -> list[Effect]:
        """Send the announcements that have gathered."""
        effects: list[Effect] = []
        for peer, state in self._peers.items():
            while state.outbox:
                batch = tuple(Announced(h, size) for h, size in islice(state.outbox.items(), ANNOUNCED_MAX))
                for item in batch:
                    del state.outbox[item.hash]
                effects.append(Send(peer, TransactionHashes(batch)))
        return effects

    def tick(self, now_ms: int) -> list[Effect]:
        """Give up on unanswered requests and ask elsewhere."""
        effects: list[Effect] = []
        for peer, state in list(self._peers.items()):
            if state.asked and now_ms >= state.deadline_ms:
                late = list(state.asked)
                state.asked.clear()
                effects += self._reassign(late, peer, now_ms)
                effects += self._ask(peer, now_ms)
        return effects

    def received(self, peer: str, message: MempoolMessage, now_ms: int) -> list[Effect]:
        """A peer's message. Messages of unknown peers (just disconnected) are ignored."""
        if peer not in self._peers:
            return []
        match message:
            case TransactionHashes():
                return self._on_hashes(peer, message, now_ms)
            case FetchTransactions():
                return self._on_fetch(peer, message)
            case Transactions():
                return self._on_transactions(peer, message, now_ms)

    # --- messages -------------------------------------------------------------------------------------------

    def _on_hashes(self, peer: str, message: TransactionHashes, now_ms: int) -> list[Effect]:
        state = self._peers[peer]
        for item in message.transactions:
            if item.size > TRANSACTION_BYTES_MAX:
                limit = TRANSACTION_BYTES_MAX
                return [Misbehaved(peer, f"announced a transaction of {item.size} bytes; {limit} are allowed")]
            state.known.add(item.hash)
            state.outbox.pop(item.hash, None)
            self._want(peer, item.hash, item.size)
        return self._ask(peer, now_ms)

    def _want(self, peer: str, hash_: Hash, size: int) -> bool:
        """Whether it is to be fetched from this peer; where another is asked first, this one is remembered."""
        if self._pool.get(hash_) or self._pool.was_committed(hash_) or hash_ in self._refused:
            return False
        state, announcers = self._peers[peer], self._wanted.get(hash_)
        if announcers is not None:
            if peer not in announcers and len(announcers) < ANNOUNCERS_MAX:
                announcers.append(peer)
            return False
        if len(self._wanted) >= WANTED_MAX or len(state.queue) >= WANTED_PER_PEER_MAX:
            return False
        self._wanted[hash_] = [peer]
        state.queue[hash_] = size
        return True

    def _on_fetch(self, peer: str, message: FetchTransactions) -> list[Effect]:
        state = self._peers[peer]
        batch: list[bytes] = []
        room = BATCH_BYTES_MAX
        for hash_ in message.hashes:
            checked = self._pool.get(hash_)
            if checked is None or checked.size > room:
                continue
            room -= checked.size
            batch.append(checked.data)
            state.known.add(hash_)
            state.outbox.pop(hash_, None)
        return [Send(peer, Transactions(tuple(batch)))]

    def _on_transactions(self, peer: str, message: Transactions, now_ms: int) -> list[Effect]:
        state = self._peers[peer]
        fresh: list[bytes] = []
        for data in message.transactions:
            hash_ = self._hash_of(data)
            if state.asked.pop(hash_, None) is None:
                continue  # unasked, or so late that another peer was asked: not worth a check
            state.known.add(hash_)
            self._wanted.pop(hash_, None)
            if self._pool.get(hash_) is None:
                fresh.append(data)
        effects: list[Effect] = [Offer(peer, tuple(fresh))] if fresh else []
        missing = list(state.asked)  # the peer no longer holds these
        state.asked.clear()
        return effects + self._reassign(missing, peer, now_ms) + self._ask(peer, now_ms)

    # --- fetching -------------------------------------------------------------------------------------------

    def _ask(self, peer: str, now_ms: int) -> list[Effect]:
        """One request at a time for each peer, within FETCH_MAX hashes and BATCH_BYTES_MAX of bytes."""
        state = self._peers.get(peer)
        if state is None or state.asked or not state.queue:
            return []
        room = BATCH_BYTES_MAX
        for hash_, size in list(state.queue.items()):
            if hash_ not in self._wanted:
                del state.queue[hash_]
                continue
            if size > room or len(state.asked) >= FETCH_MAX:
                break
            room -= size
            state.asked[hash_] = state.queue.pop(hash_)
        if not state.asked:
            return []
        state.deadline_ms = now_ms + FETCH_TIMEOUT_MS
        return [Send(peer, FetchTransactions(tuple(state.asked)))]

    def _reassign(self, hashes: Iterable[Hash], loser: str, now_ms: int) -> list[Effect]:
        """`loser` did not deliver: queue each hash at its next announcer."""
        touched: dict[str, None] = {}
        for hash_ in hashes:
            announcers = [p for p in self._wanted.pop(hash_, []) if p != loser and p in self._peers]
            if announcers:
                self._wanted[hash_] = announcers
                self._peers[announcers[0]].queue[hash_] = TRANSACTION_BYTES_MAX
                touched[announcers[0]] = None
        return [effect for peer in touched for effect in self._ask(peer, now_ms)]

    def _announce(self, state: _Peer, hash_: Hash) -> None:
        checked = self._pool.get(hash_)
        if checked is not None and hash_ not in state.known:
            state.outbox[hash_] = checked.size
            state.known.add(hash_)
