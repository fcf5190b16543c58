"""TreeEnsemble (ai.onnx.ml since 5) in the lists of a TreeEnsembleRegressor: leaves become nodes of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from runtime.inference.limits import TREE_NODES_MAX
from tools.lowering.ops.ensemble import LEAF
from tools.lowering.source import Attribute, Node

BRANCHES: Final = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
AGGREGATES: Final = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS: Final = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
SIDES: Final = ("true", "false")


def as_regressor(node: Node) -> Node:
    """The node with a regressor's attributes. Refused: places that do not exist, nodes that are met twice, tests of
    membership."""
    count = len(_integers(node, "nodes_featureids"))
    features, modes = _integers(node, "nodes_featureids"), _tensor(node, "nodes_modes", count)
    splits, weights = _tensor(node, "nodes_splits", count), _tensor(node, "leaf_weights")
    ids = _integers(node, "leaf_targetids", len(weights))
    ends = {side: _integers(node, f"nodes_{side}leafs", count) for side in SIDES}
    places = {side: _integers(node, f"nodes_{side}nodeids", count) for side in SIDES}
    if any(not 0 <= mode < len(BRANCHES) for mode in modes):
        raise node.refuse("a node asks whether a feature is member of a set", "train without categories")
    rows: list[tuple[int, int, int, str, float, int, int]] = []  # tree, node, feature, mode, split, true, false
    leaves: list[tuple[int, int, int, float]] = []  # tree, node, target, weight
    met: set[int] = set()
    named = count  # names of leaves follow those of nodes
    for tree, root in enumerate(_integers(node, "tree_roots")):
        waiting = [root]
        while waiting:
            place = waiting.pop()
            if place in met or not 0 <= place < count or len(rows) > TREE_NODES_MAX:
                raise node.refuse(f"node {place} of {count} does not exist, is reached twice, or is one too many")
            met.add(place)
            children = []
            for side in SIDES:
                child = places[side][place]
                if not ends[side][place]:
                    waiting.append(child)
                elif not 0 <= child < len(ids):
                    raise node.refuse(f"leaf {child} of {len(ids)} does not exist")
                else:
                    leaves.append((tree, named, ids[child], weights[child]))
                    child, named = named, named + 1
                children.append(child)
            mode = BRANCHES[int(modes[place])]
            rows.append((tree, place, features[place], mode, splits[place], children[0], children[1]))
    return replace(node, attributes=_lists(node, rows, leaves))


def _lists(
    node: Node, rows: list[tuple[int, int, int, str, float, int, int]], leaves: list[tuple[int, int, int, float]]
) -> dict[str, Attribute]:
    every = [*rows, *((tree, name, 0, LEAF, 0.0, 0, 0) for tree, name, _, _ in leaves)]
    kinds = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    found: dict[str, Any] = {f"nodes_{kind}": tuple(row[at] for row in every) for at, kind in enumerate(kinds)}
    for at, kind in enumerate(("treeids", "nodeids", "ids", "weights")):
        found[f"target_{kind}"] = tuple(leaf[at] for leaf in leaves)
    for name, names, default in (("aggregate_function", AGGREGATES, 1), ("post_transform", TRANSFORMS, 0)):
        number = node.integer(name, default)
        found[name] = names[number] if 0 <= number < len(names) else str(number)
    return {**found, "n_targets": node.integer("n_targets", 1)}


def _integers(node: Node, name: str, length: int | None = None) -> tuple[int, ...]:
    found = node.integers(name) or ()
    if length is not None and len(found) != length:
        raise node.refuse(f"{name} has {len(found)} numbers, {length} are needed")
    return found


def _tensor(node: Node, name: str, length: int | None = None) -> list[float]:
    value: Any = node.attributes.get(name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf" or length not in (None, value.size):
        raise node.refuse(f"{name} must be a tensor of {'numbers' if length is None else f'{length} numbers'}")
    return [float(item) for item in value.reshape(-1)]
