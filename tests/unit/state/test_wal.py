"""The log: torn at every byte, damaged at every byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import OurError
from runtime.state import StateError, StoreCorrupt, StoreUnwritable
from runtime.state.disk import wal
from runtime.state.disk.wal import Segment, scan, segment_path

PAYLOADS = (b"first", b"", b"third " * 5)


@pytest.fixture
def logged(tmp_path: Path) -> tuple[Path, bytes, list[int]]:
    """A segment of three records: its path, bytes, and the ends of its records (the header's end first)."""
    path = segment_path(tmp_path, 5)
    segment = Segment(path)
    ends = [path.stat().st_size]
    for number, payload in enumerate(PAYLOADS):
        segment.append(5 + number, payload)
        ends.append(path.stat().st_size)
    segment.close()
    return path, path.read_bytes(), ends


def test_what_is_appended_is_scanned(logged: tuple[Path, bytes, list[int]]) -> None:
    path, data, ends = logged
    found = scan(path)
    assert [(record.height, record.payload) for record in found.records] == list(enumerate(PAYLOADS, 5))
    assert [record.offset for record in found.records] == ends[:-1]
    assert (found.end, found.torn_bytes) == (len(data), 0)


def test_torn_at_every_byte_every_complete_record_is_kept(logged: tuple[Path, bytes, list[int]]) -> None:
    path, data, ends = logged
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        found = scan(path)
        complete = sum(end <= length for end in ends[1:])
        assert [record.payload for record in found.records] == list(PAYLOADS[:complete])
        kept = 0 if length < ends[0] else ends[complete]
        assert (found.end, found.torn_bytes) == (kept, length - kept)
        segment = Segment(path, found)
        segment.append(9, b"after")
        segment.close()
        again = scan(path)
        assert [record.payload for record in again.records] == [*PAYLOADS[:complete], b"after"]
        assert again.torn_bytes == 0


@pytest.mark.parametrize("garbage", [bytes(100), b"\xff" * 10, b"\xa7blk" * 20])
def test_garbage_after_the_last_record_is_a_torn_tail(logged: tuple[Path, bytes, list[int]], garbage: bytes) -> None:
    path, data, _ = logged
    path.write_bytes(data + garbage)
    assert len(scan(path).records) == len(PAYLOADS)
    assert scan(path).torn_bytes == len(garbage)


def test_invalid_a_damaged_byte_before_the_last_record_is_refused_with_file_and_offset(
    logged: tuple[Path, bytes, list[int]],
) -> None:
    path, data, ends = logged
    for place in range(ends[2]):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        with pytest.raises(StoreCorrupt) as caught:
            scan(path)
        assert isinstance(caught.value, OurError)
        assert caught.value.path == str(path)
        assert caught.value.offset == max([0, *(end for end in ends if end <= place)])


def test_a_damaged_last_record_is_dropped_whole(logged: tuple[Path, bytes, list[int]]) -> None:
    path, data, ends = logged
    for place in range(ends[2], len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        assert [record.payload for record in scan(path).records] == list(PAYLOADS[:2])


def test_a_record_inside_a_payload_does_not_pass_for_one(tmp_path: Path) -> None:
    outer = Segment(tmp_path / "outer.wal")
    foreign = Segment(tmp_path / "foreign.wal")
    foreign.append(6, b"forged")
    foreign.close()
    outer.append(5, (tmp_path / "foreign.wal").read_bytes())
    outer.close()
    whole = (tmp_path / "outer.wal").read_bytes()
    (tmp_path / "outer.wal").write_bytes(whole[:-1])
    assert scan(tmp_path / "outer.wal").records == ()


def test_invalid_a_payload_above_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "PAYLOAD_BYTES_MAX", 10)
    segment = Segment(tmp_path / "a.wal")
    with pytest.raises(StateError, match="above 10"):
        segment.append(0, bytes(11))
    segment.append(0, bytes(10))
    segment.close()
    assert len(scan(tmp_path / "a.wal").records) == 1


@pytest.mark.parametrize("failing", ["write", "fdatasync"])
def test_a_refused_append_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "a.wal"
    segment = Segment(path)
    segment.append(0, b"kept")
    real, calls = getattr(os, failing), []

    def refuse_once(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, failing, refuse_once)
    with pytest.raises(StoreUnwritable, match=r"a\.wal: No space left"):
        segment.append(1, b"refused")
    segment.append(1, b"taken")
    segment.close()
    assert [record.payload for record in scan(path).records] == [b"kept", b"taken"]


def test_a_log_whose_failed_append_cannot_be_taken_back_takes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> object:
        raise OSError(5, "Input/output error")

    segment = Segment(tmp_path / "a.wal")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", refuse)
        with pytest.raises(StoreUnwritable):
            segment.append(0, b"refused")
    with pytest.raises(StoreUnwritable, match="could not be taken back"):
        segment.append(0, b"refused")
    segment.close()
