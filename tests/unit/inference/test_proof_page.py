"""docs/exact-inference.md argues for every op there is, and for no other."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.inference.verifier import RULES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "exact-inference.md").read_text("utf-8")


def test_the_proof_sketch_has_an_argument_for_each_op() -> None:
    (table,) = re.findall(r"\| ops \| rest on \|\n\|---\|---\|\n((?:\|.*\|\n)+)", PAGE)
    named = [op for row in table.splitlines() for op in row.split("|")[1].strip().split(", ")]
    assert sorted(named) == sorted(op.__name__ for op in RULES)


def test_each_assumption_that_it_uses_is_stated() -> None:
    stated = re.findall(r"^(\d)\. ", PAGE.partition("## The argument")[0], re.M)
    used = re.findall(r"\((\d)\)|assumptions? (\d)", PAGE.partition("## The argument")[2])
    assert stated == ["1", "2", "3", "4"]
    assert {number for pair in used for number in pair if number} == set(stated)


def test_each_trap_is_held_by_tests_that_exist() -> None:
    (table,) = re.findall(r"\| trap \| .*\n\|---\|---\|---\|\n((?:\|.*\|\n)+)", PAGE)
    for row in table.splitlines():
        named = re.findall(r"`([\w/]+)::(test_\w+)`", row.split("|")[3])
        assert named, row
        for file, test in named:
            folder = ROOT if "/" in file else ROOT / "tests" / "unit" / "inference"
            assert f"def {test}(" in (folder / f"{file}.py").read_text("utf-8"), f"{file}::{test}"
