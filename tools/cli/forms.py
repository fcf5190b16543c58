"""Wire types in words: what a person writes for a value of a declared type, for the help of derived options."""

from __future__ import annotations

from runtime.codec.schema import Schema
from tools.cli.tensors import FORM as TENSORS
from tools.cli.tensors import takes_tensors

_ACCOUNT = "AccountId"
POWERS_FROM_BITS = 32


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
