"""Blobs: identity, both stores, collection, damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.crypto import merkle_proof, verify_merkle
from runtime.limits import BLOB_CHUNK_BYTES_MAX, BLOB_CHUNKS_MAX
from runtime.state import (
    BlobMissing,
    BlobStore,
    MemoryBlobStore,
    StateBoundError,
    StoreCorrupt,
    StoreUnwritable,
    blob_root,
    blob_root_of,
    chunk_hash,
    split_chunks,
)
from runtime.state.disk import DiskBlobStore, blobs
from runtime.types import Hash

chunk_lists = st.lists(st.binary(min_size=1, max_size=4), max_size=6)


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return MemoryBlobStore() if request.param == "memory" else DiskBlobStore(tmp_path / "blobs")


@given(chunk_lists, chunk_lists)
def test_the_root_commits_to_the_chunks_their_order_and_number(one: list[bytes], other: list[bytes]) -> None:
    assert (blob_root(one) == blob_root(other)) == (one == other)
    assert blob_root(one) == blob_root_of([chunk_hash(chunk) for chunk in one])


def test_a_chunk_can_be_proved_to_belong_to_a_blob() -> None:
    hashes = [chunk_hash(bytes([number])) for number in range(5)]
    proof = merkle_proof("armillary/blob", hashes, 3)
    assert verify_merkle("armillary/blob", hashes[3], 3, 5, proof, blob_root_of(hashes))


@pytest.mark.parametrize("size", [0, 1, BLOB_CHUNK_BYTES_MAX, BLOB_CHUNK_BYTES_MAX + 1])
def test_split_assembles_again(store: BlobStore, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    chunks = split_chunks(data)
    assert len(chunks) == -(-size // BLOB_CHUNK_BYTES_MAX)
    assert store.assemble(store.put(chunks)) == data


def test_known_chunks_are_put_again_without_harm(store: BlobStore) -> None:
    assert store.put([b"a", b"b", b"a"]) == store.put([b"a", b"b", b"a"])
    assert store.get(chunk_hash(b"a")) == b"a"


def test_removal_deletes_what_is_named_and_nothing_else(store: BlobStore) -> None:
    kept, *dead = store.put([bytes([number]) for number in range(5)])
    store.remove(dead)
    assert store.get(kept) == b"\0"
    assert [store.get(name) for name in dead] == [None] * 4
    store.remove(dead)
    assert store.put([b"\1"]) == (dead[0],)
    assert store.get(dead[0]) == b"\1"


def test_all_that_is_held_is_found_in_pieces(store: BlobStore) -> None:
    names = store.put([b"%d" % number for number in range(600)])
    pieces = [store.held(first) for first in range(256)]
    assert sorted(name for piece in pieces for name in piece) == sorted(names)
    assert all(name[0] == first for first, piece in enumerate(pieces) for name in piece)
    store.remove(names)
    assert not any(store.held(first) for first in range(256))


def test_invalid_a_missing_chunk_is_named(store: BlobStore) -> None:
    held, missing = *store.put([b"a"]), chunk_hash(b"b")
    with pytest.raises(BlobMissing, match=missing.hex()):
        store.assemble([held, missing])


@pytest.mark.parametrize("chunk", [b"", bytes(BLOB_CHUNK_BYTES_MAX + 1)])
def test_invalid_sizes_are_refused_and_nothing_is_kept(store: BlobStore, chunk: bytes) -> None:
    with pytest.raises(StateBoundError, match="blob chunk"):
        store.put([b"a", chunk])
    assert store.get(chunk_hash(b"a")) is None


def test_invalid_too_many_chunks_are_refused(store: BlobStore) -> None:
    hashes = [Hash(bytes(32))] * (BLOB_CHUNKS_MAX + 1)
    with pytest.raises(StateBoundError, match="blob, chunks"):
        blob_root_of(hashes)
    with pytest.raises(StateBoundError, match="blob, chunks"):
        store.assemble(hashes)


def test_chunks_on_disk_survive_reopening_and_unfinished_ones_do_not(tmp_path: Path) -> None:
    (name,) = DiskBlobStore(tmp_path).put([b"kept"])
    unfinished = tmp_path / name.hex()[:2] / ("0" * 64 + ".tmp")
    unfinished.write_bytes(b"cut sh")
    again = DiskBlobStore(tmp_path)
    assert again.get(name) == b"kept"
    assert not unfinished.exists()


@pytest.mark.parametrize("damaged", [b"", b"kepT", b"kept and more", bytes(BLOB_CHUNK_BYTES_MAX + 1)])
def test_invalid_a_damaged_chunk_is_refused_with_its_file(tmp_path: Path, damaged: bytes) -> None:
    store = DiskBlobStore(tmp_path)
    (name,) = store.put([b"kept"])
    path = tmp_path / name.hex()[:2] / name.hex()
    path.write_bytes(damaged)
    with pytest.raises(StoreCorrupt, match=str(path)):
        store.get(name)


def test_invalid_a_full_disk_is_our_error_and_a_retry_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    store = DiskBlobStore(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(blobs, "write_all", refuse)
        with pytest.raises(StoreUnwritable, match="No space left"):
            store.put([b"chunk"])
    assert store.get(chunk_hash(b"chunk")) is None
    store.put([b"chunk"])
    assert store.get(chunk_hash(b"chunk")) == b"chunk"
