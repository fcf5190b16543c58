"""A bounded set that forgets the oldest first."""

from __future__ import annotations

from runtime.types import Hash


class Seen:
    """The last `limit` distinct hashes. Adding one again makes it the newest."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a cache of {limit} hashes holds nothing: give at least 1")
        self._limit = limit
        self._hashes: dict[Hash, None] = {}

    def __contains__(self, value: Hash) -> bool:
        return value in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, value: Hash) -> bool:
        """Remember it. True when it was not there before."""
        fresh = self._hashes.pop(value, True) is True
        self._hashes[value] = None
        if len(self._hashes) > self._limit:
            del self._hashes[next(iter(self._hashes))]
        return fresh

    def forget(self, value: Hash) -> None:
        """As if it had never been added."""
        self._hashes.pop(value, None)
