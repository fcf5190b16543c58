"""The state on disk: write-ahead log, LMDB, blob files. The only part of the state that touches the file system."""

from runtime.state.disk.blobs import DiskBlobStore
from runtime.state.disk.recover import Recovery
from runtime.state.disk.store import DiskStore

__all__ = ["DiskBlobStore", "DiskStore", "Recovery"]
