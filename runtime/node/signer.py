"""The one place that signs for a validator, and never two different things for one moment of consensus.

A moment is (height, round, step). Rules:
- Signing moves forward only: an earlier moment than the last one signed is refused.
- At the last moment itself the identical message gets the identical signature back; any other message is
  refused.
- What was signed is on disk before the signature leaves `sign`: a crash at any instruction forgets nothing.
- A lock on the journal keeps a second process with the same home from signing; a journal names its key.
Running one key in two homes is beyond what a file can prevent: see the chapter on keys in docs/.
"""

from __future__ import annotations

import os
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from runtime.codec import codec
from runtime.crypto import SigningKey
from runtime.node.errors import DoubleSignRefused, JournalCorrupted
from runtime.node.files import FileLock, sync_folder
from runtime.node.journal import Journal, read_journal
from runtime.types import U8, U32, U64, MaxLen, PublicKey, Signature, Struct

MESSAGE_BYTES_MAX = 4096
JOURNAL_BYTES_MAX = 16 * 1024 * 1024  # some 60,000 signatures; then it is rewritten with the last one


class SignStep(IntEnum):
    """The order of what a validator signs within a round."""

    PROPOSAL = 0
    PREVOTE = 1
    PRECOMMIT = 2


class Signed(Struct):
    """One signature that left this node."""

    height: U64
    round: U32
    step: U8
    message: Annotated[bytes, MaxLen(MESSAGE_BYTES_MAX)]
    signature: Signature

    @property
    def moment(self) -> tuple[int, int, int]:
        """(height, round, step), which compares as signing has to move: forward."""
        return (self.height, self.round, self.step)


class Signer:
    """Signs the messages of consensus with one key. Blocking: each new signature waits for the disk."""

    def __init__(self, path: Path, key: SigningKey) -> None:
        """`path`: the journal. Raises AlreadyRunning, JournalCorrupted, DoubleSignRefused (another key's)."""
        self._key = key
        self._path = path
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            self._journal = Journal(path)
            self.last = self._load()
        except BaseException:
            self._lock.close()
            raise

    @property
    def public_key(self) -> PublicKey:
        """As SigningRole."""
        return self._key.public_key

    def sign(self, height: int, round_: int, step: SignStep, message: bytes) -> Signature:
        """The signature over `message`. Raises DoubleSignRefused, naming both moments."""
        moment = (height, round_, int(step))
        if self.last is not None and moment <= self.last.moment:
            return self._repeat(moment, message)
        signed = Signed(height, round_, int(step), message, self._key.sign(message))
        if self._journal.bytes > JOURNAL_BYTES_MAX:
            self._rewrite()
        self._journal.append(codec(Signed).encode(signed))
        self._journal.sync()
        self.last = signed
        return signed.signature

    def close(self) -> None:
        """Give the lock back, so that another process may sign with this home."""
        self._journal.close()
        self._lock.close()

    def _repeat(self, moment: tuple[int, int, int], message: bytes) -> Signature:
        last = self.last
        assert last is not None
        if moment == last.moment and message == last.message:
            return last.signature
        asked, before = _describe(moment), _describe(last.moment)
        what = "another message" if moment == last.moment else f"a message at {before}"
        raise DoubleSignRefused(f"asked to sign at {asked}, but this key already signed {what}: refused")

    def _load(self) -> Signed | None:
        records = self._journal.records
        if not records:
            self._journal.append(self.public_key)
            self._journal.sync()
            return None
        if records[0] != self.public_key:
            raise DoubleSignRefused(
                f"{self._path}: belongs to the key {records[0].hex()}, not to {self.public_key.hex()}: "
                f"move it away only if that key is never used again"
            )
        signed = _decode(self._path, records)
        return signed[-1] if signed else None

    def _rewrite(self) -> None:
        """Start a fresh journal with the last signature, replacing the old one in one step."""
        fresh_path = self._path.with_name(self._path.name + ".fresh")
        fresh_path.unlink(missing_ok=True)
        fresh = Journal(fresh_path)
        fresh.append(self.public_key)
        if self.last is not None:
            fresh.append(codec(Signed).encode(self.last))
        fresh.sync()
        os.replace(fresh_path, self._path)
        sync_folder(self._path.parent)
        self._journal.close()
        self._journal = fresh


def read_signed(path: Path) -> tuple[Signed, ...]:
    """Every signature in a signer's journal, in order; for inspection and tests."""
    return _decode(path, read_journal(path).records)


def _decode(path: Path, records: tuple[bytes, ...]) -> tuple[Signed, ...]:
    signed = tuple(codec(Signed).decode(record) for record in records[1:])
    for before, after in pairwise(signed):
        if after.moment <= before.moment:
            raise JournalCorrupted(f"{path}: {_describe(after.moment)} follows {_describe(before.moment)}")
    return signed


def _describe(moment: tuple[int, int, int]) -> str:
    return f"height {moment[0]}, round {moment[1]}, {SignStep(moment[2]).name.lower()}"
