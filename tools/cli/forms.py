"""Wire types in words: what a person writes for a value of a declared type, for the help of derived options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.codec.schema import Schema, schema_of
from runtime.types import Denom
from tools.cli.tensors import FORM as TENSORS
from tools.cli.tensors import takes_tensors

_ACCOUNT = "AccountId"
_DENOM = schema_of(Denom)
_AMOUNT = "base units, or with the denomination's symbol, like 1.5ARM"
POWERS_FROM_BITS = 32
WIDE_FROM_BITS = 65


def is_wide(schema: Schema) -> bool:
    """Whether these are integers of the kind that amounts are of."""
    return schema.kind == "int" and not schema.signed and schema.bits >= WIDE_FROM_BITS


def denom_beside(names: Sequence[str], items: Sequence[Schema], values: Mapping[str, Any]) -> str | None:
    """The denomination that the amounts of a record are in: what its one denomination says. None where it has none, or
    several."""
    fields = [name for name, item in zip(names, items, strict=True) if item == _DENOM]
    found = values.get(fields[0]) if len(fields) == 1 else None
    return found if isinstance(found, str) else None


def describe_among(schema: Schema, others: Sequence[Schema]) -> str:
    """What may stand there, beside these: an amount beside its denomination may be written with a symbol."""
    if schema.kind == "optional" and is_wide(schema.items[0]) and _DENOM in others:
        return f"{_AMOUNT}; none if left out"
    return _AMOUNT if is_wide(schema) and _DENOM in others else describe(schema)


def metavar(schema: Schema) -> str:
    """The one word that stands for a value: NUMBER, ADDRESS, HEX, TEXT, JSON."""
    if schema.kind == "optional":
        return metavar(schema.items[0])
    if schema.kind == "bytes":
        return "ADDRESS" if schema.name == _ACCOUNT else "HEX"
    if schema.kind == "str":
        return schema.name.upper() or "TEXT"
    if takes_tensors(schema):
        return "FILE|JSON"
    return {"int": "NUMBER", "enum": "NUMBER", "bool": "true|false"}.get(schema.kind, "JSON")


def describe(schema: Schema) -> str:
    """What may stand there, in a phrase; "" where the word says it all."""
    if schema.kind == "optional":
        inner = describe(schema.items[0])
        return f"{inner}; none if left out" if inner else "none if left out"
    if schema.kind == "int":
        return _range(schema)
    if schema.kind == "enum":
        return ", ".join(f"{member.value} {member.name}" for member in schema.python)
    if schema.kind == "bytes":
        return _bytes(schema)
    if schema.kind == "str":
        return (f"of the form {schema.regex}, " if schema.regex else "") + f"at most {schema.limit} characters"
    if schema.kind == "array":
        file = f"{TENSORS}, or " if takes_tensors(schema) else ""
        return f"{file}{shape(schema)}, at most {schema.limit}"
    return "" if schema.kind == "bool" else shape(schema)


def shape(schema: Schema) -> str:
    """The form of a value inside JSON: words for its leaves."""
    if schema.kind == "optional":
        return f"{shape(schema.items[0])} or null"
    if schema.kind == "array":
        return f"[{shape(schema.items[0])}, ...]"
    if schema.kind == "tuple":
        return f"[{', '.join(map(shape, schema.items))}]"
    if schema.kind == "map":
        return f"{{{shape(schema.items[0])}: {shape(schema.items[1])}, ...}}"
    if schema.kind == "union":
        return " or ".join(map(shape, schema.items))
    if schema.kind in ("struct", "model"):
        parts = [f'"{name}": {shape(item)}' for name, item in zip(schema.names, schema.items, strict=True)]
        kind = [] if schema.tag is None else [f'"type": "{schema.name}"']
        return "{" + ", ".join(kind + parts) + "}"
    return metavar(schema)


def _range(schema: Schema) -> str:
    power = schema.bits - 1 if schema.signed else schema.bits
    if schema.bits < POWERS_FROM_BITS:
        return f"{-(1 << power) if schema.signed else 0} to {(1 << power) - 1}"
    return f"{f'-2^{power}' if schema.signed else 0} to 2^{power} - 1"


def _bytes(schema: Schema) -> str:
    if schema.name == _ACCOUNT:
        return ""
    return f"{schema.size} bytes" if schema.size is not None else f"at most {schema.limit:,} bytes"
