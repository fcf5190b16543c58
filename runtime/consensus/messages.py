"""Votes and proposals: what validators say to each other, the bytes they sign, and the one place that verifies them.

Rules. The signed bytes are the domain-separated hash of the canonical encoding of a tagged statement that covers the
genesis hash: a signature counts on one chain and as one kind of statement only. A vote's statement leaves the
validator out (the signature names it), so all precommits of a commit certificate sign the same bytes. A vote bears the
validator's public key; a vote for no block has block id None. What must not live here: counting and deciding.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from runtime.codec import codec
from runtime.consensus.errors import MessageRefused
from runtime.consensus.validators import ValidatorSet
from runtime.crypto import hash_bytes, verify_signature
from runtime.limits import BLOCK_BYTES_MAX
from runtime.types import U16, U32, U64, Hash, PublicKey, Signature, Struct

PART_BYTES: Final = 65_536
PARTS_MAX: Final = -(-BLOCK_BYTES_MAX // PART_BYTES)


class VoteKind(IntEnum):
    """The two votes of a round."""

    PREVOTE = 1
    PRECOMMIT = 2


class UnsignedVote(Struct):
    """A vote to be signed: what the driver asks the shell to cast. block_id None votes for no block."""

    kind: VoteKind
    height: U64
    round: U32
    block_id: Hash | None
    validator: PublicKey

    def signed(self, signature: Signature) -> Vote:
        """The vote as it is broadcast."""
        return Vote(self.kind, self.height, self.round, self.block_id, self.validator, signature)


class Vote(Struct):
    """A validator's signed prevote or precommit. block_id None votes for no block."""

    kind: VoteKind
    height: U64
    round: U32
    block_id: Hash | None
    validator: PublicKey
    signature: Signature

    @property
    def unsigned(self) -> UnsignedVote:
        """What was signed, and by whom."""
        return UnsignedVote(self.kind, self.height, self.round, self.block_id, self.validator)


class UnsignedProposal(Struct):
    """A proposal to be signed. Fields as in Proposal."""

    height: U64
    round: U32
    valid_round: U32 | None
    block_id: Hash
    part_count: U16
    part_root: Hash
    block_bytes: U32
    time_ms: U64
    proposer: PublicKey

    def signed(self, signature: Signature) -> Proposal:
        """The proposal as it is broadcast."""
        return Proposal(
            height=self.height,
            round=self.round,
            valid_round=self.valid_round,
            block_id=self.block_id,
            part_count=self.part_count,
            part_root=self.part_root,
            block_bytes=self.block_bytes,
            time_ms=self.time_ms,
            proposer=self.proposer,
            signature=signature,
        )


class Proposal(Struct):
    """The proposer of a round names a block, and how its encoded bytes are cut into parts.

    valid_round: the earlier round in which the block got its polka, None for a fresh block (-1 in the paper).
    part_count, part_root, block_bytes: of the encoded block (runtime.consensus.parts). time_ms: the header's time.
    """

    height: U64
    round: U32
    valid_round: U32 | None
    block_id: Hash
    part_count: U16
    part_root: Hash
    block_bytes: U32
    time_ms: U64
    proposer: PublicKey
    signature: Signature

    @property
    def unsigned(self) -> UnsignedProposal:
        """What was signed."""
        return UnsignedProposal(*msgspec.structs.astuple(self)[:-1])


class _VoteStatement(Struct, tag=1):
    genesis_hash: Hash
    kind: VoteKind
    height: U64
    round: U32
    block_id: Hash | None


class _ProposalStatement(Struct, tag=2):
    genesis_hash: Hash
    content: UnsignedProposal


def vote_sign_bytes(genesis_hash: Hash, vote: UnsignedVote | Vote) -> bytes:
    """The 32 bytes that a validator signs for `vote`; the same for all validators."""
    statement = _VoteStatement(genesis_hash, vote.kind, vote.height, vote.round, vote.block_id)
    return hash_bytes("armillary/vote", codec(_VoteStatement).encode(statement))


def proposal_sign_bytes(genesis_hash: Hash, proposal: UnsignedProposal) -> bytes:
    """The 32 bytes that the proposer signs for `proposal`."""
    statement = _ProposalStatement(genesis_hash, proposal)
    return hash_bytes("armillary/proposal", codec(_ProposalStatement).encode(statement))


def verify_vote(vote: Vote, *, genesis_hash: Hash, validators: ValidatorSet) -> None:
    """Raise MessageRefused unless a member of `validators` (the set of the vote's height) signed this vote."""
    if vote.validator not in validators:
        raise MessageRefused("vote", "validator", f"{vote.validator.hex()} is no validator at height {vote.height}")
    if not verify_signature(vote.validator, vote_sign_bytes(genesis_hash, vote), vote.signature):
        raise MessageRefused("vote", "signature", f"not by {vote.validator.hex()} over this vote on this chain")


def verify_proposal(proposal: Proposal, *, genesis_hash: Hash, proposer: PublicKey) -> None:
    """Raise MessageRefused unless `proposer` (of the proposal's height and round) signed this well-formed proposal.

    Ask `Driver.wants` before working out whose turn a round is: a far round costs its number in steps.
    """
    if proposal.proposer != proposer:
        turn = f"round {proposal.round} of height {proposal.height} is {proposer.hex()}'s turn"
        raise MessageRefused("proposal", "proposer", f"{turn}, not {proposal.proposer.hex()}'s")
    if proposal.valid_round is not None and proposal.valid_round >= proposal.round:
        raise MessageRefused("proposal", "valid_round", f"{proposal.valid_round} is not before round {proposal.round}")
    check_part_sizes(proposal.part_count, proposal.block_bytes)
    if not verify_signature(proposer, proposal_sign_bytes(genesis_hash, proposal.unsigned), proposal.signature):
        raise MessageRefused("proposal", "signature", f"not by {proposer.hex()} over this proposal on this chain")


def check_part_sizes(part_count: int, block_bytes: int) -> None:
    """Raise MessageRefused unless a block of that many bytes has that many parts and is within the limit."""
    if not 0 < block_bytes <= BLOCK_BYTES_MAX:
        raise MessageRefused("proposal", "block_bytes", f"{block_bytes} is outside 1 to {BLOCK_BYTES_MAX}")
    if part_count != -(-block_bytes // PART_BYTES):
        reason = f"{block_bytes} bytes do not make {part_count} parts of {PART_BYTES}"
        raise MessageRefused("proposal", "part_count", reason)
