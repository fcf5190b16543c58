"""Whatever the bytes, there are findings or none: never an exception, never something else the second time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.module.lint import RULES, Finding, check_source

ROOT = Path(__file__).parents[4]
SOURCES = [each.read_bytes() for each in sorted((ROOT / "modules").rglob("*.py")) if each.stat().st_size]
PLANTED = [each.read_bytes() for each in sorted((ROOT / "tools" / "planted").rglob("*.py"))]
TOKENS = (
    b"for", b"while", b"in", b"set(", b")", b"(", b"[", b"]", b"{", b"}", b":", b",", b"=", b"/", b"**", b"<<", b"1.5",
    b"self", b"cls", b".", b"*", b"except", b"try:", b"lambda", b"global x", b"async", b"await", b"match x:", b"case",
    b"# arm: allow[ARM001] x", b"# arm:", b"import", b"from . import", b'f"{x!r}"', b'"', b"'''", b"\n", b"\n    ",
    b"\t", b"\\", b"\x00", b"\xff", b"\xef\xbb\xbf", b"# coding: latin-1", b"\r", b"\x0c", b"del", b"yield", b"return",
    b":=",
)  # fmt: skip


def checked(data: bytes) -> tuple[Finding, ...]:
    found = check_source(data, "mine.py", package="acme.mine")
    lines = data.count(b"\n") + data.count(b"\r") + data.count(b"\x0c") + 1
    for each in found:
        assert each.code in RULES
        assert 1 <= each.line <= lines + 1
        assert each.column >= 1
        assert "\n" not in str(each)
    return found


@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert checked(data) == checked(data)


@given(parts=st.lists(st.sampled_from(TOKENS), max_size=30))
def test_any_tokens(parts: list[bytes]) -> None:
    checked(b" ".join(parts))


@settings(max_examples=150)
@given(data=st.data())
def test_modules_with_anything_cut_doubled_or_put_in(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(PLANTED + SOURCES))
    lines = source.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(lines) - 1, 0)))
        line = lines[at] if lines else b""
        cut = data.draw(st.integers(0, len(line)))
        token = data.draw(st.sampled_from(TOKENS))
        changed = ([], [line, line], [line[:cut]], [line[cut:]], [line[:cut] + token + line[cut:]], [b"    " + line])
        lines[at : at + 1] = data.draw(st.sampled_from(changed))
    checked(b"".join(lines))


@settings(max_examples=60)
@given(data=st.data())
def test_modules_that_still_parse_with_names_exchanged(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(PLANTED + SOURCES))
    for _ in range(data.draw(st.integers(1, 3))):
        old = data.draw(st.sampled_from([b"self", b"AccountId", b"amount", b"int", b"Map", b"items", b"get", b"range"]))
        source = source.replace(
            old, data.draw(st.sampled_from([b"set", b"x", b"hash", b"float", b"min", b"cls", b"self"]))
        )
    checked(source)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"def f(:\n    pass\n", "a syntax error (invalid syntax)"),
        (b"x = 1\n  y = 2\n", "a syntax error (unexpected indent)"),
        (b"x = '''\n", "a syntax error (unterminated triple-quoted string literal"),
        (b"x = (\n", "a syntax error ('(' was never closed)"),
        (b"x = \xff\n", "a syntax error"),
        (b"# coding: latin-1\nx = '\xe9'\n", "the encoding iso-8859-1"),
        (b"# coding: nonsense\n", "a syntax error (unknown encoding: nonsense)"),
        (b"x = 1\x00\n", "null bytes"),
        (b"x = " + b"(" * 5_000 + b"1" + b")" * 5_000, "a syntax error (too many nested parentheses)"),
        (b"x = " + b"-" * 50_000 + b"1", "source that Python cannot parse ("),
        (b"for x in " + b"1+" * 900 + b"1: pass", "nested too deeply"),
        (b"x = y" + b".z" * 100_000, "source that Python cannot parse ("),
        (b"x = " + b"9" * 10_000, "a syntax error (Exceeds the limit (4300 digits)"),
        (b"#" * (256 * 1024 + 1), "a file of 262,145 bytes, at most 262,144 are checked"),
    ],
)
def test_invalid_source_is_one_finding(data: bytes, words: str) -> None:
    (found,) = checked(data)
    assert found.code == "ARM000"
    assert words in found.message


def test_a_syntax_error_is_told_at_its_line() -> None:
    (found,) = checked(b"x = 1\ny = 2\ndef f(:\n")
    assert found.line == 3


def test_warnings_about_the_source_are_not_ours() -> None:
    assert checked(b'x = "\\d"\ny = 1 is 1\nassert (x, y)\n') == ()
