"""A dictionary with byte keys that can also be read in key order, and the arithmetic of key ranges.

Lives here: ordering. Must not: know modules, heights, or what a value means.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")

_CHUNK_FIRST = 16
_CHUNK_MAX = 512
_INSERTED_MAX = 32


class Table(Generic[V]):
    """`values` is the dictionary (read it directly: that is the fast path; write by `set` and `remove`).

    The order is made when it is asked for: writes are O(1), a range after n new keys costs one merge.
    """

    __slots__ = ("_fresh", "_keys", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, V] = {}
        self._keys: list[bytes] = []
        self._fresh: list[bytes] = []

    def set(self, key: bytes, value: V) -> None:
        """Bind `key` to `value`."""
        if key not in self.values:
            self._fresh.append(key)
        self.values[key] = value

    def remove(self, key: bytes) -> None:
        """Forget `key`; nothing happens where it is not there."""
        if key not in self.values:
            return
        del self.values[key]
        if self._fresh and self._fresh[-1] == key:
            self._fresh.pop()
            return
        self._settle()
        del self._keys[bisect_left(self._keys, key)]

    def count(self, low: bytes, high: bytes | None) -> int:
        """How many items `range` would give."""
        first, last = self._places(low, high)
        return last - first

    def range(self, low: bytes, high: bytes | None, count: int | None = None) -> list[tuple[bytes, V]]:
        """The items with low <= key < high in key order, the first `count` of them; high None: no upper end."""
        first, last = self._places(low, high)
        if count is not None:
            last = min(last, first + count)
        values = self.values
        return [(key, values[key]) for key in self._keys[first:last]]

    def _places(self, low: bytes, high: bytes | None) -> tuple[int, int]:
        self._settle()
        first = bisect_left(self._keys, low)
        return first, len(self._keys) if high is None else bisect_left(self._keys, high, first)

    def _settle(self) -> None:
        if len(self._fresh) <= _INSERTED_MAX:  # who writes and ranges by turns must not pay for all keys each time
            for key in self._fresh:
                insort(self._keys, key)
        else:
            self._keys.extend(self._fresh)
            self._keys.sort()  # two sorted runs nearly: linear
        self._fresh.clear()


def key_range(prefix: bytes, start: bytes | None) -> tuple[bytes, bytes | None]:
    """The half-open range [low, high) of the keys that begin with `prefix` and are not below `start`."""
    low = prefix if start is None else max(prefix, start)
    stem = prefix.rstrip(b"\xff")
    return low, (stem[:-1] + bytes([stem[-1] + 1]) if stem else None)


Fetch = Callable[[bytes, "bytes | None", int], "list[tuple[bytes, bytes]]"]


def in_chunks(fetch: Fetch, low: bytes, high: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    """All items of a range, fetched by growing chunks, so that nobody holds a cursor between two steps.

    fetch(low, high, count) returns the first items of the range: an empty list only where none is left.
    """
    count = _CHUNK_FIRST
    while items := fetch(low, high, count):
        yield from items
        low = items[-1][0] + b"\0"
        count = min(2 * count, _CHUNK_MAX)


def merge(
    base: Iterator[tuple[bytes, bytes]], changed: list[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    """`base` with `changed` laid over it, both in key order; None deletes."""
    position = 0
    for key, value in base:
        while position < len(changed) and changed[position][0] < key:
            over_key, over = changed[position]
            position += 1
            if over is not None:
                yield over_key, over
        if position < len(changed) and changed[position][0] == key:
            over = changed[position][1]
            position += 1
            if over is not None:
                yield key, over
        else:
            yield key, value
    for over_key, over in changed[position:]:
        if over is not None:
            yield over_key, over
