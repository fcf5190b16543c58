"""Validators, their voting power, and whose turn it is to propose: all immutable data, nothing else.

Proposers are chosen by weighted priority, as CometBFT does (spec/consensus/proposer-selection.md): each choice adds
to everybody's priority their power, takes the highest (ties: the lower public key) and takes the total power off it,
so that over a cycle each proposes in proportion to its power. Ours keeps the priorities *before* the choice, so the
proposer is a pure function of the set. Priorities are no part of the set's hash: they follow from the chain's history.

A set's way over the heights: set(h + 1) = set(h).advance(1).updated(changes that act at h + 1). Round r of a height is
proposed by set.advance(r).proposer. The set of height 1 is `ValidatorSet.of(genesis validators)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Final

from runtime.codec import codec
from runtime.consensus.errors import ValidatorSetError
from runtime.crypto import hash_bytes
from runtime.limits import VALIDATORS_MAX, VOTING_POWER_TOTAL_MAX
from runtime.types import I64, U64, Hash, MaxLen, PublicKey, Struct

PRIORITY_WINDOW_FACTOR: Final = 2  # priorities span at most this many times the total power (CometBFT's constant)

ProposerRule = Callable[[int], PublicKey]
"""The proposer of a round, at the height the rule was made for."""


class Validator(Struct):
    """One member: the key it votes with, and its voting power (above 0 in a set; 0 in a change removes it)."""

    public_key: PublicKey
    power: U64


Validators = Annotated[tuple[Validator, ...], MaxLen(VALIDATORS_MAX)]


class ValidatorSetRecord(Struct):
    """A validator set as it is persisted: members by ascending public key, and their priorities in that order."""

    validators: Validators
    priorities: Annotated[tuple[I64, ...], MaxLen(VALIDATORS_MAX)]


def validators_hash(validators: Sequence[Validator]) -> Hash:
    """What a header commits to: keys and powers, by ascending key. Priorities are not covered."""
    return hash_bytes("armillary/validators", codec(Validators).encode(tuple(validators)))


class ValidatorSet:
    """An immutable, weighted set of validators. Make one by `of`; every method that changes returns a new set."""

    __slots__ = ("_chosen", "_hash", "_powers", "priorities", "total_power", "validators")

    validators: tuple[Validator, ...]
    priorities: tuple[int, ...]
    total_power: int

    def __init__(self, validators: Sequence[Validator], priorities: Sequence[int]) -> None:
        _check_members(validators)
        if len(priorities) != len(validators):
            raise ValidatorSetError("priorities", f"{len(priorities)} for {len(validators)} validators")
        self.validators = tuple(validators)
        self.priorities = tuple(priorities)
        self.total_power = sum(validator.power for validator in validators)
        self._powers = {validator.public_key: validator.power for validator in validators}
        self._hash: Hash | None = None
        self._chosen: tuple[int, tuple[int, ...]] | None = None

    @classmethod
    def of(cls, validators: Iterable[Validator]) -> ValidatorSet:
        """The set of a genesis or a certificate's trail: every priority starts at zero. Order does not matter."""
        members = sorted(validators, key=lambda validator: validator.public_key)
        return cls(members, (0,) * len(members))

    @classmethod
    def from_record(cls, record: ValidatorSetRecord) -> ValidatorSet:
        """A persisted set. Raises ValidatorSetError when the record breaks a rule of sets."""
        return cls(record.validators, record.priorities)

    @property
    def record(self) -> ValidatorSetRecord:
        """The set with its priorities, to be persisted."""
        return ValidatorSetRecord(self.validators, self.priorities)

    @property
    def hash(self) -> Hash:
        """The header's commitment to this set's keys and powers."""
        if self._hash is None:
            self._hash = validators_hash(self.validators)
        return self._hash

    def power_of(self, public_key: bytes) -> int:
        """The voting power of a key; 0 for one that is no member."""
        return self._powers.get(PublicKey(public_key), 0)

    def has_quorum(self, power: int) -> bool:
        """More than two thirds of the total."""
        return 3 * power > 2 * self.total_power

    def has_honest(self, power: int) -> bool:
        """More than one third of the total: at least one correct validator is among them."""
        return 3 * power > self.total_power

    @property
    def proposer(self) -> PublicKey:
        """Whose turn it is: the proposer of round 0 of the height this set belongs to."""
        return self.validators[self._choice()[0]].public_key

    def advance(self, rounds: int) -> ValidatorSet:
        """The set after `rounds` more choices. advance(a).advance(b) is advance(a + b). Raises ValueError below 0."""
        if rounds < 0:
            raise ValueError(f"a validator set cannot go back {-rounds} rounds")
        current = self
        for _ in range(rounds):
            current = current._with_priorities(current._choice()[1])
        return current

    def updated(self, changes: Iterable[Validator]) -> ValidatorSet:
        """The set with keys added, powers changed, and keys of power 0 removed. The order of changes does not matter.

        Removing a key that is no member does nothing. A newcomer starts behind everyone (-9/8 of the total power), so
        that leaving and coming back never gains a turn. Raises ValidatorSetError: a key changed twice, nobody left,
        power or number above the bounds.
        """
        by_key: dict[PublicKey, int] = {}
        for change in changes:
            if change.public_key in by_key:
                raise ValidatorSetError("duplicate", f"key {change.public_key.hex()} is changed twice")
            by_key[change.public_key] = change.power
        if not by_key:
            return self
        before_removals = self._powers | {key: power for key, power in by_key.items() if power}
        newcomer = -(sum(before_removals.values()) * 9 // 8)
        priorities = dict(zip(self._powers, self.priorities, strict=True))
        kept = sorted(key for key in before_removals if by_key.get(key) != 0)
        members = tuple(Validator(key, before_removals[key]) for key in kept)
        _check_members(members)
        total = sum(member.power for member in members)
        moved = _rescaled([priorities.get(key, newcomer) for key in kept], PRIORITY_WINDOW_FACTOR * total)
        return ValidatorSet(members, _centred(moved))

    def _with_priorities(self, priorities: tuple[int, ...]) -> ValidatorSet:
        """The same members, without checking and hashing them again."""
        other = object.__new__(ValidatorSet)
        other.validators, other.total_power = self.validators, self.total_power
        other._powers, other._hash = self._powers, self._hash
        other.priorities, other._chosen = priorities, None
        return other

    def _choice(self) -> tuple[int, tuple[int, ...]]:
        """Who proposes next, and the priorities after that (CometBFT: IncrementProposerPriority)."""
        if self._chosen is None:
            ready = _centred(_rescaled(self.priorities, PRIORITY_WINDOW_FACTOR * self.total_power))
            raised = [priority + power for priority, power in zip(ready, self._powers.values(), strict=True)]
            index = raised.index(max(raised))  # the first: ties go to the lower public key
            raised[index] -= self.total_power
            self._chosen = index, tuple(raised)
        return self._chosen

    def __contains__(self, public_key: object) -> bool:
        return public_key in self._powers

    def __iter__(self) -> Iterator[Validator]:
        return iter(self.validators)

    def __len__(self) -> int:
        return len(self.validators)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ValidatorSet):
            return NotImplemented
        return self.validators == other.validators and self.priorities == other.priorities

    def __hash__(self) -> int:
        return hash((self.validators, self.priorities))

    def __repr__(self) -> str:
        return f"ValidatorSet({len(self.validators)} validators, total power {self.total_power})"


def weighted_proposers(validators: ValidatorSet) -> ProposerRule:
    """The production rule for one height: round r is proposed by validators.advance(r).proposer; remembers rounds."""
    chosen: list[PublicKey] = []
    latest = validators

    def proposer_of(round_: int) -> PublicKey:
        nonlocal latest
        while len(chosen) <= round_:
            chosen.append(latest.proposer)
            latest = latest.advance(1)
        return chosen[round_]

    return proposer_of


def _check_members(validators: Sequence[Validator]) -> None:
    if not 0 < len(validators) <= VALIDATORS_MAX:
        raise ValidatorSetError("count", f"{len(validators)} validators; a set has 1 to {VALIDATORS_MAX}")
    for validator in validators:
        if validator.power <= 0:
            raise ValidatorSetError("power", f"key {validator.public_key.hex()} has {validator.power}, not above 0")
    for before, after in pairwise(validators):
        if before.public_key >= after.public_key:
            check = "duplicate" if before.public_key == after.public_key else "order"
            raise ValidatorSetError(check, f"key {after.public_key.hex()} is not above the one before it")
    total = sum(validator.power for validator in validators)
    if total > VOTING_POWER_TOTAL_MAX:
        raise ValidatorSetError("total power", f"{total} is above {VOTING_POWER_TOTAL_MAX}")


def _rescaled(priorities: Sequence[int], window: int) -> Sequence[int]:
    """Priorities divided (towards zero) so that their spread is within `window` (CometBFT: RescalePriorities)."""
    spread = max(priorities) - min(priorities)
    if spread <= window:
        return priorities
    ratio = (spread + window - 1) // window
    return [priority // ratio if priority >= 0 else -(-priority // ratio) for priority in priorities]


def _centred(priorities: Sequence[int]) -> list[int]:
    """Priorities shifted so that their average is zero, rounded down (CometBFT: shiftByAvgProposerPriority)."""
    average = sum(priorities) // len(priorities)
    return [priority - average for priority in priorities]
