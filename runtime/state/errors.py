"""The errors of the state, and whose fault each is.

CallerError
├── StateBoundError      a key, a value, a chunk or a depth beyond its bound: becomes a failed call
├── HeightUnavailable    a query or a proof at a height that is not retained
├── ProofError           a proof that does not prove what it should (runtime.state.proof)
└── ReadRefused          a read that cannot be proven, or is not (runtime.state.witness)
UsageError
└── StoreLocked          another process has the store's folder open
OurError
├── StateError           this program used the state wrongly: commit without checkpoint, blocks out of order
├── StoreUnwritable      the disk refused: full, read-only, broken; what was acknowledged is safe
└── StoreCorrupt         what is on the disk is not what was written
"""

from __future__ import annotations

from runtime.errors import CallerError, OurError, UsageError


class StateBoundError(CallerError):
    """Something is larger than the protocol allows.

    what: the bounded thing ("key"); size, limit: found and allowed, in the unit that `what` implies (bytes, count).
    """

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.what = what
        self.size = size
        self.limit = limit
        super().__init__(f"{what}: {size} is above the bound of {limit}")


class HeightUnavailable(CallerError):
    """The state at this height is not retained (pruned, or not yet reached)."""

    def __init__(self, height: int, oldest: int, newest: int) -> None:
        self.height = height
        self.oldest = oldest
        self.newest = newest
        super().__init__(f"no state at height {height}: heights {oldest} to {newest} are retained")


class ProofError(CallerError):
    """A state proof that is refused. part: the part of it that failed ("key.path"); reason: why."""

    def __init__(self, part: str, reason: str) -> None:
        self.part = part
        self.reason = reason
        super().__init__(f"state proof, {part}: {reason}")


class ReadRefused(CallerError):
    """Something is read for a proof, or from one, that it cannot or does not hold."""


class StoreLocked(UsageError):
    """Another process has this store open. path: the folder."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path}: another process has this store open; a folder serves one node at a time")


class StateError(OurError):
    """The state was used against its rules by this program."""


class StoreUnwritable(OurError):
    """The disk refused a write or a read. path: the file; what was acknowledged before is safe."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}; what was acknowledged is safe: mend the disk and start again")


class StoreCorrupt(OurError):
    """Bytes on the disk that were not written so. path: the file; offset: in it, in bytes, where known."""

    def __init__(self, path: str, offset: int | None, reason: str) -> None:
        self.path = path
        self.offset = offset
        self.reason = reason
        where = path if offset is None else f"{path} at byte {offset}"
        super().__init__(f"{where}: {reason}; keep the folder for diagnosis and restore or sync anew")
