"""ArgMax, ArrayFeatureExtractor, ZipMap: which class, and what its name is.

A tensor of classes holds places in a list of names (texts or numbers); the list is the graph's labels. Classes that are
the numbers 0, 1, 2, ... are those numbers: they need no list, and may be computed with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Classes, Tensor
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import negated
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
    x = b.tensor(node, 0)
    columns = [int(place) for place in b.constant(node, 1, "the columns").reshape(-1)]
    if not x.shape:
        raise node.refuse("its input has one dimension, the batch; it would select rows")
    if not columns or min(columns) < 0 or max(columns) >= x.shape[-1]:
        raise node.refuse(f"columns {columns[:8]} do not lie in rows of shape {list(x.shape)}")
    b.bind(node, gathered(b, x, columns, len(x.shape) - 1))


def _lookup(node: Node, b: Builder) -> None:
    """classes[index] for one index per row. The standard gives it the shape [1, N]; a Reshape puts N first again."""
    names = _names(node, b.constant(node, 0, "the classes", text=True))
    index = b.tensor(node, 1)
    if index.dtype.kind not in "iu" or index.fact.elements != 1:
        raise node.refuse(f"it looks up {index.fact.elements} places of type {index.dtype} per row, one is supported")
    if index.fact.low < 0 or index.fact.high >= len(names):
        raise node.refuse(f"places {index.fact.low} to {index.fact.high} do not lie in {len(names)} classes")
    if not _is_reshaped(b, node.outputs[0]):
        raise node.refuse("its result [1, N] has the batch second", "reshape it to [-1] before anything else reads it")
    found = as_classes(b, reshaped(b, index, ()), names)
    b.bind(node, found if isinstance(names[0], str) else replace(found, dtype=b.source.constants[node.inputs[0]].dtype))


def _is_reshaped(b: Builder, name: str) -> bool:
    """Whether every way from the tensor leads to a Reshape before the order of its dimensions matters."""
    carried = all(
        reader.op == "Reshape" or (reader.op in ("Cast", "Identity") and _is_reshaped(b, reader.outputs[0]))
        for reader in b.source.readers(name)
    )
    return carried and all(port.name != name for port in b.source.outputs)


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
