"""What the module `governance` emits."""

from __future__ import annotations

from modules.governance.protocol import Choice, Status, Tally
from runtime import U64, U128, AccountId, CallFailure, Event, PublicKey


class Proposed(Event):
    """Votes count up to the end of block `voting_ends`."""

    proposal: U64
    proposer: AccountId
    voting_ends: U64
    enact_at: U64


class Voted(Event):
    """The validator's vote, or its new one."""

    proposal: U64
    validator: PublicKey
    choice: Choice


class Cancelled(Event):
    """The proposer took it back; of the deposit so much was burned, the rest returned."""

    proposal: U64
    burned: U128


class Closed(Event):
    """The votes are counted. burned: the deposit, or 0 where it was returned."""

    proposal: U64
    status: Status
    tally: Tally
    burned: U128


class Enacted(Event):
    """The calls ran as Root. failure: None where all succeeded; else which failed, and nothing of them is left."""

    proposal: U64
    gas_used: U64
    failure: CallFailure | None


class DepositLost(Event):
    """The deposit could be neither returned nor burned: it is not on the module's account any more."""

    proposal: U64
    deposit: U128
