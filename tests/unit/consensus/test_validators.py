"""Validator sets: proposers in proportion to power, updates that no order changes, bounds."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.codec import codec
from runtime.consensus import (
    Validator,
    ValidatorSet,
    ValidatorSetError,
    ValidatorSetRecord,
    validators_hash,
    weighted_proposers,
)
from runtime.consensus.validators import PRIORITY_WINDOW_FACTOR
from runtime.limits import VALIDATORS_MAX, VOTING_POWER_TOTAL_MAX
from runtime.types import PublicKey


def key(text: str | int) -> PublicKey:
    data = text.encode() if isinstance(text, str) else text.to_bytes(2, "big")
    return PublicKey(data.ljust(32, b"\0"))


members = st.dictionaries(st.integers(0, 400), st.integers(1, 10**6), min_size=1, max_size=12)
changes = st.dictionaries(st.integers(0, 400), st.integers(0, 10**6), max_size=8)


def build(powers: dict[int, int]) -> ValidatorSet:
    return ValidatorSet.of(Validator(key(number), power) for number, power in powers.items())


def change(powers: dict[int, int]) -> list[Validator]:
    return [Validator(key(number), power) for number, power in powers.items()]


# The sequence that CometBFT's TestProposerSelection1 expects (types/validator_set_test.go, Apache-2.0)
COMETBFT = (
    "foo baz foo bar foo foo baz foo bar foo foo baz foo foo bar foo baz foo foo bar "
    "foo foo baz foo bar foo foo baz foo bar foo foo baz foo foo bar foo baz foo foo bar "
    "foo baz foo foo bar foo baz foo foo bar foo baz foo foo foo baz bar foo foo foo baz "
    "foo bar foo foo baz foo bar foo foo baz foo bar foo foo baz foo bar foo foo baz foo "
    "foo bar foo baz foo foo bar foo baz foo foo bar foo baz foo foo"
)


def test_proposers_come_in_cometbfts_order() -> None:
    validators = ValidatorSet.of([Validator(key("foo"), 1000), Validator(key("bar"), 300), Validator(key("baz"), 330)])
    names = {key(name): name for name in ("foo", "bar", "baz")}
    proposer_of = weighted_proposers(validators)
    assert [names[proposer_of(number)] for number in range(99)] == COMETBFT.split(" ")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_over_a_cycle_each_proposes_exactly_as_often_as_its_power(powers: list[int]) -> None:
    validators = build(dict(enumerate(powers)))
    proposer_of = weighted_proposers(validators)
    turns = Counter(proposer_of(number) for number in range(validators.total_power))
    assert turns == {key(number): power for number, power in enumerate(powers)}
    assert validators.advance(validators.total_power).priorities == validators.priorities


@given(members, changes, st.integers(0, 2**32))
def test_order_of_members_and_changes_does_not_matter(powers: dict[int, int], moved: dict[int, int], seed: int) -> None:
    shuffled = list(powers.items())
    random.Random(seed).shuffle(shuffled)
    assert build(dict(shuffled)) == build(powers)
    if not any(power for number, power in (powers | moved).items()):
        return
    listed = change(moved)
    random.Random(seed).shuffle(listed)
    assert build(powers).advance(3).updated(listed) == build(powers).advance(3).updated(change(moved))


@given(members, st.integers(0, 6), st.integers(0, 6))
def test_advancing_composes_and_keeps_members_and_hash(powers: dict[int, int], first: int, second: int) -> None:
    validators = build(powers)
    later = validators.advance(first).advance(second)
    assert later == validators.advance(first + second)
    assert later.validators == validators.validators
    assert later.hash == validators.hash == validators_hash(validators.validators)
    assert weighted_proposers(validators)(first) == validators.advance(first).proposer


@given(members, st.lists(changes, max_size=6), st.integers(0, 5))
def test_priorities_stay_in_their_window_over_any_history(
    powers: dict[int, int], history: list[dict[int, int]], rounds: int
) -> None:
    validators, current = build(powers), dict(powers)
    for moved in history:
        following = {number: power for number, power in (current | moved).items() if power}
        if not following:
            with pytest.raises(ValidatorSetError, match="count"):
                validators.updated(change(moved))
            continue
        current = following
        validators = validators.updated(change(moved)).advance(rounds)
        assert {member.public_key: member.power for member in validators} == {
            key(number): power for number, power in current.items()
        }
        spread = max(validators.priorities) - min(validators.priorities)
        assert spread <= (PRIORITY_WINDOW_FACTOR + 1) * validators.total_power
        assert ValidatorSet.from_record(codec(ValidatorSetRecord).decode(_bytes(validators))) == validators


def _bytes(validators: ValidatorSet) -> bytes:
    encoded: bytes = codec(ValidatorSetRecord).encode(validators.record)
    return encoded


@given(members)
def test_quorum_and_honest_are_strict_thirds(powers: dict[int, int]) -> None:
    validators = build(powers)
    total = validators.total_power
    for power in {0, total // 3, total // 3 + 1, 2 * total // 3, 2 * total // 3 + 1, total}:
        assert validators.has_quorum(power) == (power * 3 > total * 2)
        assert validators.has_honest(power) == (power * 3 > total)


def test_a_newcomer_waits_behind_everyone() -> None:
    validators = build({1: 10, 2: 10, 3: 10}).updated([Validator(key(4), 10)])
    order = [weighted_proposers(validators)(number) for number in range(8)]
    assert key(4) not in order[:4]
    assert key(4) in order


def test_removing_a_stranger_and_changing_nothing_keep_the_set() -> None:
    validators = build({1: 10, 2: 20}).advance(1)
    assert validators.updated([]) is validators
    assert validators.updated([Validator(key(9), 0)]).validators == validators.validators


def test_the_bounds_fit_the_largest_set() -> None:
    each = VOTING_POWER_TOTAL_MAX // VALIDATORS_MAX
    validators = build(dict.fromkeys(range(VALIDATORS_MAX), each))
    assert validators.total_power <= VOTING_POWER_TOTAL_MAX
    moved = validators.advance(300).updated([Validator(key(0), 0)])
    assert ValidatorSet.from_record(moved.record) == moved
    assert codec(ValidatorSetRecord).decode(_bytes(moved)) == moved.record


@pytest.mark.parametrize(
    ("listed", "check"),
    [
        ([], "count"),
        ([(number, 1) for number in range(VALIDATORS_MAX + 1)], "count"),
        ([(1, 0)], "power"),
        ([(1, -5)], "power"),
        ([(1, 1), (1, 2)], "duplicate"),
        ([(1, VOTING_POWER_TOTAL_MAX), (2, 1)], "total power"),
    ],
)
def test_invalid_sets_are_refused_by_name(listed: list[Any], check: str) -> None:
    with pytest.raises(ValidatorSetError) as refused:
        ValidatorSet.of(Validator(key(number), power) for number, power in listed)
    assert refused.value.check == check


@pytest.mark.parametrize(
    ("listed", "check"),
    [
        ([(1, 0), (2, 0)], "count"),
        ([(3, 1), (3, 2)], "duplicate"),
        ([(3, VOTING_POWER_TOTAL_MAX)], "total power"),
    ],
)
def test_invalid_changes_are_refused_by_name(listed: list[Any], check: str) -> None:
    with pytest.raises(ValidatorSetError) as refused:
        build({1: 1, 2: 1}).updated(Validator(key(number), power) for number, power in listed)
    assert refused.value.check == check


def test_invalid_records_are_refused_by_name() -> None:
    one, two = Validator(key(1), 1), Validator(key(2), 1)
    for record, check in (
        (ValidatorSetRecord((two, one), (0, 0)), "order"),
        (ValidatorSetRecord((one, two), (0,)), "priorities"),
    ):
        with pytest.raises(ValidatorSetError) as refused:
            ValidatorSet.from_record(record)
        assert refused.value.check == check


def test_invalid_advance_is_refused() -> None:
    with pytest.raises(ValueError, match="go back"):
        build({1: 1}).advance(-1)
