"""The attributes of a TreeEnsembleClassifier or TreeEnsembleRegressor as trees in preorder, checked. No grids here.

Refused: nodes that are listed twice, missing, shared or in a circle; trees without one root; unknown modes; leaves of
targets that do not exist; numbers that are none. A threshold may be infinite: such a branch has one way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from runtime.inference.limits import TREE_DEPTH_MAX, TREE_NODES_MAX
from tools.lowering.grids import Floats
from tools.lowering.source import Node

TARGETS_MAX: Final = 4096
LEAF: Final = "LEAF"
EXCHANGED: Final = {"BRANCH_GT": "BRANCH_LEQ", "BRANCH_GTE": "BRANCH_LT", "BRANCH_NEQ": "BRANCH_EQ"}
MODES: Final = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", LEAF)


@dataclass(frozen=True)
class Branch:
    """Left where x[feature] `mode` value. Of BRANCH_LEQ, BRANCH_LT and BRANCH_EQ; others have their sides exchanged.
    missing_left: where rows go that lack the feature. others: what a feature may be equal to as well."""

    feature: int
    mode: str
    value: float
    missing_left: bool = False
    others: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tree:
    """`nodes` in preorder: a Branch, its left side, its right side; a leaf is the number of its row in `leaves`
    [leaves, targets]."""

    nodes: tuple[Branch | int, ...]
    leaves: Floats


@dataclass(frozen=True)
class _Listed:
    """The lists of nodes, and where each (tree, node) stands in them."""

    places: dict[tuple[int, int], int]
    features: Sequence[int]
    modes: Sequence[str]
    values: Sequence[float]
    true: Sequence[int]
    false: Sequence[int]
    tracks: Sequence[int]

    def alike(self, tree: int, place: int) -> int | None:
        """Where the false side of a test of equality is the next test of the same feature with the same true side, as
        exporters write a set of categories: its place."""
        after = self.places.get((tree, self.false[place]))
        if after is None or self.modes[place] != "BRANCH_EQ":
            return None
        lists = (self.modes, self.features, self.true, self.tracks)
        return after if all(found[place] == found[after] for found in lists) else None


def read_trees(node: Node, kind: str, targets: int, features: int) -> list[Tree]:
    """The trees in order of their first node. `kind`: "target" or "class", how the attributes of leaves are called."""
    if not 1 <= targets <= TARGETS_MAX:
        raise node.refuse(f"it has {targets} targets or classes, 1 to {TARGETS_MAX} are supported")
    listed = _listed(node, features)
    weights = _weights(node, kind, targets, listed)
    trees = [_tree(node, listed, weights, root, targets) for root in _roots(node, listed)]
    joined = sum(len(item.others) for tree in trees for item in tree.nodes if isinstance(item, Branch))
    if joined + sum(len(tree.nodes) for tree in trees) != len(listed.places):
        raise node.refuse("one of its trees goes in a circle")
    return trees


def numbers(node: Node, name: str) -> list[float] | None:
    """A list of numbers: an attribute `name` of floats, or `name`_as_tensor of any width. May be infinite."""
    value: Any = node.attributes.get(name, node.attributes.get(f"{name}_as_tensor"))
    if value is None:
        return None
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return [float(item) for item in value.reshape(-1)]
    if isinstance(value, tuple) and all(isinstance(item, float) for item in value):
        return list(value)
    raise node.refuse(f"attribute {name} must be a list of numbers")


def _integers(node: Node, name: str, length: int | None = None) -> tuple[int, ...]:
    found = node.integers(name) or ()
    if length is not None and len(found) != length:
        raise node.refuse(f"{name} has {len(found)} numbers, {length} are needed")
    return found


def _listed(node: Node, features: int) -> _Listed:
    trees = _integers(node, "nodes_treeids")
    count = len(trees)
    if not 1 <= count <= TREE_NODES_MAX:
        raise node.refuse(f"it has {count} nodes, 1 to {TREE_NODES_MAX} are supported")
    names = _integers(node, "nodes_nodeids", count)
    modes = node.texts("nodes_modes") or ()
    values = numbers(node, "nodes_values") or [0.0] * count
    if len(modes) != count or len(values) != count:
        raise node.refuse(f"{len(modes)} nodes_modes and {len(values)} nodes_values do not fit {count} nodes")
    unknown = sorted(set(modes) - set(MODES))
    if unknown:
        raise node.refuse(f"its mode {unknown[0]!r} is unknown")
    looked_at = _integers(node, "nodes_featureids", count)
    for feature, mode, value in zip(looked_at, modes, values, strict=True):
        if mode != LEAF and (not 0 <= feature < features or value != value):
            raise node.refuse(f"a branch compares feature {feature} of {features} with {value}")
    places = {key: place for place, key in enumerate(zip(trees, names, strict=True))}
    if len(places) != count:
        raise node.refuse("two of its nodes have one number")
    true, false = (_integers(node, f"nodes_{side}nodeids", count) for side in ("true", "false"))
    tracks = node.integers("nodes_missing_value_tracks_true") or (0,) * count
    if len(tracks) != count:
        raise node.refuse(f"{len(tracks)} nodes_missing_value_tracks_true do not fit {count} nodes")
    return _Listed(places, looked_at, modes, values, true, false, tracks)


def _weights(node: Node, kind: str, targets: int, listed: _Listed) -> dict[int, list[tuple[int, float]]]:
    """By a leaf's place: the targets that it adds to, and how much."""
    trees = _integers(node, f"{kind}_treeids")
    count = len(trees)
    names, ids = (_integers(node, f"{kind}_{name}", count) for name in ("nodeids", "ids"))
    weights = numbers(node, f"{kind}_weights") or []
    if len(weights) != count or not np.isfinite(weights).all():
        raise node.refuse(f"{len(weights)} finite {kind}_weights do not fit {count} entries of leaves")
    found: dict[int, list[tuple[int, float]]] = {}
    for tree, name, target, weight in zip(trees, names, ids, weights, strict=True):
        place = listed.places.get((tree, name))
        if place is None or listed.modes[place] != LEAF or not 0 <= target < targets:
            raise node.refuse(f"{kind} {target} gets a weight of node {name} of tree {tree}, which is no such leaf")
        entries = found.setdefault(place, [])
        if targets == 1 and entries:
            if entries != [(target, weight)]:
                raise node.refuse(f"node {name} of tree {tree} has several weights, of which onnxruntime takes one")
            continue
        entries.append((target, weight))
    return found


def _roots(node: Node, listed: _Listed) -> list[tuple[int, int]]:
    """The one node of each tree that is nobody's child; it is listed first, where onnxruntime looks for it."""
    children: set[tuple[int, int]] = set()
    for (tree, name), place in listed.places.items():
        if listed.modes[place] == LEAF:
            continue
        sides = [(tree, listed.false[place])]
        if listed.alike(tree, place) is None:  # else the last of the set has the true side
            sides.insert(0, (tree, listed.true[place]))
        for child in sides:
            if child not in listed.places or child in children:
                fault = "has two parents" if child in children else "does not exist"
                raise node.refuse(f"node {child[1]} of tree {tree}, a child of node {name}, {fault}")
            children.add(child)
    roots = [key for key in listed.places if key not in children]
    if len({tree for tree, _ in roots}) != len(roots) or len({tree for tree, _ in listed.places}) != len(roots):
        raise node.refuse("one of its trees does not have exactly one root")
    firsts = dict(reversed(listed.places))
    if any(firsts[tree] != name for tree, name in roots):
        raise node.refuse("one of its trees does not list its root first, which onnxruntime takes for the root")
    return roots


def _tree(
    node: Node, listed: _Listed, weights: dict[int, list[tuple[int, float]]], root: tuple[int, int], targets: int
) -> Tree:
    """Depth first, left side first. No node has two parents, so none is met twice; a circle hangs on no root."""
    nodes: list[Branch | int] = []
    leaves: list[Floats] = []
    waiting = [(root, 0)]
    while waiting:
        (tree, name), depth = waiting.pop()
        place = listed.places[tree, name]
        if depth > TREE_DEPTH_MAX:
            raise node.refuse(f"its trees are deeper than {TREE_DEPTH_MAX} branches", "train with max_depth")
        if listed.modes[place] == LEAF:
            row = np.zeros(targets)
            for target, weight in weights.get(place, ()):
                row[target] += weight
            nodes.append(len(leaves))
            leaves.append(row)
            continue
        first, others = place, list[float]()
        while (after := listed.alike(tree, place)) is not None and len(others) < len(listed.places):
            others.append(listed.values[after])
            place = after
        mode, sides = listed.modes[place], [listed.false[place], listed.true[place]]
        to_true = bool(listed.tracks[place]) or mode == "BRANCH_NEQ"
        left = to_true != (mode in EXCHANGED)
        value = listed.values[first]
        nodes.append(Branch(listed.features[place], EXCHANGED.get(mode, mode), value, left, tuple(others)))
        waiting += [((tree, side), depth + 1) for side in (reversed(sides) if mode in EXCHANGED else sides)]
    return Tree(tuple(nodes), np.array(leaves))
