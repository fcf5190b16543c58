"""Evidence: proof that one validator signed two different votes for one height, round and kind.

Only votes are evidence. The two votes stand in canonical order (no block first, then by block id), so that one
offence has one encoding per pair. Punishment is the validators module's matter, not consensus's.
"""

from __future__ import annotations

from typing import Final

from runtime.codec import codec
from runtime.consensus.errors import MessageRefused
from runtime.consensus.messages import Vote, verify_vote
from runtime.consensus.validators import ValidatorSet
from runtime.crypto import hash_bytes
from runtime.types import Hash, PublicKey, Struct

EVIDENCE_PER_BLOCK_MAX: Final = 16
EVIDENCE_AGE_HEIGHTS_MAX: Final = 100_000


class Equivocation(Struct):
    """Two signed votes of one validator that contradict each other; `first` has the lower block id (None lowest)."""

    first: Vote
    second: Vote

    @classmethod
    def of(cls, one: Vote, other: Vote) -> Equivocation:
        """The evidence of two conflicting votes, in canonical order."""
        return cls(one, other) if _order(one) <= _order(other) else cls(other, one)

    @property
    def offender(self) -> PublicKey:
        """Who signed both votes, once `verify_equivocation` has said so."""
        return self.first.validator

    @property
    def height(self) -> int:
        """Of both votes."""
        return self.first.height


def evidence_id(evidence: Equivocation) -> Hash:
    """The identity of a piece of evidence, for pools and for refusing it twice."""
    return hash_bytes("armillary/evidence", codec(Equivocation).encode(evidence))


def verify_equivocation(evidence: Equivocation, *, genesis_hash: Hash, validators: ValidatorSet) -> None:
    """Raise MessageRefused unless the evidence proves an offence of a member of `validators`, the set of its height."""
    first, second = evidence.first, evidence.second
    for field in ("validator", "height", "round", "kind"):
        if getattr(first, field) != getattr(second, field):
            raise MessageRefused("evidence", field, "the two votes differ in it, so they do not contradict each other")
    if first.block_id == second.block_id:
        raise MessageRefused("evidence", "block_id", "both votes are for the same block")
    if _order(first) > _order(second):
        raise MessageRefused("evidence", "order", "the vote with the lower block id comes first")
    for vote in (first, second):
        verify_vote(vote, genesis_hash=genesis_hash, validators=validators)


def _order(vote: Vote) -> bytes:
    return vote.block_id or b""
