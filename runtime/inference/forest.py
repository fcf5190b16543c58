"""A forest as its graph writes it: nodes in preorder, read in one pass. What lives here: its structure, no values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forest:
    """`ends`: where each tree's nodes end, the next one's begin; the last is the number of nodes. `depths`: of each
    tree, the most branches from its root to a leaf. `rights`: for each branch the place of its right child, for a leaf
    0; the left child of a branch is the node behind it."""

    ends: list[int]
    depths: list[int]
    rights: list[int]


def read_forest(features: Sequence[int]) -> Forest | None:
    """The trees of `features` (of graph.Trees: a feature's number, or below 0 for a leaf). None where the last tree
    lacks nodes."""
    ends: list[int] = []
    depths: list[int] = []
    rights = [0] * len(features)
    waiting: list[tuple[int, int]] = []  # branches whose left side is being read, and how deep each is
    depth = deepest = 0
    for place, feature in enumerate(features):
        if feature >= 0:
            waiting.append((place, depth))
            depth += 1
            deepest = max(deepest, depth)
        elif waiting:
            branch, depth = waiting.pop()
            depth += 1
            rights[branch] = place + 1
        else:
            ends.append(place + 1)
            depths.append(deepest)
            depth = deepest = 0
    complete = bool(ends) and ends[-1] == len(features)
    return Forest(ends, depths, rights) if complete else None
