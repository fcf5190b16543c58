"""From bytes to a syntax tree and comments, or to one sentence that says why not.

Lives here: decoding, parsing, bounds. Must not: judge what is written.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from dataclasses import dataclass
from typing import Final

SOURCE_BYTES_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 150
"""Levels of a syntax tree; what people write has a tenth of it."""


class Unreadable(Exception):
    """line: where, from 1, as far as that is known."""

    def __init__(self, reason: str, line: int = 1) -> None:
        self.line = line
        super().__init__(reason)


@dataclass(frozen=True)
class Comment:
    """alone: no code stands before it on its line. line, column: from 1."""

    line: int
    column: int
    text: str
    alone: bool


@dataclass(frozen=True)
class Source:
    """A file that parses."""

    tree: ast.Module
    comments: tuple[Comment, ...]


def parse(data: bytes) -> Source:
    """The source of a file. Raises Unreadable; never anything else, whatever the bytes."""
    if len(data) > SOURCE_BYTES_MAX:
        raise Unreadable(f"a file of {len(data):,} bytes, at most {SOURCE_BYTES_MAX:,} are checked")
    try:
        text = _decode(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the source, about itself: an invalid escape, `1 is 1`
            tree = ast.parse(text)
        _check_depth(tree)
        return Source(tree, _comments(text))
    except SyntaxError as error:  # IndentationError and a wrong coding cookie too
        raise Unreadable(f"a syntax error ({error.msg})", max(error.lineno or 1, 1)) from None
    except tokenize.TokenError as error:
        raise Unreadable(f"a syntax error ({error.args[0]})") from None
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, too many digits, parentheses too deep
        raise Unreadable(f"source that Python cannot parse ({error or type(error).__name__})") from None


def _check_depth(tree: ast.Module) -> None:
    """Counted, for how deep Python itself follows depends on who calls. Raises Unreadable."""
    level: list[ast.AST] = [tree]
    for _ in range(DEPTH_MAX):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    line = next((node.lineno for node in level if isinstance(node, ast.expr | ast.stmt)), 1)
    raise Unreadable(f"expressions that are nested too deeply, more than {DEPTH_MAX} levels", line)


def _decode(data: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    if encoding not in ("utf-8", "utf-8-sig"):
        raise Unreadable(f"the encoding {encoding}")
    return data.decode(encoding)


def _comments(text: str) -> tuple[Comment, ...]:
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            found.append(Comment(line, column + 1, token.string, alone=not token.line[:column].strip()))
    return tuple(found)
