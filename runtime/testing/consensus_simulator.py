"""A whole network of drivers in one thread, on a clock of its own, against an adversary, reproducible from a seed.

Correct nodes run the real `Driver`, log their inputs and restart from that log. Until GST (the paper's global
stabilisation time) messages are dropped, delayed, reordered and doubled, and nodes crash; afterwards every message
arrives within a bound. Faulty nodes see everything, share it, and say different things to different nodes. Checked all
the time, raising SimulationFailed with the rule's name: agreement, validity (what is decided was proposed, is valid and
bears a quorum), no double signing by correct nodes, no false accusation; and in the end termination.

Messages from faulty nodes come as themselves (they cannot forge); `signatures` makes that real, at ten times the cost.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from runtime.consensus import (
    CastVote,
    CertificateReceived,
    CertificateRefused,
    CommitCertificate,
    CommittedInvalid,
    Decide,
    Driver,
    DriverInput,
    Effect,
    Equivocated,
    Message,
    MessageRefused,
    PolkaCertificate,
    PolkaReceived,
    Proposal,
    ProposalReceived,
    Propose,
    ProposerRule,
    RequestValidation,
    RequestValue,
    ScheduleTimeout,
    Start,
    TimeoutExpired,
    Timeouts,
    UnsignedProposal,
    UnsignedVote,
    UpcomingHeight,
    Validated,
    Validator,
    ValidatorSet,
    ValueProposed,
    Vote,
    VoteReceived,
    proposal_sign_bytes,
    replay,
    verify_certificate,
    verify_proposal,
    verify_vote,
    vote_sign_bytes,
    weighted_proposers,
)
from runtime.crypto import SigningKey, hash_bytes
from runtime.testing.consensus_adversary import Adversary
from runtime.types import ZERO_HASH, Hash, PublicKey, Signature

GENESIS_HASH: Final = hash_bytes("armillary/simulation", b"genesis")
_UNSIGNED: Final = Signature(bytes(64))
_START_MS: Final = 20  # from a decision to the next height


@dataclass(frozen=True)
class SimulationConfig:
    """What to simulate. Chances are per mille. `faulty`: numbers of the nodes that the adversary controls."""

    seed: int
    powers: tuple[int, ...] = (1, 1, 1, 1)
    faulty: frozenset[int] = frozenset()
    heights: int = 3
    gst_ms: int = 4_000
    delay_ms_max: int = 40
    delay_ms_max_before_gst: int = 1_500
    drop_before_gst: int = 300
    duplicate: int = 100
    crash_before_gst: int = 5
    down_ms_max: int = 1_000
    execution_ms_max: int = 30
    untimely_before_gst: int = 100
    resend_ms: int = 400  # how often a node asks the others for what it lacks
    time_ms_max: int = 300_000
    signatures: bool = False
    timeouts: Timeouts = field(default_factory=lambda: Timeouts(200, 100, 100, 60, 5_000))


@dataclass(frozen=True)
class SimulationReport:
    """What happened. `digest` covers every event in order: two runs of one config have the same."""

    decisions: dict[int, Hash]
    rounds: dict[int, int]
    finished_ms: int
    delivered: int
    crashes: int
    equivocators: frozenset[int]
    digest: Hash


class SimulationFailed(Exception):
    """A rule of consensus was broken; the config reproduces it."""

    def __init__(self, rule: str, reason: str, config: SimulationConfig) -> None:
        self.rule = rule
        self.config = config
        super().__init__(f"{rule}: {reason} ({config})")


@dataclass
class _Node:
    """A correct node. log, signed, decided survive a crash; the rest does not."""

    number: int
    driver: Driver
    upcoming: UpcomingHeight
    height: int = 1
    up: bool = True
    life: int = 0
    log: list[DriverInput] = field(default_factory=list)
    signed: dict[tuple[object, ...], Vote | Proposal] = field(default_factory=dict)
    decided: dict[int, Decide] = field(default_factory=dict)


def simulate(config: SimulationConfig) -> SimulationReport:
    """Run one simulation to its end. Raises SimulationFailed when a rule is broken."""
    return _Simulation(config).run()


class _Simulation:
    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.random = random.Random(config.seed)  # noqa: S311 # reproducible, not secret
        self.keys = [SigningKey.from_seed(bytes([number + 1]) * 32) for number in range(len(config.powers))]
        members = zip(self.keys, config.powers, strict=True)
        self.validators = ValidatorSet.of(Validator(key.public_key, power) for key, power in members)
        self.number_of = {key.public_key: number for number, key in enumerate(self.keys)}
        self.rules: dict[int, ProposerRule] = {}
        self.now = 0
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.sequence = self.delivered = self.crashes = 0
        self.trace = hash_bytes("armillary/simulation", str(config.seed).encode())
        self.values: dict[Hash, tuple[int, bool]] = {}  # block id -> height, validity
        self.decisions: dict[int, Hash] = {}
        self.equivocators: set[int] = set()
        correct = [number for number in range(len(self.keys)) if number not in config.faulty]
        self.nodes = {number: _Node(number, self.driver(number, 1), self.upcoming(1)) for number in correct}
        self.adversary = Adversary(self, config.faulty, config.seed + 1) if config.faulty else None

    def run(self) -> SimulationReport:
        for node in self.nodes.values():
            self.later(node, self.random.randrange(100), lambda node=node: self.feed(node, Start(1)))  # type: ignore[misc] # the default binds the loop's node
            self.at(self.random.randrange(self.config.resend_ms), lambda node=node: self.ask_peers(node))  # type: ignore[misc] # the same
        while self.events and not self.finished:
            self.now, _, act = heapq.heappop(self.events)
            if self.now > self.config.time_ms_max:
                break
            act()
        if not self.finished:
            heights = {number: node.height for number, node in self.nodes.items()}
            self.fail("termination", f"after {self.now} ms the nodes are at heights {heights}")
        rounds = {
            height: max(node.decided[height].round for node in self.nodes.values() if height in node.decided)
            for height in self.decisions
        }
        return SimulationReport(
            self.decisions, rounds, self.now, self.delivered, self.crashes, frozenset(self.equivocators), self.trace
        )

    @property
    def finished(self) -> bool:
        return all(node.height > self.config.heights for node in self.nodes.values())

    @property
    def stable(self) -> bool:
        return self.now >= self.config.gst_ms

    def chance(self, per_mille: int) -> bool:
        return self.random.randrange(1000) < per_mille

    def fail(self, rule: str, reason: str) -> None:
        raise SimulationFailed(rule, reason, self.config)

    def driver(self, number: int, height: int) -> Driver:
        key = self.keys[number].public_key
        return Driver(height=height, validators=self.validators, proposer_of=self.proposer_rule(height), public_key=key)

    def upcoming(self, height: int) -> UpcomingHeight:
        return UpcomingHeight(height=height + 1, validators=self.validators)

    def proposer_rule(self, height: int) -> ProposerRule:
        if height not in self.rules:
            self.rules[height] = weighted_proposers(self.validators.advance(height - 1))
        return self.rules[height]

    # --- time and network ---

    def at(self, delay_ms: int, act: Callable[[], None]) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (self.now + delay_ms, self.sequence, act))

    def later(self, node: _Node, delay_ms: int, act: Callable[[], None]) -> None:
        """Act unless the node has crashed or gone to another height by then."""
        life, height = node.life, node.height

        def act_if_alive() -> None:
            if node.up and (node.life, node.height) == (life, height):
                act()

        self.at(delay_ms, act_if_alive)

    def send(self, number: int, message: Message) -> None:
        """To one node; what happens on the way depends on whether the network has stabilised."""
        if number not in self.nodes:
            return
        config = self.config
        if not self.stable and self.chance(config.drop_before_gst):
            return
        for _ in range(2 if self.chance(config.duplicate) else 1):
            longest = config.delay_ms_max if self.stable else config.delay_ms_max_before_gst
            self.at(1 + self.random.randrange(longest), lambda: self.deliver(self.nodes[number], message))

    def broadcast(self, sender: int, message: Message) -> None:
        for number in self.nodes:
            if number != sender:
                self.send(number, message)
        if self.adversary is not None:
            self.adversary.overhear(message)

    def deliver(self, node: _Node, message: Message) -> None:
        if not node.up:
            return
        self.delivered += 1
        self.trace = hash_bytes("armillary/simulation", self.trace + repr((self.now, node.number, message)).encode())
        if message.height == node.height + 1:
            if isinstance(message, Vote | Proposal) and self.genuine(message):
                node.upcoming.keep(message)
        elif node.driver.wants(message) and self.genuine(message):
            self.feed(node, self.received(message))

    def received(self, message: Message) -> DriverInput:
        if isinstance(message, Vote):
            return VoteReceived(message)
        if isinstance(message, PolkaCertificate):
            return PolkaReceived(message)
        if isinstance(message, CommitCertificate):
            return CertificateReceived(message)
        return ProposalReceived(message, self.stable or not self.chance(self.config.untimely_before_gst))

    def genuine(self, message: Message) -> bool:
        """The shell's part: what the verify functions refuse is dropped."""
        try:
            if isinstance(message, Proposal):
                turn = self.proposer_rule(message.height)(message.round)
                if self.config.signatures:
                    verify_proposal(message, genesis_hash=GENESIS_HASH, proposer=turn)
                return message.proposer == turn and (message.valid_round is None or message.valid_round < message.round)
            if self.config.signatures and isinstance(message, Vote):
                verify_vote(message, genesis_hash=GENESIS_HASH, validators=self.validators)
            elif self.config.signatures and isinstance(message, PolkaCertificate | CommitCertificate):
                verify_certificate(message, genesis_hash=GENESIS_HASH, validators=self.validators)
        except (MessageRefused, CertificateRefused):
            return False
        return True

    def ask_peers(self, node: _Node) -> None:
        """Now and then: everyone sends what they hold of the node's height, or how it was decided."""
        if node.up:
            for peer in self.nodes.values():
                if not peer.up or peer is node:
                    continue
                if node.height in peer.decided:
                    self.send(node.number, peer.decided[node.height].certificate)
                elif peer.height == node.height:
                    for message in peer.driver.held_messages():
                        self.send(node.number, message)
        self.at(self.config.resend_ms, lambda: self.ask_peers(node))

    # --- one node ---

    def feed(self, node: _Node, event: DriverInput) -> None:
        """Log, step, perform; own messages are logged and fed before they are broadcast."""
        work = deque([event])
        while work:
            event = work.popleft()
            node.log.append(event)
            if not self.stable and self.chance(self.config.crash_before_gst):
                self.crash(node)
                return
            own = _own_message(event, self.keys[node.number].public_key)
            if own is not None:
                self.broadcast(node.number, own)
            for effect in node.driver.step(event):
                self.perform(node, effect, work)

    def perform(self, node: _Node, effect: Effect, work: deque[DriverInput]) -> None:
        delay = 1 + self.random.randrange(self.config.execution_ms_max)
        match effect:
            case CastVote(vote):
                work.append(VoteReceived(self.sign_vote(node, vote)))
            case Propose():
                if effect.polka is not None:
                    self.broadcast(node.number, effect.polka)
                work.append(ProposalReceived(self.sign_proposal(node, effect), timely=True))
            case ScheduleTimeout(kind, height, round_):
                if self.adversary is not None:
                    self.adversary.notice(height, round_)  # a correct node got that far
                duration = self.config.timeouts.duration_ms(kind, round_)
                self.later(node, duration, lambda: self.feed(node, TimeoutExpired(kind, height, round_)))
            case RequestValue(height, round_):
                block_id = self.new_value(height, valid=True)
                self.later(node, delay, lambda: self.feed(node, ValueProposed(height, round_, block_id)))
            case RequestValidation(height, _, block_id):
                known = self.values.get(block_id)
                if known is not None:
                    answer = Validated(height, block_id, known == (height, True))
                    self.later(node, delay, lambda: self.feed(node, answer))
            case Decide():
                work.clear()
                self.decide(node, effect)
            case Equivocated(evidence):
                offender = self.number_of[evidence.offender]
                if offender not in self.config.faulty:
                    self.fail("accusation", f"node {offender} is correct but accused of equivocation")
                self.equivocators.add(offender)
            case CommittedInvalid(height, round_, block_id, _):
                self.fail("validity", f"invalid {block_id.hex()} has a quorum at height {height}, round {round_}")

    def decide(self, node: _Node, decision: Decide) -> None:
        height, block_id, certificate = decision.height, decision.block_id, decision.certificate
        if self.values.get(block_id) != (height, True):
            self.fail("validity", f"node {node.number} decided {block_id.hex()} at height {height}")
        if self.decisions.setdefault(height, block_id) != block_id:
            self.fail("agreement", f"node {node.number} decided another block at height {height}")
        if not self.validators.has_quorum(sum(map(self.validators.power_of, set(certificate.signers)))):
            self.fail("certificate", f"node {node.number} decided height {height} without a quorum")
        if self.config.signatures:
            verify_certificate(certificate, genesis_hash=GENESIS_HASH, validators=self.validators)
        node.decided[height] = decision
        node.height, node.log = height + 1, []
        node.driver = self.driver(node.number, node.height)
        waiting, node.upcoming = node.upcoming.release(), self.upcoming(node.height)
        for message in waiting:
            self.at(0, lambda message=message: self.deliver(node, message))  # type: ignore[misc] # the default binds the loop's message
        self.later(node, _START_MS, lambda: self.feed(node, Start(node.height)))

    def signed(self, number: int, vote: UnsignedVote) -> Vote:
        """By the key of any node, faulty or not."""
        key = self.keys[number]
        return vote.signed(key.sign(vote_sign_bytes(GENESIS_HASH, vote)) if self.config.signatures else _UNSIGNED)

    def sign_vote(self, node: _Node, vote: UnsignedVote) -> Vote:
        signed = node.signed.setdefault((vote.kind, vote.height, vote.round), self.signed(node.number, vote))
        if not isinstance(signed, Vote) or signed.unsigned != vote:
            self.fail("double signing", f"node {node.number} was asked for {vote} after {signed}")
        assert isinstance(signed, Vote)
        return signed

    def sign_proposal(self, node: _Node, effect: Propose) -> Proposal:
        proposal = self.proposal(node.number, effect.height, effect.round, effect.block_id, effect.valid_round)
        signed = node.signed.setdefault(("proposal", effect.height, effect.round), proposal)
        if not isinstance(signed, Proposal) or signed.block_id != effect.block_id:
            self.fail("double signing", f"node {node.number} was asked for {effect} after {signed}")
        assert isinstance(signed, Proposal)
        return signed

    def proposal(self, number: int, height: int, round_: int, block_id: Hash, valid_round: int | None) -> Proposal:
        key = self.keys[number]
        content = UnsignedProposal(height, round_, valid_round, block_id, 1, ZERO_HASH, 1, self.now, key.public_key)
        signature = key.sign(proposal_sign_bytes(GENESIS_HASH, content)) if self.config.signatures else _UNSIGNED
        return content.signed(signature)

    def new_value(self, height: int, *, valid: bool) -> Hash:
        block_id = hash_bytes("armillary/simulation", f"value {len(self.values)} at {height}".encode())
        self.values[block_id] = height, valid
        return block_id

    def crash(self, node: _Node) -> None:
        self.crashes += 1
        node.up = False
        node.life += 1
        self.at(1 + self.random.randrange(self.config.down_ms_max), lambda: self.restart(node))

    def restart(self, node: _Node) -> None:
        """From the log alone."""
        node.up = True
        node.driver = self.driver(node.number, node.height)
        node.upcoming = self.upcoming(node.height)
        work: deque[DriverInput] = deque()
        for effect in replay(node.driver, node.log):
            self.perform(node, effect, work)
        if Start(node.height) not in node.log:
            work.append(Start(node.height))
        height = node.height
        while work and node.up and node.height == height:
            self.feed(node, work.popleft())


def _own_message(event: DriverInput, key: PublicKey) -> Vote | Proposal | None:
    match event:
        case VoteReceived(vote) if vote.validator == key:
            return vote
        case ProposalReceived(proposal, _) if proposal.proposer == key:
            return proposal
    return None
