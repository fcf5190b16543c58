"""Types as words, and two values of each: what golden locks compare.

Lives here: words and values from a type alone, the same in every run. Must not: draw anything (strategies.py does).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from runtime.codec.schema import Schema

_PEER_ID: Final = "12D3KooW" + 44 * "A"
_TEXTS: Final = (_PEER_ID, "a", "a1", "A", "0", "1", "0.1", "1.0.0", "a-b", "a.b", "a/b", "a@b.c", "https://a.b")
"""One of them matches the patterns that identifiers have; a type that none matches has no sample."""


class NoSample(Exception):
    """A text of a pattern that none of the known texts matches."""


def words(schema: Schema) -> str:
    """A type in one line: its wire form, its bounds, the names of its fields. Two types with the same words have the
    same bytes."""
    parts = [words(item) for item in schema.items]
    fields = ", ".join(f"{name}: {part}" for name, part in zip(schema.names, parts, strict=False))
    named = f"{schema.name} " if schema.name else ""
    match schema.kind:
        case "int":
            return f"{'i' if schema.signed else 'u'}{schema.bits}"
        case "enum":
            return f"enum {schema.python.__name__}({', '.join(f'{each.name}={each.value}' for each in schema.python)})"
        case "bytes":
            return f"{named}bytes({schema.size})" if schema.size is not None else f"bytes(at most {schema.limit})"
        case "str":
            pattern = f", {schema.regex}" if schema.regex else ""
            return f"text(at most {schema.limit}{pattern})"
        case "array":
            return f"array(at most {schema.limit}, {parts[0]})"
        case "struct":
            return f"{named}{{{fields}}}" if schema.tag is None else f"{schema.tag}={named}{{{fields}}}"
        case "model":
            return f"{{{fields}}}"
        case _:
            return f"{schema.kind}({', '.join(parts)})" if parts else schema.kind


def least(schema: Schema) -> Any:
    """The smallest value: zeros, nothing, the first of several. Raises NoSample."""
    return _value(schema, is_full=False)


def full(schema: Schema) -> Any:
    """A value in which every part is there and every byte counts: the greatest integers, one element, the last of
    several. Raises NoSample."""
    return _value(schema, is_full=True)


def _value(schema: Schema, *, is_full: bool) -> Any:
    return _MAKERS[schema.kind](schema, is_full)


def _parts(schema: Schema, is_full: bool) -> list[Any]:
    return [_value(item, is_full=is_full) for item in schema.items]


def _integer(schema: Schema, is_full: bool) -> int:
    if is_full:
        return int((1 << (schema.bits - schema.signed)) - 1)
    return -(1 << (schema.bits - 1)) if schema.signed else 0


def _bytes(schema: Schema, is_full: bool) -> bytes:
    if schema.size is not None:
        return bytes(range(1, schema.size + 1)) if is_full else bytes(schema.size)
    return b"\x00\xff"[: schema.limit] if is_full else b""


def _text(schema: Schema, is_full: bool) -> str:
    fitting = [
        text
        for text in ("", *_TEXTS)
        if len(text) <= (schema.limit or 0) and (schema.regex is None or re.fullmatch(schema.regex, text, re.ASCII))
    ]
    if not fitting:
        raise NoSample
    return fitting[-1 if is_full else 0]


def _union(schema: Schema, is_full: bool) -> Any:
    return _value(schema.items[-1 if is_full else 0], is_full=is_full)


def _model(schema: Schema, is_full: bool) -> Any:
    """Validators of the model's own may refuse the values; then the type has no sample."""
    try:
        return schema.python.model_validate(dict(zip(schema.names, _parts(schema, is_full), strict=True)))
    except ValueError:
        raise NoSample from None


def _map(schema: Schema, is_full: bool) -> dict[Any, Any]:
    key, value = schema.items
    return {_value(key, is_full=True): _value(value, is_full=True)} if is_full else {}


_MAKERS: Final[dict[str, Callable[[Schema, bool], Any]]] = {
    "int": _integer,
    "bool": lambda schema, is_full: is_full,
    "enum": lambda schema, is_full: list(schema.python)[-1 if is_full else 0],
    "bytes": _bytes,
    "str": _text,
    "tuple": lambda schema, is_full: tuple(_parts(schema, is_full)),
    "array": lambda schema, is_full: tuple(_parts(schema, is_full)) if is_full and schema.limit else (),
    "optional": lambda schema, is_full: _value(schema.items[0], is_full=True) if is_full else None,
    "struct": lambda schema, is_full: schema.python(*_parts(schema, is_full)),
    "union": _union,
    "model": _model,
    "map": _map,
}
