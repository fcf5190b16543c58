"""config.toml in the node's home: reading it, and writing every option with its default and its comment.

Rules: everything that is wrong is told at once, each by its key; an unknown key with the one that was meant. An
option may be overridden for one run (`armillary node --set log.level=debug`); the environment changes none.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runtime.node.config import NodeConfig, Section
from runtime.node.errors import ConfigError
from runtime.node.files import write_atomically

FILE_NAME = "config.toml"
FILE_BYTES_MAX = 1024 * 1024

HEAD = (
    "# The configuration of one Armillary node. Paths are relative to this file's folder.",
    "# An option that is left out has its default, which is what `armillary init` writes. For one run an option is",
    "# overridden by `armillary node --home HOME --set section.option=value`. No environment variable changes any.",
    "",
)


def read_config(home: Path, overrides: Sequence[str] = ()) -> NodeConfig:
    """The configuration in `home`; overrides: "section.option=value" each.

    Raises ConfigError with all that is wrong.
    """
    path = home / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}; `armillary init` makes a home"
        raise ConfigError([("", reason)], str(path)) from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError([("", f"larger than {FILE_BYTES_MAX} bytes")], str(path))
    try:
        return parse_config(data.decode("utf-8"), overrides)
    except UnicodeDecodeError as error:
        raise ConfigError([("", f"not UTF-8 at byte {error.start}")], str(path)) from None
    except ConfigError as error:
        raise ConfigError(error.problems, str(path)) from None


def parse_config(text: str, overrides: Sequence[str] = ()) -> NodeConfig:
    """The configuration in a TOML text, with some options overridden. Raises ConfigError with all that is wrong."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([("", f"not TOML: {error}")]) from None
    except RecursionError:
        raise ConfigError([("", "not a configuration: nested too deeply")]) from None
    overridden = [_override(values, given) for given in overrides]
    problems = _take_unknown(NodeConfig, values, "")
    try:
        config = NodeConfig.model_validate(values)
    except ValidationError as error:
        problems += [_problem(item) for item in error.errors(include_url=False)]
    if problems:
        raise ConfigError([(f"--set {key}" if key in overridden else key, reason) for key, reason in problems])
    return config


def write_config(home: Path, config: NodeConfig) -> Path:
    """Write every option with its comment to the home's config.toml, atomically."""
    path = home / FILE_NAME
    write_atomically(path, render_config(config).encode())
    return path


def render_config(config: NodeConfig) -> str:
    """The TOML text: all options, each with its comment, in the order of declaration."""
    lines = list(HEAD)
    lines += _render_fields(config)
    for name in NodeConfig.model_fields:
        section = getattr(config, name)
        if isinstance(section, Section):
            lines += ["", f"[{name}]", f"# {type(section).__doc__}", *_render_fields(section)]
    return "\n".join(lines) + "\n"


def _render_fields(section: Section) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if not isinstance(value, Section):
            lines.append(f"# {field.description}")
            lines.append(f"{name} = {_toml(value)}")
    return lines


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text) + '"'


def _override(values: dict[str, Any], given: str) -> str:
    """Put "section.option=value" into the values; returns its key. The value is TOML, or text as it is."""
    key, equals, text = given.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not equals or not all(names) or len(names) > 2:
        raise ConfigError([("", f"--set {given[:80]!r}: write it like log.level=debug")])
    place = values if len(names) == 1 else values.setdefault(names[0], {})
    if not isinstance(place, dict):
        return names[0]  # which is wrong already
    try:
        place[names[-1]] = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        place[names[-1]] = text.strip()
    return ".".join(names)


def _take_unknown(model: type[BaseModel], values: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    """Take the keys that are none out of the values, so that the others are checked all the same."""
    problems: list[tuple[str, str]] = []
    for name in tuple(values):
        field = model.model_fields.get(name)
        if field is None:
            del values[name]
            problems.append((prefix + name, f"there is no such option; did you mean {_nearest(model, prefix, name)}?"))
        elif isinstance(values[name], dict) and _is_section(field.annotation):
            problems += _take_unknown(field.annotation, values[name], f"{prefix}{name}.")
    return problems


def _nearest(model: type[BaseModel], prefix: str, name: str) -> str:
    """The option that was meant: one much like it here, or of its name in another section, or the most like it here."""
    here = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.0)[0]
    elsewhere = [key for key in _keys() if key.endswith(f".{name}")]
    if elsewhere and not difflib.get_close_matches(name, [here], cutoff=0.8):
        return elsewhere[0]
    return prefix + here


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _keys() -> Iterator[str]:
    for name, field in NodeConfig.model_fields.items():
        if _is_section(field.annotation):
            yield from (f"{name}.{option}" for option in field.annotation.model_fields)


def _problem(error: ErrorDetails) -> tuple[str, str]:
    key = ""
    for part in error["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    if error["type"] == "model_type":
        return key, f"a section, [{key}], with options in it; found {_shown(error['input'])}"
    reason = error["msg"].removeprefix("Value error, ")
    return key, f"{reason[:1].lower()}{reason[1:]}; found {_shown(error['input'])}"


def _shown(value: object) -> str:
    """As it would stand in the file."""
    text = _toml(value) if isinstance(value, bool | int | str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
