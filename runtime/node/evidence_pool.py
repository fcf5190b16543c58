"""Equivocations that wait for a block. Bounded; one for each offender and height."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from runtime.consensus import EVIDENCE_AGE_HEIGHTS_MAX, EVIDENCE_PER_BLOCK_MAX, Equivocation
from runtime.types import PublicKey

EVIDENCE_WAITING_MAX: Final = 64


class EvidencePool:
    """Verified evidence. `committed` says whether a block already holds one of the offence."""

    def __init__(self, committed: Callable[[Equivocation], bool]) -> None:
        self._committed = committed
        self._waiting: dict[tuple[PublicKey, int], Equivocation] = {}

    def wants(self, evidence: Equivocation) -> bool:
        """Whether it is new here, so that verifying it is worth it."""
        known = (evidence.offender, evidence.height) in self._waiting
        return not known and len(self._waiting) < EVIDENCE_WAITING_MAX and not self._committed(evidence)

    def add(self, evidence: Equivocation) -> bool:
        """Keep verified evidence; False when it is not wanted."""
        if not self.wants(evidence):
            return False
        self._waiting[evidence.offender, evidence.height] = evidence
        return True

    def select(self, height: int) -> tuple[Equivocation, ...]:
        """What a block of `height` may hold, oldest first. What is too old or in a block is forgotten."""
        oldest = height - EVIDENCE_AGE_HEIGHTS_MAX
        self._waiting = {
            key: evidence
            for key, evidence in self._waiting.items()
            if evidence.height >= oldest and not self._committed(evidence)
        }
        fitting = sorted((e for e in self._waiting.values() if e.height < height), key=lambda e: (e.height, e.offender))
        return tuple(fitting[:EVIDENCE_PER_BLOCK_MAX])
