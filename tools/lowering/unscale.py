"""Source -> Source: trees that look at scaled features look at the features themselves, past the Scaler.

(x - offset) * scale, each step rounded to float32, never falls as x grows where scale > 0, and never rises where it is
below 0. So a comparison of it with a threshold is one of x with another threshold: the last float32 at which it still
holds, or does not yet. Bit by bit the decisions of the float model, also where a value meets a threshold only because
float32 rounds. Only inputs of float32 are so seen through, and no trees that ask whether numbers are equal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tools.lowering.builder import TREES
from tools.lowering.source import Array, Node, Source

LEAF: Final = "LEAF"
_COMPARE: Final = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GT": np.greater,
    "BRANCH_GTE": np.greater_equal,
}
_KEY_MAX: Final = int(np.float32(np.finfo(np.float32).max).view(np.int32))

_DEFAULTS: Final = (("offset", (0.0,)), ("scale", (1.0,)))

Singles = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]


def unscale(source: Source) -> Source:
    """The same function of float32 inputs; a node that nobody reads any more stays, for `without_dead`."""
    made_by = {name: node for node in source.nodes for name in node.outputs}
    inputs = {port.name: port.shape or () for port in source.inputs if port.dtype == np.float32}
    nodes = [_past(node, made_by, inputs) if node.op in TREES else node for node in source.nodes]
    return replace(source, nodes=tuple(nodes))


def _past(node: Node, made_by: dict[str, Node], inputs: dict[str, tuple[int, ...]]) -> Node:
    """The trees past what changes nothing, and past a Scaler of an input."""
    name = _origin(node.inputs[0], made_by)
    past = replace(node, inputs=(name, *node.inputs[1:]))
    scaler = made_by.get(name)
    if scaler is None or scaler.op != "Scaler":
        return past
    return _seen_through(past, scaler, _origin(scaler.inputs[0], made_by), inputs)


def _origin(name: str, made_by: dict[str, Node]) -> str:
    """The tensor that this one is by another name: an Imputer of NaN has nothing to replace where there is no NaN."""
    node = made_by.get(name)
    while node is not None and (node.op == "Identity" or _is_idle_imputer(node)):
        name = node.inputs[0]
        node = made_by.get(name)
    return name


def _is_idle_imputer(node: Node) -> bool:
    value: Any = node.attributes.get("replaced_value_float", 0.0)
    return node.op == "Imputer" and "imputed_value_floats" in node.attributes and value != value


def _seen_through(node: Node, scaler: Node, origin: str, inputs: dict[str, tuple[int, ...]]) -> Node:
    """The trees behind the Scaler; as they are where anything is not as exporters write it."""
    shape = inputs.get(origin, ())
    modes, features = node.texts("nodes_modes") or (), node.integers("nodes_featureids") or ()
    values: Any = node.attributes.get("nodes_values")
    offset, scale = (np.array(scaler.numbers(name) or default, np.float32) for name, default in _DEFAULTS)
    plain = isinstance(values, tuple) and len(values) == len(modes) == len(features) > 0 and len(shape) == 1
    if not plain or not set(modes) <= {*_COMPARE, LEAF} or not set(features) <= set(range(shape[0])):
        return node
    if any(array.size not in (1, shape[0]) for array in (offset, scale)):
        return node
    chosen = np.array(features)
    by_node = [np.broadcast_to(array, shape)[chosen] for array in (offset, scale)]
    known = np.array(modes)
    bounds, up_to = _bounds(known, np.array(values, np.float32), by_node[0], by_node[1])
    changed = np.where(known == LEAF, known, np.where(up_to, "BRANCH_LEQ", "BRANCH_GT"))
    attributes = dict(node.attributes) | {
        "nodes_values": tuple(float(bound) for bound in bounds),
        "nodes_modes": tuple(str(mode) for mode in changed),
    }
    merged = (*node.merged, scaler.index)
    return replace(node, inputs=(origin, *node.inputs[1:]), attributes=attributes, merged=merged)


def _bounds(modes: Array, thresholds: Singles, offset: Singles, scale: Singles) -> tuple[Array, Array]:
    """For each node the bound of x, and whether the branch goes left up to it (else: above it). Bounds lie halfway to
    the next float32, where no rounding of x reaches them. Found by bisection over all float32, in their order."""
    up_to = np.isin(modes, ("BRANCH_LEQ", "BRANCH_LT")) == (scale >= 0)

    def holds(numbers: Keys) -> npt.NDArray[np.bool_]:
        """Whether the branch, at these float32 numbers, goes where it goes up to its bound."""
        with np.errstate(all="ignore"):
            scaled = (_single(numbers) - offset) * scale
        left = np.select([modes == mode for mode in _COMPARE], [of(scaled, thresholds) for of in _COMPARE.values()])
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
