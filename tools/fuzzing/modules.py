"""One module attacked from the command line, and what is told of it.

Lives here: finding the module, the outcome as data. Must not: print.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chain_spec import plugins
from runtime.errors import UsageError
from runtime.module import Module
from runtime.testing import Attacked, AttackFailed, attack
from tools.fuzzing.standard import options_of


@dataclass(frozen=True)
class Fuzzed:
    """The outcome of one attack or one chain's traffic. outcomes: by call, how often with which end; events: how often
    each, and errors likewise; failed: rule, detail and program of what broke; None: nothing did."""

    subject: str
    seed: int
    steps: int
    seconds: float
    outcomes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()
    failed: Mapping[str, str] | None = None
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def steps_per_second(self) -> float:
        """On this machine, now."""
        return self.steps / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """As docs/json.md has it."""
        return {
            "subject": self.subject,
            "seed": self.seed,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "steps_per_second": round(self.steps_per_second, 1),
            "calls": {name: dict(sorted(ends.items())) for name, ends in sorted(self.outcomes.items())},
            "events": dict(sorted(self.events.items())),
            "errors": dict(sorted(self.errors.items())),
            "unreached": list(self.unreached),
            "failed": None if self.failed is None else dict(self.failed),
        }


def find(name: str) -> type[Module]:
    """An installed module by its name, or a class as PACKAGE:CLASS. Raises UsageError, SpecError."""
    package, _, attribute = name.partition(":")
    if not attribute:
        return plugins.load(name, "MODULE")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a file beside the person, as `python -m` finds it
    try:
        found = getattr(importlib.import_module(package), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{name}: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Module)):
        raise UsageError(f"{name} is no module: it must be a class that derives from runtime.Module")
    return found


def fuzz_module(module: type[Module], steps: int | None, seed: int | None) -> Fuzzed:
    """Attacks it, the standard ones with what they need."""
    began = time.perf_counter()
    try:
        report = attack(module, steps=steps, seed=seed, **options_of(module))
    except AttackFailed as error:
        broken = {"rule": error.rule, "detail": error.detail, "program": error.program}
        return _fuzzed(module.name, error.report, time.perf_counter() - began, broken)
    return _fuzzed(module.name, report, time.perf_counter() - began, None)


def _fuzzed(name: str, report: Attacked, seconds: float, failed: Mapping[str, str] | None) -> Fuzzed:
    errors: Counter[str] = Counter()
    for ends in report.outcomes.values():
        errors.update({end: count for end, count in ends.items() if end != "ok" and not end.startswith("refused")})
    return Fuzzed(
        name, report.seed, report.steps, seconds, report.outcomes, report.events, report.unreached, failed, errors
    )
