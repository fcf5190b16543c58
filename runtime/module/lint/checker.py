"""From a file's bytes to its findings: every group of rules, then suppressions. Total, whatever the bytes.

Lives here: the order of things. Must not: know a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from runtime.module.lint import (
    dynamic,
    failures,
    imports,
    integers,
    loops,
    objects,
    recursion,
    sets,
    state,
    storage,
    suppression,
)
from runtime.module.lint.facts import Facts
from runtime.module.lint.paths import package_of
from runtime.module.lint.rules import Finding, Hit, Hits, finding
from runtime.module.lint.source import Source, Unreadable, parse

_CHECKS: Final[tuple[Callable[[Facts], Hits], ...]] = (
    integers.check,
    sets.check,
    objects.check,
    imports.check,
    state.check,
    recursion.check,
    loops.check,
    failures.check,
    storage.check,
    dynamic.check,
)


def check_source(data: bytes, path: str, *, package: str = "") -> tuple[Finding, ...]:
    """The findings in one file, in its order. path: only named. package: the dotted one that the file is in."""
    try:
        source = parse(data)
        return _found(source, path, package)
    except Unreadable as error:
        return (finding(path, error.line, 1, "ARM000", str(error)),)
    except RecursionError:
        return (finding(path, 1, 1, "ARM000", "expressions that are nested too deeply"),)


def check_file(file: Path) -> tuple[Finding, ...]:
    """The findings in one file. Raises OSError where it cannot be read."""
    return check_source(file.read_bytes(), str(file), package=package_of(file))


def check_files(files: Iterable[Path]) -> tuple[Finding, ...]:
    """The findings in several files, one after the other."""
    return tuple(found for file in files for found in check_file(file))


def _found(source: Source, path: str, package: str) -> tuple[Finding, ...]:
    facts = Facts(source.tree, package)
    allowances, findings = suppression.read(source, path)
    lines = suppression.by_line(allowances)
    for check in _CHECKS:
        for hit in check(facts):
            if not suppression.is_allowed(hit, lines):
                findings.append(_as_finding(path, hit))
    return tuple(sorted({*findings, *suppression.unused(allowances, path)}))


def _as_finding(path: str, hit: Hit) -> Finding:
    return finding(path, hit.node.lineno, hit.node.col_offset + 1, hit.code, hit.what)
