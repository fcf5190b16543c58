"""When a peer is dialled again: jittered exponential backoff, and whom not to dial or let in for a while."""

from __future__ import annotations

import random

import trio

from runtime.network.limits import BACKOFF_MAX_S, BACKOFF_MIN_S, BANNED_PEERS_MAX
from runtime.network.transport import PeerId

_random = random.SystemRandom()


class Backoff:
    """Delays that double from the least to the most, each shortened by chance to no less than half."""

    def __init__(self) -> None:
        self._delay_s = BACKOFF_MIN_S

    def reset(self) -> None:
        """Begin anew at the least delay: a connection held."""
        self._delay_s = BACKOFF_MIN_S

    def next(self) -> float:
        """How many seconds to wait before the next attempt; doubles what comes after it."""
        delay_s = self._delay_s * _random.uniform(0.5, 1.0)
        self._delay_s = min(2 * self._delay_s, BACKOFF_MAX_S)
        return delay_s


class Bans:
    """Peers that are kept away until a time; bounded, the soonest to return goes first."""

    def __init__(self) -> None:
        self._until: dict[PeerId, float] = {}

    def ban(self, peer_id: PeerId, seconds: float) -> None:
        """Keep the peer away for `seconds` from now, by trio's clock; a ban is never shortened."""
        self._until[peer_id] = max(self._until.get(peer_id, 0.0), trio.current_time() + seconds)
        if len(self._until) > BANNED_PEERS_MAX:
            del self._until[min(self._until, key=lambda banned: self._until[banned])]

    def remaining_s(self, peer_id: PeerId) -> float:
        """0.0 if the peer is not banned (any longer)."""
        until = self._until.get(peer_id)
        if until is None:
            return 0.0
        remaining = until - trio.current_time()
        if remaining <= 0:
            del self._until[peer_id]
            return 0.0
        return remaining
