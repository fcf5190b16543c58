"""From a module's declaration to command line options, and from their text to typed values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from runtime.errors import UsageError
from runtime.module import Field
from runtime.types import Struct

ARGUMENTS_BYTES_MAX = 8 * 1024 * 1024


def options(fields: Sequence[Field]) -> list[click.Parameter]:
    """One option for each field: `chunk_index` becomes --chunk-index; its type is shown as the author wrote it."""
    return [
        click.Option([f"--{field.name.replace('_', '-')}", f"argument_{field.name}"], metavar=field.shown.upper())
        for field in fields
    ]


def gather(fields: Sequence[Field], given: Mapping[str, Any], file: Path | None) -> dict[str, Any]:
    """The arguments from options and from a JSON file (an object; options win). Raises UsageError naming what lacks."""
    values = _read(file) if file else {}
    names = {field.name for field in fields}
    for name in values:
        if name not in names:
            raise UsageError(f"{file}: there is no argument {name!r}; it takes {', '.join(sorted(names)) or 'none'}")
    for field in fields:
        text = given.get(f"argument_{field.name}")
        if text is not None:
            values[field.name] = parse(text)
        elif field.is_optional:
            values.setdefault(field.name, None)
    missing = [f"--{name.replace('_', '-')}" for name in (field.name for field in fields) if name not in values]
    if missing:
        raise UsageError(f"missing {', '.join(missing)}; each argument is an option, or a field of --args FILE")
    return values


def parse(text: str) -> Any:
    """An option's text: JSON where it is an object, an array, a truth value or null; a decimal number; else itself."""
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,15})", text, re.ASCII):
        return int(text)
    if text[:1] in ("[", "{", '"') or text in ("true", "false", "null"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise UsageError(f"{text[:60]!r} looks like JSON, but is none: {error}") from None
    return text


def typed(record: type[Struct], values: dict[str, Any], prefix: str) -> Any:
    """The record of these arguments. Raises UsageError naming the argument and what is wrong with it."""
    try:
        return TypeAdapter(record).validate_python(values, context={"prefix": prefix})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"--{where.replace('_', '-')}: {first['msg']}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        data = file.read_bytes()
        if len(data) > ARGUMENTS_BYTES_MAX:
            raise UsageError(f"{file}: {len(data):,} bytes are more than {ARGUMENTS_BYTES_MAX:,}")
        values = json.loads(data)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{file}: a JSON object with the arguments' names is expected")
    return values
