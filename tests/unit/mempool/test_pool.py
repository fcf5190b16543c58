"""What must hold of the pool under any sequence of steps, and of each rule on its own."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.mempool import Added, Checked, Mempool, MempoolLimits, Rejected, Rule, Seen
from runtime.types import AccountId, Hash

LIMITS = MempoolLimits(transactions_max=12, bytes_max=400, per_sender_max=5, committed_cache_max=64)


def checked(
    sender: int = 1,
    nonce: int = 0,
    offer: int = 10,
    *,
    next_nonce: int = 0,
    size: int = 20,
    gas: int = 100,
    last: int = 1000,
    tip: int = 0,
) -> Checked:
    identity = hashlib.sha256(repr((sender, nonce, offer, size, gas, last, tip)).encode()).digest()
    return Checked(
        hash=Hash(identity),
        transaction=Hash(identity[::-1]),
        data=bytes(size),
        sender=AccountId(bytes([sender]) * 32),
        nonce=nonce,
        next_nonce=next_nonce,
        gas_limit=gas,
        fee=offer - tip,
        tip=tip,
        last_valid_height=last,
    )


class PoolMachine(RuleBasedStateMachine):
    """Senders 0 to 3 with nonces in a model state; the pool must agree with a slow reading of its own rules."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Mempool(LIMITS)
        self.nonces = dict.fromkeys(range(4), 0)
        self.alive: dict[Hash, Checked] = {}
        self.surcharge = 0

    @rule(surcharge=st.integers(0, 40))
    def change_the_price(self, surcharge: int) -> None:
        self.surcharge = surcharge

    @rule(
        sender=st.integers(0, 3),
        ahead=st.integers(-1, 6),
        offer=st.integers(1, 40),
        size=st.sampled_from([1, 20, 90]),
        gas=st.sampled_from([0, 50, 100]),
        lasting=st.integers(0, 6),
    )
    def add(self, sender: int, ahead: int, offer: int, size: int, gas: int, lasting: int) -> None:
        next_nonce = self.nonces[sender]
        new = checked(
            sender,
            max(0, next_nonce + ahead),
            offer,
            next_nonce=next_nonce,
            size=size,
            gas=gas,
            last=self.pool.height + lasting,
        )
        before = set(self.pool.hashes())
        answer = self.pool.add(new)
        after = set(self.pool.hashes())
        if isinstance(answer, Rejected):
            assert after == before
            assert str(answer.reason)
            return
        gone = set(answer.evicted) | ({answer.replaced} if answer.replaced else set())
        assert after == (before | {new.hash}) - gone
        assert gone <= before
        for hash_ in answer.evicted:
            assert self.alive[hash_].price < new.price
            assert self.alive[hash_].sender != new.sender
        if answer.replaced:
            old = self.alive[answer.replaced]
            assert (old.sender, old.nonce) == (new.sender, new.nonce)
            assert new.offer * 100 >= old.offer * 110
        for hash_ in gone:
            del self.alive[hash_]
        self.alive[new.hash] = new

    @rule(max_bytes=st.integers(0, 300), max_gas=st.integers(0, 600))
    def commit_selection(self, max_bytes: int, max_gas: int) -> None:
        chosen = self.pool.select(max_bytes, max_gas)
        assert sum(item.size for item in chosen) <= max_bytes
        assert sum(item.gas_limit for item in chosen) <= max_gas
        expected = dict(self.nonces)
        for item in chosen:
            sender = item.sender[0]
            assert item.nonce == expected[sender], "each sender's nonces follow one another from the state's"
            expected[sender] += 1
        self.nonces = expected
        self._committed([item.hash for item in chosen], {})

    @rule(sender=st.integers(0, 3), by=st.integers(1, 3))
    def commit_foreign(self, sender: int, by: int) -> None:
        self.nonces[sender] += by
        self._committed([], {AccountId(bytes([sender]) * 32): self.nonces[sender]})

    @rule(count=st.integers(0, 4))
    def recheck(self, count: int) -> None:
        renewed: dict[Hash, Checked] = {}

        def check(item: Checked) -> Checked | Rejected:
            if item.size == 90:
                return Rejected(Rule.CHECK_FAILED, "too large now")
            new = replace(item, next_nonce=self.nonces[item.sender[0]], fee=self.surcharge + item.gas_limit // 10)
            if new.offer != item.offer:
                renewed[item.hash] = new
            return new

        left = self.pool.recheck(check, count)
        self.alive |= renewed
        for hash_, _ in left:
            del self.alive[hash_]

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        hash_ = data.draw(st.sampled_from(sorted(self.alive)))
        self.pool.drop([hash_])
        del self.alive[hash_]

    def _committed(self, hashes: list[Hash], nonces: dict[AccountId, int]) -> None:
        height = self.pool.height + 1
        left = self.pool.committed(hashes, height, nonces)
        for hash_ in left:
            item = self.alive[hash_]
            assert item.last_valid_height <= height or item.nonce < self.nonces[item.sender[0]]
        for hash_ in (*hashes, *left):
            del self.alive[hash_]
        for hash_ in hashes:
            assert self.pool.was_committed(hash_)

    @invariant()
    def agrees_with_the_model(self) -> None:
        pool = self.pool
        assert set(pool.hashes()) == set(self.alive)
        assert all(pool.find(item.transaction) == item for item in self.alive.values())
        assert len(pool._named) == len(self.alive)
        assert pool.bytes == sum(item.size for item in self.alive.values())
        assert len(pool) <= LIMITS.transactions_max
        assert pool.bytes <= LIMITS.bytes_max
        per_sender: dict[AccountId, list[int]] = {}
        for item in self.alive.values():
            assert item.last_valid_height > pool.height
            per_sender.setdefault(item.sender, []).append(item.nonce)
        for nonces in per_sender.values():
            assert len(nonces) == len(set(nonces)) <= LIMITS.per_sender_max

    @invariant()
    def heads_are_packed_by_what_they_offer_now(self) -> None:
        heads = [item for item in self.alive.values() if item.nonce == self.nonces[item.sender[0]]]
        if heads:
            best = self.pool.select(10**9, 10**9, 1)[0]
            assert best.price == max(item.price for item in heads)

    @invariant()
    def ready_means_selectable(self) -> None:
        ready = any(item.nonce == self.nonces[item.sender[0]] for item in self.alive.values())
        assert self.pool.has_ready == ready
        assert bool(self.pool.select(10**9, 10**9)) == ready


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 50)), max_size=30))
def test_the_best_offer_per_gas_is_packed_first_and_ties_go_to_the_first(
    items: list[tuple[int, int]],
) -> None:
    pool = Mempool()
    for sender, offer in items:
        pool.add(checked(sender, 0, offer))
    prices = [item.price for item in pool.select(10**9, 10**9)]
    assert prices == sorted(prices, reverse=True)


def test_ties_go_to_the_first_that_came() -> None:
    pool = Mempool()
    order = [checked(sender) for sender in (3, 1, 2)]
    for item in order:
        pool.add(item)
    assert list(pool.select(1000, 1000)) == order


def test_a_transaction_that_does_not_fit_blocks_only_its_own_sender() -> None:
    pool = Mempool()
    for item in (checked(1, 0, 90, gas=500), checked(1, 1, 80, gas=10), checked(2, 0, 5, gas=50)):
        pool.add(item)
    assert [item.sender[0] for item in pool.select(1000, 100)] == [2]


def test_a_gap_waits_and_is_filled() -> None:
    pool = Mempool()
    assert isinstance(pool.add(checked(1, 1)), Added)
    assert not pool.has_ready
    assert pool.next_nonce(AccountId(b"\1" * 32)) == 0
    pool.add(checked(1, 0))
    assert [item.nonce for item in pool.select(1000, 1000)] == [0, 1]
    assert pool.next_nonce(AccountId(b"\1" * 32)) == 2


def test_invalid_additions_say_the_rule_and_the_values() -> None:
    pool = Mempool(LIMITS, height=9)
    pool.add(checked(1, 3, 10, next_nonce=3))
    pool.add(checked(2, 0, 10))
    pool.committed([checked(2, 0, 10).hash], 10)
    cases = [
        (checked(1, 3, 10, next_nonce=3), Rule.DUPLICATE, "already waiting"),
        (checked(2, 0, 10), Rule.COMMITTED, "in a block"),
        (checked(3, 0, last=10), Rule.EXPIRED, "last valid height 10 is below the next height 11"),
        (checked(1, 2, next_nonce=3), Rule.NONCE_USED, "next nonce is 3"),
        (checked(1, 8, next_nonce=3), Rule.NONCE_TOO_FAR, "nonce 8"),
        (checked(1, 3, 10, next_nonce=3, size=21), Rule.UNDERPRICED, "at least 11"),
    ]
    for item, expected, words in cases:
        answer = pool.add(item)
        assert isinstance(answer, Rejected)
        assert (answer.rule, words in answer.reason) == (expected, True), answer


def test_invalid_flood_from_one_sender_is_bounded() -> None:
    pool = Mempool(LIMITS)
    answers = [pool.add(checked(1, nonce, 100 + nonce)) for nonce in range(5)]
    assert all(isinstance(answer, Added) for answer in answers)
    full = pool.add(checked(1, 5, 10**6, next_nonce=1))
    assert isinstance(full, Rejected)
    assert full.rule is Rule.SENDER_FULL


def test_a_full_pool_evicts_the_last_nonce_of_the_cheapest_and_only_for_more() -> None:
    pool = Mempool(MempoolLimits(transactions_max=3, per_sender_max=3))
    cheap = [checked(1, nonce, 10) for nonce in range(2)]
    for item in (*cheap, checked(2, 0, 50)):
        pool.add(item)
    refused = pool.add(checked(3, 0, 10, size=21))
    assert isinstance(refused, Rejected)
    assert refused.rule is Rule.POOL_FULL
    answer = pool.add(checked(3, 0, 11))
    assert isinstance(answer, Added)
    assert answer.evicted == (cheap[1].hash,)


def test_one_newcomer_may_need_several_to_go_and_takes_none_in_vain() -> None:
    pool = Mempool(MempoolLimits(bytes_max=100))
    for nonce in range(4):
        pool.add(checked(1, nonce, 10 + nonce, size=20))
    pool.add(checked(2, 0, 40, size=20))
    before = set(pool.hashes())
    assert isinstance(pool.add(checked(3, 0, 30, size=100)), Rejected)
    assert set(pool.hashes()) == before
    answer = pool.add(checked(3, 0, 30, size=60))
    assert isinstance(answer, Added)
    assert [pool.get(hash_) for hash_ in answer.evicted] == [None] * 3


@pytest.mark.parametrize(("before", "now", "goes"), [(50, 5, 0), (5, 50, 1)])
def test_who_offers_least_since_the_price_changed_goes_first(before: int, now: int, goes: int) -> None:
    pool = Mempool(MempoolLimits(transactions_max=2))
    items = [checked(1, 0, before), checked(2, 0, 40)]
    for item in items:
        pool.add(item)
    pool.recheck(lambda item: replace(item, fee=now) if item == items[0] else item, 2)
    assert pool.select(1000, 1000)[-1].sender == items[goes].sender
    answer = pool.add(checked(3, 0, 41))
    assert isinstance(answer, Added)
    assert answer.evicted == (items[goes].hash,)


def test_many_replacements_keep_the_indexes_small() -> None:
    pool = Mempool(MempoolLimits(transactions_max=4, per_sender_max=2))
    offer = 10
    for _ in range(400):
        offer = offer * 12 // 10
        assert isinstance(pool.add(checked(1, 0, offer)), Added)
    assert len(pool) == 1
    assert len(pool._worst) + len(pool._expiry) < 200


@given(st.lists(st.integers(0, 9), max_size=50), st.integers(1, 5))
def test_the_cache_keeps_the_newest(values: list[int], limit: int) -> None:
    cache = Seen(limit)
    recent: list[int] = []
    for value in values:
        fresh = cache.add(Hash(bytes([value]) * 32))
        assert fresh == (value not in recent)
        recent = [*(old for old in recent if old != value), value][-limit:]
        assert [v in recent for v in range(10)] == [Hash(bytes([v]) * 32) in cache for v in range(10)]


def test_invalid_cache_size() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Seen(0)
