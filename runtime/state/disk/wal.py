"""The write-ahead log: one record for each block, durable before the block is acknowledged.

A segment is a file named by the first height that it may hold:
  header    magic (16 bytes), salt (16 random bytes), checksum (8) of both
  record    magic (4), height (8), payload length (4), payload checksum (8), header checksum (8), then the payload
Integers are big-endian; checksums are the first 8 bytes of a hash over the salt and what they cover. The salt keeps
bytes inside a payload, which users choose, from passing for a record.

Reading. A record that is not whole and is followed by no whole record header is the torn tail of a write that was never
acknowledged: it is cut off. One that is followed by a later record is corruption: StoreCorrupt, file and offset.
Lives here: framing, appending, reading. Must not: know what a payload says.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.crypto import hash_bytes
from runtime.state.disk.files import refusals, sync_folder, write_all
from runtime.state.errors import StateError, StoreCorrupt, StoreUnwritable

SUFFIX: Final = ".wal"
PAYLOAD_BYTES_MAX: Final = 1 << 30
_SALT_BYTES = 16
_CHECKSUM_BYTES = 8
_SEGMENT_MAGIC = b"armillary wal 1\n"
_SEGMENT_HEADER_BYTES = len(_SEGMENT_MAGIC) + _SALT_BYTES + _CHECKSUM_BYTES
_RECORD_MAGIC = b"\xa7blk"
_RECORD = struct.Struct(">4sQI8s")
_RECORD_HEADER_BYTES = _RECORD.size + _CHECKSUM_BYTES


def _checksum(salt: bytes, covered: bytes) -> bytes:
    return hash_bytes("armillary/wal", salt + covered)[:_CHECKSUM_BYTES]


@dataclass(frozen=True)
class Record:
    """A whole record. offset: of its first byte in the segment."""

    offset: int
    height: int
    payload: bytes


@dataclass(frozen=True)
class Scan:
    """What a segment holds. end: after the last whole record; torn_bytes: what follows it, never acknowledged."""

    salt: bytes
    records: tuple[Record, ...]
    end: int
    torn_bytes: int


def segment_path(folder: Path, height: int) -> Path:
    """The segment whose records begin at `height`."""
    return folder / f"{height:020d}{SUFFIX}"


def segments(folder: Path) -> list[Path]:
    """The segments in a folder, by height."""
    with refusals(folder):
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)


def scan(path: Path) -> Scan:
    """Read a segment. Raises StoreCorrupt where a record before the last is not what was written."""
    with refusals(path):
        data = path.read_bytes()
    salt = data[len(_SEGMENT_MAGIC) : len(_SEGMENT_MAGIC) + _SALT_BYTES]
    if data[:_SEGMENT_HEADER_BYTES] != _SEGMENT_MAGIC + salt + _checksum(salt, _SEGMENT_MAGIC):
        if len(data) <= _SEGMENT_HEADER_BYTES:  # made, and stopped before its first record
            return Scan(b"", (), 0, len(data))
        raise StoreCorrupt(str(path), 0, "the log segment's header is not what was written")
    records = []
    offset = _SEGMENT_HEADER_BYTES
    while (record := _record_at(data, salt, offset)) is not None:
        records.append(record)
        offset += _RECORD_HEADER_BYTES + len(record.payload)
    later = _next_header(data, salt, offset + 1)
    if later is not None:
        raise StoreCorrupt(str(path), offset, f"a log record is damaged, and a whole one follows at byte {later}")
    return Scan(salt, tuple(records), offset, len(data) - offset)


def _record_at(data: bytes, salt: bytes, offset: int) -> Record | None:
    header = _header_at(data, salt, offset)
    if header is None:
        return None
    height, length, checksum = header
    start = offset + _RECORD_HEADER_BYTES
    payload = data[start : start + length]
    if len(payload) != length or _checksum(salt, payload) != checksum:
        return None
    return Record(offset, height, payload)


def _header_at(data: bytes, salt: bytes, offset: int) -> tuple[int, int, bytes] | None:
    header = data[offset : offset + _RECORD.size]
    sealed = data[offset + _RECORD.size : offset + _RECORD_HEADER_BYTES]
    if len(header) != _RECORD.size or _checksum(salt, header) != sealed:
        return None
    magic, height, length, checksum = _RECORD.unpack(header)
    return (height, length, checksum) if magic == _RECORD_MAGIC else None


def _next_header(data: bytes, salt: bytes, offset: int) -> int | None:
    while (offset := data.find(_RECORD_MAGIC, offset)) >= 0:
        if _header_at(data, salt, offset) is not None:
            return offset
        offset += 1
    return None


class Segment:
    """A segment that is appended to."""

    def __init__(self, path: Path, found: Scan | None = None) -> None:
        """Make a new segment, or go on after `found`, cutting off its torn tail. Raises StoreUnwritable."""
        self.path = path
        self._failed = False
        with refusals(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            if found is None or not found.salt:
                self._salt = os.urandom(_SALT_BYTES)
                os.ftruncate(self._handle, 0)
                write_all(self._handle, _SEGMENT_MAGIC + self._salt + _checksum(self._salt, _SEGMENT_MAGIC))
                self._end = _SEGMENT_HEADER_BYTES
            else:
                self._salt, self._end = found.salt, found.end
                os.ftruncate(self._handle, self._end)
                os.lseek(self._handle, self._end, os.SEEK_SET)
            os.fsync(self._handle)
        sync_folder(path.parent)

    def append(self, height: int, payload: bytes) -> None:
        """Durably append a record. Raises StoreUnwritable where the disk refuses; the log then is as it was before."""
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise StateError(f"a block's log record of {len(payload)} bytes is above {PAYLOAD_BYTES_MAX}")
        if self._failed:
            raise StoreUnwritable(str(self.path), "an earlier write failed and could not be taken back")
        header = _RECORD.pack(_RECORD_MAGIC, height, len(payload), _checksum(self._salt, payload))
        record = header + _checksum(self._salt, header) + payload
        try:
            write_all(self._handle, record)
            os.fdatasync(self._handle)
        except OSError as error:
            self._take_back()
            raise StoreUnwritable(str(self.path), error.strerror or str(error)) from error
        self._end += len(record)

    def _take_back(self) -> None:
        """Cut off what a failed append left. Where that fails too, or the sync did, only a reopen knows the end."""
        self._failed = True
        try:
            os.ftruncate(self._handle, self._end)
            os.lseek(self._handle, self._end, os.SEEK_SET)
            os.fdatasync(self._handle)
        except OSError:
            return  # stays failed; the reopen cuts off the torn tail
        self._failed = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)
