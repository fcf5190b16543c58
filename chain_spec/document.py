"""From bytes to a JSON document, and paths into it. Stricter than JSON: no key twice in one object, no NaN, no endless
number, no half character.

Lives here: what can be said without knowing what a spec is. Must not: know a field's name.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from chain_spec.errors import Problem, SpecError, refuse

DEPTH_MAX = 64
DIGITS_MAX = 80  # more than any number of a spec has
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class _Twice(dict[str, Any]):
    """An object in which keys were repeated: `keys_twice`."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.keys_twice = [name for name, times in Counter(names).items() if times > 1]


class _NoNumber(str):
    """The text of what JSON's grammar or ours does not take for a number."""


def read_document(data: bytes, bytes_max: int) -> tuple[dict[str, Any], list[Problem]]:
    """The JSON object in `data`, and the keys that are there twice. Raises SpecError where it is no JSON object, with
    line and column, or holds what is no value.
    """
    if len(data) > bytes_max:
        raise SpecError("$", f"{len(data):,} bytes; at most {bytes_max:,} are allowed")
    document = _parse(data)
    if not isinstance(document, dict):
        raise SpecError("$", f"a JSON object {{...}} is expected, found {shown(document)}")
    no_values, twice = _judge(document)
    if no_values:
        refuse([*no_values, *twice])
    return document, twice


def step(path: str, part: str | int) -> str:
    """The path of a member or an element below `path`: `$.modules[1]`, `$.balances["a/b"]`."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    return f"{path}.{part}" if _IDENTIFIER.fullmatch(part) else f"{path}[{json.dumps(part)}]"


def shown(value: Any) -> str:
    """A value of a document as it stands there, in short."""
    text = json.dumps(value) if isinstance(value, str | int | float | None) else "{...}" if value else "{}"
    if isinstance(value, list):
        text = "[...]" if value else "[]"
    return text if len(text) <= 80 else text[:80] + "..."


def _parse(data: bytes) -> Any:
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_NoNumber,
            parse_int=_whole,
            parse_float=_fraction,
        )
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        reason = f"line {line}, column {column}: the byte {data[error.start]:#04x} is no UTF-8"
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        reason = f"it nests deeper than {DEPTH_MAX}"
    raise SpecError("$", f"not JSON: {reason}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Twice(pairs)


def _whole(text: str) -> int | _NoNumber:
    return int(text) if len(text) <= DIGITS_MAX else _NoNumber(text)


def _fraction(text: str) -> float | _NoNumber:
    number = float(text)
    return number if math.isfinite(number) else _NoNumber(text)


def _judge(document: dict[str, Any]) -> tuple[list[Problem], list[Problem]]:
    """What is no value, and which keys are there twice. Walked without recursion: its depth is the writer's."""
    no_values, twice = [], []
    waiting: list[tuple[str, Any, int]] = [("$", document, 1)]
    while waiting:
        path, value, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise SpecError(path, f"it nests deeper than {DEPTH_MAX}")
        if isinstance(value, _NoNumber):
            no_values.append(Problem(path, f"{value[:20]} is no number that a spec may hold"))
        elif isinstance(value, str) and not _is_text(value):
            no_values.append(Problem(path, f"{shown(value)} holds half a character (a lone surrogate)"))
        elif isinstance(value, list):
            waiting += [(step(path, place), item, depth + 1) for place, item in reversed(list(enumerate(value)))]
        elif isinstance(value, dict):
            reason = "the key is there twice in one object; remove one"
            twice += [Problem(step(path, key), reason) for key in getattr(value, "keys_twice", ())]
            halves = [key for key in value if not _is_text(key)]
            no_values += [Problem(path, f"the key {shown(key)} holds half a character") for key in halves]
            waiting += [(step(path, key), item, depth + 1) for key, item in reversed(value.items())]
    return no_values, twice


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
