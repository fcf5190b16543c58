"""The store on disk: a write-ahead log record for each block, RAM over LMDB, and the trees in RAM.

A commit: blob chunks (durable), one log record (durable: the block is persisted), then RAM. When the RAM side is large
enough it is frozen and merged into LMDB by a thread; the log segments that it covers are then deleted.
Opening: the trees are built from LMDB and must give the root that LMDB names; then the log is replayed, and each block
must give the root that its record names. So a store opens at exactly the last persisted block, or says what is wrong.

Lives here: the order of these steps. Must not: know file formats (wal, records, base, blobs do).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from runtime.state.bounds import check_extra
from runtime.state.disk.base import EXTRA_STEM, MAP_BYTES_FIRST, Base, above_stem, state_stem
from runtime.state.disk.blobs import DiskBlobStore
from runtime.state.disk.files import FolderLock, make_folder, refusals, sync_folder
from runtime.state.disk.flush import Flusher
from runtime.state.disk.layer import Layer, Over
from runtime.state.disk.records import encode_block, encode_undo
from runtime.state.disk.recover import Recovery, open_segment, recovered_versions, replay
from runtime.state.disk.wal import Segment, segment_path, segments
from runtime.state.errors import StateError
from runtime.state.proof import StateProof, prove
from runtime.state.protocols import HEIGHT_EMPTY, BlobStore, Changes, PreparedState, Reader
from runtime.state.table import in_chunks, key_range
from runtime.state.versions import Retention
from runtime.types import Hash

FLUSH_BYTES: Final = 16 * 1024 * 1024
_BACKLOG: Final = 4  # times flush_bytes in RAM: then a commit waits for the flush

_Chunk = Callable[[bytes, bytes, int], list[tuple[bytes, bytes]]]


class DiskStore:
    """A Store in a folder; see Store for every method's rules. One process at a time; any thread may read.

    recovery: what opening found. flush_bytes: of RAM over LMDB, from which on it is flushed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        retention: Retention | None = None,
        flush_bytes: int = FLUSH_BYTES,
        map_bytes: int = MAP_BYTES_FIRST,
    ) -> None:
        """Open or make it. Raises StoreLocked, StoreCorrupt or StoreUnwritable, each naming the file."""
        self.path = Path(path)
        self._flush_bytes = flush_bytes
        self._flusher = Flusher()
        self._active, self._frozen = Layer(), Layer()
        with ExitStack() as opened:
            make_folder(self.path)
            opened.callback(FolderLock(self.path).release)
            self._log = self.path / "wal"
            make_folder(self._log)
            self._blobs = DiskBlobStore(self.path / "blobs")
            self._base = Base(self.path / "lmdb", map_bytes)
            opened.callback(self._base.close)
            self._lock = self._base.lock
            self._versions = recovered_versions(self._base, self, retention or Retention())
            self.recovery: Recovery = replay(self._log, self._versions, self._apply)
            self._segment: Segment = open_segment(self._log, self.height + 1)
            opened.callback(self._close_segment)
            self._opened = opened.pop_all()
        self._closed = False

    # --- the present

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
        with self._lock:
            for layer in (self._active, self._frozen):
                table = layer.tables.get(module)
                if table is not None and key in table.values:
                    return table.values[key]
            return self._base.get_state(state_stem(module) + key)

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """As Reader."""

        def layers() -> list[Over]:
            tables = (layer.tables.get(module) for layer in (self._frozen, self._active))
            return [table for table in tables if table is not None]

        fetch = partial(self._fetch, self._base.chunk_of_state, state_stem(module), layers)
        items = in_chunks(fetch, *key_range(prefix, start))
        return items if limit is None else islice(items, max(limit, 0))

    def get_extra(self, key: bytes) -> bytes | None:
        """As Store."""
        with self._lock:
            for layer in (self._active, self._frozen):
                if key in layer.extra.values:
                    return layer.extra.values[key]
            return self._base.get_extra(EXTRA_STEM + key)

    def iterate_extra(
        self, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """As Store."""

        def layers() -> list[Over]:
            return [self._frozen.extra, self._active.extra]

        fetch = partial(self._fetch, self._base.chunk_of_extra, EXTRA_STEM, layers)
        items = in_chunks(fetch, *key_range(prefix, start))
        return items if limit is None else islice(items, max(limit, 0))

    def _fetch(
        self, chunk: _Chunk, stem: bytes, layers: Callable[[], list[Over]], low: bytes, high: bytes | None, count: int
    ) -> list[tuple[bytes, bytes]]:
        """The first items of a range: a chunk of LMDB's, with what is not flushed yet laid over it."""
        last = above_stem(stem) if high is None else stem + high
        with self._lock:
            while True:
                found = [(key[len(stem) :], value) for key, value in chunk(stem + low, last, count)]
                bound = found[-1][0] + b"\0" if found else high
                merged: dict[bytes, bytes | None] = dict(found)
                for table in layers():
                    merged.update(table.range(low, bound))
                items = [(key, value) for key, value in sorted(merged.items()) if value is not None]
                if items or not found:
                    return items
                low = found[-1][0] + b"\0"

    # --- blocks

    def prepare(self, height: int, changes: Changes) -> PreparedState:
        """As Store."""
        self._check_open()
        return self._versions.prepare(height, changes)

    def commit(
        self, prepared: PreparedState, *, blobs: Iterable[bytes] = (), extra: Mapping[bytes, bytes | None] | None = None
    ) -> None:
        """As Store."""
        self._check_open()
        records = dict(extra or {})
        self._versions.check_next(prepared)
        check_extra(records)
        payload = encode_block(prepared.root, prepared.changes, records)
        self._make_room()
        self._blobs.put(blobs)
        self._segment.append(prepared.height, payload)
        self._apply(prepared, records)

    def _apply(self, prepared: PreparedState, extra: Mapping[bytes, bytes | None]) -> None:
        """A persisted block's effect in RAM."""
        undo = None if self.height == HEIGHT_EMPTY else encode_undo(self.root, prepared.undo)
        with self._lock:
            self._active.apply(prepared.height, prepared.root, prepared.changes, extra, undo)
            self._versions.advance(prepared)

    def _make_room(self) -> None:
        """Start a flush where the RAM side is large; raise the error of one that failed."""
        self._flusher.check()
        size = self._active.size_bytes
        if size < self._flush_bytes or (self._flusher.busy and size < _BACKLOG * self._flush_bytes):
            return
        self._flusher.wait()
        segment = Segment(segment_path(self._log, self.height + 1))
        self._segment.close()
        self._segment = segment
        with self._lock:
            self._frozen, self._active = self._active, Layer()
        covered = [path for path in segments(self._log) if path != segment.path]
        self._flusher.start(partial(self._flush, self._frozen, self.oldest_height, covered))

    def _flush(self, layer: Layer, oldest_height: int, covered: list[Path]) -> None:
        self._base.write(layer, oldest_height)
        with self._lock:
            self._base.renew()
            self._frozen = Layer()
        for path in covered:
            with refusals(path):
                path.unlink()
        sync_folder(self._log)

    # --- history

    def prove(self, module: str, key: bytes, height: int | None = None) -> StateProof:
        """As Store."""
        return prove(self._versions.forest_at(height), module, key)

    def root_at(self, height: int) -> Hash:
        """As Store."""
        return self._versions.root_at(height)

    def at(self, height: int) -> Reader:
        """As Store."""
        return self._versions.at(height)

    # --- the end

    def close(self) -> None:
        """As Store. What is not flushed is in the log: the next opening replays it."""
        self._closed = True
        self._flusher.join()
        self._opened.close()

    def _close_segment(self) -> None:
        self._segment.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StateError(f"{self.path}: the store is closed")
