"""Which accounts a value names: found by its declared type, whatever module it is of.

What lives here: walking a value along its schema, and accounts in sentences. What must not: knowing any module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from runtime.bech32m import encode_address
from runtime.codec.schema import Schema, schema_of
from runtime.types import AccountId

Finder = Callable[[Any], Iterator[AccountId]]
_ACCOUNT: Final = "AccountId"


def finder(declared: Any) -> Finder:
    """A function that gives the accounts inside a value of this type, at any depth. Raises DefinitionError."""
    return _finder(schema_of(declared)) or _nothing


def with_addresses(sentence: str, accounts: Iterable[bytes], prefix: str) -> str:
    """The sentence with these accounts as people write them, where it has them in hex."""
    for account in accounts:
        sentence = sentence.replace(account.hex(), encode_address(account, prefix))
    return sentence


def _nothing(value: Any) -> Iterator[AccountId]:
    return iter(())


def _finder(schema: Schema) -> Finder | None:
    """None where no value of this schema holds an account, so that it need not be walked."""
    if schema.kind == "bytes" and schema.name == _ACCOUNT:
        return lambda value: iter((value,))
    inner = [_finder(item) for item in schema.items]
    if not any(inner):
        return None
    match schema.kind:
        case "optional":
            return lambda value: _nothing(value) if value is None else _of(inner[0], value)
        case "array":
            return lambda value: (account for item in value for account in _of(inner[0], item))
        case "tuple":
            return lambda value: _each(inner, value)
        case "struct" | "model":
            return lambda value: _each(inner, (getattr(value, name) for name in schema.names))
        case "map":
            return lambda value: (account for pair in value.items() for account in _each(inner, pair))
        case "union":
            kinds = {item.python: found for item, found in zip(schema.items, inner, strict=True)}
            return lambda value: _of(kinds[type(value)], value)
    raise AssertionError(f"no value of kind {schema.kind} has parts")


def _each(finders: list[Finder | None], values: Iterable[Any]) -> Iterator[AccountId]:
    for found, value in zip(finders, values, strict=True):
        yield from _of(found, value)


def _of(found: Finder | None, value: Any) -> Iterator[AccountId]:
    return iter(()) if found is None else found(value)
