"""From a module's declaration to command line options, and from their text to typed values.

The text of an option: numbers in decimal (amounts also with a symbol: amounts.py), bytes in hex, accounts as addresses,
texts as they are, true or false; whatever has parts as JSON, tensors also as a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from runtime.codec.schema import Schema, schema_of
from runtime.errors import UsageError
from runtime.module import Field
from runtime.types import Struct
from tools.cli.forms import describe, describe_among, metavar
from tools.cli.tensors import is_file, read_tensors, takes_tensors

ARGUMENTS_BYTES_MAX = 8 * 1024 * 1024
SHOWN_CHARACTERS_MAX = 60
RESERVED: Final = frozenset(
    {
        *("args", "key", "home", "node", "dry_run", "gas_limit", "max_fee", "tip", "nonce", "last_valid_height"),
        *("no_wait", "json", "height", "prove", "help"),
    }
)
"""Arguments of these names are options --argument-NAME: the command's own options have the short names."""


def option_name(argument: str) -> str:
    """`chunk_index` is --chunk-index; `key` is --argument-key, because --key says who signs."""
    is_taken = argument in RESERVED or argument.startswith("argument_")
    return "--" + ("argument-" if is_taken else "") + argument.replace("_", "-")


def options(fields: Sequence[Field]) -> list[click.Parameter]:
    """One option for each field; its help says what may be written."""
    schemas = [schema_of(field.type) for field in fields]
    found: list[click.Parameter] = []
    for field, schema in zip(fields, schemas, strict=True):
        names = [option_name(field.name), f"argument_{field.name}"]
        found.append(click.Option(names, metavar=metavar(schema), help=describe_among(schema, schemas) or None))
    return found


def gather(fields: Sequence[Field], given: Mapping[str, Any], file: Path | None) -> dict[str, Any]:
    """The arguments from options and from a JSON file (an object; options win). Raises UsageError naming what lacks."""
    values = read_arguments(file, fields) if file else {}
    for field in fields:
        text = given.get(f"argument_{field.name}")
        if text is not None:
            values[field.name] = parse(schema_of(field.type), text, option_name(field.name))
        elif field.is_optional:
            values.setdefault(field.name, None)
    missing = [option_name(field.name) for field in fields if field.name not in values]
    if missing:
        raise UsageError(f"missing {', '.join(missing)}; each argument is an option, or a field of --args FILE")
    return values


def parse(schema: Schema, text: str, option: str) -> Any:
    """An option's text as what JSON would hold in its place. Raises UsageError naming the option."""
    if schema.kind == "optional":
        return parse(schema.items[0], text, option)
    if schema.kind in ("int", "bytes", "str"):
        return text
    if takes_tensors(schema) and is_file(text):
        return read_tensors(text, option)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        wanted = describe(schema) or metavar(schema)
        raise UsageError(f"{option}: {_short(text)} is not JSON of the form {wanted}") from None
    return value


def typed(record: type[Struct], values: dict[str, Any], prefix: str) -> Any:
    """The record of these arguments. Raises UsageError naming the argument, what is wrong with it, what was found."""
    try:
        return TypeAdapter(record).validate_python(values, context={"prefix": prefix})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name, *inside = (str(part) for part in first["loc"])
        found = "" if first["type"] in ("missing", "extra_forbidden") else f"; found {_short(first['input'])}"
        raise UsageError(f"{'.'.join([option_name(name), *inside])}: {first['msg']}{found}") from None


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "...")


def read_arguments(file: Path, fields: Sequence[Field]) -> dict[str, Any]:
    """The arguments in a JSON file, none but these. Raises UsageError."""
    values, names = _read(file), sorted(field.name for field in fields)
    for name in values:
        if name not in names:
            raise UsageError(f"{file}: there is no argument {name!r}; it takes {', '.join(names) or 'none'}")
    return values


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            data = opened.read(ARGUMENTS_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    if len(data) > ARGUMENTS_BYTES_MAX:
        raise UsageError(f"{file}: more than {ARGUMENTS_BYTES_MAX:,} bytes")
    try:
        values = json.loads(data, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{file}: a JSON object with the arguments' names is expected")
    return values


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found
