"""Committed changes that are in the log but not yet in LMDB, merged over their blocks.

Lives here: the RAM side of the store on disk. Must not: touch a file.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.state.protocols import Changes
from runtime.state.table import Table
from runtime.types import Hash

Over = Table[bytes | None]
"""Values laid over LMDB's; None: deleted."""

_ENTRY_BYTES_ESTIMATE = 200  # of RAM beside key and value


class Layer:
    """Grows block by block, then is frozen, written to LMDB, and dropped."""

    def __init__(self) -> None:
        self.tables: dict[str, Over] = {}
        self.extra: Over = Table()
        self.undo: dict[int, bytes] = {}
        self.height = 0
        self.root: Hash | None = None  # None: nothing applied yet
        self.size_bytes = 0  # estimate

    def apply(
        self, height: int, root: Hash, changes: Changes, extra: Mapping[bytes, bytes | None], undo: bytes | None
    ) -> None:
        """Lay a block over. undo: its encoded undo record; None: the first block of a store has none."""
        for module, changed in changes.items():
            table = self.tables.get(module)
            if table is None:
                table = self.tables[module] = Table()
            self._lay(table, changed)
        self._lay(self.extra, extra)
        if undo is not None:
            self.undo[height] = undo
            self.size_bytes += len(undo)
        self.height, self.root = height, root

    def _lay(self, table: Over, changed: Mapping[bytes, bytes | None]) -> None:
        for key, value in changed.items():
            table.set(key, value)
            self.size_bytes += _ENTRY_BYTES_ESTIMATE + len(key) + len(value or b"")
