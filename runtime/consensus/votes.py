"""The vote keeper: tallies the votes of one height and says when a threshold is first passed.

Rules (those of the Quint model votekeeper.qnt of circlefin/malachite, whose traces are in tests/conformance): only the
first vote of a validator counts for a round and kind; a different second one is equivocation; an output is given once
per round, but for SKIP. Votes come verified. What must not live here: what to do about a threshold (driver, round).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from runtime.consensus.certificate import Certificate, certificate_of, votes_of
from runtime.consensus.errors import UnverifiedInput
from runtime.consensus.evidence import Equivocation
from runtime.consensus.messages import Vote, VoteKind
from runtime.consensus.validators import ValidatorSet
from runtime.types import Hash, PublicKey


class Threshold(Enum):
    """What the votes of a round can amount to."""

    POLKA_ANY = "polka any"
    POLKA_NIL = "polka nil"
    POLKA_VALUE = "polka value"
    PRECOMMIT_ANY = "precommit any"
    PRECOMMIT_VALUE = "precommit value"
    SKIP = "skip"


class Reached(NamedTuple):
    """A threshold that was passed in a round; block_id with the two VALUE thresholds only."""

    threshold: Threshold
    round: int
    block_id: Hash | None = None


class _Tally:
    """The votes of one round and kind."""

    __slots__ = ("conflicts", "powers", "proven", "total", "votes")

    def __init__(self) -> None:
        self.votes: dict[PublicKey, Vote] = {}  # the first vote of each validator: the one that counts
        self.conflicts: dict[PublicKey, Vote] = {}  # the first vote that contradicts it
        self.powers: dict[Hash | None, int] = {}
        self.total = 0
        self.proven: Hash | None = None  # a certificate showed a quorum for it

    def count(self, vote: Vote, power: int) -> Vote | None:
        """Count a validator's first vote. Returns that first one where `vote` newly contradicts it."""
        first = self.votes.get(vote.validator)
        if first is None:
            self.votes[vote.validator] = vote
            self.powers[vote.block_id] = self.powers.get(vote.block_id, 0) + power
            self.total += power
        elif first.block_id != vote.block_id and vote.validator not in self.conflicts:
            self.conflicts[vote.validator] = vote
            return first
        return None

    def forget(self, validator: PublicKey, power: int) -> None:
        vote = self.votes.pop(validator, None)
        self.conflicts.pop(validator, None)
        if vote is not None:
            self.powers[vote.block_id] -= power
            if not self.powers[vote.block_id]:
                del self.powers[vote.block_id]
            self.total -= power


class RoundVotes:
    """The votes of one round, both kinds, and what they have amounted to so far."""

    __slots__ = ("emitted", "tallies", "voters", "voters_power")

    def __init__(self) -> None:
        self.tallies = {VoteKind.PREVOTE: _Tally(), VoteKind.PRECOMMIT: _Tally()}
        self.voters: set[PublicKey] = set()
        self.voters_power = 0
        self.emitted: set[Reached] = set()

    def powers(self, kind: VoteKind) -> dict[Hash | None, int]:
        """Counted voting power by block id (None: no block)."""
        return dict(self.tallies[kind].powers)

    def votes(self, kind: VoteKind) -> tuple[Vote, ...]:
        """The votes that count."""
        return tuple(self.tallies[kind].votes.values())


class VoteKeeper:
    """All votes of one height. Memory: two votes per validator, round and kind; the driver bounds the rounds."""

    def __init__(self, validators: ValidatorSet) -> None:
        self.validators = validators
        self.equivocations: list[Equivocation] = []
        self._rounds: dict[int, RoundVotes] = {}
        self._commits: dict[int, Hash] = {}
        self._certificates: dict[tuple[VoteKind, int], Certificate] = {}

    def apply(self, vote: Vote, current_round: int) -> Reached | None:
        """Count a verified vote; what it newly amounts to, if anything. `current_round` is -1 before the start.

        A new contradiction joins `equivocations`. Raises UnverifiedInput when the voter is no validator.
        """
        round_votes = self._add(vote)
        if vote.round > current_round and self.validators.has_honest(round_votes.voters_power):
            reached: Reached | None = Reached(Threshold.SKIP, vote.round)
        else:
            reached = self._threshold(round_votes.tallies[vote.kind], vote)
            if reached in round_votes.emitted:
                reached = None
        if reached is not None:
            round_votes.emitted.add(reached)
        return reached

    def merge(self, votes: Sequence[Vote]) -> Reached | None:
        """Count a certificate: votes that share round, kind and block. Changes nothing unless they are a quorum."""
        if not votes or votes[0].block_id is None:
            return None
        kind, round_, value = votes[0].kind, votes[0].round, votes[0].block_id
        same = all((vote.kind, vote.round, vote.block_id) == (kind, round_, value) for vote in votes)
        signers = {vote.validator for vote in votes}
        if not same or not self.validators.has_quorum(sum(map(self.validators.power_of, signers))):
            return None
        for vote in votes:
            round_votes = self._add(vote)
        round_votes.tallies[kind].proven = value
        self._certificates[kind, round_] = certificate_of(votes)
        if kind is VoteKind.PRECOMMIT:
            self._commits[round_] = value
        threshold = Threshold.POLKA_VALUE if kind is VoteKind.PREVOTE else Threshold.PRECOMMIT_VALUE
        reached = Reached(threshold, round_, value)
        round_votes.emitted.add(reached)
        return reached

    def polka(self, round_: int) -> Hash | None:
        """The block with a quorum of prevotes in that round."""
        tally = self._tally(round_, VoteKind.PREVOTE)
        return None if tally is None else self._quorum_value(tally)

    def polka_nil(self, round_: int) -> bool:
        """Whether a quorum prevoted for no block in that round."""
        tally = self._tally(round_, VoteKind.PREVOTE)
        return tally is not None and self.validators.has_quorum(tally.powers.get(None, 0))

    def has_quorum(self, kind: VoteKind, round_: int) -> bool:
        """Whether a quorum cast that vote in that round, for whatever."""
        tally = self._tally(round_, kind)
        return tally is not None and (tally.proven is not None or self.validators.has_quorum(tally.total))

    def skip_to(self, current_round: int) -> int | None:
        """The highest later round in which a correct validator must be: more than a third of the power voted in it."""
        has_honest = self.validators.has_honest
        later = [number for number in self._rounds if number > current_round]
        return max((number for number in later if has_honest(self._rounds[number].voters_power)), default=None)

    @property
    def commits(self) -> dict[int, Hash]:
        """Round -> the block with a quorum of precommits in it."""
        return self._commits

    def certificate(self, kind: VoteKind, round_: int) -> Certificate | None:
        """The certificate of a round that has a quorum for a block, with every fitting vote counted so far."""
        tally = self._tally(round_, kind)
        block_id = None if tally is None else self._quorum_value(tally)
        if tally is None or block_id is None:
            return None
        given = self._certificates.get((kind, round_))
        shown = votes_of(given) if given is not None else ()
        counted = tuple(vote for vote in tally.votes.values() if vote.block_id == block_id)
        return certificate_of(shown + counted)

    def has(self, vote: Vote) -> bool:
        """Whether a vote of that content was counted or kept as a contradiction, or another contradiction was."""
        tally = self._tally(vote.round, vote.kind)
        first = tally.votes.get(vote.validator) if tally is not None else None
        if tally is None or first is None:
            return False
        return first.block_id == vote.block_id or vote.validator in tally.conflicts

    def round_votes(self, round_: int) -> RoundVotes | None:
        """The votes of a round, None where there are none."""
        return self._rounds.get(round_)

    def forget(self, round_: int, validator: PublicKey) -> None:
        """Take back a validator's votes of a round (the driver does so to bound far rounds), unless it has a commit."""
        votes = self._rounds.get(round_)
        if votes is None or validator not in votes.voters or round_ in self._commits:
            return
        power = self.validators.power_of(validator)
        votes.voters.discard(validator)
        votes.voters_power -= power
        for tally in votes.tallies.values():
            tally.forget(validator, power)
        if not votes.voters:
            del self._rounds[round_]

    def _add(self, vote: Vote) -> RoundVotes:
        power = self.validators.power_of(vote.validator)
        if not power:
            raise UnverifiedInput(f"a vote of {vote.validator.hex()}, who is no validator at height {vote.height}")
        votes = self._rounds.get(vote.round)
        if votes is None:
            votes = self._rounds[vote.round] = RoundVotes()
        contradicted = votes.tallies[vote.kind].count(vote, power)
        if contradicted is not None:
            self.equivocations.append(Equivocation.of(contradicted, vote))
        if vote.validator not in votes.voters:
            votes.voters.add(vote.validator)
            votes.voters_power += power
        if vote.kind is VoteKind.PRECOMMIT and vote.block_id is not None:
            power = votes.tallies[vote.kind].powers.get(vote.block_id, 0)
            if self.validators.has_quorum(power):
                self._commits.setdefault(vote.round, vote.block_id)
        return votes

    def _threshold(self, tally: _Tally, vote: Vote) -> Reached | None:
        """What the tally amounts to, seen from the value of `vote`."""
        has_quorum = self.validators.has_quorum
        prevote = vote.kind is VoteKind.PREVOTE
        if has_quorum(tally.powers.get(vote.block_id, 0)):
            if vote.block_id is not None:
                threshold = Threshold.POLKA_VALUE if prevote else Threshold.PRECOMMIT_VALUE
                return Reached(threshold, vote.round, vote.block_id)
            return Reached(Threshold.POLKA_NIL if prevote else Threshold.PRECOMMIT_ANY, vote.round)
        if has_quorum(tally.total):
            return Reached(Threshold.POLKA_ANY if prevote else Threshold.PRECOMMIT_ANY, vote.round)
        return None

    def _quorum_value(self, tally: _Tally) -> Hash | None:
        if tally.proven is not None:
            return tally.proven
        for value, power in tally.powers.items():
            if value is not None and self.validators.has_quorum(power):
                return value
        return None

    def _tally(self, round_: int, kind: VoteKind) -> _Tally | None:
        votes = self._rounds.get(round_)
        return None if votes is None else votes.tallies[kind]
