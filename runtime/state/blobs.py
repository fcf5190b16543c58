"""Large artifacts beside the state: chunks of at most 256 KiB, named by their hash; a blob is named by a Merkle root.

Lives here: the identity of chunks and blobs, and the blob store in RAM. Must not: touch a disk (runtime.state.disk).
The state holds a blob's root, size and the hashes of its chunks; overlay, undo and snapshots never copy the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from runtime.crypto import hash_bytes, merkle_root
from runtime.errors import OurError
from runtime.limits import BLOB_CHUNK_BYTES_MAX, BLOB_CHUNKS_MAX
from runtime.state.errors import StateBoundError
from runtime.types import Hash

_CHUNK = "armillary/blob-chunk"
_BLOB = "armillary/blob"


class BlobMissing(OurError):
    """A chunk that the state refers to is not held. chunk: its hash."""

    def __init__(self, chunk: Hash) -> None:
        self.chunk = chunk
        super().__init__(f"blob chunk {chunk.hex()} is referred to and not held")


def chunk_hash(chunk: bytes) -> Hash:
    """The name of a chunk. Raises StateBoundError unless it has 1 to BLOB_CHUNK_BYTES_MAX bytes."""
    if not 0 < len(chunk) <= BLOB_CHUNK_BYTES_MAX:
        raise StateBoundError("blob chunk, bytes (1 or more)", len(chunk), BLOB_CHUNK_BYTES_MAX)
    return hash_bytes(_CHUNK, chunk)


def split_chunks(data: bytes) -> tuple[bytes, ...]:
    """`data` in chunks, all but the last of the full size. Raises StateBoundError above BLOB_CHUNKS_MAX chunks."""
    count = -(-len(data) // BLOB_CHUNK_BYTES_MAX)
    if count > BLOB_CHUNKS_MAX:
        raise StateBoundError("blob, chunks", count, BLOB_CHUNKS_MAX)
    return tuple(data[at : at + BLOB_CHUNK_BYTES_MAX] for at in range(0, len(data), BLOB_CHUNK_BYTES_MAX))


def blob_root(chunks: Sequence[bytes]) -> Hash:
    """The identity of a blob: a Merkle root over its chunks' hashes; it commits to their number and order."""
    return blob_root_of([chunk_hash(chunk) for chunk in chunks])


def blob_root_of(hashes: Sequence[Hash]) -> Hash:
    """The same from the chunks' hashes alone. Raises StateBoundError above BLOB_CHUNKS_MAX."""
    if len(hashes) > BLOB_CHUNKS_MAX:
        raise StateBoundError("blob, chunks", len(hashes), BLOB_CHUNKS_MAX)
    return merkle_root(_BLOB, hashes)


def assemble(get: Callable[[Hash], bytes | None], chunks: Sequence[Hash]) -> bytes:
    """The whole blob from a source of chunks. Raises BlobMissing naming the first chunk that is not held."""
    if len(chunks) > BLOB_CHUNKS_MAX:
        raise StateBoundError("blob, chunks", len(chunks), BLOB_CHUNKS_MAX)
    parts = []
    for name in chunks:
        part = get(name)
        if part is None:
            raise BlobMissing(name)
        parts.append(part)
    return b"".join(parts)


class MemoryBlobStore:
    """A BlobStore in RAM."""

    def __init__(self) -> None:
        self._chunks: dict[Hash, bytes] = {}

    def put(self, chunks: Iterable[bytes]) -> tuple[Hash, ...]:
        """As BlobStore."""
        named = [(chunk_hash(chunk), chunk) for chunk in chunks]
        self._chunks.update(named)
        return tuple(name for name, _ in named)

    def get(self, chunk: Hash) -> bytes | None:
        """As BlobStore."""
        return self._chunks.get(chunk)

    def assemble(self, chunks: Sequence[Hash]) -> bytes:
        """As BlobStore."""
        return assemble(self.get, chunks)

    def held(self, first_byte: int) -> tuple[Hash, ...]:
        """As BlobStore."""
        return tuple(name for name in tuple(self._chunks) if name[0] == first_byte)

    def remove(self, chunks: Iterable[Hash]) -> None:
        """As BlobStore."""
        for name in chunks:
            self._chunks.pop(name, None)
