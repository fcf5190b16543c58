"""What goes into the driver and what comes out: plain values.

Inputs are wire records, so that a write-ahead log can hold them (`codec(DriverInput)`). Effects are what the shell
performs; each says what answers it. Nothing here is ever interpreted: that is driver.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.consensus.certificate import CommitCertificate, PolkaCertificate
from runtime.consensus.evidence import Equivocation
from runtime.consensus.messages import Proposal, UnsignedVote, Vote
from runtime.consensus.round import TimeoutKind
from runtime.types import U32, U64, Hash, Struct


class Start(Struct, tag=1):
    """Begin round 0 of the height. Votes and proposals may have been fed before."""

    height: U64


class ProposalReceived(Struct, tag=2):
    """A proposal that `verify_proposal` accepted, the own one included. `timely`: as `is_timely` judged its arrival."""

    proposal: Proposal
    timely: bool


class VoteReceived(Struct, tag=3):
    """A vote that `verify_vote` accepted, the own ones included."""

    vote: Vote


class CertificateReceived(Struct, tag=4):
    """A commit certificate of this height that `verify_certificate` accepted."""

    certificate: CommitCertificate


class TimeoutExpired(Struct, tag=5):
    """A scheduled timeout is over."""

    kind: TimeoutKind
    height: U64
    round: U32


class ValueProposed(Struct, tag=6):
    """The answer to RequestValue: the block built and executed by this node, hence valid."""

    height: U64
    round: U32
    block_id: Hash


class Validated(Struct, tag=7):
    """The answer to RequestValidation: the block was executed and its roots match (ok), or it breaks a rule.

    To be sent only once the block itself was judged, never because it could not be had. The first answer stands.
    """

    height: U64
    block_id: Hash
    ok: bool


class ProposalContradicted(Struct, tag=8):
    """The parts or the header of the block do not fit what its proposal says of them (`check_proposed_header`).

    The proposal is voted nil; the block, which another proposal may name truthfully, is not judged by this.
    """

    height: U64
    round: U32
    block_id: Hash


class PolkaReceived(Struct, tag=9):
    """A polka certificate of this height that `verify_certificate` accepted."""

    certificate: PolkaCertificate


DriverInput = (
    Start | ProposalReceived | VoteReceived | CertificateReceived | PolkaReceived
    | TimeoutExpired | ValueProposed | Validated | ProposalContradicted
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Propose:
    """Sign and broadcast a proposal of this (valid, hence known) block; feed it back as ProposalReceived(timely=True).

    valid_round: None for a fresh block; else `polka` shows that round's polka: broadcast it before the proposal. The
    shell adds the parts' fields and the time (the header's).
    """

    height: int
    round: int
    block_id: Hash
    valid_round: int | None
    polka: PolkaCertificate | None


@dataclass(frozen=True, slots=True)
class CastVote:
    """Sign and broadcast this vote; feed it back as VoteReceived. A signer may refuse: then nothing is fed back."""

    vote: UnsignedVote


@dataclass(frozen=True, slots=True)
class ScheduleTimeout:
    """Feed TimeoutExpired after the duration of this kind and round."""

    kind: TimeoutKind
    height: int
    round: int


@dataclass(frozen=True, slots=True)
class RequestValue:
    """Build and execute a block to propose; feed ValueProposed."""

    height: int
    round: int


@dataclass(frozen=True, slots=True)
class RequestValidation:
    """Get the block (from its parts, or from peers that voted for it), execute it and feed Validated.

    First hold it against the proposal of that round, if there is one: feed ProposalContradicted where they differ.
    Emitted once for each block id.
    """

    height: int
    round: int
    block_id: Hash


@dataclass(frozen=True, slots=True)
class Decide:
    """The height is decided: persist, apply, go on to the next. The block was found valid."""

    height: int
    round: int
    block_id: Hash
    certificate: CommitCertificate


@dataclass(frozen=True, slots=True)
class CommittedInvalid:
    """A quorum precommitted a block that this node found invalid: halt with the evidence; never go on."""

    height: int
    round: int
    block_id: Hash
    certificate: CommitCertificate


@dataclass(frozen=True, slots=True)
class Equivocated:
    """A validator contradicted itself; emitted once for each validator of the height."""

    evidence: Equivocation


Effect = (
    Propose | CastVote | ScheduleTimeout | RequestValue | RequestValidation | Decide | CommittedInvalid | Equivocated
)
