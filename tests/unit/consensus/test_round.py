"""The round machine: one test per line of the paper's Algorithm 1, and what holds for any inputs in any order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.consensus import RoundState, Step, TimeoutKind, VoteKind
from runtime.consensus import round as machine
from runtime.consensus.round import Decided, GetValue, ProposeBlock, Refused, SkipTo, StartTimeout, VoteFor, transition
from runtime.types import Hash

A, B = Hash(b"a" * 32), Hash(b"b" * 32)
NEW = RoundState(7)
PROPOSE, PREVOTE, PRECOMMIT = (RoundState(7, 3, step) for step in (Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT))
LOCKED = replace(PROPOSE, locked_round=1, locked_value=A, valid_round=1, valid_value=A)

values, rounds = st.sampled_from([A, B]), st.integers(0, 5)
events = st.one_of(
    st.builds(machine.NewRound, rounds, st.booleans()),
    st.builds(machine.ProposeValue, values),
    st.builds(machine.FreshProposal, values),
    st.just(machine.InvalidProposal()),
    st.builds(machine.ProposalWithPolka, values, st.integers(-1, 5)),
    st.builds(machine.InvalidProposalWithPolka, values),
    st.sampled_from([machine.PolkaAny(), machine.PolkaNil(), machine.PrecommitAny()]),
    st.builds(machine.PolkaValue, values),
    st.builds(machine.CommitValue, rounds, values),
    st.builds(machine.RoundSkip, rounds),
    st.builds(machine.TimeoutElapsed, st.sampled_from(TimeoutKind), st.integers(6, 7), rounds),
)


def test_l11_a_round_starts_in_propose_with_a_timeout_for_all_but_the_proposer() -> None:
    assert transition(NEW, machine.NewRound(0, False)) == (
        RoundState(7, 0, Step.PROPOSE),
        StartTimeout(TimeoutKind.PROPOSE),
    )


def test_l16_the_proposer_proposes_its_valid_value_again() -> None:
    unstarted = replace(LOCKED, step=Step.UNSTARTED)
    assert transition(unstarted, machine.NewRound(4, True))[1] == ProposeBlock(A, 1)


def test_l18_the_proposer_without_a_valid_value_asks_for_one() -> None:
    assert transition(NEW, machine.NewRound(0, True))[1] == GetValue()
    assert transition(PROPOSE, machine.ProposeValue(A)) == (PROPOSE, ProposeBlock(A, -1))


def test_l22_a_fresh_proposal_is_prevoted_unless_locked_on_another() -> None:
    assert transition(PROPOSE, machine.FreshProposal(B)) == (PREVOTE, VoteFor(VoteKind.PREVOTE, B))
    assert transition(LOCKED, machine.FreshProposal(A))[1] == VoteFor(VoteKind.PREVOTE, A)
    assert transition(LOCKED, machine.FreshProposal(B))[1] == VoteFor(VoteKind.PREVOTE, None)


def test_l26_an_invalid_proposal_is_prevoted_nil() -> None:
    assert transition(PROPOSE, machine.InvalidProposal()) == (PREVOTE, VoteFor(VoteKind.PREVOTE, None))


def test_l28_a_polka_since_the_lock_unlocks() -> None:
    assert transition(LOCKED, machine.ProposalWithPolka(B, 2))[1] == VoteFor(VoteKind.PREVOTE, B)
    assert transition(LOCKED, machine.ProposalWithPolka(B, 1))[1] == VoteFor(VoteKind.PREVOTE, B)
    assert transition(LOCKED, machine.ProposalWithPolka(B, 0))[1] == VoteFor(VoteKind.PREVOTE, None)
    assert transition(LOCKED, machine.ProposalWithPolka(A, 0))[1] == VoteFor(VoteKind.PREVOTE, A)


def test_l32_an_invalid_proposal_with_a_polka_is_prevoted_nil() -> None:
    assert transition(PROPOSE, machine.InvalidProposalWithPolka(A)) == (PREVOTE, VoteFor(VoteKind.PREVOTE, None))


def test_l34_any_polka_starts_the_prevote_timeout() -> None:
    assert transition(PREVOTE, machine.PolkaAny()) == (PREVOTE, StartTimeout(TimeoutKind.PREVOTE))


def test_l36_a_polka_locks_and_precommits_in_prevote_and_only_marks_in_precommit() -> None:
    seen = replace(PRECOMMIT, valid_round=3, valid_value=A)
    assert transition(PREVOTE, machine.PolkaValue(A)) == (
        replace(seen, locked_round=3, locked_value=A),
        VoteFor(VoteKind.PRECOMMIT, A),
    )
    assert transition(PRECOMMIT, machine.PolkaValue(A)) == (seen, None)


def test_l44_a_nil_polka_is_precommitted_nil() -> None:
    assert transition(PREVOTE, machine.PolkaNil()) == (PRECOMMIT, VoteFor(VoteKind.PRECOMMIT, None))


def test_l47_any_precommits_start_the_precommit_timeout() -> None:
    assert transition(PROPOSE, machine.PrecommitAny()) == (PROPOSE, StartTimeout(TimeoutKind.PRECOMMIT))


def test_l49_a_commit_of_any_round_decides_once() -> None:
    state, output = transition(PROPOSE, machine.CommitValue(1, A))
    assert (state.step, output) == (Step.COMMIT, Decided(1, A))
    assert isinstance(transition(state, machine.CommitValue(1, A))[1], Refused)


def test_l55_a_later_round_is_skipped_to() -> None:
    assert transition(PREVOTE, machine.RoundSkip(5)) == (replace(PREVOTE, step=Step.UNSTARTED), SkipTo(5))


@pytest.mark.parametrize(
    ("kind", "before", "after", "output"),
    [
        (TimeoutKind.PROPOSE, PROPOSE, PREVOTE, VoteFor(VoteKind.PREVOTE, None)),  # L57
        (TimeoutKind.PREVOTE, PREVOTE, PRECOMMIT, VoteFor(VoteKind.PRECOMMIT, None)),  # L61
        (TimeoutKind.PRECOMMIT, PROPOSE, replace(PROPOSE, step=Step.UNSTARTED), SkipTo(4)),  # L65
    ],
)
def test_l57_l61_l65_timeouts_move_on(kind: TimeoutKind, before: RoundState, after: RoundState, output: Any) -> None:
    assert transition(before, machine.TimeoutElapsed(kind, 7, 3)) == (after, output)
    for height, round_ in ((6, 3), (7, 2), (8, 3), (7, 4)):
        assert isinstance(transition(before, machine.TimeoutElapsed(kind, height, round_))[1], Refused)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (PREVOTE, machine.FreshProposal(A)),
        (PREVOTE, machine.InvalidProposal()),
        (PROPOSE, machine.ProposalWithPolka(A, 3)),
        (PROPOSE, machine.ProposalWithPolka(A, -1)),
        (PROPOSE, machine.PolkaAny()),
        (PRECOMMIT, machine.PolkaNil()),
        (PROPOSE, machine.PolkaValue(A)),
        (PROPOSE, machine.NewRound(4, False)),
        (replace(PROPOSE, step=Step.UNSTARTED), machine.NewRound(3, False)),
        (PROPOSE, machine.RoundSkip(3)),
        (PREVOTE, machine.TimeoutElapsed(TimeoutKind.PROPOSE, 7, 3)),
        (PRECOMMIT, machine.TimeoutElapsed(TimeoutKind.PREVOTE, 7, 3)),
    ],
)
def test_invalid_inputs_are_refused_with_a_reason_and_change_nothing(state: RoundState, event: Any) -> None:
    after, output = transition(state, event)
    assert after == state
    assert isinstance(output, Refused)
    assert output.reason


@given(st.lists(events, max_size=60))
def test_whatever_comes_locks_and_rounds_only_grow(stream: list[Any]) -> None:
    state, _ = transition(NEW, machine.NewRound(0, False))
    for event in stream:
        after, output = transition(state, event)
        assert after.height == state.height
        assert after.round >= state.round
        assert after.locked_round >= state.locked_round
        assert after.valid_round >= state.valid_round
        assert after.round >= after.valid_round >= after.locked_round
        assert (after.locked_value is None) == (after.locked_round == -1)
        if isinstance(output, Refused):
            assert after == state
        if isinstance(output, VoteFor) and output.kind is VoteKind.PRECOMMIT and output.block_id is not None:
            assert (after.locked_value, after.locked_round) == (output.block_id, after.round)
        state = after
