"""The round state machine: Tendermint's rules (arXiv 1807.04938, Algorithm 1) as one pure function of state and input.

`transition(state, input) -> (state, output)`. "L22" beside a branch is the line of the paper. An input that its line
does not allow in this state is refused: the state stays, the output says why. Values are block ids; round -1 is none.
What must not live here: votes and their thresholds (votes.py), knowing which input is due (driver.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from runtime.consensus.messages import VoteKind
from runtime.types import Hash

NO_ROUND: Final = -1


class Step(IntEnum):
    """Where in a round a validator is; UNSTARTED is between rounds, NEW before the first."""

    NEW = 0
    UNSTARTED = 1
    PROPOSE = 2
    PREVOTE = 3
    PRECOMMIT = 4
    COMMIT = 5


class TimeoutKind(IntEnum):
    """The three timeouts of a round."""

    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3


@dataclass(frozen=True, slots=True)
class RoundState:
    """The paper's variables of one validator at one height, L1-10."""

    height: int
    round: int = NO_ROUND
    step: Step = Step.NEW
    locked_round: int = NO_ROUND
    locked_value: Hash | None = None
    valid_round: int = NO_ROUND
    valid_value: Hash | None = None


# --- inputs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewRound:
    """L11: a round begins; `proposer`: it is this validator's turn (L14)."""

    round: int
    proposer: bool


@dataclass(frozen=True, slots=True)
class ProposeValue:
    """L18: the value to propose is there."""

    block_id: Hash


@dataclass(frozen=True, slots=True)
class FreshProposal:
    """L22: a timely, valid, fresh proposal of this round."""

    block_id: Hash


@dataclass(frozen=True, slots=True)
class InvalidProposal:
    """L26: a fresh proposal of this round that is invalid or not timely."""


@dataclass(frozen=True, slots=True)
class ProposalWithPolka:
    """L28: a valid proposal of this round with a polka for it in `valid_round`."""

    block_id: Hash
    valid_round: int


@dataclass(frozen=True, slots=True)
class InvalidProposalWithPolka:
    """L32: the same, but the proposal is invalid."""

    block_id: Hash


@dataclass(frozen=True, slots=True)
class PolkaAny:
    """L34: a quorum of prevotes in this round, for whatever."""


@dataclass(frozen=True, slots=True)
class PolkaValue:
    """L36: a polka in this round for a value known to be valid."""

    block_id: Hash


@dataclass(frozen=True, slots=True)
class PolkaNil:
    """L44: a quorum of prevotes for no value in this round."""


@dataclass(frozen=True, slots=True)
class PrecommitAny:
    """L47: a quorum of precommits in this round, for whatever."""


@dataclass(frozen=True, slots=True)
class CommitValue:
    """L49: a quorum of precommits in `round` (any) for a value known to be valid."""

    round: int
    block_id: Hash


@dataclass(frozen=True, slots=True)
class RoundSkip:
    """L55: more than a third of the power is in a later round."""

    round: int


@dataclass(frozen=True, slots=True)
class TimeoutElapsed:
    """L57, L61, L65: a timeout of (height, round) is over."""

    kind: TimeoutKind
    height: int
    round: int


RoundInput = (
    NewRound | ProposeValue | FreshProposal | InvalidProposal | ProposalWithPolka | InvalidProposalWithPolka
    | PolkaAny | PolkaValue | PolkaNil | PrecommitAny | CommitValue | RoundSkip | TimeoutElapsed
)  # fmt: skip

# --- outputs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartTimeout:
    """Schedule a timeout of the state's round."""

    kind: TimeoutKind


@dataclass(frozen=True, slots=True)
class GetValue:
    """Ask for a value to propose, and schedule the propose timeout."""


@dataclass(frozen=True, slots=True)
class ProposeBlock:
    """Broadcast a proposal for the state's round."""

    block_id: Hash
    valid_round: int


@dataclass(frozen=True, slots=True)
class VoteFor:
    """Broadcast a vote for the state's round; None is for no block."""

    kind: VoteKind
    block_id: Hash | None


@dataclass(frozen=True, slots=True)
class SkipTo:
    """Start that round."""

    round: int


@dataclass(frozen=True, slots=True)
class Decided:
    """The height is decided."""

    round: int
    block_id: Hash


@dataclass(frozen=True, slots=True)
class Refused:
    """The input is not allowed in this state; nothing changed."""

    reason: str


RoundOutput = StartTimeout | GetValue | ProposeBlock | VoteFor | SkipTo | Decided | Refused | None
Transition = tuple[RoundState, RoundOutput]


def transition(state: RoundState, event: RoundInput) -> Transition:
    """The paper's rule that `event` names, applied to `state`. Total over RoundInput."""
    match event:
        case NewRound():
            return _new_round(state, event)
        case ProposeValue(block_id):  # L18
            return state, ProposeBlock(block_id, state.valid_round)
        case FreshProposal() | InvalidProposal() | ProposalWithPolka() | InvalidProposalWithPolka():
            return _proposal(state, event)
        case PolkaAny():  # L34
            if state.step is not Step.PREVOTE:
                return _refused(state, "a polka for any value counts in step prevote")
            return state, StartTimeout(TimeoutKind.PREVOTE)
        case PolkaValue(block_id):
            return _polka_value(state, block_id)
        case PolkaNil():  # L44
            if state.step is not Step.PREVOTE:
                return _refused(state, "a polka for no value counts in step prevote")
            return _precommit(state, None)
        case PrecommitAny():  # L47
            return state, StartTimeout(TimeoutKind.PRECOMMIT)
        case CommitValue(round_, block_id):  # L49
            if state.step is Step.COMMIT:
                return _refused(state, "the height is decided")
            return replace(state, step=Step.COMMIT), Decided(round_, block_id)
        case RoundSkip(round_):  # L55
            if round_ <= state.round:
                return _refused(state, f"round {round_} is not after round {state.round}")
            return replace(state, step=Step.UNSTARTED), SkipTo(round_)
        case TimeoutElapsed():
            return _timeout(state, event)


def _new_round(state: RoundState, event: NewRound) -> Transition:
    if state.step not in (Step.NEW, Step.UNSTARTED) or event.round <= state.round:
        return _refused(state, f"round {event.round} cannot start in step {state.step.name} of round {state.round}")
    started = replace(state, round=event.round, step=Step.PROPOSE)  # L11-13
    if not event.proposer:
        return started, StartTimeout(TimeoutKind.PROPOSE)  # L21
    if state.valid_value is None:
        return started, GetValue()  # L18
    return started, ProposeBlock(state.valid_value, state.valid_round)  # L16, L19


def _proposal(
    state: RoundState, event: FreshProposal | InvalidProposal | ProposalWithPolka | InvalidProposalWithPolka
) -> Transition:
    if isinstance(event, InvalidProposalWithPolka):  # L32
        return _prevote(state, None)
    if state.step is not Step.PROPOSE:
        return _refused(state, "a proposal counts in step propose")
    if isinstance(event, InvalidProposal):  # L26
        return _prevote(state, None)
    agrees = state.locked_value == event.block_id
    if isinstance(event, FreshProposal):  # L22-25
        return _prevote(state, event.block_id if state.locked_round == NO_ROUND or agrees else None)
    if not 0 <= event.valid_round < state.round:  # L28
        return _refused(state, f"valid round {event.valid_round} is not before round {state.round}")
    unlocked = state.locked_round <= event.valid_round
    return _prevote(state, event.block_id if unlocked or agrees else None)  # L29-31


def _polka_value(state: RoundState, block_id: Hash) -> Transition:
    if state.step not in (Step.PREVOTE, Step.PRECOMMIT):  # L36
        return _refused(state, "a polka counts in steps prevote and precommit")
    seen = replace(state, valid_value=block_id, valid_round=state.round)  # L42-43
    if state.step is Step.PRECOMMIT:
        return seen, None
    return _precommit(replace(seen, locked_value=block_id, locked_round=state.round), block_id)  # L38-41


def _timeout(state: RoundState, event: TimeoutElapsed) -> Transition:
    if (event.height, event.round) != (state.height, state.round):
        return _refused(state, f"the timeout is of height {event.height}, round {event.round}")
    if event.kind is TimeoutKind.PRECOMMIT:  # L65-67
        return replace(state, step=Step.UNSTARTED), SkipTo(state.round + 1)
    if event.kind is TimeoutKind.PROPOSE and state.step is Step.PROPOSE:  # L57-60
        return _prevote(state, None)
    if event.kind is TimeoutKind.PREVOTE and state.step is Step.PREVOTE:  # L61-64
        return _precommit(state, None)
    return _refused(state, f"the {event.kind.name.lower()} timeout no longer counts in step {state.step.name}")


def _prevote(state: RoundState, block_id: Hash | None) -> Transition:
    return replace(state, step=Step.PREVOTE), VoteFor(VoteKind.PREVOTE, block_id)


def _precommit(state: RoundState, block_id: Hash | None) -> Transition:
    return replace(state, step=Step.PRECOMMIT), VoteFor(VoteKind.PRECOMMIT, block_id)


def _refused(state: RoundState, reason: str) -> Transition:
    return state, Refused(reason)
