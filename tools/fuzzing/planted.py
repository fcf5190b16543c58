"""The planted bugs, each looked for as its author would: by an attack, or by reading its source.

Lives here: looking, and the table's rows. Must not: know how a bug is found (tools/planted says).
"""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from runtime.module import Module
from runtime.module.lint import check_file
from runtime.testing import AttackFailed, attack
from tools.planted.bugs import FOUND_BY_ATTACK, Planted
from tools.planted.source import FOUND_BY_LINT, source_of


@dataclass(frozen=True)
class Looked:
    """bug: its name; says: what it does wrong; expected: the rule that should find it; found_by: the one that did, None
    where nothing did; steps: of the program that shows it."""

    bug: str
    says: str
    expected: str
    found_by: str | None
    steps: int
    seconds: float

    @property
    def is_found(self) -> bool:
        """By the rule that should."""
        return self.found_by == self.expected

    def as_json(self) -> dict[str, Any]:
        """As docs/json.md has it."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


def look(seed: int | None = None) -> Iterator[Looked]:
    """One planted bug after the other."""
    for module, planted in FOUND_BY_ATTACK.items():
        yield look_for(module, planted, seed)
    for name, code in FOUND_BY_LINT.items():
        yield read(name, code)


def look_for(module: type[Module], planted: Planted, seed: int | None) -> Looked:
    """Attacks one copy within the default budget."""
    began = time.perf_counter()
    found, steps = None, 0
    try:
        attack(module, seed=seed, **planted.options)
    except AttackFailed as error:
        found, steps = error.rule, len(error.steps)
    says = _first_line(module.__doc__)
    return Looked(module.__name__, says, planted.rule, found, steps, time.perf_counter() - began)


def read(name: str, code: str) -> Looked:
    """Reads one file. code: of the linter's rule."""
    began = time.perf_counter()
    file = source_of(name)
    codes = [finding.code for finding in check_file(file)]
    found = code if code in codes else next(iter(codes), None)
    says = _first_line(ast.get_docstring(ast.parse(file.read_text())))
    return Looked(name, says, code, found, 0, time.perf_counter() - began)


def _first_line(docs: str | None) -> str:
    line = (docs or "").strip().partition("\n")[0].rpartition("a bug: ")[2]
    return line[:1].upper() + line[1:]
