"""Blocks: a header, its transactions, evidence, and the certificate of the block before.

What is checked here is all that can be without executing: hashes, links, sizes, times, signatures, evidence. The roots
of state and receipts are compared by who executes the block. A block that breaks a rule is refused with its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from runtime.codec import codec
from runtime.consensus.certificate import CommitCertificate, certificate_hash, verify_certificate
from runtime.consensus.errors import CertificateRefused, MessageRefused
from runtime.consensus.evidence import (
    EVIDENCE_AGE_HEIGHTS_MAX,
    EVIDENCE_PER_BLOCK_MAX,
    Equivocation,
    evidence_id,
    verify_equivocation,
)
from runtime.consensus.header import HEADER_VERSION, Header, block_id
from runtime.consensus.messages import Proposal
from runtime.consensus.validators import ValidatorSet
from runtime.crypto import merkle_root
from runtime.errors import CodecError, show
from runtime.limits import BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX
from runtime.types import ZERO_HASH, Hash, MaxLen, Struct

Transactions = Annotated[tuple[Annotated[bytes, MaxLen(TRANSACTION_BYTES_MAX)], ...], MaxLen(BLOCK_TRANSACTIONS_MAX)]


class Block(Struct):
    """One height of the chain. last_certificate decided the block before; None at height 1 only."""

    header: Header
    transactions: Transactions
    evidence: Annotated[tuple[Equivocation, ...], MaxLen(EVIDENCE_PER_BLOCK_MAX)]
    last_certificate: CommitCertificate | None

    @property
    def id(self) -> Hash:
        """The hash of the header, by which the block is known."""
        return block_id(self.header)


@dataclass(frozen=True)
class Parent:
    """What a block must follow: the block before, or the genesis.

    validators, next_validators: the sets of the block's own height and of the one after. last_validators: the set that
    decided the block before (None at height 1). validators_at: the set of an earlier height, for evidence; None where
    it is not kept.
    """

    genesis_hash: Hash
    height: int
    time_ms: int
    block_id: Hash
    last_validators: ValidatorSet | None
    validators: ValidatorSet
    next_validators: ValidatorSet
    validators_at: Callable[[int], ValidatorSet | None]

    @property
    def is_genesis(self) -> bool:
        """Whether the block to come is the first, which carries no certificate."""
        return self.height == 0


def transactions_root(transactions: Sequence[bytes]) -> Hash:
    """What a header commits to: the Merkle root over the transactions in order."""
    return merkle_root("armillary/transactions", transactions)


def evidence_hash(evidence: Sequence[Equivocation]) -> Hash:
    """What a header commits to: the Merkle root over the ids of the evidence in order."""
    return merkle_root("armillary/evidence-list", [evidence_id(piece) for piece in evidence])


def last_certificate_hash(certificate: CommitCertificate | None) -> Hash:
    """What a header commits to; zero at height 1."""
    return ZERO_HASH if certificate is None else certificate_hash(certificate)


def encode_block(block: Block) -> bytes:
    """Canonical bytes. Raises MessageRefused when they are above BLOCK_BYTES_MAX, CodecError when a field is wrong."""
    encoded: bytes = codec(Block).encode(block)
    if len(encoded) > BLOCK_BYTES_MAX:
        raise MessageRefused("block", "size", f"{len(encoded)} bytes, at most {BLOCK_BYTES_MAX} are allowed")
    return encoded


def decode_block(encoded: bytes) -> Block:
    """The block of canonical bytes. Raises MessageRefused naming the field that is wrong."""
    if len(encoded) > BLOCK_BYTES_MAX:
        raise MessageRefused("block", "size", f"{len(encoded)} bytes, at most {BLOCK_BYTES_MAX} are allowed")
    try:
        block: Block = codec(Block).decode(encoded)
    except CodecError as error:
        raise MessageRefused("block", "encoding", str(error)) from None
    return block


def check_proposed_header(proposal: Proposal, header: Header) -> None:
    """Raise MessageRefused unless the header is the one that the proposal names, and as it says.

    A contradiction is the proposal's fault: feed the driver ProposalContradicted, not Validated.
    """
    if block_id(header) != proposal.block_id:
        raise MessageRefused("proposal", "block_id", "the parts hold another block")
    for field in ("height", "time_ms"):
        said, found = getattr(proposal, field), getattr(header, field)
        if said != found:
            raise MessageRefused("proposal", field, f"the proposal says {said}, the header {found}")
    if proposal.valid_round is None and proposal.proposer != header.proposer:
        raise MessageRefused("proposal", "proposer", "the header of a fresh block names another proposer")


def check_block(block: Block, parent: Parent) -> None:
    """Raise MessageRefused unless `block` may follow `parent`; everything but the roots that execution gives."""
    _check_header(block.header, parent)
    _check_body(block)
    _check_last_certificate(block.last_certificate, parent)
    seen: set[object] = set()
    for evidence in block.evidence:
        _check_evidence(evidence, block.header.height, parent)
        offence = evidence.offender, evidence.height
        if offence in seen:
            raise MessageRefused("block", "evidence", f"two pieces against {evidence.offender.hex()} for one height")
        seen.add(offence)


def _check_header(header: Header, parent: Parent) -> None:
    expected = {
        "version": HEADER_VERSION,
        "genesis_hash": parent.genesis_hash,
        "height": parent.height + 1,
        "last_block_id": parent.block_id,
        "validators_hash": parent.validators.hash,
        "next_validators_hash": parent.next_validators.hash,
    }
    for field, value in expected.items():
        found = getattr(header, field)
        if found != value:
            raise MessageRefused("block", field, f"{show(found)} instead of {show(value)}")
    if header.time_ms <= parent.time_ms:
        raise MessageRefused("block", "time_ms", f"{header.time_ms} is not after the last block's {parent.time_ms}")
    if header.proposer not in parent.validators:
        raise MessageRefused("block", "proposer", f"{header.proposer.hex()} is no validator at this height")


def _check_body(block: Block) -> None:
    header = block.header
    found = {
        "transactions_root": transactions_root(block.transactions),
        "evidence_hash": evidence_hash(block.evidence),
        "last_certificate_hash": last_certificate_hash(block.last_certificate),
    }
    for field, value in found.items():
        if getattr(header, field) != value:
            raise MessageRefused("block", field, "the header does not commit to what the block holds")


def _check_last_certificate(certificate: CommitCertificate | None, parent: Parent) -> None:
    if parent.is_genesis:
        if certificate is not None:
            raise MessageRefused("block", "last_certificate", "the block of height 1 has none")
        return
    if certificate is None or parent.last_validators is None:
        raise MessageRefused("block", "last_certificate", "missing")
    if (certificate.height, certificate.block_id) != (parent.height, parent.block_id):
        raise MessageRefused("block", "last_certificate", "it certifies another block than the one before")
    try:
        verify_certificate(certificate, genesis_hash=parent.genesis_hash, validators=parent.last_validators)
    except CertificateRefused as error:
        raise MessageRefused("block", "last_certificate", f"{error.check}: {error.reason}") from None


def _check_evidence(evidence: Equivocation, height: int, parent: Parent) -> None:
    if not height - EVIDENCE_AGE_HEIGHTS_MAX <= evidence.height < height:
        reason = f"of height {evidence.height}, allowed are the {EVIDENCE_AGE_HEIGHTS_MAX} before {height}"
        raise MessageRefused("block", "evidence", reason)
    validators = parent.validators_at(evidence.height)
    if validators is None:
        raise MessageRefused("block", "evidence", f"the validator set of height {evidence.height} is not known")
    try:
        verify_equivocation(evidence, genesis_hash=parent.genesis_hash, validators=validators)
    except MessageRefused as error:
        raise MessageRefused("block", "evidence", f"{error.check}: {error.reason}") from None
