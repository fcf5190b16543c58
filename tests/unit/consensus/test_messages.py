"""Votes, proposals and evidence: a signature counts for one statement on one chain; refusals name the field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.codec import codec
from runtime.consensus import (
    PART_BYTES,
    PARTS_MAX,
    Equivocation,
    MessageRefused,
    Proposal,
    Vote,
    VoteKind,
    evidence_id,
    proposal_sign_bytes,
    verify_equivocation,
    verify_proposal,
    verify_vote,
    vote_sign_bytes,
)
from runtime.errors import CodecError
from runtime.limits import BLOCK_BYTES_MAX
from runtime.testing.strategies import from_type
from runtime.testing.validators import GENESIS_HASH, SigningValidators
from runtime.types import ZERO_HASH, Hash

FOUR = SigningValidators()
ONE, OTHER = Hash(b"1" * 32), Hash(b"2" * 32)
VOTE = FOUR.vote(0, VoteKind.PREVOTE, ONE, height=5, round_=2)
PROPOSAL = FOUR.proposal(1, ONE, height=5, round_=2, valid_round=1)
TRUST: dict[str, Any] = {"genesis_hash": GENESIS_HASH, "validators": FOUR.validators}


def verify(message: Vote | Proposal) -> None:
    if isinstance(message, Vote):
        verify_vote(message, **TRUST)
    else:
        verify_proposal(message, genesis_hash=GENESIS_HASH, proposer=FOUR.key(1))


def test_signed_messages_are_accepted() -> None:
    verify_vote(VOTE, **TRUST)
    verify_vote(FOUR.vote(0, VoteKind.PRECOMMIT, None), **TRUST)
    verify_proposal(PROPOSAL, genesis_hash=GENESIS_HASH, proposer=FOUR.key(1))
    assert VOTE.unsigned.signed(VOTE.signature) == VOTE
    assert PROPOSAL.unsigned.signed(PROPOSAL.signature) == PROPOSAL


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_changed_byte_of_a_message_is_refused(data: st.DataObject) -> None:
    message: Vote | Proposal = data.draw(st.sampled_from([VOTE, PROPOSAL]))
    encoded: bytes = codec(type(message)).encode(message)
    place = data.draw(st.integers(0, len(encoded) - 1))
    changed = bytearray(encoded)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        decoded = codec(type(message)).decode(bytes(changed))
    except CodecError:
        return
    with pytest.raises(MessageRefused):
        verify(decoded)


@settings(deadline=None)
@given(from_type(Vote), from_type(Vote), from_type(Hash), from_type(Hash))
def test_sign_bytes_differ_whenever_statement_or_chain_does(one: Vote, other: Vote, chain: Hash, fork: Hash) -> None:
    def statement(vote: Vote, genesis: Hash) -> tuple[object, ...]:
        return vote.kind, vote.height, vote.round, vote.block_id, genesis

    same = statement(one, chain) == statement(other, fork)
    assert (vote_sign_bytes(chain, one) == vote_sign_bytes(fork, other)) == same


def test_all_validators_sign_the_same_bytes_for_the_same_vote() -> None:
    mine, theirs = (FOUR.vote(number, VoteKind.PRECOMMIT, ONE) for number in (0, 1))
    assert vote_sign_bytes(GENESIS_HASH, mine) == vote_sign_bytes(GENESIS_HASH, theirs)
    assert vote_sign_bytes(GENESIS_HASH, mine) != proposal_sign_bytes(GENESIS_HASH, PROPOSAL.unsigned)


def test_invalid_votes_are_refused_by_name() -> None:
    for vote, check in (
        (SigningValidators((1,) * 5).vote(4, VoteKind.PREVOTE, ONE), "validator"),
        (replace(VOTE, signature=FOUR.vote(1, VoteKind.PREVOTE, ONE).signature), "signature"),
        (replace(VOTE, kind=VoteKind.PRECOMMIT), "signature"),
        (replace(VOTE, block_id=None), "signature"),
        (SigningValidators(genesis_hash=ZERO_HASH).vote(0, VoteKind.PREVOTE, ONE, height=5, round_=2), "signature"),
    ):
        with pytest.raises(MessageRefused) as refused:
            verify_vote(vote, **TRUST)
        assert (refused.value.what, refused.value.check) == ("vote", check)


def test_invalid_proposals_are_refused_by_name() -> None:
    full = {"block_bytes": BLOCK_BYTES_MAX, "part_count": PARTS_MAX}
    for changed, check in (
        ({"proposer": FOUR.key(2)}, "proposer"),
        ({"valid_round": 2}, "valid_round"),
        ({"valid_round": 7}, "valid_round"),
        ({"block_bytes": 0}, "block_bytes"),
        ({"block_bytes": BLOCK_BYTES_MAX + 1}, "block_bytes"),
        ({"part_count": 2}, "part_count"),
        ({"block_bytes": PART_BYTES + 1}, "part_count"),
        (full, "signature"),
        ({"time_ms": 3}, "signature"),
        ({"valid_round": None}, "signature"),
    ):
        with pytest.raises(MessageRefused) as refused:
            verify_proposal(replace(PROPOSAL, **changed), genesis_hash=GENESIS_HASH, proposer=FOUR.key(1))
        assert refused.value.check == check


def test_two_conflicting_votes_are_evidence_in_one_order() -> None:
    nil, for_one, for_other = (FOUR.vote(2, VoteKind.PRECOMMIT, value) for value in (None, ONE, OTHER))
    for pair in ((nil, for_one), (for_one, for_other), (for_other, nil)):
        evidence = Equivocation.of(*pair)
        assert evidence == Equivocation.of(*pair[::-1])
        assert (evidence.offender, evidence.height) == (FOUR.key(2), 1)
        verify_equivocation(evidence, **TRUST)
    assert evidence_id(Equivocation.of(nil, for_one)) != evidence_id(Equivocation.of(nil, for_other))


def test_invalid_evidence_is_refused_by_name() -> None:
    vote = FOUR.vote(2, VoteKind.PREVOTE, ONE)

    def other(number: int = 2, kind: VoteKind = VoteKind.PREVOTE, height: int = 1, round_: int = 0) -> Vote:
        return FOUR.vote(number, kind, OTHER, height=height, round_=round_)

    stranger = SigningValidators((1,) * 5)
    pair = [stranger.vote(4, VoteKind.PREVOTE, value) for value in (ONE, OTHER)]
    for evidence, check in (
        (Equivocation(vote, other(number=3)), "validator"),
        (Equivocation(vote, other(height=2)), "height"),
        (Equivocation(vote, other(round_=1)), "round"),
        (Equivocation(vote, other(kind=VoteKind.PRECOMMIT)), "kind"),
        (Equivocation(vote, vote), "block_id"),
        (Equivocation(other(), vote), "order"),
        (Equivocation(vote, replace(other(), signature=vote.signature)), "signature"),
        (Equivocation(replace(vote, signature=other().signature), other()), "signature"),
        (Equivocation.of(*pair), "validator"),
    ):
        with pytest.raises(MessageRefused) as refused:
            verify_equivocation(evidence, **TRUST)
        assert refused.value.check == check
