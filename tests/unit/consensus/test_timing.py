"""Timeouts, timeliness, and the room for a height that has not begun."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.consensus import Synchrony, TimeoutKind, Timeouts, UpcomingHeight, Vote, VoteKind
from runtime.consensus.upcoming import MESSAGES_PER_VALIDATOR_MAX
from runtime.testing.validators import SigningValidators
from runtime.types import Hash

FOUR = SigningValidators()
TIMEOUTS = Timeouts(3_000, 1_000, 900, 500, 10_000)
CLOCKS = Synchrony(precision_ms=500, message_delay_ms=2_000)
A = Hash(b"a" * 32)


@given(st.sampled_from(TimeoutKind), st.integers(0, 2**32 - 2))
def test_timeouts_grow_with_the_round_up_to_their_bound(kind: TimeoutKind, round_: int) -> None:
    now, next_ = (TIMEOUTS.duration_ms(kind, number) for number in (round_, round_ + 1))
    assert 0 < now <= next_ <= TIMEOUTS.timeout_ms_max
    assert next_ - now in (0, 500) or next_ == TIMEOUTS.timeout_ms_max
    assert TIMEOUTS.duration_ms(TimeoutKind.PROPOSE, 0) == 3_000


@given(st.integers(-10_000, 10_000), st.integers(0, 300))
def test_timely_is_within_precision_and_delay(late_ms: int, round_: int) -> None:
    sent = 1_000_000
    timely = CLOCKS.is_timely(time_ms=sent, received_ms=sent + late_ms, round_=round_)
    if round_ == 0:
        assert timely == (-500 <= late_ms <= 2_500)
    if timely:
        assert late_ms >= -500, "a proposal from the future is untimely in every round"
        assert CLOCKS.is_timely(time_ms=sent, received_ms=sent + late_ms, round_=round_ + 1)


def test_messages_of_the_next_height_wait_bounded_and_in_order() -> None:
    room = UpcomingHeight(height=2, validators=FOUR.validators)
    late = FOUR.vote(1, VoteKind.PREVOTE, A, height=2, round_=1)
    early = FOUR.vote(0, VoteKind.PREVOTE, A, height=2)
    offer = FOUR.proposal(0, A, height=2)
    for message in (late, early, offer):
        assert room.keep(message)
        assert not room.keep(message), "kept already"
    assert not room.keep(FOUR.vote(0, VoteKind.PREVOTE, A, height=3))
    assert not room.keep(SigningValidators((1,) * 5).vote(4, VoteKind.PREVOTE, A, height=2))
    assert room.release() == (offer, early, late)
    assert room.release() == ()


def test_one_validator_cannot_fill_the_room() -> None:
    room = UpcomingHeight(height=2, validators=FOUR.validators)
    flood = [FOUR.vote(0, VoteKind.PREVOTE, None, height=2, round_=round_) for round_ in range(100)]
    assert sum(room.keep(message) for message in flood) == MESSAGES_PER_VALIDATOR_MAX
    mine = FOUR.vote(1, VoteKind.PREVOTE, None, height=2)
    assert room.keep(mine)
    assert [
        message for message in room.release() if isinstance(message, Vote) and message.validator == FOUR.key(1)
    ] == [mine]
