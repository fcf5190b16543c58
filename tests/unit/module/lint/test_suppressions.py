"""Suppressions: with a reason, for what is there, at its place; anything else is itself a finding."""

from __future__ import annotations

import pytest

from runtime.module.lint import check_source


def found(text: str) -> list[tuple[int, str]]:
    return [(each.line, each.code) for each in check_source(text.encode(), "mine.py")]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1.5  # arm: allow[ARM001] only shown to people\n",
        "# arm: allow[ARM001] only shown to people\nx = 1.5\n",
        "# arm: allow[ARM001] only shown to people\n\n# and something else\nx = 1.5\n",
        "x = 1.5 / 2  # arm: allow[ARM001,ARM002] only shown\n",
        "x = 1.5 / 2  # arm: allow[ARM001, ARM002] only shown\n",
        "# arm: allow[ARM001] shown\n# arm: allow[ARM002] shown\nx = 1.5 / 2\n",
        "x = 1.5  # noqa: E501 # arm: allow[ARM001] only shown\n",
        "x = 1.5  # arm: allow[ARM001] only shown # noqa: E501\n",
        "x = (\n    1.5  # arm: allow[ARM001] only shown\n)\n",
        "x = (\n    y\n    / 2  # arm: allow[ARM002] shown\n)\n",
    ],
)
def test_a_reason_suppresses(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1.5  # arm: allow[ARM001]\n", [(1, "ARM001"), (1, "ARM090")]),
        ("x = 1.5  # arm: allow[ARM001] # noqa\n", [(1, "ARM001"), (1, "ARM090")]),
        ("x = 1.5  # arm: allow[ARM001] --\n", [(1, "ARM001"), (1, "ARM090")]),
        ("x = 1.5  # arm: ignore\n", [(1, "ARM001"), (1, "ARM090")]),
        ("x = 1.5  # arm:allow ARM001 why\n", [(1, "ARM001"), (1, "ARM090")]),
        ("x = 1.5  # arm: allow[] why\n", [(1, "ARM001"), (1, "ARM090")]),
        ("x = 1.5  # arm: allow[ARM999] why\n", [(1, "ARM001"), (1, "ARM090")]),
        ("x = 1  # arm: allow[ARM090] why\n", [(1, "ARM090")]),
        ("x = 1  # arm: allow[ARM001] why\n", [(1, "ARM091")]),
        ("x = 1.5  # arm: allow[ARM002] why\n", [(1, "ARM001"), (1, "ARM091")]),
        ("x = 1.5  # arm: allow[ARM001, ARM002] why\n", [(1, "ARM091")]),
        ("x = 1.5\n# arm: allow[ARM001] why\n", [(1, "ARM001"), (2, "ARM091")]),
        ("# arm: allow[ARM001] why\ny = 1\nx = 1.5\n", [(1, "ARM091"), (3, "ARM001")]),
        ("y = 1  # arm: allow[ARM001] why\nx = 1.5\n", [(1, "ARM091"), (2, "ARM001")]),
        ("# arm: allow[ARM001] of nothing", [(1, "ARM091")]),
    ],
)
def test_invalid_suppressions_are_findings(text: str, expected: list[tuple[int, str]]) -> None:
    assert found(text) == expected


def test_a_whole_block_is_not_suppressed_by_its_end() -> None:
    text = "while f():\n    g()\n    h()  # arm: allow[ARM041] not here\n"
    assert found(text) == [(1, "ARM041"), (3, "ARM091")]


def test_text_that_looks_like_a_suppression_is_none() -> None:
    assert found('x = 1.5, "# arm: allow[ARM001] a string"\n') == [(1, "ARM001")]


def test_a_suppression_is_told_where_its_comment_begins() -> None:
    (first,) = check_source(b"x = 1  # arm: allow[ARM001] of nothing\n", "mine.py")
    assert (first.line, first.column) == (1, 8)
