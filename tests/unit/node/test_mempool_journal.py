"""What was acknowledged is on disk, stays within bounds, and survives any cut of the file's end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
import structlog
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.mempool import Added, Checked, Mempool
from runtime.node import mempool_journal
from runtime.node.application import wire_hash
from runtime.node.errors import JournalUnwritable
from runtime.node.executor import inline
from runtime.node.journal import Journal
from runtime.node.mempool_journal import MempoolJournal
from runtime.node.metrics import NodeMetrics
from runtime.types import AccountId

T = TypeVar("T")
FILE = "mempool.journal"


def waiting(pool: Mempool, data: bytes) -> None:
    """Put bytes into the pool as though they were a checked transaction."""
    name = wire_hash(data)
    checked = Checked(name, name, data, AccountId(name), 0, 0, 1, 1, 0, 1 << 40)
    assert isinstance(pool.add(checked), Added)


async def keep_all(journal: MempoolJournal, records: list[bytes]) -> None:
    """One after the other, as a client that waits for each answer."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for data in records:
            await journal.keep(wire_hash(data), data)
        nursery.cancel_scope.cancel()


def reopened(folder: Path, pool: Mempool | None = None) -> MempoolJournal:
    return MempoolJournal(folder, Mempool() if pool is None else pool, inline, NodeMetrics(), structlog.get_logger())


def lines(folder: Path) -> tuple[bytes, ...]:
    """What an opening finds, without changing anything else."""
    journal = reopened(folder)
    journal.close()
    return journal.found


async def test_an_acknowledged_transaction_is_on_disk_when_its_client_hears_of_it(tmp_path: Path) -> None:
    journal = reopened(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for number in range(5):
            data = b"transaction %d" % number
            await journal.keep(wire_hash(data), data)
            assert Journal(tmp_path / FILE).records[-1] == data
        nursery.cancel_scope.cancel()
    journal.close()
    assert lines(tmp_path) == tuple(b"transaction %d" % number for number in range(5))


async def test_those_who_wait_together_share_one_wait_for_the_disk(tmp_path: Path) -> None:
    waits: list[int] = []

    async def counted(work: Callable[[], T]) -> T:
        waits.append(1)
        await trio.sleep(0.01)
        return work()

    journal = MempoolJournal(tmp_path, Mempool(), counted, NodeMetrics(), structlog.get_logger())
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as clients:
            for number in range(200):
                data = b"%d" % number
                clients.start_soon(journal.keep, wire_hash(data), data)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(journal.run)
        nursery.cancel_scope.cancel()
    journal.close()
    assert len(waits) == 1
    assert len(lines(tmp_path)) == 200


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8, unique=True), st.data())
def test_whatever_is_cut_off_or_spoiled_at_the_end_what_comes_before_is_found(
    records: list[bytes], data: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        journal = reopened(folder)
        trio.run(keep_all, journal, records)
        journal.close()
        whole = (folder / FILE).read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        spoiled = data.draw(st.binary(max_size=20))
        (folder / FILE).write_bytes(whole[:cut] + spoiled)
        found = lines(folder)
        ends = [8]
        for record in records:
            ends.append(ends[-1] + 8 + len(record))
        certain = sum(end <= cut for end in ends[1:])
        assert found[:certain] == tuple(records[:certain])
        assert lines(folder) == found, "opening it mended it"


async def test_a_damaged_middle_loses_what_follows_and_says_so(tmp_path: Path) -> None:
    journal = reopened(tmp_path)
    await keep_all(journal, [b"first" * 10, b"second" * 10, b"third" * 10])
    journal.close()
    spoiled = bytearray((tmp_path / FILE).read_bytes())
    spoiled[8 + 8 + 50 + 8 + 3] ^= 1
    (tmp_path / FILE).write_bytes(spoiled)
    assert lines(tmp_path) == (b"first" * 10,)
    assert (tmp_path / "mempool.damaged").read_bytes() == spoiled, "the evidence is kept"
    (tmp_path / FILE).write_bytes(b"something else altogether")
    assert lines(tmp_path) == ()


async def test_the_file_is_bounded_and_keeps_what_still_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_journal, "REWRITE_BYTES_MIN", 4096)
    pool = Mempool()
    journal = reopened(tmp_path, pool)
    held = [b"held %d" % number + bytes(50) for number in range(20)]
    for data in held:
        waiting(pool, data)
    await keep_all(journal, held)
    sizes = []
    for number in range(50):
        passing = [b"passing %d %d" % (number, item) + bytes(100) for item in range(5)]
        for data in passing:
            waiting(pool, data)
        await keep_all(journal, passing)
        pool.drop(map(wire_hash, passing))
        sizes.append((tmp_path / FILE).stat().st_size)
    journal.close()
    assert max(sizes) < 2 * 4096
    assert set(held) <= set(lines(tmp_path))


async def test_what_was_found_and_waits_no_longer_is_forgotten_with_the_first_batch(tmp_path: Path) -> None:
    journal = reopened(tmp_path)
    await keep_all(journal, [b"in a block by now", b"still waits"])
    journal.close()
    pool = Mempool()
    journal = reopened(tmp_path, pool)
    waiting(pool, b"still waits")
    await keep_all(journal, [b"new"])
    journal.close()
    assert set(lines(tmp_path)) == {b"still waits", b"new"}


async def test_one_that_is_kept_already_is_not_written_again(tmp_path: Path) -> None:
    journal = reopened(tmp_path)
    await keep_all(journal, [b"x"] * 5)
    journal.close()
    assert lines(tmp_path) == (b"x",)


async def test_invalid_disk_no_acknowledgement_and_a_new_file_once_it_takes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Mempool()
    journal = reopened(tmp_path, pool)
    for data in (b"before", b"refused", b"after"):
        waiting(pool, data)
    await keep_all(journal, [b"before"])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for broken in ("fdatasync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, full)
            with pytest.RaisesGroup(JournalUnwritable, flatten_subgroups=True):
                await keep_all(journal, [b"refused"])
    await keep_all(journal, [b"after"])
    journal.close()
    assert {b"before", b"after"} <= set(lines(tmp_path))
