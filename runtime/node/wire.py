"""What nodes say to each other about consensus, and what they ask. Canonical bytes; every list is bounded.

Channel CONSENSUS carries ConsensusMessage, BLOCK_PARTS carries PartMessage, TRANSACTIONS carries MempoolMessage;
requests are NodeRequest, answered by NodeResponse.
"""

from __future__ import annotations

from typing import Annotated

from runtime.consensus import CommitCertificate, Equivocation, Message, Part, PolkaCertificate, Proposal, Vote
from runtime.limits import BLOCK_BYTES_MAX
from runtime.sync import BlocksRequest, BlocksResponse
from runtime.types import U64, Hash, MaxLen, Struct


class StatusMessage(Struct, tag=1):
    """My last decided block is of this height."""

    height: U64


class ProposalMessage(Struct, tag=2):
    """A proposal, the sender's own or passed on."""

    proposal: Proposal


class VoteMessage(Struct, tag=3):
    """A prevote or a precommit, the sender's own or passed on."""

    vote: Vote


class CertificateMessage(Struct, tag=4):
    """The height that you work on is decided; this is what decided it."""

    certificate: CommitCertificate


class PolkaMessage(Struct, tag=6):
    """The prevotes that a block which is proposed again refers to."""

    certificate: PolkaCertificate


class EvidenceMessage(Struct, tag=5):
    """Two votes of one validator that contradict each other; a proposer may put them into a block."""

    evidence: Equivocation


ConsensusMessage = (
    StatusMessage | ProposalMessage | VoteMessage | CertificateMessage | PolkaMessage | EvidenceMessage
)  # fmt: skip


def wrap(message: Message) -> ConsensusMessage:
    """What the driver holds, as it is sent."""
    match message:
        case Proposal():
            return ProposalMessage(message)
        case Vote():
            return VoteMessage(message)
        case PolkaCertificate():
            return PolkaMessage(message)
        case CommitCertificate():
            return CertificateMessage(message)


class PartMessage(Struct):
    """A part of the block that some proposal of this height names by `part_root`. It may arrive before the proposal."""

    height: U64
    part_root: Hash
    part: Part


class FetchBlock(Struct, tag=1):
    """The undecided or last decided block of this id."""

    height: U64
    block_id: Hash


NodeRequest = FetchBlock | BlocksRequest


class FoundBlock(Struct, tag=1):
    """Encoded block; None where it is not held."""

    block: Annotated[bytes, MaxLen(BLOCK_BYTES_MAX)] | None


NodeResponse = FoundBlock | BlocksResponse
