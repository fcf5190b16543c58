"""Commit certificates: more than two thirds of precommit signatures over one block, checkable by anyone, offline."""

from __future__ import annotations

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
    """One validator's precommit inside a certificate."""

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

    def precommits(self) -> tuple[Vote, ...]:
        """The certificate as the votes it is made of."""
        return tuple(
            Vote(VoteKind.PRECOMMIT, self.height, self.round, self.block_id, entry.public_key, entry.signature)
            for entry in self.signatures
        )


def certificate_hash(certificate: CommitCertificate) -> Hash:
    """What the next block's header commits to."""
    return hash_bytes("armillary/certificate", codec(CommitCertificate).encode(certificate))


def verify_certificate(certificate: CommitCertificate, *, genesis_hash: Hash, validators: ValidatorSet) -> None:
    """Raise CertificateRefused unless a quorum of `validators`, the set of that height, precommitted the block id.

    check is one of: order, signer, power, signature. Every signature is verified, not just a quorum of them: a
    certificate with a false one is refused as a whole.
    """
    signers = certificate.signers
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
    signed = vote_sign_bytes(genesis_hash, _any_precommit(certificate))
    for entry in certificate.signatures:
        if not verify_signature(entry.public_key, signed, entry.signature):
            what = f"precommit of height {certificate.height}, round {certificate.round} for this block on this chain"
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


def _any_precommit(certificate: CommitCertificate) -> UnsignedVote:
    """The statement that all signers signed; whose vote it is does not enter it."""
    nobody = PublicKey(bytes(32))
    return UnsignedVote(VoteKind.PRECOMMIT, certificate.height, certificate.round, certificate.block_id, nobody)
