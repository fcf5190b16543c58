"""The driver of one height: what it asks of its shell, when it votes, and what it refuses to remember."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.codec import codec
from runtime.consensus import (
    CastVote,
    CertificateReceived,
    CommittedInvalid,
    Decide,
    Driver,
    DriverInput,
    Effect,
    Equivocated,
    PolkaReceived,
    ProposalContradicted,
    ProposalReceived,
    Propose,
    RequestValidation,
    RequestValue,
    ScheduleTimeout,
    Start,
    Step,
    TimeoutExpired,
    TimeoutKind,
    UnverifiedInput,
    Validated,
    ValueProposed,
    Vote,
    VoteKind,
    VoteReceived,
    replay,
)
from runtime.consensus.driver import FAR_ROUNDS_PER_VALIDATOR_MAX, PROPOSAL_ROUNDS_AHEAD_MAX, ROUNDS_AHEAD_KEPT
from runtime.testing.validators import SigningValidators
from runtime.types import Hash, PublicKey

FOUR = SigningValidators()
A, B, C = (Hash(letter * 32) for letter in (b"a", b"b", b"c"))
PREVOTE, PRECOMMIT = VoteKind.PREVOTE, VoteKind.PRECOMMIT


def turn(round_: int) -> PublicKey:
    return FOUR.key(round_ % 4)


def driver(number: int | None = 3, started: bool = True) -> Driver:
    made = Driver(
        height=1,
        validators=FOUR.validators,
        proposer_of=turn,
        public_key=None if number is None else FOUR.key(number),
    )
    if started:
        made.step(Start(1))
    return made


def proposal(block_id: Hash = A, *, round_: int = 0, timely: bool = True, **fields: Any) -> ProposalReceived:
    return ProposalReceived(FOUR.proposal(round_ % 4, block_id, round_=round_, **fields), timely)


def vote(number: int, kind: VoteKind, block_id: Hash | None, round_: int = 0) -> VoteReceived:
    return VoteReceived(FOUR.vote(number, kind, block_id, round_=round_))


def feed(target: Driver, events: Sequence[DriverInput]) -> list[Effect]:
    return [effect for event in events for effect in target.step(event)]


def votes_cast(effects: Sequence[Effect]) -> list[tuple[VoteKind, int, Hash | None]]:
    return [(e.vote.kind, e.vote.round, e.vote.block_id) for e in effects if isinstance(e, CastVote)]


def only(effects: Sequence[Effect], kind: type[Any]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def test_a_height_goes_from_start_to_decision() -> None:
    node = driver(started=False)
    assert node.step(Start(1)) == (ScheduleTimeout(TimeoutKind.PROPOSE, 1, 0),)
    assert node.step(proposal()) == (RequestValidation(1, 0, A),)
    assert votes_cast(node.step(Validated(1, A, True))) == [(PREVOTE, 0, A)]
    assert votes_cast(feed(node, [vote(number, PREVOTE, A) for number in (0, 1, 3)])) == [(PRECOMMIT, 0, A)]
    (decision,) = only(feed(node, [vote(number, PRECOMMIT, A) for number in (0, 1, 3)]), Decide)
    assert (decision.height, decision.round, decision.block_id) == (1, 0, A)
    assert decision.certificate == FOUR.certificate(A, signers=(0, 1, 3))
    assert node.step(vote(2, PRECOMMIT, A)) == ()
    assert node.commit_certificate() == FOUR.certificate(A)
    assert node.held_messages() == (FOUR.certificate(A),)


def test_the_proposer_asks_for_a_value_and_proposes_it_once() -> None:
    node = driver(0, started=False)
    assert node.step(Start(1)) == (ScheduleTimeout(TimeoutKind.PROPOSE, 1, 0), RequestValue(1, 0))
    assert node.step(ValueProposed(1, 0, A)) == (Propose(1, 0, A, None, None),)
    assert node.step(ValueProposed(1, 0, B)) == ()
    assert votes_cast(node.step(proposal())) == [(PREVOTE, 0, A)], "its own value needs no judging"
    assert node.step(Start(1)) == (), "a height starts once"


def test_nothing_is_prevoted_before_it_was_executed() -> None:
    node = driver()
    feed(node, [proposal(), *(vote(number, PREVOTE, A) for number in (0, 1, 2))])
    assert node.state.step is Step.PROPOSE
    assert votes_cast(node.step(TimeoutExpired(TimeoutKind.PROPOSE, 1, 0))) == [(PREVOTE, 0, None)]
    assert votes_cast(node.step(Validated(1, A, True))) == [(PRECOMMIT, 0, A)], "late, but before the prevote timeout"


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([proposal(), Validated(1, A, False)], id="invalid"),
        pytest.param([proposal(timely=False)], id="untimely"),
        pytest.param([proposal(), ProposalContradicted(1, 0, A)], id="contradicted"),
    ],
)
def test_a_bad_proposal_is_prevoted_nil_and_does_not_taint_others(events: list[DriverInput]) -> None:
    node = driver()
    assert votes_cast(feed(node, events)) == [(PREVOTE, 0, None)]
    feed(node, [Validated(1, A, True), *(vote(number, PREVOTE, A) for number in (0, 1, 2))])
    assert (node.state.locked_value == A) == (events[-1] != Validated(1, A, False))


def test_a_block_is_asked_for_once_and_the_first_answer_stands() -> None:
    node = driver()
    effects = feed(node, [proposal(), proposal(), Validated(1, A, True), Validated(1, A, False)])
    effects += feed(node, [vote(number, PREVOTE, A) for number in (0, 1, 2)])
    assert only(effects, RequestValidation) == [RequestValidation(1, 0, A)]
    assert votes_cast(effects) == [(PREVOTE, 0, A), (PRECOMMIT, 0, A)]


def test_a_block_with_a_quorum_is_asked_for_even_without_its_proposal() -> None:
    node = driver()
    feed(node, [TimeoutExpired(TimeoutKind.PROPOSE, 1, 0)])
    polka = feed(node, [vote(number, PREVOTE, A) for number in (0, 1, 2)])
    assert only(polka, RequestValidation) == [RequestValidation(1, 0, A)]
    commit = feed(node, [vote(number, PRECOMMIT, B) for number in (0, 1, 2)])
    assert only(commit, RequestValidation) == [RequestValidation(1, 0, B)]
    assert only(node.step(Validated(1, B, True)), Decide)


def test_a_committed_block_that_is_invalid_here_is_reported_once_and_never_decided() -> None:
    node = driver()
    feed(node, [proposal(), Validated(1, A, False)])
    effects = feed(node, [vote(number, PRECOMMIT, A) for number in (0, 1, 2)])
    (report,) = only(effects, CommittedInvalid)
    assert report.certificate == FOUR.certificate(A, signers=(0, 1, 2))
    assert node.decision is None
    assert not only(node.step(TimeoutExpired(TimeoutKind.PRECOMMIT, 1, 0)), CommittedInvalid)


def test_a_certificate_decides_from_any_round_and_step() -> None:
    node = driver()
    effects = node.step(CertificateReceived(FOUR.certificate(A, round_=9)))
    assert only(effects, RequestValidation) == [RequestValidation(1, 9, A)]
    (decision,) = only(node.step(Validated(1, A, True)), Decide)
    assert (decision.round, decision.certificate) == (9, FOUR.certificate(A, round_=9))


def test_a_lock_is_kept_until_a_later_polka_is_shown() -> None:
    node = driver()
    feed(node, [proposal(), Validated(1, A, True), *(vote(number, PREVOTE, A) for number in (0, 1, 3))])
    assert (node.state.locked_round, node.state.locked_value) == (0, A)
    feed(node, [vote(number, PREVOTE, None, 2) for number in (0, 1)])
    fresh = feed(node, [proposal(B, round_=2), Validated(1, B, True)])
    assert votes_cast(fresh) == [(PREVOTE, 2, None)]
    feed(node, [vote(number, PREVOTE, None, 4) for number in (0, 1)])
    again = proposal(B, round_=4, valid_round=1)
    assert votes_cast(feed(node, [again])) == [], "the polka was not shown yet"
    assert votes_cast(node.step(PolkaReceived(FOUR.polka(B, round_=1, signers=(0, 1, 2))))) == [(PREVOTE, 4, B)]


def test_a_polka_of_an_equivocator_is_believed_when_shown() -> None:
    """Node 0 told this node nil and the others A: votes alone would never make this polka here."""
    node = driver()
    feed(node, [vote(0, PREVOTE, None), vote(1, PREVOTE, A), vote(2, PREVOTE, A)])
    assert node.keeper.polka(0) is None
    effects = node.step(PolkaReceived(FOUR.polka(A, signers=(0, 1, 2))))
    assert node.keeper.polka(0) == A
    assert only(effects, RequestValidation) == [RequestValidation(1, 0, A)]


def test_the_valid_value_is_proposed_again_with_its_polka() -> None:
    node = driver()
    feed(node, [proposal(), Validated(1, A, True), *(vote(number, PREVOTE, A) for number in (0, 1, 3))])
    effects = feed(node, [vote(number, PREVOTE, None, 3) for number in (0, 1)])
    assert only(effects, Propose) == [Propose(1, 3, A, 0, FOUR.polka(A, signers=(0, 1, 3)))]
    assert only(effects, ScheduleTimeout) == [ScheduleTimeout(TimeoutKind.PROPOSE, 1, 3)]
    assert FOUR.polka(A, signers=(0, 1, 3)) in node.held_messages()


def test_more_than_a_third_in_a_later_round_pulls_along() -> None:
    node = driver()
    assert feed(node, [vote(0, PREVOTE, None, 5)]) == []
    effects = feed(node, [vote(1, PRECOMMIT, None, 5)])
    assert node.state.round == 5
    assert ScheduleTimeout(TimeoutKind.PROPOSE, 1, 5) in effects


def test_timeouts_lead_through_a_silent_round() -> None:
    node = driver()
    assert votes_cast(node.step(TimeoutExpired(TimeoutKind.PROPOSE, 1, 0))) == [(PREVOTE, 0, None)]
    effects = feed(node, [vote(0, PREVOTE, None), vote(1, PREVOTE, B), vote(2, PREVOTE, A)])
    assert ScheduleTimeout(TimeoutKind.PREVOTE, 1, 0) in effects
    assert votes_cast(node.step(TimeoutExpired(TimeoutKind.PREVOTE, 1, 0))) == [(PRECOMMIT, 0, None)]
    effects = feed(node, [vote(number, PRECOMMIT, None) for number in (0, 1, 2)])
    assert only(effects, ScheduleTimeout) == [ScheduleTimeout(TimeoutKind.PRECOMMIT, 1, 0)]
    assert ScheduleTimeout(TimeoutKind.PROPOSE, 1, 1) in node.step(TimeoutExpired(TimeoutKind.PRECOMMIT, 1, 0))
    assert node.step(TimeoutExpired(TimeoutKind.PRECOMMIT, 1, 0)) == (), "a timeout of a round that is over"


def test_an_offender_is_named_once() -> None:
    node = driver()
    effects = feed(
        node,
        [
            vote(2, PREVOTE, A),
            vote(2, PREVOTE, B),
            vote(2, PREVOTE, C),
            vote(2, PRECOMMIT, A),
            vote(2, PRECOMMIT, B),
        ],
    )
    (named,) = only(effects, Equivocated)
    assert named.evidence.offender == FOUR.key(2)


@pytest.mark.parametrize("number", [None, "stranger"])
def test_observers_follow_and_never_vote(number: str | None) -> None:
    key = SigningValidators((1,) * 5).key(4) if number else None
    node = Driver(height=1, validators=FOUR.validators, proposer_of=turn, public_key=key)
    effects = feed(node, [Start(1), proposal(), Validated(1, A, True)])
    effects += feed(node, [vote(number, PREVOTE, A) for number in (0, 1, 2)])
    effects += feed(node, [vote(number, PRECOMMIT, A) for number in (0, 1, 2)])
    assert only(effects, Decide)
    assert not only(effects, CastVote)


def test_messages_before_the_start_count_when_it_starts() -> None:
    node = driver(started=False)
    assert feed(node, [proposal(), *(vote(number, PRECOMMIT, A) for number in (0, 1, 2))]) == []
    effects = feed(node, [Start(1), Validated(1, A, True)])
    assert only(effects, Decide)


def test_inputs_of_another_height_do_nothing() -> None:
    node = driver()
    state = node.state
    for event in (
        VoteReceived(FOUR.vote(0, PREVOTE, A, height=2)),
        ProposalReceived(FOUR.proposal(0, A, height=2), True),
        CertificateReceived(FOUR.certificate(A, height=2)),
        PolkaReceived(FOUR.polka(A, height=2)),
        TimeoutExpired(TimeoutKind.PROPOSE, 2, 0),
        ValueProposed(2, 0, A),
        Validated(2, A, True),
        ProposalContradicted(2, 0, A),
        Start(2),
    ):
        assert node.step(event) == ()
        assert node.state == state


def test_one_validator_cannot_fill_memory_with_far_rounds() -> None:
    node = driver()
    for round_ in range(2, 3_000):
        feed(node, [vote(1, PREVOTE, None, round_)])
        assert round_ < 4 or not node.step(vote(1, PREVOTE, A, 2)), "an old far round is not taken again"
    kept = [round_ for round_ in range(3_000) if node.keeper.round_votes(round_)]
    assert kept == list(range(3_000 - FAR_ROUNDS_PER_VALIDATOR_MAX, 3_000))
    assert len(node.keeper.equivocations) <= 1
    assert node.state.round == 0
    feed(node, [vote(2, PREVOTE, None, 2_999)])
    assert node.state.round == 2_999, "two of four are more than a third: one of them is correct"


def test_rounds_up_to_the_next_are_kept_whoever_fills_far_ones() -> None:
    node = driver()
    feed(node, [vote(1, PREVOTE, A, round_) for round_ in (0, ROUNDS_AHEAD_KEPT, 50, 60, 70)])
    for round_ in (0, ROUNDS_AHEAD_KEPT, 60, 70):
        assert node.keeper.round_votes(round_) is not None
    assert node.keeper.round_votes(50) is None


def test_one_proposer_cannot_fill_memory() -> None:
    node = driver()
    many = [FOUR.proposal(0, Hash(bytes([number]) * 32)) for number in range(10)]
    effects = feed(node, [ProposalReceived(message, True) for message in many])
    assert len(only(effects, RequestValidation)) == 2
    assert not node.wants(many[5])
    far = PROPOSAL_ROUNDS_AHEAD_MAX + 1
    assert not node.wants(FOUR.proposal(far % 4, A, round_=far))
    assert node.wants(FOUR.proposal((far - 1) % 4, A, round_=far - 1))


def test_only_new_messages_are_wanted() -> None:
    node = driver()
    first = FOUR.vote(0, PREVOTE, A)
    assert node.wants(first)
    node.step(VoteReceived(first))
    assert not node.wants(first)
    assert node.wants(FOUR.vote(0, PREVOTE, B)), "evidence"
    node.step(vote(0, PREVOTE, B))
    assert not node.wants(FOUR.vote(0, PREVOTE, C)), "more of the same evidence"
    assert not node.wants(FOUR.vote(0, PREVOTE, A, height=2))
    assert not node.wants(SigningValidators((1,) * 5).vote(4, PREVOTE, A))
    assert node.wants(FOUR.proposal(0, A))
    node.step(proposal())
    assert not node.wants(FOUR.proposal(0, A))
    for certificate, event in (
        (FOUR.polka(A), PolkaReceived(FOUR.polka(A))),
        (FOUR.certificate(A), CertificateReceived(FOUR.certificate(A))),
    ):
        assert node.wants(certificate)
        node.step(event)
        assert not node.wants(certificate)


def test_what_a_node_holds_brings_another_to_where_it_is() -> None:
    node, other = driver(3), driver(2)
    feed(node, [vote(number, PREVOTE, None, 6) for number in (0, 1)])
    feed(node, [proposal(B, round_=6), Validated(1, B, True), vote(3, PREVOTE, B, 6)])
    wrap = {"Vote": VoteReceived, "Proposal": lambda message: ProposalReceived(message, True)}
    feed(other, [wrap[type(message).__name__](message) for message in node.held_messages()])
    assert other.state.round == 6
    assert votes_cast(other.step(Validated(1, B, True))) == [(PREVOTE, 6, B)]


def test_invalid_unverified_messages_are_the_shells_fault() -> None:
    node = driver()
    stranger = SigningValidators((1,) * 5)
    with pytest.raises(UnverifiedInput, match="no validator"):
        node.step(VoteReceived(stranger.vote(4, PREVOTE, A)))
    with pytest.raises(UnverifiedInput, match="not the turn"):
        node.step(ProposalReceived(FOUR.proposal(1, A), True))


EVENTS: list[DriverInput] = [
    Start(1),
    *(proposal(block_id, round_=round_) for block_id in (A, B) for round_ in range(3)),
    *(proposal(A, round_=round_, valid_round=0) for round_ in (1, 2)),
    *(
        vote(number, kind, block_id, round_)
        for number in range(4)
        for kind in VoteKind
        for block_id in (A, B, None)
        for round_ in range(3)
    ),
    *(TimeoutExpired(kind, 1, round_) for kind in TimeoutKind for round_ in range(3)),
    *(Validated(1, block_id, ok) for block_id in (A, B) for ok in (True, False)),
    *(ValueProposed(1, round_, B) for round_ in range(3)),
    ProposalContradicted(1, 1, A),
    CertificateReceived(FOUR.certificate(A, round_=1)),
    PolkaReceived(FOUR.polka(A, round_=0)),
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(EVENTS), max_size=80), st.sampled_from([0, 1, 3, None]))
def test_any_inputs_keep_the_promises(stream: list[DriverInput], number: int | None) -> None:
    """Total; deterministic; one vote per round and kind; nothing prevoted or decided that was not found valid."""
    node, twin = driver(number, started=False), driver(number, started=False)
    said: dict[tuple[VoteKind, int], Hash | None] = {}
    valid: dict[Hash, bool] = {}
    decisions = 0
    for event in stream:
        match event:
            case Validated(_, block_id, ok):
                valid.setdefault(block_id, ok)
            case ValueProposed(_, _, block_id):
                valid.setdefault(block_id, True)
        effects = node.step(event)
        assert twin.step(codec(DriverInput).decode(codec(DriverInput).encode(event))) == effects
        for effect in effects:
            match effect:
                case CastVote(cast):
                    assert (cast.kind, cast.round) not in said, "two votes for one round and kind"
                    said[cast.kind, cast.round] = cast.block_id
                    assert cast.block_id is None or valid[cast.block_id]
                case Decide(_, _, block_id, certificate):
                    decisions += 1
                    assert valid[block_id]
                    assert FOUR.validators.has_quorum(len(certificate.signatures))
    assert decisions <= 1
    assert number is not None or not said


@settings(deadline=None)
@given(st.lists(st.sampled_from(EVENTS), max_size=60), st.data())
def test_replay_leads_to_the_same_state_and_asks_for_what_is_unanswered(
    stream: list[DriverInput], data: st.DataObject
) -> None:
    before, after = driver(3, started=False), driver(3, started=False)
    effects = feed(before, stream)
    open_effects = replay(after, stream)
    assert after.state == before.state
    assert after.held_messages() == before.held_messages()
    assert set(open_effects) <= set(effects)
    answered = {event.block_id for event in stream if isinstance(event, Validated)}
    logged = {event.vote.unsigned for event in stream if isinstance(event, VoteReceived)}
    for effect in open_effects:
        if isinstance(effect, RequestValidation):
            assert effect.block_id not in answered, "it was judged"
        if isinstance(effect, ScheduleTimeout):
            assert effect.round >= after.state.round
    for effect in effects:
        if isinstance(effect, CastVote) and effect.vote not in logged:
            assert effect in open_effects, "a vote that was never made known is asked for again"
    event = data.draw(st.sampled_from(EVENTS))
    assert after.step(event) == before.step(event)


def test_a_vote_of_the_log_is_not_asked_for_again() -> None:
    stream: list[DriverInput] = [Start(1), proposal(), Validated(1, A, True), vote(3, PREVOTE, A)]
    assert replay(driver(started=False), stream) == (ScheduleTimeout(TimeoutKind.PROPOSE, 1, 0),)
    unlogged = replay(driver(started=False), stream[:3])
    assert votes_cast(unlogged) == [(PREVOTE, 0, A)]
    assert isinstance(stream[3], VoteReceived)
    assert isinstance(stream[3].vote, Vote)
