"""Chunks that no retained height refers to are removed, bit by bit; no other chunk ever is."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import Blobs, Call, Hash, MaxLen, Module, Signed, Uses, call, query
from runtime.execution import Chain
from runtime.execution.chain import BLOCK_INTERVAL_MS
from runtime.execution.core import Core
from runtime.network.simulated import run_simulation
from runtime.node.blob_sweep import PIECES, REMOVED_PER_LOOK_MAX, BlobSweep
from runtime.state import MemoryStore, Retention, StoreUnwritable, chunk_hash
from runtime.state.disk import DiskStore
from runtime.state.protocols import Store

LOG = structlog.get_logger()
RETAINED = 5
CHUNKS = tuple(b"chunk %d" % number for number in range(12))
PIECES_USED = {chunk_hash(chunk)[0] for chunk in CHUNKS}


class Box(Module):
    """Puts and drops chunks, for whoever asks."""

    name = "box"
    blobs: Uses[Blobs]

    @call(gas=0)
    def put(self, origin: Signed, *, data: Annotated[bytes, MaxLen(64)]) -> None:
        """Put a chunk."""
        self.blobs.put_chunk(data)

    @call(gas=0)
    def drop(self, origin: Signed, *, chunk: Hash) -> None:
        """Drop a chunk."""
        self.blobs.drop_chunk(chunk)

    @query
    def read(self, *, chunk: Hash) -> Annotated[bytes, MaxLen(64)]:
        """A chunk's bytes."""
        return self.blobs.read_chunk(chunk)


class Life:
    """A chain over `store`; after each of its blocks the sweep is told, and may look everywhere."""

    def __init__(self, store: Store, interval_blocks: int = 1) -> None:
        self.chain = Chain(Box, store=store)
        self.chain.time_ms += BLOCK_INTERVAL_MS * store.height
        self.store = store
        self.sweep = BlobSweep(self.chain.application, store, interval_blocks, LOG)
        self.user = self.chain.account("user")

    @property
    def live(self) -> frozenset[Hash]:
        return self.chain.application.live_chunks()

    @property
    def held(self) -> set[Hash]:
        return {name for piece in range(PIECES) for name in self.store.blobs.held(piece)}

    def block(self, *calls: Call, everywhere: bool = True) -> None:
        """A block of one transaction, or of none."""
        transactions = [self.chain.transaction(*calls, signer=self.user)] if calls else []
        self.sweep.committed(self.chain.block(transactions).blobs)
        for piece in PIECES_USED if everywhere else ():
            self.sweep._look(piece)

    def toggle(self, number: int) -> None:
        """Put a chunk, or drop it where it is there."""
        name = chunk_hash(CHUNKS[number])
        self.block(Box.drop.build(chunk=name) if name in self.live else Box.put.build(data=CHUNKS[number]))

    def check(self) -> None:
        """Every retained height finds all of its chunks."""
        for height in range(max(self.store.oldest_height, 0), self.store.height + 1):
            at = self.store.at(height)
            for chunk in CHUNKS:
                name = chunk_hash(chunk)
                if at.get("runtime", Core.chunks.storage_key(name)) is not None:
                    assert self.chain.query_at(height, Box.read, chunk=name) == chunk


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=25))
def test_what_a_retained_height_refers_to_stays_and_all_else_goes(steps: list[int]) -> None:
    life = Life(MemoryStore(retention=Retention(heights=RETAINED)))
    for number in steps:
        life.toggle(number)
        life.check()
    for _ in range(RETAINED + 1):
        life.block()
        life.check()
    assert life.held == life.live


def test_a_chunk_that_is_put_again_meanwhile_begins_anew() -> None:
    life = Life(MemoryStore(retention=Retention(heights=RETAINED)))
    life.toggle(0)
    life.toggle(0)  # seen dead from here on
    put = Box.put.build(data=CHUNKS[0])
    life.block(put, everywhere=False)  # no look sees it alive
    life.toggle(0)
    for _ in range(RETAINED):
        life.check()
        life.block()
    life.check()
    assert not life.held


@pytest.mark.parametrize("interval", [1, 3])
def test_every_chunk_is_looked_at_in_256_intervals_and_one_piece_at_a_time(interval: int) -> None:
    life = Life(MemoryStore(retention=Retention(heights=1)), interval)
    orphans = life.store.blobs.put([b"never committed %d" % number for number in range(300)])
    removed = []
    for _ in range(2 * PIECES * interval + 2):
        life.block(everywhere=False)
        removed.append(life.sweep.removed)
    assert not life.held
    assert removed[-1] == len(orphans)
    steps = [after - before for before, after in pairwise(removed)]
    assert max(steps) <= max(sum(name[0] == first for name in orphans) for first in range(PIECES))


def test_one_look_removes_a_bounded_number() -> None:
    life = Life(MemoryStore(retention=Retention(heights=1)))
    many = (b"%d" % number for number in range(100_000))
    piece = next(number for number in range(100, PIECES) if number not in PIECES_USED)
    crowd = [chunk for chunk in many if chunk_hash(chunk)[0] == piece][: REMOVED_PER_LOOK_MAX + 10]
    life.store.blobs.put(crowd)
    lengths = []
    for _ in range(2):
        life.sweep._look(piece)
        lengths.append(len(life.held))
    assert lengths == [10, 0], "at height 0 no other height is retained"


def test_no_interval_removes_nothing() -> None:
    life = Life(MemoryStore(retention=Retention(heights=1)), 0)
    life.store.blobs.put([b"orphan"])
    for _ in range(PIECES + 3):
        life.block(everywhere=False)
    assert len(life.held) == 1


def test_invalid_disk_removes_nothing_and_the_node_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DiskStore(tmp_path, retention=Retention(heights=1))
    life = Life(store)
    (orphan,) = store.blobs.put([b"orphan"])

    def refuse(*_: object) -> None:
        raise StoreUnwritable(str(tmp_path), "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(store.blobs, "remove", refuse)
        for _ in range(2 * PIECES + 2):
            life.block(everywhere=False)
    assert life.held == {orphan}
    for _ in range(PIECES + 1):
        life.block(everywhere=False)
    assert life.held == set()
    store.close()


def test_a_node_looks_after_each_commit(four: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with four.simulated(tmp_path, 1) as nodes:
            await nodes.start_all()
            await nodes.reach(1)
            blobs = nodes.node(0).setup.store.blobs
            many = (b"%d" % number for number in range(10_000))
            orphans = blobs.put([next(data for data in many if chunk_hash(data)[0] == piece) for piece in range(2, 6)])
            for nonce in range(6):
                await nodes.committed(nodes.submit(0, four.take(nonce)), of=(0,))
            assert nodes.height(0) >= 6
            assert set(orphans) == nodes.node(0).sweep._dead_at.keys(), (
                "seen, and to be removed when they are looked at again"
            )

    run_simulation(main, seed=1)


WRITER = """
import random, sys
sys.path.insert(0, sys.argv[2])
from test_blob_sweep import CHUNKS, DiskStore, Life, Path, RETAINED, Retention

life = Life(DiskStore(Path(sys.argv[1]), retention=Retention(heights=RETAINED)))
print("open", flush=True)
rng = random.Random(life.store.height)
while True:
    life.toggle(rng.randrange(len(CHUNKS)))
    print("block", flush=True)
"""


def test_kill_9_at_any_moment_leaves_every_chunk_that_is_needed(tmp_path: Path) -> None:
    rng = random.Random(3)
    arguments = [sys.executable, "-c", WRITER, str(tmp_path / "store"), str(Path(__file__).parent)]
    heights = []
    for _ in range(4):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stderr is not None
            assert writer.stdout.readline() == "open\n", writer.stderr.read()
            for _ in range(rng.randrange(8, 20)):
                assert writer.stdout.readline() == "block\n", writer.stderr.read()
            time.sleep(rng.uniform(0, 0.02))
            writer.kill()
        store = DiskStore(tmp_path / "store", retention=Retention(heights=RETAINED))
        life = Life(store)
        life.check()
        heights.append(store.height)
        store.close()
    assert heights == sorted(heights)
    assert heights[-1] >= 4 * 8
    life = Life(DiskStore(tmp_path / "store", retention=Retention(heights=RETAINED)))
    for _ in range(RETAINED + 2):
        life.block()
    assert life.held == life.live, "what the crashes left behind goes too"
    life.store.close()
