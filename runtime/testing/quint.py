"""Conformance with the Quint model of Tendermint (circlefin/malachite): replays its traces on our three layers.

`check_votekeeper` and `check_consensus` take a trace's states and return how many transitions they compared, or raise
TraceMismatch at the first that differs (the driver's traces: quint_driver.py). Addresses and values of the model are
short texts; here they are padded to 32 bytes, which keeps their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from runtime.consensus.messages import Vote, VoteKind
from runtime.consensus.round import (
    CommitValue,
    Decided,
    FreshProposal,
    GetValue,
    InvalidProposal,
    InvalidProposalWithPolka,
    NewRound,
    PolkaAny,
    PolkaNil,
    PolkaValue,
    PrecommitAny,
    ProposalWithPolka,
    ProposeBlock,
    ProposeValue,
    Refused,
    RoundInput,
    RoundOutput,
    RoundSkip,
    RoundState,
    SkipTo,
    StartTimeout,
    Step,
    TimeoutElapsed,
    TimeoutKind,
    VoteFor,
    transition,
)
from runtime.consensus.validators import Validator, ValidatorSet
from runtime.consensus.votes import Reached, Threshold, VoteKeeper
from runtime.testing.itf import Variant
from runtime.types import Hash, PublicKey, Signature

States = Sequence[Mapping[str, Any]]

_KINDS = {"Prevote": VoteKind.PREVOTE, "Precommit": VoteKind.PRECOMMIT}
_STEPS = {
    "NoStep": Step.NEW,
    "UnstartedStep": Step.UNSTARTED,
    "ProposeStep": Step.PROPOSE,
    "PrevoteStep": Step.PREVOTE,
    "PrecommitStep": Step.PRECOMMIT,
    "CommitStep": Step.COMMIT,
}
TIMEOUTS = {
    "ProposeTimeout": TimeoutKind.PROPOSE,
    "PrevoteTimeout": TimeoutKind.PREVOTE,
    "PrecommitTimeout": TimeoutKind.PRECOMMIT,
}
_THRESHOLDS = {
    "PolkaAnyVKOutput": Threshold.POLKA_ANY,
    "PolkaNilVKOutput": Threshold.POLKA_NIL,
    "PolkaValueVKOutput": Threshold.POLKA_VALUE,
    "PrecommitAnyVKOutput": Threshold.PRECOMMIT_ANY,
    "PrecommitValueVKOutput": Threshold.PRECOMMIT_VALUE,
    "SkipVKOutput": Threshold.SKIP,
}


class TraceMismatch(Exception):
    """What our code gave at transition `index` is not what the trace says."""

    def __init__(self, index: int, what: str, expected: object, found: object) -> None:
        self.index = index
        super().__init__(f"transition {index}, {what}: the trace says {expected!r}, ours gives {found!r}")


def same(index: int, what: str, expected: object, found: object) -> None:
    """Raise TraceMismatch unless the two are equal."""
    if expected != found:
        raise TraceMismatch(index, what, expected, found)


# --- the model's words in ours ---------------------------------------------------------------------------------------


def to_key(address: str) -> PublicKey:
    """The model's address as a key: ASCII, at most 32 bytes."""
    return PublicKey(address.encode().ljust(32, b"\0"))


def to_block_id(value: Variant | str) -> Hash | None:
    """`Val(text)` or a bare text is a block id, `Nil` none."""
    text = value.value if isinstance(value, Variant) else value
    return None if text is None else Hash(text.encode().ljust(32, b"\0"))


def to_validators(weights: Mapping[str, int]) -> ValidatorSet:
    """weights: voting power by the model's address."""
    return ValidatorSet.of(Validator(to_key(address), weight) for address, weight in weights.items())


def to_vote(vote: Mapping[str, Any]) -> Vote:
    """The model's vote, with a signature of zeros: the model knows none."""
    kind, key = _KINDS[vote["voteType"].tag], to_key(vote["srcAddress"])
    return Vote(kind, vote["height"], vote["round"], to_block_id(vote["valueId"]), key, Signature(bytes(64)))


def to_state(cs: Mapping[str, Any]) -> RoundState:
    """The model's ConsensusState as ours."""
    return RoundState(
        height=cs["height"],
        round=cs["round"],
        step=_STEPS[cs["step"].tag],
        locked_round=cs["lockedRound"],
        locked_value=to_block_id(cs["lockedValue"]),
        valid_round=cs["validRound"],
        valid_value=to_block_id(cs["validValue"]),
    )


def to_input(event: Variant) -> RoundInput:
    """The model's input as ours. Raises ValueError for a word that the model does not have."""
    payload = event.value
    match event.tag:
        case "NewRoundCInput" | "NewRoundProposerCInput":
            return NewRound(payload, event.tag == "NewRoundProposerCInput")
        case "ProposeValueCInput":
            return ProposeValue(_id(payload))
        case "ProposalCInput":
            return FreshProposal(_id(payload[1]))
        case "ProposalInvalidCInput":
            return InvalidProposal()
        case "ProposalAndPolkaPreviousAndValidCInput":
            return ProposalWithPolka(_id(payload[0]), payload[1])
        case "ProposalAndPolkaAndInvalidCInput":
            return InvalidProposalWithPolka(_id(payload))
        case "PolkaAnyCInput":
            return PolkaAny()
        case "ProposalAndPolkaAndValidCInput":
            return PolkaValue(_id(payload))
        case "PolkaNilCInput":
            return PolkaNil()
        case "PrecommitAnyCInput":
            return PrecommitAny()
        case "ProposalAndCommitAndValidCInput":
            return CommitValue(payload[0], _id(payload[1]))
        case "RoundSkipCInput":
            return RoundSkip(payload)
        case "TimeoutProposeCInput" | "TimeoutPrevoteCInput" | "TimeoutPrecommitCInput":
            return TimeoutElapsed(
                TIMEOUTS[event.tag.replace("CInput", "").replace("Timeout", "") + "Timeout"], *payload
            )
    raise ValueError(f"the model has no consensus input {event.tag}")


def to_output(index: int, output: Variant, state: RoundState, address: str) -> RoundOutput:
    """The model's output in our words. Its own height, round and address must be those of `state` and `address`. Raises
    TraceMismatch, or ValueError for a word that the model does not have."""
    payload = output.value
    match output.tag:
        case "NoConsensusOutput":
            return None
        case "ErrorOutput":
            return Refused("")
        case "TimeoutOutput":
            same(index, "round of a timeout", payload[0], state.round)
            return StartTimeout(TIMEOUTS[payload[1].tag])
        case "GetValueAndScheduleTimeoutOutput":
            same(
                -1,
                "height, round, timeout",
                (payload[0], payload[1], payload[2].tag),
                (state.height, state.round, "ProposeTimeout"),
            )
            return GetValue()
        case "ProposalOutput" | "VoteOutput":
            envelope = payload["srcAddress"], payload["height"], payload["round"]
            same(index, "sender, height, round", envelope, (address, state.height, state.round))
            if output.tag == "ProposalOutput":
                return ProposeBlock(_id(payload["proposal"]), payload["validRound"])
            return VoteFor(_KINDS[payload["voteType"].tag], to_block_id(payload["valueId"]))
        case "SkipRoundOutput":
            return SkipTo(payload)
        case "DecidedOutput":
            return Decided(payload[0], _id(payload[1]))
    raise ValueError(f"the model has no consensus output {output.tag}")


def _id(value: Variant | str) -> Hash:
    block_id = to_block_id(value)
    if block_id is None:
        raise ValueError("a value was expected, not Nil")
    return block_id


# --- vote keeper -----------------------------------------------------------------------------------------------------


def check_votekeeper(states: States) -> int:
    """Every vote of a votekeeper trace gives the trace's output and bookkeeping."""
    keeper = VoteKeeper(to_validators(states[0]["bookkeeper"]["validatorSet"]))
    for index, state in enumerate(states[1:], start=1):
        vote, weight, current_round = state["weightedVote"].value
        same(index, "weight", weight, keeper.validators.power_of(to_key(vote["srcAddress"])))
        check_vote(index, keeper, vote, current_round, state["lastEmitted"], state["bookkeeper"])
    return len(states) - 1


def check_vote(
    index: int,
    keeper: VoteKeeper,
    vote: Mapping[str, Any],
    current_round: int,
    emitted: Variant,
    book: Mapping[str, Any],
) -> None:
    """Apply one vote of the model; output and keeper must equal the model's `emitted` and `book` after it."""
    same(index, "output", _reached(emitted), keeper.apply(to_vote(vote), current_round))
    for number, expected in book["rounds"].items():
        ours = keeper.round_votes(number)
        for kind, name in ((VoteKind.PREVOTE, "prevotes"), (VoteKind.PRECOMMIT, "precommits")):
            weights = {to_block_id(value): weight for value, weight in expected[name]["valuesWeights"].items()}
            same(index, f"weights of round {number}, {name}", weights, ours.powers(kind) if ours else {})
        outputs = {_reached(output) for output in expected["emittedOutputs"]}
        same(index, f"outputs of round {number}", outputs, ours.emitted if ours else set())
    offences = {
        (to_vote(item).validator, item["round"], item["voteType"].tag) for piece in book["evidence"] for item in piece
    }
    found = {(item.offender, item.first.round, item.first.kind.name.capitalize()) for item in keeper.equivocations}
    same(index, "equivocators", offences, found)


def _reached(output: Variant) -> Reached | None:
    if output.tag == "NoVKOutput":
        return None
    threshold = _THRESHOLDS[output.tag]
    if threshold in (Threshold.POLKA_VALUE, Threshold.PRECOMMIT_VALUE):
        return Reached(threshold, output.value[0], to_block_id(output.value[1]))
    return Reached(threshold, output.value)


# --- round machine ---------------------------------------------------------------------------------------------------


def check_consensus(states: States) -> int:
    """Every input of a consensus trace gives the trace's output and state, from the trace's state before it."""
    for index, (before, after) in enumerate(pairwise(states), start=1):
        state, output = transition(to_state(before["state"]), to_input(after["input"]))
        same(index, "state", to_state(after["state"]), state)
        expected = to_output(index, after["output"], state, after["state"]["p"])
        same(index, "output", expected, Refused("") if isinstance(output, Refused) else output)
    return len(states) - 1
