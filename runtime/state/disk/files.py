"""Files and folders: the lock on a store's folder, durable folders, and the disk's refusals as StoreUnwritable.

Lives here: what wal, base and blobs share of the operating system. Must not: know their formats.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.state.errors import StoreLocked, StoreUnwritable


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns an OSError into a StoreUnwritable that names `path` and the reason ("No space left on device")."""
    try:
        yield
    except OSError as error:
        raise StoreUnwritable(str(path), error.strerror or str(error)) from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents, durably."""
    with refusals(path):
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: new, renamed and deleted files."""
    with refusals(path):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write all of `data`; raises OSError where the disk takes less."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


class FolderLock:
    """Held by one process at a time; the system releases it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises StoreLocked where it is taken."""
        path = folder / "LOCK"
        with refusals(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            if isinstance(error, BlockingIOError):
                raise StoreLocked(str(folder)) from None
            raise StoreUnwritable(str(path), error.strerror or str(error)) from error

    def release(self) -> None:
        """Give it back."""
        os.close(self._handle)
