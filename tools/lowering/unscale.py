"""Source -> Source: trees that look at scaled features look at the model's inputs themselves, past the scaling.

A feature that was shifted and scaled by constants, each step rounded to float32, never falls as the input grows, or
never rises. So a comparison of it with a threshold is one of the input with another threshold: the last float32 at
which it still holds, or does not yet. Bit by bit the decisions of the float model, also where a value meets a threshold
only because float32 rounds. Seen through are Scaler, Add, Sub, Mul, Div and Clip with constants, choices of columns,
Concat, and what changes nothing; only to one input of float32, and not by trees that ask whether numbers are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from tools.lowering.precision import TREES
from tools.lowering.source import Array, Node, Source

LEAF: Final = "LEAF"
DEPTH_MAX: Final = 32
COLUMNS_MAX: Final = 65_536
_COMPARE: Final = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GT": np.greater,
    "BRANCH_GTE": np.greater_equal,
}
_STEPS: Final[dict[str, np.ufunc]] = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
_KEY_MAX: Final = int(np.float32(np.finfo(np.float32).max).view(np.int32))

Singles = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Column:
    """A feature: a column of an input, and the steps that make it, each with a constant as the second operand."""

    port: str
    place: int
    steps: tuple[tuple[np.ufunc, np.float32], ...] = ()

    def then(self, step: np.ufunc, constant: np.float32) -> _Column:
        return replace(self, steps=(*self.steps, (step, constant)))

    def rises(self) -> bool:
        """Whether the feature never falls as the input grows; else it never rises."""
        signs = [constant < 0 for step, constant in self.steps if step in (np.multiply, np.divide)]
        return sum(signs) % 2 == 0

    def values(self, numbers: Keys) -> Singles:
        """The feature at these float32 numbers of the input, as float32 computes it."""
        found = _single(numbers)
        with np.errstate(all="ignore"):
            for step, constant in self.steps:
                found = step(found, constant)
        return found


def unscale(source: Source) -> Source:
    """The same function of float32 inputs; a node that nobody reads any more stays, for `without_dead`."""
    finder = _Finder(source)
    nodes = tuple(finder.past(node) if node.op in TREES else node for node in source.nodes)
    return replace(source, nodes=nodes)


class _Finder:
    def __init__(self, source: Source) -> None:
        self._constants = source.constants
        self._made_by = {name: node for node in source.nodes for name in node.outputs}
        self._lacking = {port.name for port in source.inputs if port.missing}
        self._ports = {
            port.name: port.shape[0]
            for port in source.inputs
            if port.dtype == np.float32 and port.shape is not None and len(port.shape) == 1
        }

    def past(self, node: Node) -> Node:
        """The trees on an input, or as they are where anything is not as exporters write it."""
        columns = self._columns(node.inputs[0], DEPTH_MAX) or []
        modes, features = node.texts("nodes_modes") or (), node.integers("nodes_featureids") or ()
        values: Any = node.attributes.get("nodes_values")
        if not isinstance(values, tuple) or not len(values) == len(modes) == len(features):
            return node
        used = {feature for feature, mode in zip(features, modes, strict=True) if mode != LEAF}
        ports = {columns[feature].port for feature in used or {0} if 0 <= feature < len(columns)}
        if not used <= set(range(len(columns))) or len(ports) != 1:
            return node
        known = np.array(modes, f"U{max(map(len, (*_COMPARE, LEAF, *modes)))}")  # wide enough for every mode
        chosen, bounds = np.array(features), np.array(values, np.float64)
        if any(columns[feature].steps for feature in used):
            if not set(modes) <= {*_COMPARE, LEAF}:
                return node
            for feature in used:
                here = (known != LEAF) & (chosen == feature)
                bounds[here], up_to = _bounds(columns[feature], known[here], bounds[here].astype(np.float32))
                known[here] = np.where(up_to, "BRANCH_LEQ", "BRANCH_GT")
        places = [0 if mode == LEAF else columns[f].place for f, mode in zip(features, modes, strict=True)]
        attributes = dict(node.attributes) | {
            "nodes_values": tuple(float(bound) for bound in bounds),
            "nodes_modes": tuple(str(mode) for mode in known),
            "nodes_featureids": tuple(places),
        }
        return replace(node, inputs=(*ports, *node.inputs[1:]), attributes=attributes)

    def _columns(self, name: str, depth: int) -> list[_Column] | None:
        """What the tensor's columns are; None where that is not known."""
        if name in self._ports:
            return [_Column(name, place) for place in range(self._ports[name])]
        node = self._made_by.get(name)
        if node is None or depth == 0:
            return None
        parts = [self._columns(part, depth - 1) for part in node.inputs if part not in self._constants]
        if not parts or any(part is None for part in parts):
            return None
        found = [column for part in parts if part is not None for column in part]
        return self._after(node, found, alone=len(parts) == 1) if len(found) <= COLUMNS_MAX else None

    def _after(self, node: Node, columns: list[_Column], *, alone: bool) -> list[_Column] | None:
        """The columns that the node makes of those that it reads."""
        if node.op == "Concat":
            return columns if node.integer("axis", 0) in (1, -1) and not self._fixed(node) else None
        if not alone:
            return None
        if _is_idle(node) and not (node.op == "Imputer" and any(column.port in self._lacking for column in columns)):
            return columns
        if node.op == "ArrayFeatureExtractor" and node.inputs[1] in self._constants:
            places = [int(place) for place in self._constants[node.inputs[1]].reshape(-1)]
            return [columns[place] for place in places] if set(places) <= set(range(len(columns))) else None
        steps = self._steps(node)
        for step, constants in steps or ():
            if constants.size not in (1, len(columns)) or max(constants.shape, default=1) != constants.size:
                return None
            by = np.broadcast_to(constants.astype(np.float32).reshape(-1), len(columns))
            columns = [column.then(step, constant) for column, constant in zip(columns, by, strict=True)]
        return columns if steps else None

    def _fixed(self, node: Node) -> list[Array]:
        return [self._constants[name] for name in node.inputs if name in self._constants]

    def _steps(self, node: Node) -> list[tuple[np.ufunc, Array]]:
        """The node's steps with their constants; none where it is not of this kind."""
        if node.op == "Scaler":
            offset, scale = node.numbers("offset") or (0.0,), node.numbers("scale") or (1.0,)
            return [(np.subtract, np.array(offset)), (np.multiply, np.array(scale))]
        fixed = self._fixed(node)
        first = node.inputs[0] in self._constants
        if node.op == "Clip" and len(node.inputs) == 3 and len(fixed) == 2:
            return [(np.maximum, fixed[0]), (np.minimum, fixed[1])]
        if node.op not in _STEPS or (first and node.op in ("Sub", "Div")) or (node.op == "Div" and not fixed[0].all()):
            return []
        return list(zip((_STEPS[node.op], np.add), fixed, strict=False))  # `fuse` gives a Mul an offset


def _is_idle(node: Node) -> bool:
    """Whether it changes nothing: an Imputer of NaN has nothing to replace where there is no NaN."""
    if node.op == "Imputer":
        value: Any = node.attributes.get("replaced_value_float", 0.0)
        return "imputed_value_floats" in node.attributes and value != value
    return node.op == "Identity" or (node.op == "Cast" and node.integer("to", 0) == TensorProto.FLOAT)


def _bounds(column: _Column, modes: Array, thresholds: Singles) -> tuple[Array, Array]:
    """For each branch the bound of the input, and whether it goes left up to it (else: above it). Bounds lie halfway to
    the next float32, where no rounding of the input reaches them. By bisection over all float32, in their order."""
    up_to = np.isin(modes, ("BRANCH_LEQ", "BRANCH_LT")) == column.rises()

    def holds(numbers: Keys) -> npt.NDArray[np.bool_]:
        """Whether the branch, at these numbers, goes where it goes up to its bound."""
        values = column.values(numbers)
        left = np.select([modes == mode for mode in _COMPARE], [of(values, thresholds) for of in _COMPARE.values()])
        found: npt.NDArray[np.bool_] = left.astype(bool) == up_to
        return found

    low, high = np.full(len(modes), -_KEY_MAX - 1), np.full(len(modes), _KEY_MAX)
    while (low < high).any():
        middle = (low + high + 1) >> 1
        kept = holds(middle)
        low, high = np.where(kept, middle, low), np.where(kept, high, middle - 1)
    last, following = (_single(np.clip(keys, -_KEY_MAX, _KEY_MAX)).astype(np.float64) for keys in (low, low + 1))
    return np.where(low < -_KEY_MAX, -np.inf, (last + following) / 2), up_to


def _single(numbers: Keys) -> Singles:
    """The float32 of this number among all, in their order; 0 is 0."""
    magnitudes = np.abs(numbers).astype(np.int32).view(np.float32)
    return np.where(numbers < 0, -magnitudes, magnitudes)
