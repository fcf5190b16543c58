"""What mypy --strict says of author files: nothing where they are right, the named error where they are wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """One run over all cases, as "name:line [code]"."""
    cache = tmp_path_factory.mktemp("mypy")
    files = sorted(str(path) for path in CASES.glob("*.py"))
    out, problem, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache), *files])
    assert not problem
    found = re.findall(r"cases/(\w+)\.py:(\d+): error: .*  (\[[a-z-]+\])$", out, re.MULTILINE)
    assert len(found) == len(re.findall(r"cases/\w+\.py:\d+: error:", out)), out
    return [f"{name}:{line} {code}" for name, line, code in found]


def expected(name: str) -> list[str]:
    lines = (CASES / f"{name}.py").read_text().splitlines()
    marks = [(number, re.search(r"# error:((?: \[[a-z-]+\])+)$", line)) for number, line in enumerate(lines, start=1)]
    return [f"{name}:{number} {code}" for number, mark in marks if mark for code in mark[1].split()]


@pytest.mark.parametrize("name", [path.stem for path in sorted(CASES.glob("*.py"))])
def test_mypy_finds_what_is_marked_and_nothing_else(report: list[str], name: str) -> None:
    assert [line for line in report if line.startswith(f"{name}:")] == expected(name)


def test_mistakes_are_marked() -> None:
    assert len(expected("misuse")) >= 15
