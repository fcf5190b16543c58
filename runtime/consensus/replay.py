"""Restart from a write-ahead log: feed the logged inputs again, perform only what they leave unanswered."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.consensus.driver import Driver
from runtime.consensus.events import (
    CastVote,
    DriverInput,
    Effect,
    ProposalReceived,
    Propose,
    RequestValidation,
    RequestValue,
    ScheduleTimeout,
    TimeoutExpired,
    Validated,
    ValueProposed,
    VoteReceived,
)


def replay(driver: Driver, logged: Iterable[DriverInput]) -> tuple[Effect, ...]:
    """Feed a fresh driver the inputs it had before; the effects whose answers are not among them, in order.

    The log must hold every input before it is fed, own votes and proposals included before they are broadcast. A vote
    that was signed but not logged is asked for again: the signer answers it with the same signature.
    Timeouts of rounds that are over are left out.
    """
    open_effects: dict[object, Effect] = {}
    for event in logged:
        open_effects.pop(_answered_by(event), None)
        for effect in driver.step(event):
            open_effects[_awaits(effect)] = effect
    return tuple(
        effect
        for effect in open_effects.values()
        if not (isinstance(effect, ScheduleTimeout) and effect.round < driver.state.round)
    )


def _awaits(effect: Effect) -> object:
    match effect:
        case CastVote(vote):
            return "vote", vote
        case Propose(height, round_):
            return "proposal", height, round_
        case ScheduleTimeout(kind, height, round_):
            return "timeout", kind, height, round_
        case RequestValue(height, round_):
            return "value", height, round_
        case RequestValidation(height, _, block_id):
            return "validation", height, block_id
        case _:
            return effect


def _answered_by(event: DriverInput) -> object:
    match event:
        case VoteReceived(vote):
            return "vote", vote.unsigned
        case ProposalReceived(proposal, _):
            return "proposal", proposal.height, proposal.round
        case TimeoutExpired(kind, height, round_):
            return "timeout", kind, height, round_
        case ValueProposed(height, round_, _):
            return "value", height, round_
        case Validated(height, block_id, _):
            return "validation", height, block_id
        case _:
            return None
