"""Where the chain stands: the last decided block and the validator sets around it. Immutable.

The sets' way over the heights (runtime.consensus.validators): updates returned at height H act at H + 2, so with the
tip at H the sets of H (it decided the tip), H + 1 and H + 2 are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runtime.consensus import CommitCertificate, Header, Parent, Validator, ValidatorSet, ValidatorSetRecord
from runtime.types import U64, ZERO_HASH, Hash, Struct


class TipRecord(Struct):
    """A tip as it is persisted, in the same commit as the state it belongs to."""

    height: U64
    block_id: Hash
    time_ms: U64
    state_root: Hash
    certificate: CommitCertificate | None
    last_validators: ValidatorSetRecord | None
    validators: ValidatorSetRecord
    next_validators: ValidatorSetRecord


@dataclass(frozen=True)
class Tip:
    """certificate, last_validators: None at the genesis. validators: of height + 1; next_validators: of height + 2."""

    height: int
    block_id: Hash
    time_ms: int
    state_root: Hash
    certificate: CommitCertificate | None
    last_validators: ValidatorSet | None
    validators: ValidatorSet
    next_validators: ValidatorSet

    @classmethod
    def genesis(cls, time_ms: int, state_root: Hash, validators: Iterable[Validator]) -> Tip:
        """Height 0. Raises ValidatorSetError for a set that may not exist."""
        first = ValidatorSet.of(validators)
        return cls(0, ZERO_HASH, time_ms, state_root, None, None, first, first.advance(1))

    @classmethod
    def from_record(cls, record: TipRecord) -> Tip:
        """The tip that was persisted."""
        last = record.last_validators
        return cls(
            record.height,
            record.block_id,
            record.time_ms,
            record.state_root,
            record.certificate,
            None if last is None else ValidatorSet.from_record(last),
            ValidatorSet.from_record(record.validators),
            ValidatorSet.from_record(record.next_validators),
        )

    @property
    def record(self) -> TipRecord:
        """What is persisted of it: everything."""
        return TipRecord(
            self.height,
            self.block_id,
            self.time_ms,
            self.state_root,
            self.certificate,
            None if self.last_validators is None else self.last_validators.record,
            self.validators.record,
            self.next_validators.record,
        )

    def advance(
        self, header: Header, block_id: Hash, certificate: CommitCertificate, updates: Iterable[Validator]
    ) -> Tip:
        """The tip after the next block. Raises ValidatorSetError for updates that leave no possible set."""
        return Tip(
            header.height,
            block_id,
            header.time_ms,
            header.state_root,
            certificate,
            self.validators,
            self.next_validators,
            self.next_validators.advance(1).updated(updates),
        )

    def parent(self, genesis_hash: Hash, validators_at: Callable[[int], ValidatorSet | None]) -> Parent:
        """What the next block must follow."""
        return Parent(
            genesis_hash=genesis_hash,
            height=self.height,
            time_ms=self.time_ms,
            block_id=self.block_id,
            last_validators=self.last_validators,
            validators=self.validators,
            next_validators=self.next_validators,
            validators_at=validators_at,
        )
