"""Why a call of the module `governance` fails."""

from __future__ import annotations

from runtime import U32, U64, AccountId, CallError, Denom, Name


class UnknownProposal(CallError):
    """There is no proposal of this number."""

    proposal: U64


class NotVoting(CallError):
    """The proposal is not, or no longer, voted on."""

    proposal: U64
    voting_ends: U64


class NotVoter(CallError):
    """Only an account that answers for a validator votes."""

    account: AccountId


class NotProposer(CallError):
    """Only its proposer may do this."""

    proposer: AccountId


class EnactmentTooEarly(CallError):
    """Between voting and enactment is time to prepare."""

    enact_at: U64
    earliest: U64


class EnactmentTooLate(CallError):
    """What is decided now is not for so distant a height."""

    enact_at: U64
    latest: U64


class ContentTooLarge(CallError):
    """Text and calls together are too many bytes."""

    size_bytes: U32
    limit: U32


class NoTitle(CallError):
    """A proposal has a title."""


class BadProposal(CallError):
    """Status, tally and failure of a proposal that the chain begins with contradict each other, or its rules."""

    proposal: U64


class ParamOutOfRange(CallError):
    """A parameter is outside of what it can be."""

    param: Name
    low: U64
    high: U64


class UnknownDepositDenom(CallError):
    """Deposits are in a denomination of this chain."""

    denom: Denom
