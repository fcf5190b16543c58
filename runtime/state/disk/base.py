"""LMDB behind the log: the state as of the last flush, the extra records, the undo records, and their height and root.

Lives here: the tables' layout and every call into lmdb. Must not: know the log, the trees or what is not flushed yet.
Tables: "state" (module, 0, key -> value), "extra" ("x", key -> value), "undo" (height, 8 bytes -> record), "meta".
One read transaction is kept open and renewed after each flush; `lock` guards it, so any thread may read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import lmdb

from runtime.state.disk.files import make_folder, refusals
from runtime.state.disk.layer import Layer
from runtime.state.errors import StateError, StoreCorrupt, StoreUnwritable
from runtime.state.protocols import HEIGHT_EMPTY
from runtime.types import Hash

_FORMAT = b"armillary state 1"
MAP_BYTES_FIRST: Final = 1 << 30  # address space, not disk; doubled when full
_BATCH = 1000
_CHUNK_BYTES_MAX = 1 << 20
EXTRA_STEM: Final = b"x"  # what keys begin with in the table "extra"; LMDB knows no empty key


def state_stem(module: str) -> bytes:
    """What the keys of a module begin with in the table "state"."""
    return module.encode("ascii") + b"\0"


def above_stem(stem: bytes) -> bytes:
    """The first key above all that begin with a stem."""
    return stem[:-1] + bytes([stem[-1] + 1])


class Base:
    """The store's LMDB environment."""

    def __init__(self, path: Path, map_bytes: int = MAP_BYTES_FIRST) -> None:
        """Open or make it. Raises StoreCorrupt where it is not one of ours, StoreUnwritable where the disk refuses."""
        self.path = path
        make_folder(path)
        self.lock = threading.RLock()
        self._reader: Any = None
        self._env: Any = None
        try:
            self._open(map_bytes)
        except BaseException:
            self.close()
            raise

    def _open(self, map_bytes: int) -> None:
        with self._refusals():
            found = self.path / "data.mdb"
            size = found.stat().st_size if found.exists() else 0
            map_size = max(map_bytes, size)
            self._env = lmdb.open(str(self.path), max_dbs=4, map_size=map_size, readahead=False, meminit=False)
            self._check_length(size)
            names = (b"state", b"extra", b"undo", b"meta")
            self._state, self._extra, self._undo, self._meta = (self._env.open_db(name) for name in names)
            self._reader = self._env.begin()
        self._check_format()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            with refusals(self.path):
                yield
        except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError) as error:
            raise StoreCorrupt(str(self.path), None, str(error)) from error
        except lmdb.Error as error:
            raise StoreUnwritable(str(self.path), str(error)) from error

    def _check_length(self, size: int) -> None:
        """A file shorter than its own page count would kill the process by SIGBUS where it is read."""
        needed = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        if size and size < needed:
            raise StoreCorrupt(str(self.path / "data.mdb"), size, f"the file ends here; it should have {needed} bytes")

    def _check_format(self) -> None:
        found = self._get(self._meta, b"format")
        if found is None and self._get(self._meta, b"height") is None:
            with self._refusals(), self._env.begin(write=True) as writer:
                writer.put(b"format", _FORMAT, db=self._meta)
            self.renew()
        elif found != _FORMAT:
            raise StoreCorrupt(str(self.path), None, f"format {found!r} is not {_FORMAT!r}: made by another version?")

    # --- reading

    @property
    def height(self) -> int:
        """Of the last flush; HEIGHT_EMPTY before the first."""
        stored = self._get(self._meta, b"height")
        return HEIGHT_EMPTY if stored is None else int.from_bytes(stored, "big")

    @property
    def root(self) -> Hash | None:
        """The state root at `height`; None before the first flush."""
        stored = self._get(self._meta, b"root")
        return None if stored is None else Hash(stored)

    def get_state(self, key: bytes) -> bytes | None:
        """A value of the state by its full key (`state_stem` first)."""
        return self._get(self._state, key)

    def get_extra(self, key: bytes) -> bytes | None:
        """An extra record by its full key (EXTRA_STEM first)."""
        return self._get(self._extra, key)

    def undo_records(self) -> list[tuple[int, bytes]]:
        """All undo records with their heights, ascending."""
        with self.lock, self._refusals():
            return [(int.from_bytes(key, "big"), bytes(value)) for key, value in self._cursor(self._undo)]

    def modules(self) -> list[str]:
        """The modules that hold any key, sorted."""
        found: list[str] = []
        with self.lock, self._refusals():
            cursor = self._cursor(self._state)
            more = cursor.first()
            while more:
                name = bytes(cursor.key()).split(b"\0", 1)[0]
                found.append(name.decode("ascii"))
                more = cursor.set_range(name + b"\x01")
        return found

    def chunk_of_state(self, low: bytes, high: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
        """The first items of low <= key < high, at most `count` and about 1 MiB, at least one where there is any."""
        return self._chunk(self._state, low, high, count)

    def chunk_of_extra(self, low: bytes, high: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
        """As `chunk_of_state`."""
        return self._chunk(self._extra, low, high, count)

    def _chunk(self, table: Any, low: bytes, high: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
        items: list[tuple[bytes, bytes]] = []
        size = 0
        with self.lock, self._refusals():
            cursor = self._cursor(table)
            if not cursor.set_range(low):
                return items
            for key, value in islice(cursor, count):
                if high is not None and key >= high:
                    break
                items.append((key, value))
                size += len(value)
                if size >= _CHUNK_BYTES_MAX:
                    break
        return items

    def _get(self, table: Any, key: bytes) -> bytes | None:
        with self.lock:
            if self._reader is None:
                raise StateError(f"{self.path}: the store is closed")
            value: bytes | None = self._reader.get(key, db=table)
            return value

    def _cursor(self, table: Any) -> Any:
        if self._reader is None:
            raise StateError(f"{self.path}: the store is closed")
        return self._reader.cursor(db=table)

    # --- writing (one thread at a time)

    def write(self, layer: Layer, oldest_height: int) -> None:
        """Merge a frozen layer, all or nothing, and forget undo records at or below `oldest_height`.

        Readers see what was before, until `renew`. Raises StoreUnwritable; nothing is then written.
        """
        while True:
            with self._refusals():
                try:
                    return self._write(layer, oldest_height)
                except lmdb.MapFullError:
                    self._grow()

    def _write(self, layer: Layer, oldest_height: int) -> None:
        with self._env.begin(write=True) as writer:
            for module in sorted(layer.tables):
                self._merge(writer, self._state, state_stem(module), layer.tables[module].values)
            self._merge(writer, self._extra, EXTRA_STEM, layer.extra.values)
            for height, record in sorted(layer.undo.items()):
                writer.put(height.to_bytes(8, "big"), record, db=self._undo)
            with writer.cursor(db=self._undo) as cursor:
                while cursor.first() and int.from_bytes(cursor.key(), "big") <= oldest_height:
                    cursor.delete()
            writer.put(b"height", layer.height.to_bytes(8, "big"), db=self._meta)
            writer.put(b"root", layer.root, db=self._meta)

    def _merge(self, writer: Any, table: Any, prefix: bytes, values: dict[bytes, bytes | None]) -> None:
        keys = sorted(values)
        with writer.cursor(db=table) as cursor:
            for first in range(0, len(keys), _BATCH):
                batch = keys[first : first + _BATCH]
                puts = [(prefix + key, value) for key in batch if (value := values[key]) is not None]
                cursor.putmulti(puts)
                for key in batch:
                    if values[key] is None and cursor.set_key(prefix + key):
                        cursor.delete()

    def _grow(self) -> None:
        with self.lock:
            self._reader.abort()
            self._env.set_mapsize(2 * self._env.info()["map_size"])
            self._reader = self._env.begin()

    def renew(self) -> None:
        """Let readers see what was written. Hold `lock` over this and what goes with it."""
        with self.lock, self._refusals():
            self._reader.abort()
            self._reader = self._env.begin()

    def close(self) -> None:
        """Release it. Idempotent."""
        with self.lock:
            if self._reader is not None:
                self._reader.abort()
                self._reader = None
            if self._env is not None:
                self._env.close()
                self._env = None
