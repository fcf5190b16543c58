"""The versions of the state that a store retains: trees and undo records by height.

Lives here: which height comes next, what a block's undo is, which heights are retained, proofs at them, and reading
the state as it was. Must not: keep present values (that is the store's) or touch a disk.

An undo record is what the block's changed keys held before it. The trees of a height share all that did not change with
their neighbours; after a reopen they are made on demand, by undoing from the nearest newer height. Bounded by heights
and by bytes, whichever is reached first; pruning drops the oldest record.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

from runtime.limits import HEIGHT_MAX
from runtime.state.bounds import check_key, check_module, check_value
from runtime.state.errors import HeightUnavailable, StateError
from runtime.state.forest import EMPTY_FOREST, Forest
from runtime.state.protocols import HEIGHT_EMPTY, Changes, PreparedState, Reader
from runtime.state.table import Table, in_chunks, key_range, merge
from runtime.types import Hash

_PATH_BYTES_ESTIMATE = 2_000  # of RAM for one changed key's own tree nodes and undo entry


@dataclass(frozen=True)
class Retention:
    """How much history is kept beside the present: at most `heights` older heights and about `history_bytes` of RAM."""

    heights: int = 256
    history_bytes: int = 256 * 1024 * 1024


@dataclass(slots=True)
class _Step:
    """What leads from a height back to the one before it. forest: of the one before; None: not made yet."""

    undo: Changes
    root_before: Hash
    size: int
    forest: Forest | None


class Versions:
    """The present height and trees, and the way back. `now`: reads the present state."""

    def __init__(
        self,
        now: Reader,
        retention: Retention,
        height: int = HEIGHT_EMPTY,
        forest: Forest = EMPTY_FOREST,
        lock: threading.RLock | None = None,
    ) -> None:
        """lock: held by whoever changes the present; what is read here under it belongs to one height."""
        self.lock = lock or threading.RLock()
        self._now = now
        self._retention = retention
        self._steps: dict[int, _Step] = {}  # by the height that the step undoes, ascending
        self._bytes = 0
        self.height = height
        self.forest = forest

    @property
    def oldest(self) -> int:
        """The oldest retained height."""
        return next(iter(self._steps), self.height + 1) - 1

    def prepare(self, height: int, changes: Changes) -> PreparedState:
        """As Store.prepare."""
        if not self._is_next(height):
            raise StateError(f"the state is at height {self.height}: height {height} cannot be prepared on it")
        net: dict[str, dict[bytes, bytes | None]] = {}
        undo: dict[str, dict[bytes, bytes | None]] = {}
        for module in sorted(changes):
            check_module(module)
            after, before = self._net(module, changes[module])
            if after:
                net[module], undo[module] = after, before
        forest = self.forest.apply(net)
        return PreparedState(height, forest.root, forest.module_roots(), net, undo, self.forest, forest)

    def _is_next(self, height: int) -> bool:
        if self.height == HEIGHT_EMPTY:
            return 0 <= height <= HEIGHT_MAX
        return height == self.height + 1 and height <= HEIGHT_MAX

    def _net(
        self, module: str, changed: Mapping[bytes, bytes | None]
    ) -> tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]:
        after: dict[bytes, bytes | None] = {}
        before: dict[bytes, bytes | None] = {}
        get = self._now.get
        for key in sorted(changed):
            value = changed[key]
            check_key(key)
            if value is not None:
                check_value(value)
            held = get(module, key)
            if held != value:
                after[key] = value
                before[key] = held
        return after, before

    def check_next(self, prepared: PreparedState) -> None:
        """Raises StateError unless `prepared` stands on the present state."""
        if prepared.base is not self.forest or not self._is_next(prepared.height):
            raise StateError(
                f"what was prepared at height {prepared.height} stands on another state than height {self.height}'s"
            )

    def advance(self, prepared: PreparedState) -> None:
        """Make `prepared` the present and prune."""
        if self.height == HEIGHT_EMPTY:
            self.height, self.forest = prepared.height, prepared.forest
            return
        self._remember(prepared.height, prepared.undo, self.forest.root, self.forest)
        self.height, self.forest = prepared.height, prepared.forest
        self._prune()

    def restore_step(self, height: int, undo: Changes, root_before: Hash) -> None:
        """Take over an undo record from the disk, oldest first, up to the present height."""
        self._remember(height, undo, root_before, None)
        self._prune()

    def _remember(self, height: int, undo: Changes, root_before: Hash, forest: Forest | None) -> None:
        size = sum(_PATH_BYTES_ESTIMATE + len(value or b"") for changed in undo.values() for value in changed.values())
        self._steps[height] = _Step(undo, root_before, size, forest)
        self._bytes += size

    def _prune(self) -> None:
        while len(self._steps) > self._retention.heights or self._bytes > self._retention.history_bytes:
            self._bytes -= self._steps.pop(next(iter(self._steps))).size

    def check_retained(self, height: int) -> None:
        """Raises HeightUnavailable unless `height` is retained."""
        if not self.oldest <= height <= self.height or self.height == HEIGHT_EMPTY:
            raise HeightUnavailable(height, self.oldest, self.height)

    def root_at(self, height: int) -> Hash:
        """As Store.root_at."""
        with self.lock:
            self.check_retained(height)
            return self.forest.root if height == self.height else self._steps[height + 1].root_before

    def forest_at(self, height: int | None) -> Forest:
        """The trees of a retained height (None: the present). Raises HeightUnavailable.

        Where they are not made yet, each older height is made under the lock by itself: a block need not wait for all.
        """
        while True:
            with self.lock:
                if height is None or height == self.height:
                    return self.forest
                self.check_retained(height)
                made, forest = self._nearest(height)
                if made == height:
                    return forest
                self._undo(made, forest)

    def _nearest(self, height: int) -> tuple[int, Forest]:
        """The lowest height from `height` on whose trees are made, and these."""
        for above in range(height, self.height):
            forest = self._steps[above + 1].forest
            if forest is not None:
                return above, forest
        return self.height, self.forest

    def _undo(self, height: int, forest: Forest) -> None:
        """Make and keep the trees of the height before, from those of `height`."""
        step = self._steps[height]
        step.forest = forest.apply(step.undo)
        if step.forest.root != step.root_before:
            made = step.forest.root.hex()
            raise StateError(f"undoing height {height} gives root {made}, not {step.root_before.hex()}")

    def undo_of(self, height: int) -> Changes:
        """The undo record of a retained height above the oldest."""
        return self._steps[height].undo

    def at(self, height: int) -> Past:
        """The state as it was at a retained height. Raises HeightUnavailable."""
        self.check_retained(height)
        return Past(self, self._now, height)


class Past:
    """A Reader of an older height: the present with the undo records laid over it. Stays right as blocks go on."""

    def __init__(self, versions: Versions, now: Reader, height: int) -> None:
        self._versions = versions
        self._now = now
        self._height = height
        self._undone = height  # records up to this height are in _tables
        self._tables: dict[str, Table[bytes | None]] = {}

    def get(self, module: str, key: bytes) -> bytes | None:
        """As Reader."""
        with self._versions.lock:
            values = self._table(module).values
            return values[key] if key in values else self._now.get(module, key)

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """As Reader."""
        items = in_chunks(partial(self._fetch, module, prefix), *key_range(prefix, start))
        return items if limit is None else islice(items, max(limit, 0))

    def _fetch(
        self, module: str, prefix: bytes, low: bytes, high: bytes | None, count: int
    ) -> list[tuple[bytes, bytes]]:
        with self._versions.lock:
            changed = self._table(module).range(low, high)
            return list(islice(merge(self._now.iterate(module, prefix, start=low), changed), count))

    def _table(self, module: str) -> Table[bytes | None]:
        self._versions.check_retained(self._height)
        while self._undone < self._versions.height:
            self._undone += 1
            for changed_module, before in self._versions.undo_of(self._undone).items():
                table = self._tables.setdefault(changed_module, Table())
                for key, value in before.items():
                    if key not in table.values:  # the oldest record above our height says what was held then
                        table.set(key, value)
        return self._tables.setdefault(module, Table())
