"""Golden locks: a module's types and encodings in a committed file, so that a change of them is seen, and judged.

    def test_the_counter_keeps_its_form(golden: Golden) -> None:
        golden(Counter)   # compares with golden/counter.json beside this test; pytest --update-golden writes it

Lives here: what is locked, and which changes break those who rely on it: signed calls, stored state, readers of events.
Must not: load modules or know pytest (plugin.py does).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runtime.codec import codec, key_codec
from runtime.codec.schema import Schema, schema_of
from runtime.errors import CodecError
from runtime.module import Field, Module
from runtime.module.storage import NO_DEFAULT
from runtime.testing.samples import NoSample, full, least, words

Entry = Mapping[str, Any]
Description = Mapping[str, Any]
STATE: Final = ("storage", "params")
"""The sections that say what stored state means."""
_SINGULAR: Final = {
    "calls": "call",
    "queries": "query",
    "storage": "storage",
    "events": "event",
    "errors": "error",
    "params": "parameters",
    "genesis": "genesis",
}
_SECTIONS: Final = tuple(_SINGULAR)


class GoldenChanged(AssertionError):
    """A module is not what its golden file says. changes: all of them."""

    def __init__(self, module: str, file: Path, changes: Sequence[Change]) -> None:
        self.changes = tuple(changes)
        broken = [f"  {change.what}" for change in changes if not change.is_compatible]
        added = [f"  {change.what}" for change in changes if change.is_compatible]
        lines = [f"{module} is not what {file} says."]
        if broken:
            lines += ["INCOMPATIBLE with what is signed, stored or read by others:", *broken]
            if not any(change.is_version for change in changes):
                lines.append("  and the version is the same: raise it, so that chains that pin the old one refuse this")
        if added:
            lines += ["Compatible:", *added]
        lines.append("If all of this is meant: pytest --update-golden, and commit the file.")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Change:
    """what: in words, with the old and the new. is_compatible: whoever relied on the old still can. is_version: of the
    module's version, which is no difference of form."""

    what: str
    is_compatible: bool
    is_version: bool = False


def describe(module: type[Module]) -> dict[str, Any]:
    """What is locked of a module, as JSON: types in words, and sample values in canonical bytes (hex)."""
    metadata = module.metadata()
    return {
        "module": metadata.name,
        "version": metadata.version,
        "calls": {
            call.name: {
                "arguments": _fields(call.fields),
                "origins": [origin.__name__ for origin in call.origins],
                "samples": _samples(call.codec.schema, call.codec.encode),
            }
            for call in metadata.calls.values()
        },
        "queries": {
            query.name: {
                "arguments": _fields(query.fields),
                "result": words(query.result_codec.schema),
                "samples": _samples(query.result_codec.schema, query.result_codec.encode),
            }
            for query in metadata.queries.values()
        },
        "storage": {each.name: _storage(each) for each in metadata.storage.values()},
        "events": {
            event.name: {
                "fields": _fields(event.fields),
                "samples": _samples(event.codec.schema, event.codec.encode),
            }
            for event in metadata.events.values()
        },
        "errors": {
            error.name: {"fields": _fields(error.fields), **_record(error.record)} for error in metadata.errors.values()
        },
        "params": {} if metadata.params is None else {"params": _model(metadata.params)},
        "genesis": {} if metadata.genesis is None else {"genesis": _model(metadata.genesis)},
    }


def changes(old: Description, new: Description, sections: Iterable[str] = _SECTIONS) -> list[Change]:
    """What differs between two descriptions of one module, in these sections."""
    found = [change for section in sections for change in _section(section, old.get(section, {}), new[section])]
    if old.get("version") != new["version"]:
        found.append(
            Change(f"version was {old.get('version')}, is {new['version']}", is_compatible=True, is_version=True)
        )
    return found


def check(module: type[Module], file: Path, *, update: bool = False) -> None:
    """Compare the module with its golden file, or write the file. Raises GoldenChanged; FileNotFoundError where there
    is none, ValueError where it is no golden file."""
    now = describe(module)
    if update:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
        return
    locked = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(locked, dict) or locked.get("module") != now["module"]:
        raise ValueError(f"{file} is no golden file of {now['module']}")
    found = changes(locked, now)
    if found:
        raise GoldenChanged(now["module"], file, found)


# --- what is locked


def _fields(fields: Iterable[Field]) -> list[str]:
    return [f"{field.name}: {words(schema_of(field.type))}" for field in fields]


def _samples(schema: Schema, encode: Callable[[Any], bytes]) -> list[str]:
    """The least and a full value, encoded; nothing for a type without samples."""
    try:
        return [encode(make(schema)).hex() for make in (least, full)]
    except (NoSample, CodecError):
        return []


def _record(record: Any) -> dict[str, Any]:
    coder = codec(record)
    return {"samples": _samples(coder.schema, coder.encode)}


def _storage(each: Any) -> dict[str, Any]:
    values = codec(each.value)
    found: dict[str, Any] = {"kind": each.kind}
    if each.key is not None:
        keys = key_codec(each.key)
        found |= {"key": words(keys.schema), "key_samples": _samples(keys.schema, keys.encode)}
    default = None if each.default is NO_DEFAULT else values.encode(each.default).hex()
    return found | {
        "value": words(values.schema),
        "default": default,
        "samples": _samples(values.schema, values.encode),
    }


def _model(declared: Any) -> dict[str, Any]:
    schema = schema_of(declared)
    fields = [f"{name}: {words(item)}" for name, item in zip(schema.names, schema.items, strict=True)]
    return {"fields": fields, **_record(declared)}


# --- what a difference means


def _section(section: str, old: Mapping[str, Entry], new: Mapping[str, Entry]) -> Iterator[Change]:
    kind = _SINGULAR[section]
    for name, entry in old.items():
        shown = kind if kind == name or section in ("params", "genesis") else f"{kind} {name}"
        if name not in new:
            yield Change(f"{shown} is gone", is_compatible=False)
        else:
            yield from _entry(shown, entry, new[name])
    for name in [name for name in new if name not in old]:
        # those of a chain that runs are in its spec: who had none cannot have gained some
        is_compatible = section not in ("params", "genesis")
        shown = f"{kind} {name}" if is_compatible else kind
        yield Change(f"{shown} is new", is_compatible)


def _entry(shown: str, old: Entry, new: Entry) -> Iterator[Change]:
    told = False
    for field, now in new.items():
        before = old.get(field)
        if before == now or (told and field.endswith("samples")):
            continue  # other types have other bytes: said already
        told = True
        if field == "origins" and isinstance(before, list) and set(before) < set(now):
            yield Change(f"{shown}: origins were {before}, are {now}", is_compatible=True)
        elif field.endswith("samples") and not before:
            yield Change(f"{shown}: {field} are new", is_compatible=True)
        elif field.endswith("samples"):
            yield Change(f"{shown}: the same types have other bytes: {before} became {now}", is_compatible=False)
        elif isinstance(now, list):
            yield from (Change(f"{shown}: {line}", is_compatible=False) for line in _fields_changed(field, before, now))
        else:
            yield Change(f"{shown}: {field} was {before}, is {now}", is_compatible=False)


def _fields_changed(what: str, before: Any, now: list[str]) -> Iterator[str]:
    """In words, which of the fields differ; where none does, their order."""
    old = dict(text.partition(": ")[::2] for text in before or ())
    new = dict(text.partition(": ")[::2] for text in now)
    for name, kind in old.items():
        if name not in new:
            yield f"{what[:-1]} {name} is gone"
        elif kind != new[name]:
            yield f"{what[:-1]} {name} was {kind}, is {new[name]}"
    for name in new:
        if name not in old:
            yield f"{what[:-1]} {name}: {new[name]} is new"
    if old == new:
        yield f"{what} were in the order {', '.join(old)}, are {', '.join(new)}"
