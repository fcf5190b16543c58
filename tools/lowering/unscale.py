"""Source -> Source: trees that look at prepared features look at the model's inputs themselves, past the preparation.

A feature that was shifted, scaled or cast by constants, each step rounded to its type, never falls as the input grows,
or never rises. So a comparison of it with a threshold is one of the input with another threshold: the last number at
which it still holds, or the first at which it does not. Bit by bit the decisions of the float model, also where a value
meets a threshold only because float32 rounds. Seen through are Scaler, Add, Sub, Mul, Div and Clip with constants,
casts to floating types, choices of columns, Concat, an Imputer of NaN, and what changes nothing; not by trees that ask
whether numbers are equal. Trees then read all tensors at which that ends, each on a grid of its own (ops/trees.py);
no file has such a node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tools.lowering.builder import Tensor
from tools.lowering.ops.ensemble import LEAF, numbers
from tools.lowering.precision import TREES
from tools.lowering.protobuf import DTYPES
from tools.lowering.source import Array, Node, Source

DEPTH_MAX: Final = 32
COLUMNS_MAX: Final = 65_536
_COMPARE: Final = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GT": np.greater,
    "BRANCH_GTE": np.greater_equal,
}
_MIRRORED: Final = {
    "BRANCH_LEQ": "BRANCH_GTE",
    "BRANCH_LT": "BRANCH_GT",
    "BRANCH_GT": "BRANCH_LT",
    "BRANCH_GTE": "BRANCH_LEQ",
}
_STEPS: Final[dict[str, np.ufunc]] = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
_KEYS: Final[dict[np.dtype[Any], npt.DTypeLike]] = {
    np.dtype(np.float32): np.int32,
    np.dtype(np.float64): np.int64,
}
"""Floating types, and the integers that order them."""
SINGLE: Final = np.dtype(np.float32)

Keys = npt.NDArray[np.int64]
Step = tuple[np.ufunc | None, Any]
"""A function and its second operand, a number; None: a cast to that number's type."""


@dataclass(frozen=True)
class _Column:
    """A feature: a column of a tensor, and the steps that make it. `imputed`: after how many of them a missing value
    becomes what."""

    start: str
    place: int
    dtype: np.dtype[Any]
    steps: tuple[Step, ...] = ()
    imputed: tuple[int, float] | None = None

    def then(self, step: np.ufunc, constant: Any) -> _Column:
        return replace(self, steps=(*self.steps, (step, self.type.type(constant))))

    def cast(self, dtype: np.dtype[Any]) -> _Column:
        return self if dtype == self.type else replace(self, steps=(*self.steps, (None, dtype.type(0))))

    def replacing(self, value: float) -> _Column:
        """With a missing value replaced from here on."""
        return self if self.imputed is not None else replace(self, imputed=(len(self.steps), value))

    @property
    def type(self) -> np.dtype[Any]:
        """Of the feature."""
        return np.dtype(type(self.steps[-1][1])) if self.steps else self.dtype

    @property
    def keyed(self) -> np.dtype[Any]:
        """The type among whose numbers a bound is looked for."""
        return self.dtype if self.dtype in _KEYS else np.dtype(np.float64)

    def rises(self) -> bool:
        """Whether the feature never falls as the input grows; else it never rises."""
        signs = [bool(constant < 0) for step, constant in self.steps if step in (np.multiply, np.divide)]
        return sum(signs) % 2 == 0

    def values(self, found: Array, first: int = 0) -> Array:
        """The feature at these numbers, as the float model computes it from that step on."""
        with np.errstate(all="ignore"):
            for step, constant in self.steps[first:]:
                found = found.astype(type(constant)) if step is None else step(found, constant)
        return found


def unscale(source: Source, finished: Callable[[str], Tensor]) -> Source:
    """The same function; a node that nobody reads any more stays, for `without_dead`. `finished`: a tensor as it is
    translated, of which the row's shape and the type count here."""
    finder = _Finder(source, finished)
    nodes = tuple(finder.past(node) if node.op in TREES else node for node in source.nodes)
    return replace(source, nodes=nodes)


class _Finder:
    def __init__(self, source: Source, finished: Callable[[str], Tensor]) -> None:
        self._constants = source.constants
        self._made_by = {name: node for node in source.nodes for name in node.outputs}
        self._finished = finished

    def past(self, node: Node) -> Node:
        """The trees on tensors before, or as they are where anything is not as exporters write it."""
        columns = self._columns(node.inputs[0], DEPTH_MAX) or []
        modes, features = node.texts("nodes_modes") or (), node.integers("nodes_featureids") or ()
        values = numbers(node, "nodes_values") or []
        tracks = node.integers("nodes_missing_value_tracks_true") or (0,) * len(modes)
        if not len(values) == len(modes) == len(features) == len(tracks):
            return node
        used = sorted({feature for feature, mode in zip(features, modes, strict=True) if mode != LEAF})
        if not columns or not set(used) <= set(range(len(columns))):
            return node
        prepared = any(columns[feature].steps for feature in used)
        if prepared and not set(modes) <= {*_COMPARE, LEAF}:
            return node
        known = np.array(modes, f"U{max(map(len, (*_COMPARE, LEAF, *modes)))}")  # wide enough for every mode
        chosen, bounds, missing = np.array(features), np.array(values, np.float64), np.array(tracks)
        for feature in used:
            here = (known != LEAF) & (chosen == feature)
            column = columns[feature]
            if column.imputed is not None:
                missing[here] = _imputed(column, known[here], bounds[here])
            if column.steps:
                known[here], bounds[here] = _moved(column, known[here], bounds[here])
        starts = list(dict.fromkeys(columns[feature].start for feature in used or [0]))
        widths = [self._finished(start).shape[0] for start in starts]
        first = dict(zip(starts, np.cumsum([0, *widths]).tolist(), strict=False))
        places = [
            0 if mode == LEAF else first[columns[f].start] + columns[f].place
            for f, mode in zip(features, modes, strict=True)
        ]
        kept = {name: value for name, value in node.attributes.items() if name != "nodes_values_as_tensor"}
        attributes = kept | {
            "nodes_values": tuple(float(bound) for bound in bounds),
            "nodes_modes": tuple(str(mode) for mode in known),
            "nodes_featureids": tuple(places),
            "nodes_missing_value_tracks_true": tuple(int(track) for track in missing),
        }
        return replace(node, inputs=tuple(starts), attributes=attributes)

    def _columns(self, name: str, depth: int) -> list[_Column] | None:
        """What the tensor's columns are; None where it has none."""
        node = self._made_by.get(name)
        found = None if node is None or depth == 0 else self._behind(node, depth)
        if found is not None and len(found) <= COLUMNS_MAX:
            return found
        x = self._finished(name)
        if len(x.shape) != 1 or x.batch_axis or x.dtype.kind not in "fiub":
            return None
        return [_Column(name, place, x.dtype) for place in range(x.shape[0])]

    def _behind(self, node: Node, depth: int) -> list[_Column] | None:
        """The columns that the node makes of those that it reads; None where it is none of those that are seen
        through."""
        read = [name for name in node.inputs if name and name not in self._constants]
        if node.op == "Concat":
            if len(read) < len(node.inputs) or len(self._finished(node.outputs[0]).shape) != 1:
                return None
            parts = [self._columns(name, depth - 1) for name in read]
            return None if None in parts else [column for part in parts for column in part or ()]
        columns = self._columns(read[0], depth - 1) if len(read) == 1 and node.op in _SEEN_THROUGH else None
        return None if columns is None else _SEEN_THROUGH[node.op](self, node, columns)

    def _same(self, node: Node, columns: list[_Column]) -> list[_Column] | None:
        return columns

    def _cast(self, node: Node, columns: list[_Column]) -> list[_Column] | None:
        dtype = DTYPES.get(node.integer("to", 0))
        return [column.cast(dtype) for column in columns] if dtype in _KEYS and dtype is not None else None

    def _imputer(self, node: Node, columns: list[_Column]) -> list[_Column] | None:
        replaced: Any = node.attributes.get("replaced_value_float", 0.0)
        values = node.numbers("imputed_value_floats") or ()
        if replaced == replaced or len(values) not in (1, len(columns)) or any(c.type.kind != "f" for c in columns):
            return None
        by = np.broadcast_to(np.array(values), len(columns)).tolist()
        return [column.replacing(value) for column, value in zip(columns, by, strict=True)]

    def _extractor(self, node: Node, columns: list[_Column]) -> list[_Column] | None:
        if node.inputs[1] not in self._constants:
            return None
        places = [int(place) for place in self._constants[node.inputs[1]].reshape(-1)]
        return [columns[place] for place in places] if set(places) <= set(range(len(columns))) else None

    def _gather(self, node: Node, columns: list[_Column]) -> list[_Column] | None:
        index = self._constants.get(node.inputs[1])
        if index is None or index.ndim != 1 or node.integer("axis", 0) not in (1, -1):
            return None
        places = [int(place) for place in index]
        fit = all(-len(columns) <= place < len(columns) for place in places)
        return [columns[place] for place in places] if fit else None

    def _stepped(self, node: Node, columns: list[_Column]) -> list[_Column] | None:
        if node.op == "Scaler":
            columns = [column.cast(SINGLE) for column in columns]
        steps = self._steps(node)
        for step, constants in steps:
            if constants.size not in (1, len(columns)) or max(constants.shape, default=1) != constants.size:
                return None
            by = np.broadcast_to(constants.reshape(-1), len(columns))
            columns = [column.then(step, constant) for column, constant in zip(columns, by, strict=True)]
        return columns if steps and all(column.type in _KEYS for column in columns) else None

    def _steps(self, node: Node) -> list[tuple[np.ufunc, Array]]:
        """The node's steps with their constants; none where it is not of this kind."""
        if node.op == "Scaler":
            offset, scale = node.numbers("offset") or (0.0,), node.numbers("scale") or (1.0,)
            return [(np.subtract, np.array(offset)), (np.multiply, np.array(scale))]
        fixed = [self._constants[name] for name in node.inputs if name in self._constants]
        if node.op == "Clip":
            return [(np.maximum, fixed[0]), (np.minimum, fixed[1])] if len(node.inputs) == len(fixed) + 1 == 3 else []
        first = node.inputs[0] in self._constants
        if not fixed or (first and node.op in ("Sub", "Div")) or (node.op == "Div" and not fixed[0].all()):
            return []
        return list(zip((_STEPS[node.op], np.add), fixed, strict=False))  # `fuse` gives a Mul an offset


_SEEN_THROUGH: Final[dict[str, Callable[[_Finder, Node, list[_Column]], list[_Column] | None]]] = {
    **dict.fromkeys((*_STEPS, "Clip", "Scaler"), _Finder._stepped),
    "ArrayFeatureExtractor": _Finder._extractor,
    "Cast": _Finder._cast,
    "Gather": _Finder._gather,
    "Identity": _Finder._same,
    "Imputer": _Finder._imputer,
}


def _imputed(column: _Column, modes: Array, thresholds: Array) -> Array:
    """Whether each branch holds, 1 or 0, of a row that lacks the value."""
    first, value = column.imputed or (0, 0.0)
    dtype = np.dtype(type(column.steps[first - 1][1])) if first else column.dtype
    found = column.values(np.full(len(modes), value).astype(dtype), first)
    return _holds(modes, found, thresholds).astype(np.int64)


def _holds(modes: Array, values: Array, thresholds: Array) -> npt.NDArray[np.bool_]:
    found = np.select([modes == mode for mode in _COMPARE], [of(values, thresholds) for of in _COMPARE.values()])
    return found.astype(bool)


def _moved(column: _Column, modes: Array, thresholds: Array) -> tuple[Array, Array]:
    """The branches' modes and bounds on the column's start: the mode says, as before, to which side the bound itself
    goes, which is the nearest number that goes there. By bisection over all numbers of the type, in their order."""
    up_to = np.isin(modes, ("BRANCH_LEQ", "BRANCH_LT")) == column.rises()
    most = int(_key(np.finfo(column.keyed).max))
    low, high = np.full(len(modes), -most - 1), np.full(len(modes), most)
    while (low < high).any():
        middle = (low | high) - ((low ^ high) >> 1)  # half of the sum, rounded up, without overflow
        number = _number(middle, column.keyed).astype(column.dtype if column.dtype in _KEYS else np.float64)
        kept = _holds(modes, column.values(number), thresholds) == up_to
        low, high = np.where(kept, middle, low), np.where(kept, high, middle - 1)
    last, following = (
        _number(np.clip(keys, -most, most), column.keyed).astype(np.float64) for keys in (low, low + (low < most))
    )
    last, following = np.where(low < -most, -np.inf, last), np.where(low >= most, np.inf, following)
    if not column.rises():
        modes = np.array([_MIRRORED[mode] for mode in modes.tolist()], modes.dtype)
    return modes, np.where(np.isin(modes, ("BRANCH_LEQ", "BRANCH_GT")), last, following)


def _key(number: Any) -> Keys:
    """The place of a positive number among all of its type."""
    return np.asarray(number).view(_KEYS[np.asarray(number).dtype]).astype(np.int64)


def _number(keys: Keys, dtype: np.dtype[Any]) -> Array:
    """The number of this place among all, in their order; 0 is 0."""
    magnitudes = np.abs(keys).astype(_KEYS[dtype]).view(dtype)
    return np.where(keys < 0, -magnitudes, magnitudes)
