"""ArgMax, ArrayFeatureExtractor, ZipMap: which class, and what its name is.

A tensor of classes holds places in a list of names (texts or numbers); the list is the graph's labels. Classes that are
the numbers 0, 1, 2, ... are those numbers: they need no list, and may be computed with.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Classes, Tensor
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import negated
from tools.lowering.ops.indexing import looked_up
from tools.lowering.ops.layout import gathered, reshaped
from tools.lowering.protobuf import TEXT
from tools.lowering.source import Array, Node

KEYS_MAX: Final = 65_536
INT64: Final = np.dtype(np.int64)


def arg_max(node: Node, b: Builder) -> None:
    """The index of the first maximum, or of the last where select_last_index says so."""
    _arg_max(node, b, b.tensor(node, 0))


def arg_min(node: Node, b: Builder) -> None:
    """The place of the maximum of what is negated."""
    _arg_max(node, b, negated(b, b.tensor(node, 0)))


def _arg_max(node: Node, b: Builder, x: Tensor) -> None:
    axis = row_axis(node, node.integer("axis", 0), x.shape)
    keep = node.flag("keepdims", True)
    if not node.flag("select_last_index"):
        b.bind(node, arg_max_of(b, x, axis, keep=keep))
        return
    size, rank = x.shape[axis], len(x.shape)
    starts = tuple(size - 1 if dim == axis else 0 for dim in range(rank))
    steps = tuple(-1 if dim == axis else 1 for dim in range(rank))
    x = b.derive(x, ir.Slice(x=x.index, starts=starts, counts=x.shape, steps=steps))
    index = arg_max_of(b, x, axis, keep=True)
    weights, bias = b.store(np.full((1,) * rank, -1)), b.store(np.full((1,) * rank, size - 1))
    index = b.derive(index, ir.Affine(x=index.index, weights=weights, bias=bias, shifts=None))
    b.bind(node, index if keep else reshaped(b, index, (*x.shape[:axis], *x.shape[axis + 1 :])))


def arg_max_of(b: Builder, x: Tensor, axis: int, *, keep: bool) -> Tensor:
    """The index of the first maximum along a row's axis."""
    index = b.derive(x, ir.ArgMax(x=x.index, axis=axis), frac_bits=0, dtype=INT64, error=0.0, limit=None)
    return index if keep else reshaped(b, index, (*x.shape[:axis], *x.shape[axis + 1 :]))


def as_classes(b: Builder, places: Tensor, names: Classes) -> Tensor:
    """Places in `names` as classes; as plain numbers where each name is its own place."""
    dtype = TEXT if isinstance(names[0], str) else INT64
    own = names == tuple(range(len(names)))
    return replace(places, dtype=dtype, classes=None if own else names, limit=None)


def array_feature_extractor(node: Node, b: Builder) -> None:
    """Constant columns of computed rows, or constant classes at computed places."""
    if b.is_constant(node.inputs[0]):
        _lookup(node, b)
        return
    x = b.tensor(node, 0, classes=True, missing=True)
    columns = [int(place) for place in b.constant(node, 1, "the columns").reshape(-1)]
    if not x.shape:
        raise node.refuse("its input has one dimension, the batch; it would select rows")
    if not columns or min(columns) < 0 or max(columns) >= x.shape[-1]:
        raise node.refuse(f"columns {columns[:8]} do not lie in rows of shape {list(x.shape)}")
    b.bind(node, gathered(b, x, columns, len(x.shape) - 1))


def _lookup(node: Node, b: Builder) -> None:
    """classes[index] for one index per row. The standard gives it the shape [1, N]; where a Reshape puts N first again,
    it is first here already."""
    table, index = b.constant(node, 0, "the classes", text=True), b.tensor(node, 1, merged=True)
    if index.dtype.kind not in "iu":
        raise node.refuse(f"it looks up places of type {index.dtype}, integers are needed")
    one_list = index.fact.elements == 1 and table.size == table.shape[-1]
    if table.dtype.kind == "f" or (table.dtype.kind in "iu" and not one_list):
        _columns(node, b, table, index)
        return
    names = _names(node, table)
    if index.fact.elements != 1:
        raise node.refuse(f"it looks up {index.fact.elements} names per row, one is supported")
    if index.fact.low < 0 or index.fact.high >= len(names):
        raise node.refuse(f"places {index.fact.low} to {index.fact.high} do not lie in {len(names)} classes")
    alone = _is_reshaped(b, node.outputs[0])
    found = replace(reshaped(b, index, () if alone else (1,)), batch_axis=int(not alone), merged=(0, 0))
    found = as_classes(b, found, names)
    b.bind(node, found if isinstance(names[0], str) else replace(found, dtype=table.dtype))


def _columns(node: Node, b: Builder, table: Array, index: Tensor) -> None:
    """Columns of a table of numbers [..., K] at k places a row: [..., N * k], however the index has them."""
    lead = table.shape[:-1] or (1,)
    before, after = (prod(part) for part in index.around)
    own = tuple(size for size in (before, after) if size > 1)
    found = looked_up(node, b, np.moveaxis(table.reshape(*lead, -1), -1, 0), reshaped(b, index, own))
    order = (*range(len(own), len(own) + len(lead)), *range(len(own)))
    turned = b.derive(found, ir.Transpose(x=found.index, permutation=order))
    b.bind(node, replace(turned, batch_axis=len(lead), merged=(int(before > 1), int(after > 1))))


def _is_reshaped(b: Builder, name: str) -> bool:
    """Whether every way from the tensor leads to a Reshape before the order of its dimensions matters."""
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if any(port.name == name for port in b.source.outputs):
            return False
        for reader in b.source.readers(name):
            if reader.op in ("Cast", "Identity"):
                waiting.append(reader.outputs[0])
            elif reader.op != "Reshape":
                return False
    return True


def _names(node: Node, array: Array) -> Classes:
    flat = array.reshape(-1)
    if array.size != max(array.shape, default=1) or not 1 <= array.size <= KEYS_MAX:
        raise node.refuse(f"its list of classes has the shape {list(array.shape)}; one list is needed")
    if array.dtype == TEXT:
        return tuple(str(name) for name in flat)
    if array.dtype.kind not in "iu":
        raise node.refuse(f"its classes are {array.dtype}; texts and integers can be names", "train with such labels")
    return tuple(int(name) for name in flat)


def zip_map(node: Node, b: Builder) -> None:
    """Maps from class to probability stay the tensor of probabilities; the classes become the graph's labels."""
    x = b.tensor(node, 0)
    names = node.texts("classlabels_strings") or node.integers("classlabels_int64s") or ()
    if len(x.shape) != 1 or len(names) != x.shape[0]:
        raise node.refuse(f"{len(names)} classes do not fit rows of shape {list(x.shape)}")
    b.note_columns(names)
    b.bind(node, replace(x, dtype=np.dtype(np.float32)))
