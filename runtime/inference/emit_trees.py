"""Trees and Lookup for the engine: the kernel TreeEnsemble (ai.onnx.ml 5) of float64, and Gather, or GatherElements.

The kernel walks all trees of a row by comparing float64 values and adds, for each, the number of the leaf to that
leaf's target, in float64. With one column these numbers are the leaves themselves. With more, each tree is a target of
its own, to which it adds the place of the leaf; a table of all leaves gives their rows, and these are summed.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, TensorProto, numpy_helper

from runtime.inference import graph as ops
from runtime.inference.constants import unpack
from runtime.inference.forest import Forest, read_forest

if TYPE_CHECKING:
    from runtime.inference.writer import Writer

Array = npt.NDArray[Any]
ML_DOMAIN: Final = "ai.onnx.ml"
ML_OPSET: Final = 5
_SUM: Final = 1
_NO_TRANSFORM: Final = 0


def trees(node: ops.Trees, to: Writer) -> str:
    """x [features] -> [columns of the leaves]: of each tree one row of them, summed."""
    features, thresholds, leaves = (
        unpack(to.graph.constants[index]) for index in (node.features, node.thresholds, node.leaves)
    )
    count, columns = leaves.shape
    source = _read(features)
    features, thresholds, places = _without_lone_leaves(source, features, thresholds, np.arange(count))
    forest = _read(features)
    tree_of = np.repeat(np.arange(len(forest.ends)), np.diff([0, *forest.ends]))[features < 0]
    alone = columns == 1
    y = to.add(
        "TreeEnsemble",
        to.tensor(node.x),
        domain=ML_DOMAIN,
        n_targets=1 if alone else len(forest.ends),
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
    )
    values = leaves[places, 0] if alone else places
    attributes = _structure(forest, features) | {
        "nodes_splits": thresholds.astype(np.float64),
        "nodes_modes": np.zeros(len(thresholds), np.uint8),  # 0: to the true side where x <= threshold
        "leaf_targetids": np.zeros_like(tree_of) if alone else tree_of,
        "leaf_weights": values.astype(np.float64),
    }
    to.nodes[-1].attribute.extend(_attribute(name, array) for name, array in attributes.items())
    if alone:
        return y
    rows = _gather(to, y, node.leaves)
    return to.add("ReduceSum", rows, to.integers(1), keepdims=0)


def _read(features: Array) -> Forest:
    forest = read_forest(features.tolist())
    if forest is None:
        raise ValueError("the trees of a proven graph are complete")
    return forest


def _without_lone_leaves(
    forest: Forest, features: Array, thresholds: Array, places: Array
) -> tuple[Array, Array, Array]:
    """The same function by trees whose roots are branches, as the kernel needs them: a root that is a leaf becomes a
    branch with that leaf on both sides. `places`: of each leaf, in the table."""
    starts = np.array([0, *forest.ends[:-1]])
    lone = starts[features[starts] < 0]
    copies = np.ones(len(features), np.int64)
    copies[lone] = 3
    of_branch, of_leaf = np.zeros((2, len(features)), np.int64)
    of_branch[features >= 0], of_leaf[features < 0] = thresholds, places
    made = np.repeat(features, copies)
    made[(np.cumsum(copies) - copies)[lone]] = 0
    return made, np.repeat(of_branch, copies)[made >= 0], np.repeat(of_leaf, copies)[made < 0]


def _structure(forest: Forest, features: Array) -> dict[str, Array]:
    """Branches apart from leaves, each child named by its place among its own kind."""
    branch = features >= 0
    number = np.where(branch, np.cumsum(branch), np.cumsum(~branch)) - 1
    true, false = np.flatnonzero(branch) + 1, np.array(forest.rights)[branch]
    return {
        "nodes_featureids": features[branch],
        "nodes_truenodeids": number[true],
        "nodes_falsenodeids": number[false],
        "nodes_trueleafs": ~branch[true],
        "nodes_falseleafs": ~branch[false],
        "tree_roots": number[[0, *forest.ends[:-1]]],
    }


def _attribute(name: str, array: Array) -> AttributeProto:
    """Float64 and uint8 arrays as tensors, others as lists of integers."""
    if array.dtype in (np.float64, np.uint8):
        return AttributeProto(name=name, type=AttributeProto.TENSOR, t=numpy_helper.from_array(array, name))
    return AttributeProto(name=name, type=AttributeProto.INTS, ints=array.astype(np.int64).tolist())


def lookup(node: ops.Lookup, to: Writer) -> str:
    """Rows of the table by x's places. Single numbers by GatherElements, all rows of x as one: a tenth of the time of
    Gather, which copies each by itself."""
    shape, made, table = to.graph.constants[node.table].shape, to.made(), node.table
    if prod(shape[1:]) > 1:
        return _gather(to, to.tensor(node.x), table)
    values = to.constant(("list", table), lambda: to.scaled(table, None, (1, shape[0])))
    places = to.add("Reshape", to.whole(to.tensor(node.x)), to.integers(1, -1))
    return to.reshaped(to.add("GatherElements", values, places, axis=1), *made)


def _gather(to: Writer, x: str, table: int) -> str:
    """Rows of a table that is kept as narrow as it is stored."""
    values = to.constant(("table", table), lambda: unpack(to.graph.constants[table]))
    return to.add("Cast", to.add("Gather", values, to.whole(x), axis=0), to=TensorProto.DOUBLE)
