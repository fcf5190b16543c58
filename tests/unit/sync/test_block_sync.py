"""Block sync reaches the target, in order, whoever lies, stalls or leaves, as long as one honest peer stays."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.consensus.certificate import CommitCertificate
from runtime.errors import PeerError
from runtime.sync import Ban, BlocksRequest, BlocksResponse, BlockSync, Request, SyncedBlock, SyncEffect, serve_blocks
from runtime.sync.block_sync import AHEAD_BLOCKS_MAX, GRACE_MS, REQUESTS_MAX
from runtime.sync.messages import WINDOW_BLOCKS_MAX, WINDOW_BYTES_MAX
from runtime.sync.peers import FAILURES_MAX, PAUSE_MS
from runtime.types import Hash


def item(height: int, content: bytes = b"good") -> SyncedBlock:
    return SyncedBlock(content, CommitCertificate(height, 0, Hash(bytes(32)), ()))


def verify(block: SyncedBlock) -> None:
    if block.block != b"good":
        raise PeerError("the block is not good")


@dataclass
class Net:
    """Peers by behaviour around one node that catches up."""

    sync: BlockSync
    top: int
    behaviour: dict[str, str]
    rng: random.Random
    now_ms: int = 0
    banned: dict[str, str] = field(default_factory=dict)
    pending: list[Request] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)

    def perform(self, effects: list[SyncEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Ban):
                self.banned[effect.peer] = effect.reason
                self.sync.peer_left(effect.peer)
            else:
                assert effect.peer not in self.banned
                self.pending.append(effect)
        busy = [request.peer for request in self.pending if request.peer not in self.banned]  # others are cut off
        assert len(busy) == len(set(busy)) <= REQUESTS_MAX

    def step(self) -> None:
        self.now_ms += 50
        self.perform(self.sync.poll(self.now_ms))
        if self.pending:
            self.answer(self.pending.pop(self.rng.randrange(len(self.pending))))
        while True:
            block, effects = self.sync.next_block(verify)
            self.perform(effects)
            if block is None:
                return
            self.applied.append(block.certificate.height)
            self.sync.applied(block.certificate.height)

    def answer(self, request: Request) -> None:
        behaviour = self.behaviour[request.peer]
        heights = range(request.height, min(request.height + request.count, self.top + 1))
        good = [item(height) for height in heights]
        if behaviour == "silent":
            self.now_ms += 1000
            return self.perform(self.sync.failed(request, self.now_ms))
        blocks = {
            "honest": good,
            "short": good[:1],
            "empty": [],
            "false": [*good[:1], *(item(height, b"bad") for height in heights[1:])],
            "shifted": [item(height + 1) for height in heights],
            "many": [*good, *(item(self.top + offset) for offset in range(1, 40))][: request.count + 1],
        }[behaviour]
        return self.perform(self.sync.responded(request, BlocksResponse(tuple(blocks)), self.now_ms))


LIES = ["silent", "short", "empty", "false", "shifted", "many"]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 5), st.integers(1, 300), st.lists(st.sampled_from(LIES), max_size=4), st.integers(0, 999))
def test_one_honest_peer_is_enough(start: int, blocks: int, lies: list[str], seed: int) -> None:
    behaviour = {f"p{index}": lie for index, lie in enumerate(lies)} | {"good": "honest"}
    net = Net(BlockSync(start), start + blocks, behaviour, random.Random(seed))
    for peer, kind in behaviour.items():
        net.sync.peer_at(peer, net.top + (10**6 if kind != "honest" and kind != "short" else 0))
    for _ in range(2500):
        net.step()
        if net.sync.height == net.top:
            break
    assert net.applied == list(range(start + 1, net.top + 1))
    assert "good" not in net.banned
    assert all(behaviour[peer] in ("false", "shifted", "many") for peer in net.banned)
    assert all(net.banned.values())


def test_one_block_behind_is_given_time() -> None:
    sync = BlockSync(5)
    sync.peer_at("a", 6)
    assert sync.poll(0) == []
    assert sync.poll(GRACE_MS - 1) == []
    assert sync.poll(GRACE_MS) == [Request("a", 6, 1)]
    other = BlockSync(5)
    other.peer_at("a", 6)
    assert other.poll(0) == []
    other.applied(6)
    other.peer_at("a", 7)
    assert other.poll(GRACE_MS) == []


def test_requests_are_bounded_and_do_not_overlap() -> None:
    sync = BlockSync(0)
    for index in range(10):
        sync.peer_at(f"p{index}", 10**9)
    requests = [effect for effect in sync.poll(0) if isinstance(effect, Request)]
    assert len(requests) == REQUESTS_MAX
    heights = [height for r in requests for height in range(r.height, r.height + r.count)]
    assert sorted(heights) == list(range(1, REQUESTS_MAX * WINDOW_BLOCKS_MAX + 1))
    assert len(heights) <= AHEAD_BLOCKS_MAX
    assert sync.poll(0) == []


def test_invalid_claims_alone_are_paused_and_then_heard_again() -> None:
    sync = BlockSync(3)
    sync.peer_at("boaster", 10**9)
    now = 0
    effects = sync.poll(now)
    for _ in range(FAILURES_MAX):
        [request] = effects
        assert isinstance(request, Request)
        effects = sync.failed(request, now)
    assert effects == []
    assert sync.behind(now) == 0
    assert sync.behind(now + PAUSE_MS) > 0


def test_a_ban_outlives_the_connection() -> None:
    sync = BlockSync(0)
    sync.peer_at("liar", 9)
    [request] = sync.poll(0)
    assert isinstance(request, Request)
    sync.responded(request, BlocksResponse((item(1, b"bad"),)), 0)
    block, effects = sync.next_block(verify)
    assert block is None
    assert effects == [Ban("liar", "sent a false block 1: the block is not good")]
    sync.peer_left("liar")
    sync.peer_at("liar", 9)
    assert sync.poll(10**6) == []


@given(st.integers(1, 50), st.integers(0, 255), st.lists(st.integers(1, WINDOW_BYTES_MAX), max_size=40))
def test_answers_start_where_asked_and_stay_within_their_bounds(height: int, count: int, sizes: list[int]) -> None:
    small = [max(1, size // 20_000) for size in sizes]
    stored = {index + 1: item(index + 1, bytes(size)) for index, size in enumerate(small)}
    response = serve_blocks(BlocksRequest(height, count), stored.get)
    heights = [block.certificate.height for block in response.blocks]
    assert heights == list(range(height, height + len(heights)))
    assert len(heights) <= min(count, WINDOW_BLOCKS_MAX)
    if count and height in stored:
        assert heights


@pytest.mark.parametrize("size", [WINDOW_BYTES_MAX // 2, WINDOW_BYTES_MAX * 3])
def test_large_blocks_come_one_by_one(size: int) -> None:
    response = serve_blocks(BlocksRequest(1, 5), lambda height: item(height, bytes(size)))
    assert len(response.blocks) == max(1, WINDOW_BYTES_MAX // size)
