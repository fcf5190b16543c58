"""Certificates: more than two thirds of the voting power signed one vote for one block; checkable by anyone, offline.

A commit certificate is of precommits: it decides a block and outlives the height. A polka certificate is of prevotes:
it travels with a block that is proposed again, within its height only. Votes alone would not do there: of a validator
that equivocates, nodes count the vote they saw first, so they need not see the same polka.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from runtime.codec import codec
from runtime.consensus.errors import CertificateRefused
from runtime.consensus.header import Header, block_id
from runtime.consensus.messages import UnsignedVote, Vote, VoteKind, vote_sign_bytes
from runtime.consensus.validators import ValidatorSet
from runtime.crypto import hash_bytes, verify_signature
from runtime.limits import VALIDATORS_MAX
from runtime.types import U32, U64, Hash, MaxLen, PublicKey, Signature, Struct


class CommitSignature(Struct):
    """One validator's vote inside a certificate."""

    public_key: PublicKey
    signature: Signature


class CommitCertificate(Struct):
    """The precommits that decided a block: signatures by strictly ascending public key."""

    height: U64
    round: U32
    block_id: Hash
    signatures: Annotated[tuple[CommitSignature, ...], MaxLen(VALIDATORS_MAX)]

    @property
    def signers(self) -> tuple[PublicKey, ...]:
        """Who precommitted, by ascending public key."""
        return tuple(entry.public_key for entry in self.signatures)

    @property
    def kind(self) -> VoteKind:
        """What its signers signed."""
        return VoteKind.PRECOMMIT


class PolkaCertificate(Struct):
    """The prevotes that made a polka: signatures by strictly ascending public key."""

    height: U64
    round: U32
    block_id: Hash
    signatures: Annotated[tuple[CommitSignature, ...], MaxLen(VALIDATORS_MAX)]

    @property
    def kind(self) -> VoteKind:
        """What its signers signed."""
        return VoteKind.PREVOTE


Certificate = CommitCertificate | PolkaCertificate


def certificate_of(votes: Sequence[Vote]) -> Certificate:
    """The certificate that votes of one kind, height, round and block make; whether they are a quorum is not looked at.

    Raises ValueError of no votes and of votes for no block.
    """
    if not votes or votes[0].block_id is None:
        raise ValueError("a certificate is made of votes for a block")
    kind, height, round_, block_id = votes[0].kind, votes[0].height, votes[0].round, votes[0].block_id
    by_key = {vote.validator: CommitSignature(vote.validator, vote.signature) for vote in votes}
    made = CommitCertificate if kind is VoteKind.PRECOMMIT else PolkaCertificate
    return made(height, round_, block_id, tuple(by_key[key] for key in sorted(by_key)))


def votes_of(certificate: Certificate) -> tuple[Vote, ...]:
    """The votes that a certificate is made of."""
    return tuple(
        Vote(
            certificate.kind,
            certificate.height,
            certificate.round,
            certificate.block_id,
            entry.public_key,
            entry.signature,
        )
        for entry in certificate.signatures
    )


def certificate_hash(certificate: CommitCertificate) -> Hash:
    """What the next block's header commits to."""
    return hash_bytes("armillary/certificate", codec(CommitCertificate).encode(certificate))


def verify_certificate(certificate: Certificate, *, genesis_hash: Hash, validators: ValidatorSet) -> None:
    """Raise CertificateRefused unless a quorum of `validators`, the set of that height, voted so for the block id.

    check is one of: order, signer, power, signature. Every signature is verified, not just a quorum of them: a
    certificate with a false one is refused as a whole.
    """
    signers = [entry.public_key for entry in certificate.signatures]
    for before, after in pairwise(signers):
        if before >= after:
            raise CertificateRefused("order", f"signer {after.hex()} is not above the one before it")
    for key in signers:
        if key not in validators:
            raise CertificateRefused("signer", f"{key.hex()} is no validator at height {certificate.height}")
    power = sum(map(validators.power_of, signers))
    if not validators.has_quorum(power):
        total = validators.total_power
        raise CertificateRefused("power", f"the signers have {power} of {total}, not more than two thirds")
    signed = vote_sign_bytes(genesis_hash, _statement(certificate))
    for entry in certificate.signatures:
        if not verify_signature(entry.public_key, signed, entry.signature):
            kind = certificate.kind.name.lower()
            what = f"{kind} of height {certificate.height}, round {certificate.round} for this block on this chain"
            raise CertificateRefused("signature", f"that of {entry.public_key.hex()} is not a {what}")


def verify_commit(
    header: Header, certificate: CommitCertificate, *, genesis_hash: Hash, validators: ValidatorSet
) -> None:
    """Raise CertificateRefused unless `validators` decided exactly this header on this chain.

    check is one of: genesis_hash, height, block_id, validators_hash, and those of `verify_certificate`.
    """
    if header.genesis_hash != genesis_hash:
        raise CertificateRefused("genesis_hash", f"the header is of chain {header.genesis_hash.hex()}")
    if header.height != certificate.height:
        raise CertificateRefused("height", f"the header is of {header.height}, the certificate of {certificate.height}")
    if header.validators_hash != validators.hash:
        raise CertificateRefused("validators_hash", "the header names another validator set")
    if block_id(header) != certificate.block_id:
        raise CertificateRefused("block_id", "the header's hash is not the block that was precommitted")
    verify_certificate(certificate, genesis_hash=genesis_hash, validators=validators)


def _statement(certificate: Certificate) -> UnsignedVote:
    """What all signers signed; whose vote it is does not enter it."""
    nobody = PublicKey(bytes(32))
    return UnsignedVote(certificate.kind, certificate.height, certificate.round, certificate.block_id, nobody)
