"""Suppressions: `# arm: allow[ARM003] the exponent is a constant of the protocol`.

Each names one or several rules and a reason. It counts for what begins on its line or ends there, and, where it stands
alone, for what begins on the next line of code. One without a reason suppresses nothing; one that is not needed is a
finding.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from runtime.module.lint.rules import RULES, UNSUPPRESSIBLE, Finding, Hit, finding
from runtime.module.lint.source import Comment, Source

_ADDRESSED: Final = re.compile(r"#\s*arm\s*:", re.IGNORECASE)
_FORM: Final = re.compile(r"#\s*arm:\s*allow\[([^\]]*)\]([^#]*)")


@dataclass
class Allowance:
    """codes: what it allows. lines: where. used: what it has allowed."""

    comment: Comment
    codes: frozenset[str]
    lines: frozenset[int]
    used: set[str] = field(default_factory=set)


def read(source: Source, path: str) -> tuple[list[Allowance], list[Finding]]:
    """The allowances of a file, and what is wrong with them."""
    code_lines = sorted({node.lineno for node in ast.walk(source.tree) if isinstance(node, (ast.stmt, ast.expr))})
    allowances: list[Allowance] = []
    wrong: list[Finding] = []
    for comment in source.comments:
        if not _ADDRESSED.search(comment.text):
            continue
        found = _FORM.search(comment.text)
        codes = frozenset(code.strip() for code in found[1].split(",")) if found else frozenset()
        if problem := _problem(found, codes):
            wrong.append(finding(path, comment.line, comment.column, "ARM090", problem))
            continue
        following = _next(code_lines, comment.line) if comment.alone else None
        lines = frozenset({comment.line} if following is None else {comment.line, following})
        allowances.append(Allowance(comment, codes, lines))
    return allowances, wrong


def _next(lines: list[int], line: int) -> int | None:
    at = bisect_right(lines, line)
    return lines[at] if at < len(lines) else None


def _problem(found: re.Match[str] | None, codes: frozenset[str]) -> str | None:
    if found is None:
        return "a suppression of another form"
    for code in sorted(codes):
        if code not in RULES or code in UNSUPPRESSIBLE:
            return f"a suppression of {code[:16] or 'nothing'}, which is no rule that can be suppressed"
    return None if re.search(r"\w", found[2]) else "a suppression without a reason"


def by_line(allowances: list[Allowance]) -> dict[int, list[Allowance]]:
    """Where they count."""
    found: dict[int, list[Allowance]] = {}
    for allowance in allowances:
        for line in allowance.lines:
            found.setdefault(line, []).append(allowance)
    return found


def is_allowed(hit: Hit, allowances: dict[int, list[Allowance]]) -> bool:
    """Whether a suppression with a reason stands at the finding; it is marked as used."""
    ends = () if isinstance(hit.node, ast.stmt) else (hit.node.end_lineno or hit.node.lineno,)
    for line in (hit.node.lineno, *ends):
        for allowance in allowances.get(line, []):
            if hit.code in allowance.codes:
                allowance.used.add(hit.code)
                return True
    return False


def unused(allowances: list[Allowance], path: str) -> list[Finding]:
    """Suppressions, and parts of them, that nothing needs."""
    return [
        finding(path, each.comment.line, each.comment.column, "ARM091", f"{code} is not found here")
        for each in allowances
        for code in sorted(each.codes - each.used)
    ]
