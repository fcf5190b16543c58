"""Changes laid over a Reader, with nested checkpoints: what a block, a transaction and a call write to.

Lives here: pending changes and how they are undone. Must not: hash, touch a disk, or know heights.
A checkpoint costs O(1): it is a mark in a journal of undo entries, never a copy.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from runtime.limits import CHECKPOINT_DEPTH_MAX
from runtime.state.blobs import chunk_hash
from runtime.state.bounds import check_key, check_module, check_value
from runtime.state.errors import StateBoundError, StateError
from runtime.state.protocols import BlobStore, Reader
from runtime.state.table import Table, key_range, merge
from runtime.types import Hash


class _Absent(enum.Enum):
    UNCHANGED = "as in the base"


_UNCHANGED: Final = _Absent.UNCHANGED
_Change = bytes | None
_Undo = tuple[Table[_Change] | None, bytes, _Change | _Absent]  # table None: the chunk of this hash was put


class Overlay:
    """Reads through to `base` where nothing changed. `blobs`: where chunks are read that are not pending here."""

    __slots__ = ("_base", "_blobs", "_chunks", "_journal", "_marks", "_tables")

    def __init__(self, base: Reader, blobs: BlobStore | None = None) -> None:
        self._base = base
        self._blobs = blobs
        self._tables: dict[str, Table[_Change]] = {}
        self._chunks: dict[Hash, bytes] = {}
        self._journal: list[_Undo] = []
        self._marks: list[int] = []

    # --- reading

    def get(self, module: str, key: bytes) -> bytes | None:
        """The value, or None where the key is absent."""
        table = self._tables.get(module)
        if table is not None:
            change = table.values.get(key, _UNCHANGED)
            if change is not _UNCHANGED:
                return change
        return self._base.get(module, key)

    def contains(self, module: str, key: bytes) -> bool:
        """Whether the key is present."""
        return self.get(module, key) is not None

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """The items whose key begins with `prefix`, in key order, from `start` (inclusive) on, at most `limit`.

        A snapshot: what is written to the overlay while iterating does not show.
        """
        base = self._base.iterate(module, prefix, start=start)
        table = self._tables.get(module)
        if table is not None:
            low, high = key_range(prefix, start)
            base = merge(base, table.range(low, high))
        return base if limit is None else islice(base, max(limit, 0))

    def pending(self, module: str, prefix: bytes = b"", *, start: bytes | None = None) -> int:
        """How many keys of that range are changed here, deleted ones included: what `iterate` has to lay over."""
        table = self._tables.get(module)
        return 0 if table is None else table.count(*key_range(prefix, start))

    def changes(self) -> dict[str, dict[bytes, bytes | None]]:
        """The pending changes by module and key, None for a deletion; for `Store.prepare`."""
        return {module: dict(table.values) for module, table in self._tables.items() if table.values}

    # --- writing

    def set(self, module: str, key: bytes, value: bytes) -> None:
        """Bind `key` to `value`. Raises StateBoundError where either is too long."""
        check_value(value)
        self._write(module, key, value)

    def delete(self, module: str, key: bytes) -> None:
        """Make `key` absent; nothing changes where it is already."""
        self._write(module, key, None)

    def _write(self, module: str, key: bytes, change: bytes | None) -> None:
        table = self._tables.get(module)
        if table is None:
            check_module(module)
            table = self._tables[module] = Table()
        check_key(key)
        if self._marks:
            self._journal.append((table, key, table.values.get(key, _UNCHANGED)))
        table.set(key, change)

    # --- blob chunks

    def put_blob(self, chunk: bytes) -> Hash:
        """Keep a chunk pending until the block is committed; returns its hash. Raises StateBoundError on its size."""
        name = chunk_hash(chunk)
        if name not in self._chunks:
            self._chunks[name] = chunk
            if self._marks:
                self._journal.append((None, name, None))
        return name

    def get_blob(self, name: Hash) -> bytes | None:
        """A chunk, pending or kept by the blob store; None where neither has it."""
        chunk = self._chunks.get(name)
        if chunk is None and self._blobs is not None:
            return self._blobs.get(name)
        return chunk

    def blobs(self) -> Mapping[Hash, bytes]:
        """The pending chunks by hash; for `Store.commit`."""
        return dict(self._chunks)

    # --- checkpoints

    @property
    def depth(self) -> int:
        """How many checkpoints are open."""
        return len(self._marks)

    def checkpoint(self) -> None:
        """Open a checkpoint inside those that are open. Raises StateBoundError beyond CHECKPOINT_DEPTH_MAX."""
        if len(self._marks) >= CHECKPOINT_DEPTH_MAX:
            raise StateBoundError("checkpoint depth", len(self._marks) + 1, CHECKPOINT_DEPTH_MAX)
        self._marks.append(len(self._journal))

    def commit(self) -> None:
        """Close the innermost checkpoint and keep its changes. Raises StateError where none is open."""
        self._pop()
        if not self._marks:
            self._journal.clear()

    def rollback(self) -> None:
        """Close the innermost checkpoint and undo its changes. Raises StateError where none is open."""
        mark = self._pop()
        journal = self._journal
        while len(journal) > mark:
            table, key, before = journal.pop()
            if table is None:
                del self._chunks[Hash(key)]
            elif before is _UNCHANGED:
                table.remove(key)  # so that `pending` does not tell what was undone
            else:
                table.values[key] = before

    def _pop(self) -> int:
        if not self._marks:
            raise StateError("no checkpoint is open: each commit or rollback closes one")
        return self._marks.pop()
