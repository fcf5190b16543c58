"""What two chain specs say differently: by what they mean, not by how they are written.

Compared are resolved values: defaults written out, modules by name, validators by key, accounts whatever their prefix,
numbers whether in digits or not. Two specs without differences make one chain; so do two that differ in bootnodes only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chain_spec.document import step
from chain_spec.explain import of_form
from chain_spec.resolve import resolve
from chain_spec.types import ChainSpec, ModuleSpec

ABSENT: Any = object()


@dataclass(frozen=True)
class Difference:
    """One value that differs. path: like a JSON path, with a module's name and a validator's key as places. first,
    second: JSON values; ABSENT where there is none."""

    path: str
    first: Any
    second: Any

    @property
    def kind(self) -> str:
        """added | removed | changed"""
        if self.first is ABSENT:
            return "added"
        return "removed" if self.second is ABSENT else "changed"


def differences(first: ChainSpec, second: ChainSpec) -> list[Difference]:
    """Everything that differs, by path. Raises SpecError where one of them is wrong."""
    prefix = first.address_prefix
    return list(_compare(_meaning(first, prefix), _meaning(second, prefix), "$"))


def _meaning(spec: ChainSpec, prefix: str) -> dict[str, Any]:
    """All that the spec says, written in the one way. prefix: in which all addresses are shown."""
    chain = resolve(spec)
    said: dict[str, Any] = spec.model_dump(mode="json")
    said["modules"] = {
        entry.name: _module(entry, module.metadata(), spec.address_prefix, prefix)
        for entry, module in zip(spec.modules, chain.modules, strict=True)
    }
    said["hook_order"] = [entry.name for entry in spec.modules]
    return said


def _module(entry: ModuleSpec, metadata: Any, own_prefix: str, prefix: str) -> dict[str, Any]:
    def written(model: Any, values: dict[str, Any]) -> Any:
        if model is None:
            return {}
        made = of_form(model, values, "$", own_prefix)
        return made.model_dump(mode="json", context={"prefix": prefix})

    return {
        "version": metadata.version,
        "digest": None if entry.digest is None else entry.digest.hex(),
        "params": written(metadata.params, entry.params),
        "genesis": written(metadata.genesis, entry.genesis),
    }


def _compare(first: Any, second: Any, path: str) -> Iterator[Difference]:
    if isinstance(first, list) and isinstance(second, list):
        first, second = _by_key(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        for key in [*first, *(key for key in second if key not in first)]:
            yield from _compare(first.get(key, ABSENT), second.get(key, ABSENT), step(path, key))
    elif first is ABSENT or second is ABSENT or type(first) is not type(second) or first != second:
        yield Difference(path, first, second)


def _by_key(first: list[Any], second: list[Any]) -> tuple[Any, Any]:
    """Two lists of records with a key each, as objects by key and their order; other lists as they are."""
    maps = [
        {each["public_key"]: each for each in listed if isinstance(each, dict) and "public_key" in each}
        for listed in (first, second)
    ]
    if any(len(found) != len(listed) for found, listed in zip(maps, (first, second), strict=True)):
        return first, second
    shared = [[key for key in found if key in other] for found, other in (maps, maps[::-1])]
    if shared[0] == shared[1]:
        return maps[0], maps[1]
    return {**maps[0], "order": list(maps[0])}, {**maps[1], "order": list(maps[1])}
