"""Gossip over a simulated set of nodes: everything reaches everyone, once, whatever is lost or lied about."""

from __future__ import annotations

import hashlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.mempool import (
    Checked,
    FetchTransactions,
    Gossip,
    Mempool,
    MempoolLimits,
    Misbehaved,
    Offer,
    Send,
    TransactionHashes,
    Transactions,
)
from runtime.mempool.gossip import CROWDED_OUT_PER_PEER_MAX, FETCH_TIMEOUT_MS, Effect
from runtime.mempool.messages import BATCH_BYTES_MAX, FETCH_MAX, Announced
from runtime.mempool.transaction import Rejected, Rule
from runtime.types import AccountId, Hash


def hash_of(data: bytes) -> Hash:
    return Hash(hashlib.sha256(data).digest())


def checked(data: bytes) -> Checked:
    hash_ = hash_of(data)
    return Checked(hash_, hash_, data, AccountId(hash_), 0, 0, 1, 1, 0, 1000)


class Net:
    """Nodes that deliver effects in random order; links may lose messages until `heal`."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self.rng = rng
        self.names = [f"n{index}" for index in range(count)]
        self.pools = {name: Mempool() for name in self.names}
        self.gossips = {name: Gossip(self.pools[name], hash_of) for name in self.names}
        self.wire: list[tuple[str, Send]] = []
        self.now_ms = 0
        self.loss = 0.0
        self.offered: list[tuple[str, bytes]] = []
        for name in self.names:
            for other in self.names:
                if other != name:
                    self.gossips[name].joined(other)

    def submit(self, name: str, data: bytes) -> None:
        self.pools[name].add(checked(data))
        self.gossips[name].added(hash_of(data))

    def perform(self, name: str, effects: list[Effect]) -> None:
        for effect in effects:
            assert not isinstance(effect, Misbehaved)
            if isinstance(effect, Send):
                self.wire.append((name, effect))
            else:
                for data in effect.transactions:
                    self.offered.append((name, data))
                    self.submit(name, data)

    def run(self) -> None:
        while True:
            for name in self.names:
                self.perform(name, self.gossips[name].flush())
            if not self.wire:
                return
            self.rng.shuffle(self.wire)
            batch, self.wire = self.wire, []
            for sender, send in batch:
                if self.rng.random() >= self.loss:
                    gossip = self.gossips[send.peer]
                    self.perform(send.peer, gossip.received(sender, send.message, self.now_ms))

    def pass_time(self) -> None:
        self.now_ms += FETCH_TIMEOUT_MS
        for name in self.names:
            self.perform(name, self.gossips[name].tick(self.now_ms))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 5),
    st.lists(st.binary(min_size=1, max_size=40), max_size=30, unique=True),
    st.integers(0, 999),
)
def test_every_transaction_reaches_every_node_and_is_offered_once(count: int, data: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    net = Net(count, rng)
    for item in data:
        net.submit(rng.choice(net.names), item)
        if rng.random() < 0.5:
            net.run()
    net.run()
    for pool in net.pools.values():
        assert set(pool.hashes()) == {hash_of(item) for item in data}
    assert len(net.offered) == len(set(net.offered)) == len(data) * (count - 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20, unique=True), st.integers(0, 999))
def test_lost_requests_are_asked_again_elsewhere(data: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    net = Net(4, rng)
    for item in data:
        net.submit("n0", item)
        net.submit("n1", item)
    for name in net.names:  # announcements arrive, then half of everything is lost
        net.perform(name, net.gossips[name].flush())
    net.loss = 0.0
    announcements, net.wire = net.wire, []
    for sender, send in announcements:
        net.perform(send.peer, net.gossips[send.peer].received(sender, send.message, 0))
    net.loss = 0.5
    net.run()
    net.loss = 0.0
    for name in net.names:
        for other in net.names:
            if other != name:
                net.perform(name, net.gossips[name].left(other, net.now_ms))
                net.gossips[name].joined(other)
    for _ in range(3):
        net.run()
        net.pass_time()
    for pool in net.pools.values():
        assert set(pool.hashes()) == {hash_of(item) for item in data}


def test_an_unanswered_request_goes_to_the_next_announcer() -> None:
    pool = Mempool()
    gossip = Gossip(pool, hash_of)
    gossip.joined("a")
    gossip.joined("b")
    wanted = Announced(hash_of(b"x"), 1)
    first = gossip.received("a", TransactionHashes((wanted,)), 0)
    assert first == [Send("a", FetchTransactions((wanted.hash,)))]
    assert gossip.received("b", TransactionHashes((wanted,)), 1) == []
    assert gossip.tick(FETCH_TIMEOUT_MS - 1) == []
    assert gossip.tick(FETCH_TIMEOUT_MS) == [Send("b", FetchTransactions((wanted.hash,)))]
    assert gossip.left("b", 2000) == []
    assert gossip.received("a", TransactionHashes((wanted,)), 2001) == first


def test_requests_and_answers_stay_within_a_batch_of_bytes() -> None:
    big = TRANSACTION_BYTES_MAX
    items = [checked(bytes([index]) * big) for index in range(10)]
    owner_pool, asker_pool = Mempool(), Mempool()
    for item in items:
        owner_pool.add(item)
    owner, asker = Gossip(owner_pool, hash_of), Gossip(asker_pool, hash_of)
    owner.joined("asker")
    asker.joined("owner")
    [announce] = owner.flush()
    assert isinstance(announce, Send)
    effects = asker.received("owner", announce.message, 0)
    received = 0
    while effects:
        [request] = [effect for effect in effects if isinstance(effect, Send)]
        assert isinstance(request.message, FetchTransactions)
        [answer] = owner.received("asker", request.message, 0)
        assert isinstance(answer, Send)
        assert isinstance(answer.message, Transactions)
        assert sum(map(len, answer.message.transactions)) <= BATCH_BYTES_MAX
        effects = asker.received("owner", answer.message, 0)
        for effect in [effect for effect in effects if isinstance(effect, Offer)]:
            received += len(effect.transactions)
            for data in effect.transactions:
                asker_pool.add(checked(data))
                asker.added(hash_of(data))
        effects = [effect for effect in effects if isinstance(effect, Send)]
    assert received == 10


def test_invalid_messages_cost_nothing() -> None:
    gossip = Gossip(Mempool(), hash_of)
    gossip.joined("liar")
    assert gossip.received("liar", Transactions((b"unasked",)), 0) == []
    assert gossip.received("stranger", Transactions((b"unasked",)), 0) == []
    [effect] = gossip.received("liar", TransactionHashes((Announced(hash_of(b"x"), 2**31),)), 0)
    assert isinstance(effect, Misbehaved)
    assert "2147483648 bytes" in effect.reason


def test_refused_and_committed_transactions_are_not_fetched_again() -> None:
    pool = Mempool()
    gossip = Gossip(pool, hash_of)
    gossip.joined("a")
    gossip.refused(hash_of(b"bad"))
    pool.committed([hash_of(b"old")], 1)
    announced = TransactionHashes((Announced(hash_of(b"bad"), 1), Announced(hash_of(b"old"), 1)))
    assert gossip.received("a", announced, 0) == []


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=30, unique=True), st.integers(1, 8))
def test_what_a_full_pool_refused_is_fetched_again_once_there_is_room(data: list[bytes], places: int) -> None:
    """A node that nobody else hears from keeps all of it; blocks take what the full pool of the other holds."""
    size = max(map(len, data))
    pool = Mempool(MempoolLimits(transactions_max=places, bytes_max=places * size))
    full, keeper = Gossip(pool, hash_of), Mempool()
    source, in_blocks = Gossip(keeper, hash_of), 0
    for gossip in (full, source):
        gossip.joined("other")
    for each in data:
        keeper.add(checked(each))
        source.added(hash_of(each))
    effects: list[Effect] = source.flush()
    while effects:
        effects = [more for effect in effects for more in exchange(source, full, pool, effect)]
        if not effects:  # nothing is under way: a block takes what waits
            held = tuple(pool.hashes())
            in_blocks += len(held)
            pool.committed(held, pool.height + 1, {})
            effects = full.retry(places - len(pool), places * size - pool.bytes, 0)
    assert in_blocks == len(data)


def exchange(source: Gossip, full: Gossip, pool: Mempool, effect: Effect) -> list[Effect]:
    """What comes of an effect: announcements and answers go to the full one, questions to the source."""
    if isinstance(effect, Send):
        asks = isinstance(effect.message, FetchTransactions)
        return (source if asks else full).received("other", effect.message, 0)
    assert isinstance(effect, Offer)
    for each in effect.transactions:
        answer = pool.add(checked(each))
        if isinstance(answer, Rejected):
            assert answer.rule is Rule.POOL_FULL
            full.crowded_out(effect.peer, hash_of(each), len(each))
    return []


def test_a_peer_cannot_make_another_remember_without_bound() -> None:
    gossip = Gossip(Mempool(), hash_of)
    gossip.joined("a")
    for number in range(CROWDED_OUT_PER_PEER_MAX + 5):
        gossip.crowded_out("a", hash_of(b"%d" % number), 1)
    asked = 0
    effects = gossip.retry(10**6, 10**9, 0)
    for effect in effects:
        assert isinstance(effect, Send)
        assert isinstance(effect.message, FetchTransactions)
        asked += len(effect.message.hashes)
    assert 0 < asked <= FETCH_MAX
    assert len(gossip._peers["a"].queue) + asked == CROWDED_OUT_PER_PEER_MAX
    gossip.crowded_out("nobody", hash_of(b""), 1)
    assert gossip.retry(0, 0, 0) == []
