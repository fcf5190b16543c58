"""An append-only file of checksummed records: what the signer and the consensus write-ahead log stand on.

Layout: 8 bytes of magic, then records of length (4 bytes, big-endian), CRC-32 of length and payload (4
bytes), payload. Rules:
- A record exists once `sync` has returned after its `append`. Until then a crash may lose or tear it.
- On opening, a torn end is cut: it was never synced, so nothing that depends on it has left the node.
- A damaged record before the end is JournalCorrupted: it was synced once, and nobody may go on without it.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from runtime.node.errors import JournalCorrupted
from runtime.node.files import sync_folder

MAGIC = b"armjrnl1"
HEADER_BYTES = 8
RECORD_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True)
class JournalContent:
    """The whole records of a journal, and the bytes up to the end of the last of them."""

    records: tuple[bytes, ...]
    bytes: int


class Journal:
    """An open journal. `records` are those found on opening; later appends are not in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        created = not path.exists()
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            content = read_journal(path)
            if content.bytes == 0:
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, MAGIC, 0)
            else:
                os.ftruncate(self._handle, content.bytes)
            os.fsync(self._handle)
            if created:
                sync_folder(path.parent)
        except BaseException:
            os.close(self._handle)
            raise
        self.records = content.records
        self.bytes = max(content.bytes, len(MAGIC))

    def append(self, payload: bytes) -> None:
        """Write a record; it is durable only after `sync`. Raises ValueError beyond RECORD_BYTES_MAX, and OSError where
        the disk takes no more; then the record is not there."""
        if len(payload) > RECORD_BYTES_MAX:
            raise ValueError(f"a journal record of {len(payload)} bytes; {RECORD_BYTES_MAX} are allowed")
        frame = memoryview(_frame(payload))
        end = self.bytes
        while frame:  # an error on the way (disk full) leaves `bytes` before this record, to be overwritten
            written = os.pwrite(self._handle, frame, end)
            end += written
            frame = frame[written:]
        self.bytes = end

    def sync(self) -> None:
        """Return once every appended record is on disk."""
        os.fdatasync(self._handle)

    def close(self) -> None:
        """What was not synced may be lost. A second time does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_journal(path: Path) -> JournalContent:
    """Read a journal without changing it. Raises JournalCorrupted for damage before the end."""
    data = path.read_bytes()
    if MAGIC.startswith(data.rstrip(b"\0")):
        return JournalContent((), 0)  # torn while it was created: nothing was synced yet
    if not data.startswith(MAGIC):
        raise JournalCorrupted(f"{path}: not a journal of this version; found {data[:8].hex()}")
    records: list[bytes] = []
    offset = len(MAGIC)
    while offset + HEADER_BYTES <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        end = offset + HEADER_BYTES + length
        payload = data[offset + HEADER_BYTES : end]
        if length > RECORD_BYTES_MAX:
            raise JournalCorrupted(f"{path}: the record at byte {offset} claims {length} bytes", tuple(records))
        if end > len(data):
            break
        if _frame(payload)[:HEADER_BYTES] != data[offset : offset + HEADER_BYTES]:
            if data[end:].strip(b"\0"):
                raise JournalCorrupted(f"{path}: the record at byte {offset} fails its checksum", tuple(records))
            break
        records.append(payload)
        offset = end
    return JournalContent(tuple(records), offset)


def _frame(payload: bytes) -> bytes:
    length = len(payload).to_bytes(4, "big")
    return length + zlib.crc32(length + payload).to_bytes(4, "big") + payload
