"""The consensus write-ahead log: what the core was told at its height; a crash loses no promise.

Rules:
- An input is appended before the core processes it; a message of this node's own is on disk before it is
  sent.
- After a crash the records of the open height are replayed in order: the core is deterministic, so it arrives
  where it was, and the signer answers repeated signing requests with the signatures that it gave before.
- One file for each height. Opening a height removes all but the one before it, whose decision is already in
  the state.
Records are opaque bytes here; runtime.node.records says what they mean.
"""

from __future__ import annotations

from pathlib import Path

from runtime.node.files import sync_folder
from runtime.node.journal import Journal, read_journal

KEPT_HEIGHTS = 2


class ConsensusWal:
    """The log of one node, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._journal: Journal | None = None
        self.height = 0

    def open_height(self, height: int) -> tuple[bytes, ...]:
        """Work on `height` from now on. Returns what an earlier run logged of it: nothing when fresh."""
        self.close()
        self._journal = Journal(self._path(height))
        self.height = height
        self._prune()
        return self._journal.records

    def append(self, record: bytes) -> None:
        """Log an input. Not yet durable: an input that is lost in a crash was not acted on outside."""
        self._open.append(record)

    def append_synced(self, record: bytes) -> None:
        """Log a message of this node's own; on return it and everything before it is on disk."""
        self._open.append(record)
        self._open.sync()

    def close(self) -> None:
        """Nothing can be appended until the next `open_height`."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    @property
    def _open(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("open_height comes before append")
        return self._journal

    def _path(self, height: int) -> Path:
        return self._folder / f"height-{height:020d}.wal"

    def _prune(self) -> None:
        paths = sorted(self._folder.glob("height-*.wal"))
        keep = {self._path(self.height - back) for back in range(KEPT_HEIGHTS)}
        stale = [path for path in paths if path not in keep]
        for path in stale:
            path.unlink()
        if stale:
            sync_folder(self._folder)


def read_wal(folder: Path, height: int) -> tuple[bytes, ...]:
    """The records of a height without changing anything; for inspection and tests."""
    path = folder / f"height-{height:020d}.wal"
    return read_journal(path).records if path.exists() else ()
