"""A set of validators with their keys, for tests that need signed votes, certificates and blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from runtime.consensus import (
    HEADER_VERSION,
    Block,
    CommitCertificate,
    CommitSignature,
    Equivocation,
    Header,
    Parent,
    PolkaCertificate,
    Proposal,
    SplitBlock,
    UnsignedProposal,
    UnsignedVote,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    evidence_hash,
    last_certificate_hash,
    proposal_sign_bytes,
    transactions_root,
    vote_sign_bytes,
)
from runtime.crypto import SigningKey, hash_bytes
from runtime.types import ZERO_HASH, Hash, PublicKey

GENESIS_HASH: Final = hash_bytes("armillary/testing", b"genesis")


class SigningValidators:
    """Validators number 0, 1, ... with the given powers; key number n is of the seed that repeats n + 1.

    Numbers are not positions in the set, which is ordered by public key.
    """

    def __init__(self, powers: Sequence[int] = (1, 1, 1, 1), genesis_hash: Hash = GENESIS_HASH) -> None:
        self.genesis_hash = genesis_hash
        self.keys = [SigningKey.from_seed(bytes([number + 1]) * 32) for number in range(len(powers))]
        self.validators = ValidatorSet.of(
            Validator(key.public_key, power) for key, power in zip(self.keys, powers, strict=True)
        )

    def key(self, number: int) -> PublicKey:
        """The public key of validator `number`."""
        return self.keys[number].public_key

    def number(self, public_key: PublicKey) -> int:
        """Whose key this is. Raises ValueError where it is nobody's."""
        return [key.public_key for key in self.keys].index(public_key)

    def vote(self, number: int, kind: VoteKind, block_id: Hash | None, *, height: int = 1, round_: int = 0) -> Vote:
        """A signed vote; block_id None: for no block."""
        vote = UnsignedVote(kind, height, round_, block_id, self.key(number))
        return vote.signed(self.keys[number].sign(vote_sign_bytes(self.genesis_hash, vote)))

    def proposal(
        self,
        number: int,
        block_id: Hash,
        *,
        height: int = 1,
        round_: int = 0,
        valid_round: int | None = None,
        time_ms: int = 1_000,
        split: SplitBlock | None = None,
    ) -> Proposal:
        """A proposal; without `split` of a block that would fit into one part of one byte."""
        count, root, size = (
            (1, ZERO_HASH, 1) if split is None else (split.part_count, split.part_root, split.block_bytes)
        )
        content = UnsignedProposal(height, round_, valid_round, block_id, count, root, size, time_ms, self.key(number))
        return content.signed(self.keys[number].sign(proposal_sign_bytes(self.genesis_hash, content)))

    def certificate(
        self, block_id: Hash, *, height: int = 1, round_: int = 0, signers: Iterable[int] | None = None
    ) -> CommitCertificate:
        """A commit certificate by `signers` (default: all)."""
        entries = self._entries(VoteKind.PRECOMMIT, block_id, height, round_, signers)
        return CommitCertificate(height, round_, block_id, entries)

    def polka(
        self, block_id: Hash, *, height: int = 1, round_: int = 0, signers: Iterable[int] | None = None
    ) -> PolkaCertificate:
        """A polka certificate by `signers` (default: all)."""
        return PolkaCertificate(
            height, round_, block_id, self._entries(VoteKind.PREVOTE, block_id, height, round_, signers)
        )

    def genesis_parent(self) -> Parent:
        """What a block of height 1 follows; the set never changes."""
        return Parent(
            genesis_hash=self.genesis_hash,
            height=0,
            time_ms=0,
            block_id=ZERO_HASH,
            last_validators=None,
            validators=self.validators,
            next_validators=self.validators,
            validators_at=lambda height: self.validators,
        )

    def parent(self, block: Block) -> Parent:
        """What a block after `block` follows."""
        return Parent(
            genesis_hash=self.genesis_hash,
            height=block.header.height,
            time_ms=block.header.time_ms,
            block_id=block.id,
            last_validators=self.validators,
            validators=self.validators,
            next_validators=self.validators,
            validators_at=lambda height: self.validators,
        )

    def block(
        self,
        parent: Parent,
        *,
        transactions: tuple[bytes, ...] = (),
        evidence: tuple[Equivocation, ...] = (),
        state_root: Hash = ZERO_HASH,
        receipts_root: Hash = ZERO_HASH,
        proposer: int = 0,
    ) -> Block:
        """A block that `check_block` accepts after `parent`, certified by all."""
        certificate = None if parent.is_genesis else self.certificate(parent.block_id, height=parent.height)
        header = Header(
            version=HEADER_VERSION,
            genesis_hash=parent.genesis_hash,
            height=parent.height + 1,
            time_ms=parent.time_ms + 1_000,
            proposer=self.key(proposer),
            last_block_id=parent.block_id,
            last_certificate_hash=last_certificate_hash(certificate),
            evidence_hash=evidence_hash(evidence),
            transactions_root=transactions_root(transactions),
            state_root=state_root,
            receipts_root=receipts_root,
            validators_hash=parent.validators.hash,
            next_validators_hash=parent.next_validators.hash,
        )
        return Block(header, transactions, evidence, certificate)

    def _entries(
        self, kind: VoteKind, block_id: Hash, height: int, round_: int, signers: Iterable[int] | None
    ) -> tuple[CommitSignature, ...]:
        numbers = range(len(self.keys)) if signers is None else signers
        votes = [self.vote(number, kind, block_id, height=height, round_=round_) for number in numbers]
        return tuple(
            CommitSignature(vote.validator, vote.signature) for vote in sorted(votes, key=lambda vote: vote.validator)
        )
