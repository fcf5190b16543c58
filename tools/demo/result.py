"""What a demo saw, and whether all of it held."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

ACCURACY_LOSS_MAX = 0.005


@dataclass
class Result:
    """Fractions are 0..1, times milliseconds or seconds. output_error_max: of the probabilities, beside the float's.
    killed_validator_caught_up: None where none was killed (fewer than four validators)."""

    validators: int
    transactions: int
    height: int = 0
    state_roots: list[str] = field(default_factory=list)
    accuracy_on_chain: float = 0.0
    accuracy_float: float = 0.0
    output_error_max: float = 0.0
    outputs_equal_offline: bool = False
    finality_ms: dict[str, float] = field(default_factory=lambda: {"p50": 0.0, "p99": 0.0})
    transactions_per_second: float = 0.0
    killed_validator_caught_up: bool | None = None
    certificate_verified: bool = False
    seconds: float = 0.0

    def failures(self) -> list[str]:
        """What did not hold, a sentence each; empty when all did. Times are reported, not judged."""
        checks = {
            "the state roots of the validators differ": (
                len(self.state_roots) == self.validators and len(set(self.state_roots)) == 1
            ),
            "the killed validator did not catch up": self.killed_validator_caught_up is not False,
            "the decision certificate was not verified offline": self.certificate_verified,
            "an output on chain is not that of the graph run offline, bit for bit": self.outputs_equal_offline,
            "the accuracy on chain is more than 0.5 points below the float model's": (
                self.accuracy_on_chain >= self.accuracy_float - ACCURACY_LOSS_MAX
            ),
        }
        return [sentence for sentence, holds in checks.items() if not holds]

    def as_json(self) -> dict[str, Any]:
        """The document that docs/json.md describes."""
        return asdict(self)
