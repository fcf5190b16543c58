"""LabelEncoder (ai.onnx.ml): one list for another, of texts, integers or floats.

Each value becomes its place among entries. Of classes, and of integers from 0 up to a bound, the place is the value
itself; of other numbers it is found by comparing with each key. Entries that are texts or integers are classes; floats
are looked up. Floats are compared as the numbers of the tensor's grid that they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Classes, Tensor
from tools.lowering.ops.classes import KEYS_MAX, as_classes
from tools.lowering.ops.indexing import looked_up
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.logic import compared
from tools.lowering.protobuf import TEXT
from tools.lowering.source import Node

COMPARED_KEYS_MAX: Final = 1024
"""Each is compared with each element."""
Value = str | int | float
_DEFAULTS: Final[dict[str, Value]] = {"strings": "_Unused", "int64s": -1, "floats": 0.0}


@dataclass(frozen=True)
class _Table:
    """`missing`: what every value becomes that is no key. dtype: of the values."""

    keys: tuple[Value, ...]
    values: tuple[Value, ...]
    missing: Value
    dtype: np.dtype[Any]

    def of(self, found: Sequence[Value]) -> tuple[Value, ...]:
        """What each becomes."""
        known = dict(zip(self.keys, self.values, strict=True))
        return tuple(known.get(value, self.missing) for value in found)


def label_encoder(node: Node, b: Builder) -> None:
    """Keys and values each as a list of texts, integers or floats, or as a tensor."""
    x, table = b.tensor(node, 0, classes=True), _table(node)
    if (x.dtype == TEXT) != isinstance(table.keys[0], str):
        raise node.refuse(f"its keys, like {table.keys[0]!r}, are not of the type {x.dtype} that it is given")
    if x.classes is not None:
        entries = table.of(x.classes)
    elif x.dtype.kind in "iub" and 0 <= x.fact.low <= x.fact.high < KEYS_MAX:
        entries = table.of(range(x.fact.high + 1))
    else:
        entries, x = (table.missing, *table.values), _place(node, b, x, table.keys)
    if table.dtype.kind != "f":
        classes: Classes = tuple(map(str, entries)) if table.dtype == TEXT else tuple(map(int, entries))
        b.bind(node, replace(as_classes(b, x, classes), dtype=table.dtype))
        return
    index = replace(x, dtype=np.dtype(np.int64), classes=None, error=0.0)
    found = looked_up(node, b, np.array(entries, table.dtype), index)
    b.bind(node, replace(found, error=inf if x.error else found.error))


def _place(node: Node, b: Builder, x: Tensor, keys: tuple[Value, ...]) -> Tensor:
    """1 + the place of the key that x is, 0 where it is none."""
    if len(keys) > COMPARED_KEYS_MAX:
        raise node.refuse(f"it compares with {len(keys)} keys, {COMPARED_KEYS_MAX} are supported")
    wanted = np.array(keys, np.float64).reshape((1,) * len(x.shape) + (-1,))
    hits = compared(node, b, reshaped(b, x, (*x.shape, 1)), "Equal", wanted)
    numbers = b.store(np.arange(1, len(keys) + 1)[np.newaxis])
    place = b.derive(hits, ir.Gemm(x=hits.index, weights=numbers, bias=None, shifts=None))
    place = b.derive(place, ir.Clip(x=place.index, low=0, high=len(keys)))  # of two keys that are one on the grid
    return reshaped(b, place, x.shape)


def _table(node: Node) -> _Table:
    (_, keys, _), (kind, values, dtype) = _listed(node, "keys"), _listed(node, "values")
    if len(keys) != len(values) or not 1 <= len(keys) <= KEYS_MAX or len(set(keys)) != len(keys):
        raise node.refuse(f"{len(set(keys))} keys and {len(values)} values do not fit each other")
    return _Table(keys, values, _missing(node, kind, values[0]), dtype)


def _listed(node: Node, what: str) -> tuple[str, tuple[Value, ...], np.dtype[Any]]:
    """(kind, the list, its type) of "keys" or "values"."""
    found: dict[str, tuple[Sequence[Value] | None, np.dtype[Any]]] = {
        "strings": (node.texts(f"{what}_strings"), TEXT),
        "int64s": (node.integers(f"{what}_int64s"), np.dtype(np.int64)),
        "floats": (node.numbers(f"{what}_floats"), np.dtype(np.float32)),
    }
    given = node.attributes.get(f"{what}_tensor")
    if isinstance(given, np.ndarray) and (given.dtype == TEXT or given.dtype.kind in "iuf"):
        kind = "strings" if given.dtype == TEXT else "floats" if given.dtype.kind == "f" else "int64s"
        found[kind] = given.reshape(-1).tolist(), given.dtype
    lists = [(kind, tuple(values), dtype) for kind, (values, dtype) in found.items() if values is not None]
    if len(lists) != 1:
        raise node.refuse(f"{what} must be given as one list of texts, integers or floats")
    return lists[0]


def _missing(node: Node, kind: str, like: Value) -> Value:
    given = node.attributes.get("default_tensor")
    name, default = f"default_{kind[:-1]}", _DEFAULTS[kind]
    missing = node.attributes.get(name, default)
    if isinstance(given, np.ndarray) and given.size == 1:
        missing = given.reshape(-1).tolist()[0]
    if type(missing) is not type(like) or (isinstance(missing, float) and not np.isfinite(missing)):
        raise node.refuse(f"what it makes of anything else, {missing!r}, is no value like {like!r}")
    return missing
