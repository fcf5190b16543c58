"""The faulty nodes of a simulated network of drivers, all in one hand.

Lives here: what they say to whom, and when. Must not: deliver (consensus_simulator.py), or judge what comes of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from runtime.consensus import Message, Proposal, ProposerRule, UnsignedVote, Vote, VoteKind
from runtime.crypto import SigningKey, hash_bytes
from runtime.types import Hash


class Network(Protocol):
    """What the adversary needs of the simulated network. Nodes are numbered; times are in milliseconds."""

    @property
    def nodes(self) -> Mapping[int, object]:
        """The correct nodes."""
        ...

    @property
    def keys(self) -> Sequence[SigningKey]:
        """Of every node."""
        ...

    def at(self, delay_ms: int, act: Callable[[], None], /) -> None:
        """Act later."""
        ...

    def proposer_rule(self, height: int, /) -> ProposerRule:
        """Whose turn it is, by round."""
        ...

    def new_value(self, height: int, /, *, valid: bool) -> Hash:
        """A block that nobody has seen."""
        ...

    def proposal(self, number: int, height: int, round_: int, block_id: Hash, valid_round: int | None, /) -> Proposal:
        """Signed by this node."""
        ...

    def signed(self, number: int, vote: UnsignedVote, /) -> Vote:
        """By this node."""
        ...

    def send(self, number: int, message: Message, /) -> None:
        """To a correct node, as the network delivers at this time."""
        ...


_Plan = dict[VoteKind, dict[int, Hash]]


class Adversary:
    """Controls the faulty nodes: whenever a round shows signs of life it says different things to different nodes.

    Each round has a plan that all faulty nodes follow. Split: tell every correct node, and stay with it, that another
    block is the one. Favour: help one block to a polka before some, to a commit before one, be silent to the rest, so
    that locks and decisions come apart. Noise: any vote for any block.
    """

    def __init__(self, simulation: Network, faulty: Iterable[int], seed: int) -> None:
        self.simulation = simulation
        self.faulty = sorted(faulty)
        self.random = random.Random(seed)  # noqa: S311 # reproducible, not secret
        self.known: dict[int, list[Hash]] = {}
        self.heard: dict[tuple[int, int], int] = {}
        self.plans: dict[tuple[int, int], _Plan | None] = {}

    def overhear(self, message: Message) -> None:
        """The adversary hears all that correct nodes say."""
        values = self.known.setdefault(message.height, [])
        if message.block_id is not None and message.block_id not in values:
            values.append(message.block_id)
        self.notice(message.height, message.round)

    def notice(self, height: int, round_: int) -> None:
        """Act at the first sign of life in a round, and a few times later."""
        spot = height, round_
        self.heard[spot] = self.heard.get(spot, 0) + 1
        if self.heard[spot] in (1, 4, 9, 16):
            for number in self.faulty:
                delay = self.random.randrange(60)
                self.simulation.at(delay, lambda number=number: self._act(number, *spot))  # type: ignore[misc] # the default binds the loop's number

    def _act(self, number: int, height: int, round_: int) -> None:
        simulation = self.simulation
        proposer = simulation.proposer_rule(height)(round_) == simulation.keys[number].public_key
        plan = self._plan(height, round_, proposer)
        if proposer:
            self._propose(number, height, round_, plan)
        for target in simulation.nodes:
            for kind in VoteKind:
                if plan is None:
                    self._vote(number, target, kind, height, round_, self.random.choice(self._choices(height)))
                elif target in plan[kind]:
                    self._vote(number, target, kind, height, round_, plan[kind][target])
            if self.random.randrange(4) == 0:  # far rounds: what fills memory, or lures others ahead
                self._vote(number, target, VoteKind.PREVOTE, height, round_ + self.random.randrange(1, 500), None)

    def _plan(self, height: int, round_: int, proposer: bool) -> _Plan | None:
        """What all faulty nodes say in this round, by kind and target; None: noise."""
        spot = height, round_
        if spot not in self.plans:
            values = self.known.get(height, [])[-2:]
            if proposer:
                values = [*values, *(self.simulation.new_value(height, valid=True) for _ in range(2))]
            mode = self.random.randrange(4) if values else 0
            if mode == 0:
                self.plans[spot] = None
            elif mode == 1:
                self.plans[spot] = self._split(values)
            else:
                self.plans[spot] = self._favour(values[-1])
        return self.plans[spot]

    def _split(self, values: list[Hash]) -> _Plan:
        leaning = {target: self.random.choice(values) for target in self.simulation.nodes}
        return dict.fromkeys(VoteKind, leaning)

    def _favour(self, value: Hash) -> _Plan:
        targets = list(self.simulation.nodes)
        some = self.random.sample(targets, self.random.randrange(1, len(targets) + 1))
        return {VoteKind.PREVOTE: dict.fromkeys(some, value), VoteKind.PRECOMMIT: {self.random.choice(some): value}}

    def _choices(self, height: int) -> list[Hash | None]:
        return [*self.known.get(height, []), None, hash_bytes("armillary/simulation", b"nobody's")]

    def _propose(self, number: int, height: int, round_: int, plan: _Plan | None) -> None:
        simulation = self.simulation
        values = [simulation.new_value(height, valid=self.random.randrange(4) > 0) for _ in range(2)]
        values += self.known.get(height, [])[-2:]
        for target in simulation.nodes:
            earlier = self.random.randrange(-1, round_) if round_ else -1
            valid_round = None if earlier < 0 or plan else earlier
            said = plan[VoteKind.PREVOTE].get(target) if plan else self.random.choice(values)
            if said is None:
                continue
            simulation.send(target, simulation.proposal(number, height, round_, said, valid_round))

    def _vote(self, number: int, target: int, kind: VoteKind, height: int, round_: int, value: Hash | None) -> None:
        simulation = self.simulation
        vote = UnsignedVote(kind, height, round_, value, simulation.keys[number].public_key)
        simulation.send(target, simulation.signed(number, vote))
