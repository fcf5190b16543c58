"""The state in RAM: for tests, simulations, the in-process chain. The same protocol and roots as on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from runtime.state.blobs import MemoryBlobStore
from runtime.state.bounds import check_extra
from runtime.state.proof import StateProof, prove
from runtime.state.protocols import BlobStore, Changes, PreparedState, Reader
from runtime.state.table import Table, in_chunks, key_range
from runtime.state.versions import Retention, Versions
from runtime.types import Hash

_NOTHING: Table[bytes] = Table()


class MemoryStore:
    """A Store in RAM; see Store for every method's rules."""

    def __init__(self, *, retention: Retention | None = None) -> None:
        self._tables: dict[str, Table[bytes]] = {}
        self._extra: Table[bytes] = Table()
        self._blobs = MemoryBlobStore()
        self._versions = Versions(self, retention or Retention())

    @property
    def height(self) -> int:
        """As Store."""
        return self._versions.height

    @property
    def oldest_height(self) -> int:
        """As Store."""
        return self._versions.oldest

    @property
    def root(self) -> Hash:
        """As Store."""
        return self._versions.forest.root

    @property
    def blobs(self) -> BlobStore:
        """As Store."""
        return self._blobs

    def module_roots(self) -> Mapping[str, Hash]:
        """As Store."""
        return self._versions.forest.module_roots()

    def get(self, module: str, key: bytes) -> bytes | None:
        """As Reader."""
        return self._tables.get(module, _NOTHING).values.get(key)

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """As Reader."""
        return _items(self._tables.get(module, _NOTHING), prefix, limit, start)

    def prepare(self, height: int, changes: Changes) -> PreparedState:
        """As Store."""
        return self._versions.prepare(height, changes)

    def commit(
        self, prepared: PreparedState, *, blobs: Iterable[bytes] = (), extra: Mapping[bytes, bytes | None] | None = None
    ) -> None:
        """As Store."""
        self._versions.check_next(prepared)
        check_extra(extra or {})
        self._blobs.put(blobs)
        for module, changed in prepared.changes.items():
            _apply(self._tables.setdefault(module, Table()), changed)
        _apply(self._extra, extra or {})
        self._versions.advance(prepared)

    def get_extra(self, key: bytes) -> bytes | None:
        """As Store."""
        return self._extra.values.get(key)

    def iterate_extra(
        self, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """As Store."""
        return _items(self._extra, prefix, limit, start)

    def prove(self, module: str, key: bytes, height: int | None = None) -> StateProof:
        """As Store."""
        return prove(self._versions.forest_at(height), module, key)

    def root_at(self, height: int) -> Hash:
        """As Store."""
        return self._versions.root_at(height)

    def at(self, height: int) -> Reader:
        """As Store."""
        return self._versions.at(height)

    def close(self) -> None:
        """As Store."""


def _items(table: Table[bytes], prefix: bytes, limit: int | None, start: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    items = in_chunks(table.range, *key_range(prefix, start))
    return items if limit is None else islice(items, max(limit, 0))


def _apply(table: Table[bytes], changed: Mapping[bytes, bytes | None]) -> None:
    for key, value in changed.items():
        if value is None:
            table.remove(key)
        else:
            table.set(key, value)
