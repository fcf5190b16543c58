"""The driver traces of the Quint model, replayed at three levels: round machine, vote keeper, and a whole Driver.

At the third level only what comes from outside is fed (start, messages, timeouts, values); the model's own internal
steps (PendingDInput, StepChangeDInput) are no inputs. Where the model has internal work left it is behind ours, which
settles at once: there, ours must have sent what the model sent, and perhaps more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.consensus.driver import Driver
from runtime.consensus.events import (
    CastVote,
    Decide,
    DriverInput,
    ProposalReceived,
    Propose,
    RequestValidation,
    Start,
    TimeoutExpired,
    Validated,
    ValueProposed,
    VoteReceived,
)
from runtime.consensus.messages import Proposal, VoteKind
from runtime.consensus.round import Refused, RoundState, Step, transition
from runtime.consensus.validators import ProposerRule, ValidatorSet
from runtime.consensus.votes import VoteKeeper
from runtime.testing.itf import Variant, plain
from runtime.testing.quint import (
    TIMEOUTS,
    States,
    check_vote,
    same,
    to_block_id,
    to_input,
    to_key,
    to_output,
    to_state,
    to_validators,
    to_vote,
)
from runtime.types import ZERO_HASH, Hash, PublicKey, Signature

Actions = Sequence[Mapping[str, Any]]
INVALID_VALUE = "invalid"


@dataclass(frozen=True)
class _Taken:
    """One driver step of the model: which node, its driver state before and after."""

    index: int
    address: str
    input: Variant
    output: Variant
    machine_inputs: Sequence[tuple[Any, ...]]
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def preloaded(self) -> list[Mapping[str, Any]]:
        """Votes that the model counts on starting a height, before round 0."""
        if self.input.tag != "StartDInput":
            return []
        return [vote for vote in _received(self.after["bk"]) if vote not in _received(self.before["bk"])]


def _received(book: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rounds = book["rounds"].values()
    return [vote for votes in rounds for kind in ("prevotes", "precommits") for vote in votes[kind]["receivedVotes"]]


def _steps(states: States, actions: Actions) -> Iterator[_Taken]:
    for raw in actions:
        if raw["action"] != "step":
            continue
        action = {name: plain(value) for name, value in raw.items()}
        address, index = action["validator"], action["to"]
        before, after = (states[place]["system"][address]["es"] for place in (index - 1, index))
        yield _Taken(index, address, action["input"], action["output"], action["consensusInputs"], before, after)


def check_driver_layers(states: States, actions: Actions) -> int:
    """Every driver step of a trace, at the levels of the round machine and of the vote keeper. Returns the steps."""
    keepers: dict[tuple[str, int], VoteKeeper] = {}
    steps = list(_steps(states, actions))
    for step in steps:
        _check_machine(step)
        book = step.after["bk"]
        keeper = keepers.setdefault((step.address, book["height"]), VoteKeeper(to_validators(book["validatorSet"])))
        current_round = step.before["cs"]["round"]
        for vote in step.preloaded():
            keeper.apply(to_vote(vote), step.after["cs"]["round"])  # the model counts them in the round that begins
        if step.input.tag == "VoteDInput":
            check_vote(step.index, keeper, step.input.value, current_round, step.after["voteKeeperOutput"], book)
    return len(steps)


def _check_machine(step: _Taken) -> None:
    state, output = to_state(step.before["cs"]), None
    for event, *_ in step.machine_inputs:
        state, output = transition(state, to_input(event))
    same(step.index, "state", to_state(step.after["cs"]), state)
    if step.machine_inputs:
        expected = to_output(step.index, step.output, state, step.address)
        same(step.index, "output", expected, Refused("") if isinstance(output, Refused) else output)


# --- the whole driver ------------------------------------------------------------------------------------------------


def check_driver_nodes(states: States, actions: Actions) -> int:
    """Every node of a trace, as a Driver fed from outside. Returns at how many steps a quiescent node was compared.

    Compared: the sequence of sent proposals and votes; decided values; locked and valid value and round.
    """
    nodes: dict[str, _Node] = {}
    compared = 0
    for step in _steps(states, actions):
        node = nodes.setdefault(step.address, _Node(step.address))
        node.take(step)
        compared += node.compare(step)
    return compared


@dataclass
class _Node:
    address: str
    driver: Driver | None = None
    sent: list[object] = field(default_factory=list)
    expected: list[object] = field(default_factory=list)
    decided: dict[int, Hash] = field(default_factory=dict)
    known: set[Hash] = field(default_factory=set)
    asked: set[Hash] = field(default_factory=set)

    def take(self, step: _Taken) -> None:
        height = step.after["cs"]["height"]
        if self.driver is None or self.driver.height != height:
            validators = to_validators(step.after["valset"])
            self.driver = Driver(
                height=height, validators=validators, proposer_of=_rotation(validators), public_key=to_key(self.address)
            )
            self.known, self.asked = set(), set()
        for vote in step.preloaded():
            self._feed(VoteReceived(to_vote(vote)))
        for event in self._inputs(step):
            self._feed(event)
        sent = to_sent(step.output)
        if sent is not None:
            self.expected.append(sent)

    def _inputs(self, step: _Taken) -> Iterator[DriverInput]:
        before, payload = step.before["cs"], step.input.value
        match step.input.tag:
            case "StartDInput":
                yield Start(before["height"])
            case "VoteDInput":
                yield VoteReceived(to_vote(payload))
            case "TimeoutDInput":
                yield TimeoutExpired(TIMEOUTS[payload.tag], before["height"], before["round"])
            case "ProposeValueDInput":
                block_id = to_block_id(payload)
                if block_id is not None:
                    self.known.add(block_id)
                    yield ValueProposed(before["height"], before["round"], block_id)
            case "ProposalDInput":
                yield from self._proposal(payload)

    def _proposal(self, payload: Mapping[str, Any]) -> Iterator[DriverInput]:
        """Refuse what `verify_proposal` refuses; answer what the driver asked about the value."""
        assert self.driver is not None
        valid_round, block_id = payload["validRound"], to_block_id(payload["proposal"])
        turn = self.driver.proposer_of(payload["round"]) == to_key(payload["srcAddress"])
        if block_id is None or not turn or valid_round >= payload["round"]:
            return
        self.known.add(block_id)
        yield ProposalReceived(_proposal_of(payload, block_id), timely=True)
        if block_id in self.asked:
            yield self._validated(block_id, payload["height"])

    def _validated(self, block_id: Hash, height: int) -> Validated:
        return Validated(height, block_id, block_id != to_block_id(INVALID_VALUE))

    def _feed(self, event: DriverInput) -> None:
        assert self.driver is not None
        for effect in self.driver.step(event):
            match effect:
                case CastVote(vote):
                    self.sent.append((vote.kind, vote.height, vote.round, vote.block_id))
                case Propose(height, round_, block_id, valid_round, _):
                    self.sent.append(("proposal", height, round_, block_id, valid_round))
                case Decide(height, _, block_id, _):
                    self.decided[height] = block_id
                case RequestValidation(height, _, block_id):
                    self.asked.add(block_id)
                    if block_id in self.known:
                        self._feed(self._validated(block_id, height))

    def compare(self, step: _Taken) -> int:
        assert self.driver is not None
        same(step.index, f"what {self.address} sent", self.expected, self.sent[: len(self.expected)])
        es = step.after
        if es["pendingInputs"] or es["pendingStepChange"].tag != "NoStep":
            return 0
        same(step.index, f"what {self.address} sent", self.expected, self.sent)
        same(step.index, f"values of {self.address}", _values(to_state(es["cs"])), _values(self.driver.state))
        decisions = {entry["decision"]["height"]: to_block_id(entry["decision"]["proposal"]) for entry in es["chain"]}
        same(step.index, f"decisions of {self.address}", decisions, self.decided)
        decided = to_state(es["cs"]).step is Step.COMMIT
        same(step.index, f"whether {self.address} decided", decided, self.driver.decision is not None)
        return 1


def to_sent(output: Variant) -> object:
    """A message that the model sends, as `_Node.sent` holds it; None for other outputs."""
    payload = output.value
    if output.tag == "VoteOutput":
        kind = VoteKind[payload["voteType"].tag.upper()]
        return kind, payload["height"], payload["round"], to_block_id(payload["valueId"])
    if output.tag == "ProposalOutput":
        valid_round = None if payload["validRound"] < 0 else payload["validRound"]
        return "proposal", payload["height"], payload["round"], to_block_id(payload["proposal"]), valid_round
    return None


def _values(state: RoundState) -> tuple[object, ...]:
    return state.locked_round, state.locked_value, state.valid_round, state.valid_value


def _rotation(validators: ValidatorSet) -> ProposerRule:
    """The model's rule: round robin over the ascending addresses, round 0 to the second."""
    keys = [validator.public_key for validator in validators]

    def proposer_of(round_: int) -> PublicKey:
        return keys[(round_ + 1) % len(keys)]

    return proposer_of


def _proposal_of(payload: Mapping[str, Any], block_id: Hash) -> Proposal:
    valid_round = None if payload["validRound"] < 0 else payload["validRound"]
    return Proposal(
        height=payload["height"],
        round=payload["round"],
        valid_round=valid_round,
        block_id=block_id,
        part_count=1,
        part_root=ZERO_HASH,
        block_bytes=1,
        time_ms=0,
        proposer=to_key(payload["srcAddress"]),
        signature=Signature(bytes(64)),
    )
