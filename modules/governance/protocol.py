"""What is stored of each proposal, and the rule by which votes become an outcome."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from runtime import U16, U64, U128, AccountId, Call, CallFailure, Denom, MaxLen, PublicKey, Struct

PARTS: Final = 10_000
"""Shares are integers out of so many: 5_000 is one half."""
CALLS_MAX: Final = 16
TITLE_CHARACTERS_MAX: Final = 128
TEXT_CHARACTERS_MAX: Final = 8 * 1024
PAGE_MAX: Final = 64

Title = Annotated[str, MaxLen(TITLE_CHARACTERS_MAX)]
ProposalText = Annotated[str, MaxLen(TEXT_CHARACTERS_MAX)]
ProposalCalls = Annotated[tuple[Call, ...], MaxLen(CALLS_MAX)]


class Choice(IntEnum):
    """A vote. ABSTAIN counts for the quorum alone; VETO is a NO that can cost the proposer the deposit."""

    YES = 0
    NO = 1
    ABSTAIN = 2
    VETO = 3


class Status(IntEnum):
    """Where a proposal stands. PASSED: waits for its height; ENACTED, FAILED: its calls were run, or undone."""

    VOTING = 0
    CANCELLED = 1
    NO_QUORUM = 2
    REJECTED = 3
    VETOED = 4
    PASSED = 5
    ENACTED = 6
    FAILED = 7


class Rules(Struct):
    """The rules of the block in which a proposal was made; they hold for it whatever becomes of the parameters. Each
    share is out of PARTS: see `outcome`; cancel_burn: of the deposit, where the proposer cancels."""

    quorum: U16
    threshold: U16
    veto: U16
    cancel_burn: U16
    burns_without_quorum: bool


class Tally(Struct):
    """Voting power by choice. total: of all validators who are not jailed, whether they voted or not."""

    yes: U64
    no: U64
    abstain: U64
    veto: U64
    total: U64


class Proposal(Struct):
    """voting_ends: the last height with votes. enact_at: the height at whose end its calls run. tally, failure: None
    until there is one. The text and the calls are its `Content`."""

    proposer: AccountId
    title: Title
    submitted: U64
    voting_ends: U64
    enact_at: U64
    deposit: U128
    deposit_denom: Denom
    rules: Rules
    status: Status
    tally: Tally | None
    failure: CallFailure | None


class Content(Struct):
    """What is proposed. calls: run as the chain itself (Root), all or none; none for a proposal of words."""

    text: ProposalText
    calls: ProposalCalls


class ProposalEntry(Struct):
    """A proposal under its number."""

    id: U64
    proposal: Proposal


class VoteEntry(Struct):
    """A validator's vote, as it stands."""

    validator: PublicKey
    choice: Choice


class GenesisProposal(Struct):
    """A proposal that a chain begins with."""

    proposal: Proposal
    content: Content


def outcome(tally: Tally, rules: Rules) -> Status:
    """NO_QUORUM where less than `quorum` of the total voted, or nobody; VETOED where more than `veto` of those who
    voted vetoed; PASSED where yes is more than `threshold` of yes, no and veto; else REJECTED."""
    against = tally.no + tally.veto
    voted = tally.yes + against + tally.abstain
    if voted == 0 or voted * PARTS < tally.total * rules.quorum:
        return Status.NO_QUORUM
    if tally.veto * PARTS > voted * rules.veto:
        return Status.VETOED
    if tally.yes * PARTS > (tally.yes + against) * rules.threshold:
        return Status.PASSED
    return Status.REJECTED


def follows(proposal: Proposal) -> bool:
    """Whether tally and failure are there where the status says so, no more voted than there is, and the rules make of
    the tally what the status says."""
    tally, status = proposal.tally, proposal.status
    if (proposal.failure is not None) != (status is Status.FAILED):
        return False
    if tally is None or status in (Status.VOTING, Status.CANCELLED):
        return tally is None and status in (Status.VOTING, Status.CANCELLED)
    decided = Status.PASSED if status in (Status.ENACTED, Status.FAILED) else status
    voted = tally.yes + tally.no + tally.abstain + tally.veto
    return voted <= tally.total and outcome(tally, proposal.rules) is decided
