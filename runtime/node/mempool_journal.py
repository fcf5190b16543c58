"""What was acknowledged to clients survives a crash: a journal of the transactions that clients handed to this node.

Rules:
- A client is answered once its transaction is on disk here. Submissions that come while the disk is busy share the next
  wait for it. What peers gossip is not written: whoever acknowledged it has it.
- At start every record is checked again like a fresh submission: what a block holds by now, or what the state refuses,
  is gone.
- Bounded: once the file is twice what it was after the last rewrite, it is rewritten with what still waits in the pool.
- A damaged record ends the reading: what comes before it is taken, a copy of the file set aside, and the log says so.

What must not live here: checking transactions, the pool.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from runtime.mempool import Mempool
from runtime.node.application import wire_hash
from runtime.node.errors import JournalCorrupted, JournalUnwritable
from runtime.node.executor import Runner
from runtime.node.files import sync_folder
from runtime.node.journal import Journal
from runtime.node.metrics import NodeMetrics
from runtime.types import Hash

FILE_NAME: Final = "mempool.journal"
REWRITE_BYTES_MIN: Final = 1024 * 1024


class _Batch:
    """Transactions that become durable together. done: they are, or `error` says why not."""

    def __init__(self) -> None:
        self.records: dict[Hash, bytes] = {}
        self.done = trio.Event()
        self.error: OSError | None = None


class MempoolJournal:
    """Owns the file. `found`: what an earlier run acknowledged and perhaps no block holds yet, oldest first."""

    def __init__(self, folder: Path, pool: Mempool, runner: Runner, metrics: NodeMetrics, log: Any = None) -> None:
        self._path = folder / FILE_NAME
        self._pool = pool
        self._run = runner
        self._metrics = metrics
        self._log = log or structlog.get_logger()
        self._journal, self.found = self._open()
        self._kept = {wire_hash(data) for data in self.found}  # on disk, perhaps no longer waiting
        self._rewrite_above = 0  # the first batch rewrites what was found
        self._next = _Batch()
        self._wanted = trio.Event()

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self._journal.bytes

    async def keep(self, hash_: Hash, data: bytes) -> None:
        """Returns once the transaction is on disk. Raises JournalUnwritable; then it is not acknowledged."""
        if hash_ in self._kept:
            return
        batch = self._next
        batch.records[hash_] = data
        self._wanted.set()
        await batch.done.wait()
        if batch.error is not None:
            raise JournalUnwritable(f"{self._path}: {batch.error.strerror or batch.error}") from batch.error

    async def run(self) -> None:
        """Write batches until cancelled. What was found must be in the pool by now: all else of it is forgotten."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            batch, self._next = self._next, _Batch()
            try:
                await self._write(batch.records)
            except OSError as error:
                batch.error = error
                self._rewrite_above = 0  # what the file holds after a failed write is uncertain: begin another
                self._log.error("mempool journal unwritable", reason=str(error))
            batch.done.set()

    def close(self) -> None:
        """After `run` has ended; what was acknowledged is on disk already."""
        self._journal.close()

    async def _write(self, records: Mapping[Hash, bytes]) -> None:
        if self._journal.bytes <= self._rewrite_above:
            await self._run(partial(self._append, records.values()))
            self._kept |= records.keys()
            return
        content = {**self._waiting(), **records}
        await self._run(partial(self._rewrite, content.values()))
        self._kept = set(content)
        self._rewrite_above = max(REWRITE_BYTES_MIN, 2 * self._journal.bytes)

    def _waiting(self) -> dict[Hash, bytes]:
        """What was acknowledged and still waits."""
        found = ((hash_, self._pool.get(hash_)) for hash_ in self._kept)
        return {hash_: checked.data for hash_, checked in found if checked is not None}

    def _append(self, records: Iterable[bytes]) -> None:
        with self._metrics.syncing("mempool"):
            for data in records:
                self._journal.append(data)
            self._journal.sync()

    def _rewrite(self, records: Iterable[bytes]) -> None:
        """Another file in the place of this one: a crash leaves the one or the other."""
        self._journal.close()
        self._journal = _replaced(self._path, records)

    def _open(self) -> tuple[Journal, tuple[bytes, ...]]:
        try:
            journal = Journal(self._path)
        except JournalCorrupted as error:
            aside = self._path.with_suffix(".damaged")
            shutil.copyfile(self._path, aside)
            self._log.error("mempool journal damaged", reason=str(error), taken=len(error.records), copy=str(aside))
            return _replaced(self._path, error.records), error.records
        return journal, journal.records


def _replaced(path: Path, records: Iterable[bytes]) -> Journal:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    journal = Journal(fresh)
    try:
        for data in records:
            journal.append(data)
        journal.sync()
        os.replace(fresh, path)
        sync_folder(path.parent)
    except BaseException:
        journal.close()
        raise
    return journal
