"""Rules of Trees and Lookup: decisions by comparison, and tables.

A comparison of two integers within 2**53 is exact (IEEE 754-2019 section 5.11), and so is a choice of a number. What is
proven here: trees are trees, every index lies inside, and the sum over trees is exact in any order.
"""

from __future__ import annotations

from math import prod

import numpy as np

from runtime.inference.arithmetic import Int64Array
from runtime.inference.facts import FAR_UNITS, NEAR_ELEMENTS, PRODUCT_UNITS, Fact, Place, Proof, Work
from runtime.inference.forest import Forest, read_forest
from runtime.inference.graph import Lookup, Trees
from runtime.inference.limits import DOUBLE_EXACT_MAX, TREE_DEPTH_MAX, TREE_NODES_MAX

TABLE_RULE = "a table's number is exact: within 2**53"


def _place_units(elements: int) -> int:
    """Of each row that is copied from a table of so many elements."""
    return 2 if elements <= NEAR_ELEMENTS else FAR_UNITS


def _distance(nodes: int) -> int:
    """How many times as long a branch takes as one of a forest that stays near the core: memory is the cost."""
    return 1 if nodes <= 1 << 16 else 3 if nodes <= 1 << 18 else 5


def trees(node: Trees, place: Place) -> Proof:
    """The structure holds by how it is written: preorder gives each node one parent, each tree one root, and no way
    back. One leaf of each tree counts. Any partial sum is of some of these, so it lies between the sums over trees of
    the least leaf or 0, and of the greatest leaf or 0; within 2**53 no order of summation matters."""
    x = place.fact(node.x)
    place.demand(len(x.shape) == 1, "what trees look at is one list of features", x=x.shape)
    forest = _forest(node, place, x)
    leaves = _leaves(node, place, forest)
    low, high = _sums(place, leaves, forest)
    count, columns = len(forest.ends), leaves.shape[1]
    decisions = sum(forest.depths) + count
    lone = forest.depths.count(0)
    work = Work(
        kernels=1,
        decisions=decisions * _distance(len(forest.rights)),
        branches=len(forest.rights) + 2 * lone,  # a lone leaf becomes a branch with two
        streamed=x.elements,
    )
    if columns > 1:
        place.keep_rows(node.leaves)
        gathered = count * columns
        work += Work(
            kernels=4,
            streamed=2 * count + gathered,
            strided=_place_units(leaves.size) * count + 2 * gathered + PRODUCT_UNITS,
            scratch=2 * (count + gathered),
            numbers=1,
        )
    return Proof(Fact((columns,), low, high), work)


def _forest(node: Trees, place: Place, x: Fact) -> Forest:
    shape = place.shape_of(node.features)
    place.demand(len(shape) == 1, "features have one number per node", features=shape)
    place.tree_nodes += shape[0]
    place.demand(
        place.tree_nodes <= TREE_NODES_MAX,
        "trees have few enough nodes",
        nodes=place.tree_nodes,
        nodes_max=TREE_NODES_MAX,
    )
    place.visit(shape[0])  # read twice: as numbers and as a structure
    features = place.values_of(node.features)
    low, high = int(features.min()), int(features.max())
    place.demand(
        low >= -1 and high < x.shape[0], "a node looks at one of x's elements, or is a leaf", lowest=low, highest=high
    )
    forest = read_forest(features.tolist())
    if forest is None:
        raise place.refuse("every tree is complete: both sides of each branch are there", {"nodes": shape[0]})
    deepest = max(forest.depths)
    place.demand(deepest <= TREE_DEPTH_MAX, "trees are of at most 256 branches in depth", depth=deepest)
    branches = int((features >= 0).sum())
    found = place.shape_of(node.thresholds)
    place.demand(found == (branches,), "each branch has a threshold", thresholds=found, branches=branches)
    _ends(place, "a threshold is exact: within 2**53", place.values_of(node.thresholds))
    return forest


def _ends(place: Place, rule: str, values: Int64Array) -> tuple[int, int]:
    """The least and the greatest of a constant's integers; refused by `rule` unless within 2**53."""
    return _within(place, rule, int(values.min()), int(values.max()))


def _within(place: Place, rule: str, low: int, high: int) -> tuple[int, int]:
    place.demand(max(-low, high) <= DOUBLE_EXACT_MAX, rule, lowest=low, highest=high)
    return low, high


def _leaves(node: Trees, place: Place, forest: Forest) -> Int64Array:
    """A forest of n nodes in t trees has (n + t) / 2 leaves: every branch has two children, each node but a root is
    one."""
    shape, count = place.shape_of(node.leaves), (len(forest.rights) + len(forest.ends)) // 2
    place.demand(
        len(shape) == 2 and shape[0] == count,
        "leaves have a row per leaf, in it a number per column",
        leaves=shape,
        expected=count,
    )
    leaves = place.values_of(node.leaves)
    _ends(place, "a leaf is exact: within 2**53", leaves)
    return leaves


def _sums(place: Place, leaves: Int64Array, forest: Forest) -> tuple[int, int]:
    """The interval of y; refused where a partial sum may leave 2**53. Sums are of Python's integers."""
    ends = np.array(forest.ends)
    trees_before = np.arange(len(ends))
    starts = np.concatenate([[0], (ends + trees_before + 1)[:-1] // 2])
    least, most = (extreme.reduceat(leaves, starts, axis=0).T.tolist() for extreme in (np.minimum, np.maximum))
    worst = max(
        max(sum(value for value in column if value > 0) for column in most),
        max(-sum(value for value in column if value < 0) for column in least),
    )
    place.demand(
        worst <= DOUBLE_EXACT_MAX, "every partial sum over trees is exact: within 2**53", sum=worst,
        limit=DOUBLE_EXACT_MAX,
    )  # fmt: skip
    return min(map(sum, least)), max(map(sum, most))


def lookup(node: Lookup, place: Place) -> Proof:
    """A row of the table is chosen by number; the numbers lie inside, as x's interval does."""
    x = place.fact(node.x)
    shape = place.shape_of(node.table)
    place.demand(len(shape) >= 1, "a table has rows", table=shape)
    place.demand(x.low >= 0 and x.high < shape[0], "x lies inside the table", low=x.low, high=x.high, rows=shape[0])
    _within(place, TABLE_RULE, *place.ends_of(node.table, slice(None)))
    size, fact = prod(shape), Fact((*x.shape, *shape[1:]), *place.ends_of(node.table, slice(x.low, x.high + 1)))
    work = Work(kernels=4, streamed=2 * x.elements, scratch=2 * x.elements + fact.elements, numbers=2)
    if size == shape[0]:  # single numbers: many are read at a time
        place.expand(size, "list", node.table)
        strided = x.elements if size <= NEAR_ELEMENTS else 10 * x.elements
        return Proof(fact, work + Work(strided=strided))
    place.keep_rows(node.table)
    strided = _place_units(size) * x.elements + 2 * fact.elements
    return Proof(fact, work + Work(streamed=fact.elements, strided=strided, scratch=fact.elements))
