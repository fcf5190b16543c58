"""The store on disk when things go wrong: locks, damage, full disks, crashes between steps."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from runtime.errors import OurError, UsageError
from runtime.state import Retention, StateError, StoreCorrupt, StoreLocked, StoreUnwritable, verify_proof
from runtime.state.disk import DiskStore
from runtime.state.disk.base import Base
from runtime.state.disk.wal import scan, segments


def filled(path: Path, blocks: int, **options: int) -> DiskStore:
    store = DiskStore(path, **options)  # type: ignore[arg-type] # options are integers here
    for height in range(store.height + 1, blocks):
        rng = random.Random(height)
        changed = {rng.randbytes(2): rng.choice([rng.randbytes(20), None]) for _ in range(20)}
        store.commit(store.prepare(height, {"alpha": changed}), extra={b"block/%d" % height: rng.randbytes(50)})
    return store


def flushed(path: Path, blocks: int) -> tuple[Path, bytes]:
    """A closed store most of whose blocks are in LMDB, some in the log; and its root."""
    store = filled(path, blocks, flush_bytes=20_000)
    store.close()
    assert (Base(path / "lmdb")).height > 0
    return path, store.root


def test_invalid_a_second_opening_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    with pytest.raises(StoreLocked, match=f"{tmp_path}: another process") as caught:
        DiskStore(tmp_path)
    assert isinstance(caught.value, UsageError)
    opener = f"from runtime.state.disk import DiskStore; DiskStore({str(tmp_path)!r})"
    refused = subprocess.run([sys.executable, "-c", opener], capture_output=True, text=True, check=False)
    assert "StoreLocked" in refused.stderr
    store.close()
    DiskStore(tmp_path).close()


def test_closing_twice_is_harmless_and_using_it_after_is_our_error(tmp_path: Path) -> None:
    store = filled(tmp_path, 2)
    prepared = store.prepare(2, {})
    store.close()
    store.close()
    uses: list[Callable[[], object]] = [
        lambda: store.commit(prepared),
        lambda: store.prepare(2, {}),
        lambda: store.get("beta", b""),
        lambda: list(store.iterate("alpha")),
        lambda: store.get_extra(b"absent"),
    ]
    for use in uses:
        with pytest.raises(StateError, match="closed"):
            use()


def test_recovery_tells_what_was_found(tmp_path: Path) -> None:
    filled(tmp_path, 5).close()
    (segment,) = segments(tmp_path / "wal")
    segment.write_bytes(segment.read_bytes()[:-3])
    store = DiskStore(tmp_path)
    assert (store.height, store.recovery.replayed) == (3, 4)
    assert store.recovery.torn_bytes > 0
    store.close()
    store = filled(tmp_path, 6)
    assert (store.height, store.recovery.torn_bytes) == (5, 0)
    store.close()


def test_flushes_move_the_log_into_lmdb_and_delete_it(tmp_path: Path) -> None:
    path, root = flushed(tmp_path / "a", 60)
    assert len(segments(path / "wal")) <= 2
    assert sum(len(scan(segment).records) for segment in segments(path / "wal")) < 30
    unflushed = filled(tmp_path / "b", 60)
    reopened = DiskStore(path)
    assert reopened.root == root == unflushed.root
    assert list(reopened.iterate("alpha")) == list(unflushed.iterate("alpha"))
    assert list(reopened.iterate_extra()) == list(unflushed.iterate_extra())
    unflushed.close()
    reopened.close()


def test_history_survives_flushes_and_reopening(tmp_path: Path) -> None:
    path, _ = flushed(tmp_path / "a", 60)
    reference = filled(tmp_path / "b", 60)
    store = DiskStore(path)
    assert store.oldest_height == 0
    for height in (0, 30, 57, 58, 59):
        assert store.root_at(height) == reference.root_at(height)
        assert list(store.at(height).iterate("alpha")) == list(reference.at(height).iterate("alpha"))
        key, value = next(reference.at(height).iterate("alpha"))
        verify_proof(reference.root_at(height), "alpha", key, value, store.prove("alpha", key, height))
    store.close()
    reference.close()


def test_a_shorter_retention_forgets_on_disk_too(tmp_path: Path) -> None:
    path, _ = flushed(tmp_path, 60)
    store = DiskStore(path, retention=Retention(heights=3), flush_bytes=1)
    assert store.oldest_height == 56
    for height in (60, 61, 62):
        store.commit(store.prepare(height, {"alpha": {b"a": bytes([height])}}))
        store._flusher.wait()
    store.close()
    store = DiskStore(path)
    assert store.oldest_height == 58
    store.close()


def test_a_crash_between_flush_and_log_deletion_is_harmless(tmp_path: Path) -> None:
    store = filled(tmp_path / "a", 40)
    shutil.copytree(tmp_path / "a" / "wal", tmp_path / "saved")
    store._flush_bytes = 1
    store.commit(store.prepare(40, {"alpha": {b"a": b"1"}}))
    store._flusher.wait()
    root = store.root
    store.close()
    for segment in segments(tmp_path / "saved"):
        shutil.copy(segment, tmp_path / "a" / "wal")
    store = DiskStore(tmp_path / "a")
    assert (store.height, store.root, store.recovery.replayed) == (40, root, 1)
    store.close()


def test_a_map_that_is_full_grows(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, flush_bytes=1, map_bytes=200_000)
    for height in range(20):
        changed = {bytes([height, n]): bytes(5_000) for n in range(20)}
        store.commit(store.prepare(height, {"alpha": changed}))
    root = store.root
    store.close()
    store = DiskStore(tmp_path, map_bytes=200_000)
    assert (store.root, len(list(store.iterate("alpha")))) == (root, 400)
    store.close()


def test_readers_in_other_threads_see_one_height_whole(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, flush_bytes=3_000)
    both = {b"a": b"0", b"b": b"0"}
    store.commit(store.prepare(0, {"alpha": both}))
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            height = store.height
            past = store.at(height)
            found = [value for _, value in past.iterate("alpha")]
            if found != [b"%d" % height] * 2 or past.get("alpha", b"a") != found[0]:
                wrong.append((height, found))
            verify_proof(store.root_at(height), "alpha", b"a", b"%d" % height, store.prove("alpha", b"a", height))

    reader = threading.Thread(target=read)
    reader.start()
    for height in range(1, 150):
        store.commit(store.prepare(height, {"alpha": dict.fromkeys(both, b"%d" % height)}))
    stop.set()
    reader.join()
    store.close()
    assert wrong == []


# --- damage


def test_invalid_a_changed_value_in_lmdb_is_refused_by_its_root(tmp_path: Path) -> None:
    path, _ = flushed(tmp_path, 60)
    with lmdb.open(str(path / "lmdb"), max_dbs=4) as env, env.begin(write=True) as writer:
        writer.put(b"alpha\0changed", b"value", db=env.open_db(b"state", txn=writer))
    with pytest.raises(StoreCorrupt, match="not to the stored root"):
        DiskStore(path)


def test_invalid_a_cut_lmdb_file_is_refused_and_does_not_kill_the_process(tmp_path: Path) -> None:
    path, _ = flushed(tmp_path, 60)
    data = path / "lmdb" / "data.mdb"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(StoreCorrupt, match=r"data\.mdb at byte"):
        DiskStore(path)


def test_invalid_a_file_that_is_no_lmdb_is_refused(tmp_path: Path) -> None:
    path, _ = flushed(tmp_path, 60)
    (path / "lmdb" / "data.mdb").write_bytes(b"not a database" * 1_000)
    with pytest.raises(StoreCorrupt, match="lmdb"):
        DiskStore(path)


def test_invalid_a_missing_log_segment_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path, 10)
    store._flush_bytes = 1
    store.commit(store.prepare(10, {"alpha": {b"a": b"1"}}))
    store._flusher.wait()
    store._base.write = lambda *_: None  # type: ignore[method-assign] # a flush that never reached the disk
    store.commit(store.prepare(11, {}))
    store.close()
    with pytest.raises(StoreCorrupt, match=r"00011\.wal at byte 40: .*at height 9: height 11 cannot"):
        DiskStore(tmp_path)


def test_invalid_a_log_block_that_gives_another_root_is_refused(tmp_path: Path) -> None:
    for name, value in (("a", b"1"), ("b", b"2")):
        store = DiskStore(tmp_path / name)
        store.commit(store.prepare(0, {"alpha": {b"a": value}}))
        store._flush_bytes = 1
        store.commit(store.prepare(1, {"alpha": {b"b": b"3"}}))
        store.close()
    ((swapped,), (kept,)) = (segments(tmp_path / name / "wal") for name in "ab")
    shutil.copy(swapped, kept)
    with pytest.raises(StoreCorrupt, match="gives root"):
        DiskStore(tmp_path / "b")


def test_invalid_another_format_is_refused(tmp_path: Path) -> None:
    DiskStore(tmp_path).close()
    with lmdb.open(str(tmp_path / "lmdb"), max_dbs=4) as env, env.begin(write=True) as writer:
        writer.put(b"format", b"armillary state 99", db=env.open_db(b"meta", txn=writer))
    with pytest.raises(StoreCorrupt, match="armillary state 99"):
        DiskStore(tmp_path)


# --- refusals of the disk


def test_invalid_a_folder_that_cannot_be_made_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnwritable, match="file"):
        DiskStore(tmp_path / "file" / "store")


FULL_DISK = """
import resource, sys
from runtime.state import StoreUnwritable
from runtime.state.disk import DiskStore

store = DiskStore(sys.argv[1], flush_bytes=int(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
try:
    for height in range(1000):
        store.commit(store.prepare(height, {"alpha": {b"%d" % height: bytes(1000)}}))
        acknowledged, root = height, store.root
except StoreUnwritable as error:
    print(acknowledged, root.hex(), store.height, store.root.hex(), error)
"""


@pytest.mark.parametrize(("flush_bytes", "limit"), [(1 << 30, 50_123), (20_000, 60_000)])
def test_invalid_a_full_disk_is_our_error_and_loses_nothing(tmp_path: Path, flush_bytes: int, limit: int) -> None:
    arguments = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(flush_bytes), str(limit)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    acknowledged, root, height, now, *message = done.stdout.split()
    assert (acknowledged, root) == (height, now)
    assert str(tmp_path) in " ".join(message)
    store = DiskStore(tmp_path)
    assert (store.height, store.root.hex()) == (int(acknowledged), root)
    store.commit(store.prepare(store.height + 1, {"alpha": {b"more": b"1"}}))
    store.close()


def test_invalid_a_failed_flush_stops_commits_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, 10)
    store._flush_bytes = 1

    def refuse(*_: object) -> None:
        raise StoreUnwritable(str(tmp_path), "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store._base, "write", refuse)
        store.commit(store.prepare(10, {"alpha": {b"a": b"1"}}))
        root = store.root
        for _ in range(2):
            store._flusher.join()
            with pytest.raises(OurError, match="No space left"):
                store.commit(store.prepare(11, {}))
    assert store.get("alpha", b"a") == b"1"
    assert (store.height, store.root) == (10, root)
    store.close()
    store = DiskStore(tmp_path)
    assert (store.height, store.root) == (10, root)
    store.close()
