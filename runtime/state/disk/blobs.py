"""The blob store on disk: one file for each chunk, named by its hash.

Lives here: durable files (written beside, synced, renamed) and their removal. Must not: know what a chunk is for.
A chunk is durable before the block that refers to it; a chunk that no block refers to is harmless.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.state.blobs import assemble, chunk_hash
from runtime.state.disk.files import make_folder, refusals, sync_folder, write_all
from runtime.state.errors import StateBoundError, StoreCorrupt
from runtime.types import Hash

_UNFINISHED = ".tmp"
_HASH_CHARACTERS = 64


class DiskBlobStore:
    """A BlobStore in a folder: `ab/abcdef...`, by the first byte of the hash. One process at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make it; chunks whose writing was cut short are removed."""
        self.path = path
        self._unsynced: set[Path] = set()
        make_folder(path)
        with refusals(path):
            for unfinished in path.glob(f"*/*{_UNFINISHED}"):
                unfinished.unlink()

    def put(self, chunks: Iterable[bytes]) -> tuple[Hash, ...]:
        """As BlobStore. Raises StoreUnwritable where the disk refuses; chunks that are whole by then stay."""
        named = [(chunk_hash(chunk), chunk) for chunk in chunks]
        for name, chunk in named:
            path = self._path(name)
            if not path.exists():
                self._write(path, chunk)
        while self._unsynced:
            folder = next(iter(self._unsynced))
            sync_folder(folder)
            self._unsynced.discard(folder)
        return tuple(name for name, _ in named)

    def _write(self, path: Path, chunk: bytes) -> None:
        make_folder(path.parent)
        unfinished = path.with_suffix(_UNFINISHED)
        with refusals(path):
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                write_all(handle, chunk)
                os.fsync(handle)
            finally:
                os.close(handle)
            self._unsynced.add(path.parent)
            unfinished.rename(path)

    def get(self, chunk: Hash) -> bytes | None:
        """As BlobStore. Raises StoreCorrupt where the file does not hold the chunk that its name says."""
        path = self._path(chunk)
        with refusals(path):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            found = chunk_hash(data)
        except StateBoundError as error:
            raise StoreCorrupt(str(path), None, str(error)) from error
        if found != chunk:
            raise StoreCorrupt(str(path), None, f"the chunk hashes to {found.hex()}, not to its name")
        return data

    def assemble(self, chunks: Sequence[Hash]) -> bytes:
        """As BlobStore."""
        return assemble(self.get, chunks)

    def held(self, first_byte: int) -> tuple[Hash, ...]:
        """As BlobStore."""
        folder = self.path / f"{first_byte:02x}"
        with refusals(folder):
            names = sorted(os.listdir(folder)) if folder.exists() else []
        return tuple(Hash(bytes.fromhex(name)) for name in names if len(name) == _HASH_CHARACTERS)

    def remove(self, chunks: Iterable[Hash]) -> None:
        """As BlobStore. A crash on the way leaves some of them, which is harmless."""
        for chunk in chunks:
            path = self._path(chunk)
            with refusals(path):
                path.unlink(missing_ok=True)

    def _path(self, name: Hash) -> Path:
        text = name.hex()
        return self.path / text[:2] / text
