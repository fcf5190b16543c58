"""One sender's waiting transactions, in nonce order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.mempool.transaction import Checked


@dataclass(frozen=True)
class Entry:
    """A waiting transaction and when it came: arrival counts up, so that ties go to the first."""

    checked: Checked
    arrival: int

    @property
    def rank(self) -> tuple[int, int]:
        """Smaller is packed earlier and evicted later."""
        return (-self.checked.price, self.arrival)


class Lane:
    """Entries of one sender by nonce. `next_nonce`: the sender's, in the state after the last block."""

    def __init__(self, next_nonce: int) -> None:
        self.next_nonce = next_nonce
        self._by_nonce: dict[int, Entry] = {}
        self._nonces: list[int] = []

    def __len__(self) -> int:
        return len(self._nonces)

    def get(self, nonce: int) -> Entry | None:
        """None where no transaction of this nonce waits."""
        return self._by_nonce.get(nonce)

    @property
    def ready(self) -> bool:
        """Whether the next block could hold the first one."""
        return self.next_nonce in self._by_nonce

    def from_end(self, index: int) -> Entry | None:
        """The last entry by nonce for 0, the one before it for 1, and so on; None when there are fewer."""
        return self._by_nonce[self._nonces[-1 - index]] if index < len(self._nonces) else None

    def insert(self, entry: Entry) -> None:
        """In the place of its nonce; one that was there is replaced."""
        nonce = entry.checked.nonce
        if nonce not in self._by_nonce:
            insort(self._nonces, nonce)
        self._by_nonce[nonce] = entry

    def remove(self, nonce: int) -> Entry | None:
        """The one that was there; None where none was."""
        entry = self._by_nonce.pop(nonce, None)
        if entry is not None:
            del self._nonces[bisect_left(self._nonces, nonce)]
        return entry

    def used(self) -> Iterator[Entry]:
        """Entries whose nonce the state has passed."""
        for nonce in self._nonces[: bisect_left(self._nonces, self.next_nonce)]:
            yield self._by_nonce[nonce]
