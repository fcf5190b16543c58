"""What block sync knows of each peer, and how far it trusts it."""

from __future__ import annotations

from dataclasses import dataclass

FAILURES_MAX = 3  # in a row; then the peer's claim is not believed until it speaks again after the pause
PAUSE_MS = 10_000


@dataclass
class SyncPeer:
    """height: of the last block it claims to hold. banned: it was caught lying and is not asked again."""

    height: int
    busy: bool = False
    failures: int = 0
    paused_until_ms: int = 0
    banned: bool = False
    delivered: int = 0

    def usable(self, now_ms: int) -> bool:
        """Whether it may be asked now: not banned, and not paused after failures."""
        return not self.banned and now_ms >= self.paused_until_ms

    def failed(self, now_ms: int) -> None:
        """A request came to nothing: late, refused or empty."""
        self.failures += 1
        if self.failures >= FAILURES_MAX:
            self.failures = 0
            self.paused_until_ms = now_ms + PAUSE_MS

    def succeeded(self, blocks: int) -> None:
        """It gave so many blocks: its failures are forgotten. Whether they are true shows later."""
        self.failures = 0
        self.delivered += blocks

    @property
    def rank(self) -> tuple[int, int]:
        """Larger is asked first: fewer failures, then more delivered."""
        return (-self.failures, self.delivered)
