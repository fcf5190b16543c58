"""A journal loses only what was never synced, and notices what was damaged."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.errors import JournalCorrupted
from runtime.node.journal import HEADER_BYTES, MAGIC, RECORD_BYTES_MAX, Journal, read_journal
from runtime.node.wal import ConsensusWal, read_wal

RECORDS = st.lists(st.binary(max_size=30), max_size=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(RECORDS, max_size=4))
def test_what_was_appended_is_read_again_over_any_number_of_openings(runs: list[list[bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        expected: list[bytes] = []
        for records in runs:
            journal = Journal(path)
            assert list(journal.records) == expected
            for record in records:
                journal.append(record)
            journal.sync()
            journal.close()
            expected += records
        if runs:
            assert list(read_journal(path).records) == expected


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.data())
def test_a_torn_end_is_cut_at_any_byte_and_writing_goes_on(records: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        journal = Journal(path)
        for record in records:
            journal.append(record)
        journal.close()
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut] + bytes(data.draw(st.integers(0, 3))))
        reopened = Journal(path)
        ends = [len(MAGIC)]
        for record in records:
            ends.append(ends[-1] + HEADER_BYTES + len(record))
        kept = sum(end <= cut for end in ends[1:])
        assert list(reopened.records[:kept]) == records[:kept]
        assert len(reopened.records) <= len(records)
        before = reopened.records
        reopened.append(b"next")
        reopened.close()
        assert read_journal(path).records == (*before, b"next")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20), min_size=2, max_size=6), st.data())
def test_invalid_damage_before_the_end_is_never_taken_for_a_torn_end(records: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        journal = Journal(path)
        for record in records:
            journal.append(record)
        journal.close()
        whole = bytearray(path.read_bytes())
        victim = data.draw(st.integers(0, len(records) - 2))
        start = len(MAGIC) + sum(HEADER_BYTES + len(record) for record in records[:victim])
        offset = start + data.draw(st.integers(4, HEADER_BYTES + len(records[victim]) - 1))
        whole[offset] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole)
        with pytest.raises(JournalCorrupted, match=f"byte {start}"):
            Journal(path)


def test_invalid_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b"something else entirely")
    with pytest.raises(JournalCorrupted, match="not a journal"):
        Journal(path)
    path.write_bytes(MAGIC + b"\xff" * 40)
    with pytest.raises(JournalCorrupted, match="claims"):
        Journal(path)
    path.unlink()
    with pytest.raises(ValueError, match="allowed"):
        Journal(path).append(bytes(RECORD_BYTES_MAX + 1))


def test_the_wal_replays_its_height_and_keeps_only_two(tmp_path: Path) -> None:
    wal = ConsensusWal(tmp_path / "wal")
    for height in range(1, 5):
        assert wal.open_height(height) == ()
        wal.append(b"input %d" % height)
        wal.append_synced(b"own %d" % height)
    wal.close()
    assert read_wal(tmp_path / "wal", 2) == ()
    assert read_wal(tmp_path / "wal", 3) == (b"input 3", b"own 3")
    again = ConsensusWal(tmp_path / "wal")
    assert again.open_height(4) == (b"input 4", b"own 4")
    again.append(b"more")
    assert read_wal(tmp_path / "wal", 4) == (b"input 4", b"own 4", b"more")


def test_invalid_append_before_a_height_is_open(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="open_height"):
        ConsensusWal(tmp_path / "wal").append(b"x")
