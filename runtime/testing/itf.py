"""Reads traces in ITF, the JSON format in which Quint and Apalache write runs (apalache.informal.systems)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple


class Variant(NamedTuple):
    """A tagged value; `value` is None where the tag has no payload."""

    tag: str
    value: Any = None


def load_json(path: Path) -> Any:
    """The document of a JSON file, gzipped if its name ends in .gz."""
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def load_states(path: Path) -> list[dict[str, Any]]:
    """The states of a trace: each maps the model's variables to values (see `plain`)."""
    return [
        {name: plain(value) for name, value in state.items() if name != "#meta"} for state in load_json(path)["states"]
    ]


def plain(value: Any) -> Any:
    """An ITF value as Python has it: int, str, tuple, dict (records and maps), list (lists and sets), Variant."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "#bigint" in value:
        return int(value["#bigint"])
    if "#tup" in value:
        return tuple(plain(item) for item in value["#tup"])
    if "#set" in value:
        return [plain(item) for item in value["#set"]]
    if "#map" in value:
        return {plain(key): plain(item) for key, item in value["#map"]}
    if value.keys() == {"tag", "value"}:
        payload = plain(value["value"])
        return Variant(value["tag"], None if payload == () else payload)
    return {name: plain(item) for name, item in value.items()}
