"""What can be wrong with a chain spec: always the writer's to mend, always with the JSON path, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.errors import UsageError

PROBLEMS_SHOWN_MAX = 100


@dataclass(frozen=True)
class Problem:
    """path: where in the JSON ("$.modules[1].name"); reason: what is wrong there, and the mend."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class SpecError(UsageError):
    """A chain spec is wrong. `problems`: everything that was found; `path`, `reason`: of the first."""

    def __init__(self, path: str, reason: str, *more: Problem) -> None:
        self.path = path
        self.reason = reason
        self.problems = (Problem(path, reason), *more)
        super().__init__(_sentence(self.problems))


def refuse(problems: Sequence[Problem]) -> None:
    """Raises SpecError with all of them, each once; returns where there is none."""
    if problems:
        first, *more = dict.fromkeys(problems)
        raise SpecError(first.path, first.reason, *more)


def _sentence(problems: tuple[Problem, ...]) -> str:
    if len(problems) == 1:
        return str(problems[0])
    shown = [f"  {problem}" for problem in problems[:PROBLEMS_SHOWN_MAX]]
    if len(problems) > PROBLEMS_SHOWN_MAX:
        shown.append(f"  and {len(problems) - PROBLEMS_SHOWN_MAX:,} more")
    return "\n".join([f"{len(problems):,} errors", *shown])
