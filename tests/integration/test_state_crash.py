"""kill -9 at random moments: the store reopens at the last acknowledged block or a later one, with its root."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from runtime.state import chunk_hash, verify_proof
from runtime.state.disk import DiskStore

SEED = 20_240_611
KILLS = 8

WRITER = """
import sys
from runtime.state.disk import DiskStore

sys.path.insert(0, sys.argv[2])
from test_state_crash import changes_of, chunk_of

store = DiskStore(sys.argv[1], flush_bytes=20_000)
print("open", store.height, store.root.hex(), flush=True)
while True:
    height = store.height + 1
    prepared = store.prepare(height, changes_of(height))
    store.commit(prepared, blobs=[chunk_of(height)], extra={b"block": b"%d" % height, b"block/%d" % height: b"b" * 300})
    print(height, prepared.root.hex(), flush=True)
"""


def changes_of(height: int) -> dict[str, dict[bytes, bytes | None]]:
    """The block at a height: a pure function, so that every process writes the same."""
    rng = random.Random(height)
    changed = {b"%d" % rng.randrange(500): rng.choice([None, rng.randbytes(60), rng.randbytes(5)]) for _ in range(20)}
    return {"alpha": changed, "beta": {b"height": b"%d" % height}}


def chunk_of(height: int) -> bytes:
    return b"chunk %d" % height


def run_and_kill(path: Path, blocks: int, seconds: float) -> list[tuple[int, str]]:
    """Acknowledged heights and roots of a writer that is killed `seconds` after as many blocks."""
    arguments = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        opened = writer.stdout.readline().split()
        lines = [writer.stdout.readline() for _ in range(blocks)]
        time.sleep(seconds)
        writer.kill()
        lines += writer.stdout.read().splitlines()
        assert writer.stderr.read() == ""
    assert opened[0] == "open"
    acknowledged = [(int(height), root) for height, root in (line.split() for line in lines if len(line.split()) == 2)]
    return [entry for entry in acknowledged if len(entry[1]) == 64]  # the kill may cut the last line


def test_killed_at_random_moments_every_acknowledged_block_is_there(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    reference = DiskStore(tmp_path / "reference")
    roots: dict[int, str] = {}
    reached = -1
    for _ in range(KILLS):
        acknowledged = run_and_kill(tmp_path / "store", rng.choice([0, 1, 20, 40]), rng.uniform(0.0, 0.02))
        assert [height for height, _ in acknowledged] == list(range(reached + 1, reached + 1 + len(acknowledged)))
        store = DiskStore(tmp_path / "store")
        assert store.height >= reached + len(acknowledged)
        for height in range(reached + 1, store.height + 1):
            reference.commit(reference.prepare(height, changes_of(height)))
            roots[height] = reference.root.hex()
            assert store.get_extra(b"block/%d" % height) is not None
        assert all(roots[height] == root for height, root in acknowledged)
        assert store.root == reference.root
        reached = store.height
        if reached >= 0:
            check_contents(store, reference)
        store.close()
    reference.close()
    assert reached > KILLS


def check_contents(store: DiskStore, reference: DiskStore) -> None:
    height = store.height
    assert store.get_extra(b"block") == b"%d" % height
    assert store.blobs.get(chunk_hash(chunk_of(height))) == chunk_of(height)
    for module in ("alpha", "beta"):
        assert list(store.iterate(module)) == list(reference.iterate(module))
    past = max(store.oldest_height, height - 50)
    value = store.at(past).get("beta", b"height")
    assert value == b"%d" % past
    verify_proof(reference.root_at(past), "beta", b"height", value, store.prove("beta", b"height", past))
