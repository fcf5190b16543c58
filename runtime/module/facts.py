"""Which events and errors belong to a module: those that it lists, and those of its own file or package.

Read when the class is made, from what is defined above it, and once more when the metadata is first asked for, so that
what the file defines below counts too. Lives here: that search. Must not: know storage or verbs.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, get_type_hints

from runtime.codec import codec
from runtime.errors import DefinitionError
from runtime.module.body import layers
from runtime.module.errors import CallError
from runtime.module.event import Event
from runtime.module.metadata import ErrorInfo, EventInfo, Field, ModuleMetadata
from runtime.module.signature import shown


def completed(module: Any, metadata: ModuleMetadata) -> ModuleMetadata:
    """The metadata with what the module's file defines below the class, and the files of its layers; of a class in a
    function, as it was."""
    if module.__qualname__ != module.__name__ or module.__module__ not in sys.modules:
        return metadata
    files = [vars(sys.modules[layer.__module__]) for layer in layers(module) if layer.__module__ in sys.modules]
    around = [value for file in files for _, value in sorted(file.items())]
    known = [info.event for info in metadata.events.values()], [info.error for info in metadata.errors.values()]
    return replace(
        metadata, events=events_of(module, [*known[0], *around]), errors=errors_of(module, [*known[1], *around])
    )


def _visible(module: Any, around: Iterable[Any], base: type[Any], listed: str) -> list[Any]:
    """The classes below `base` that belong to the module: listed, in its body, or in its own file or package."""
    own, package = module.__module__, module.__module__.rpartition(".")[0]
    explicit = getattr(module, listed, ())
    if not isinstance(explicit, tuple) or not all(
        isinstance(kind, type) and issubclass(kind, base) for kind in explicit
    ):
        raise DefinitionError(f"{module.__name__}.{listed}: write a tuple of classes below {base.__name__}")
    own_ones = [
        value
        for value in around
        if isinstance(value, type)
        and issubclass(value, base)
        and (value.__module__ == own or (package and value.__module__.rpartition(".")[0] == package))
    ]
    return list(dict.fromkeys(kind for kind in (*explicit, *own_ones) if kind is not base))


def _named(module: Any, kinds: list[Any], what: str) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for kind in kinds:
        if not re.fullmatch("[A-Z][A-Za-z0-9]{0,63}", kind.__name__):
            raise DefinitionError(f"{module.__name__}: the {what} {kind.__name__} is not named in CapWords: rename it")
        if named.setdefault(kind.__name__, kind) is not kind:
            raise DefinitionError(f"{module.__name__} has two {what}s named {kind.__name__}: rename one of them")
    return named


def events_of(module: Any, around: Iterable[Any]) -> dict[str, EventInfo]:
    """The module's events by name. Raises DefinitionError where one has no bytes or two share a name."""
    found = {}
    for name, kind in _named(module, _visible(module, around, Event, "events"), "event").items():
        try:
            coder = codec(kind)
        except (DefinitionError, NameError) as error:
            raise DefinitionError(f"{module.__name__}, event {name}: {error}") from None
        found[name] = EventInfo(name, inspect.cleandoc(kind.__doc__ or ""), _fields(kind), kind, coder)
    return found


def errors_of(module: Any, around: Iterable[Any]) -> dict[str, ErrorInfo]:
    """The module's errors by name, likewise. Raises DefinitionError."""
    found = {}
    for name, kind in _named(module, _visible(module, around, CallError, "errors"), "error").items():
        try:
            record = kind.record()
        except (DefinitionError, NameError) as error:
            raise DefinitionError(f"{module.__name__}, error {name}: {error}") from None
        found[name] = ErrorInfo(name, inspect.cleandoc(kind.__doc__ or ""), _fields(record), kind, record)
    return found


def _fields(record: Any) -> tuple[Field, ...]:
    hints = get_type_hints(record, include_extras=True)
    return tuple(Field(name, hints[name], shown(hints[name])) for name in record.__struct_fields__)
