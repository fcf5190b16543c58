"""Relu, MaxPool, ArgMax, Softmax: comparisons, which keep the grid, and the one composite that makes a new one."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.axes import row_axis, window
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.linear import floating
from tools.lowering.source import Node

SOFTMAX_FRAC_BITS: Final = 24
SOFTMAX_ERROR: Final = 2e-8  # the composite's own, by its definition in the graph
SOFTMAX_INPUT_BITS_MAX: Final = 52


def relu(node: Node, b: Builder) -> None:
    x = floating(node, b.tensor(node, 0))
    b.bind(node, x if x.fact.low >= 0 else b.derive(x, ir.Relu(x=x.index)))


def max_pool(node: Node, b: Builder) -> None:
    x = floating(node, b.tensor(node, 0))
    if any(node.outputs[1:]):
        raise node.refuse("its output Indices is not supported", "export without return_indices")
    if node.integer("storage_order", 0):
        raise node.refuse("storage_order 1 is not supported")
    kernel = node.integers("kernel_shape")
    if kernel is None or len(x.shape) < 2:
        raise node.refuse(f"a kernel {kernel} does not fit rows of shape {list(x.shape)}")
    view = window(node, x.shape[1:], kernel)
    emitted = ir.MaxPool(
        x=x.index,
        kernel=kernel,
        strides=view.strides,
        pads_begin=view.pads_begin,
        pads_end=view.pads_end,
        dilations=view.dilations,
    )
    b.bind(node, b.derive(x, emitted))


def arg_max(node: Node, b: Builder) -> None:
    """The index of the first maximum, or of the last where select_last_index says so."""
    x = b.tensor(node, 0)
    axis = row_axis(node, node.integer("axis", 0), x.shape)
    size, last = x.shape[axis], node.integer("select_last_index", 0)
    if last:
        starts = tuple(size - 1 if dim == axis else 0 for dim in range(len(x.shape)))
        steps = tuple(-1 if dim == axis else 1 for dim in range(len(x.shape)))
        x = b.derive(x, ir.Slice(x=x.index, starts=starts, counts=x.shape, steps=steps))
    index = b.derive(x, ir.ArgMax(x=x.index, axis=axis), frac_bits=0, dtype=np.dtype(np.int64), error=0.0, limit=None)
    if last:
        ones = (1,) * len(x.shape)
        weights, bias = b.store(np.full(ones, -1)), b.store(np.full(ones, size - 1))
        index = b.derive(index, ir.Affine(x=index.index, weights=weights, bias=bias, shifts=None))
    if not node.integer("keepdims", 1):
        index = reshaped(b, index, (*x.shape[:axis], *x.shape[axis + 1 :]))
    b.bind(node, replace(index, limit=None))


def softmax(node: Node, b: Builder) -> None:
    """Along one axis; before opset 13 along all from `axis` on, as one."""
    x = floating(node, b.tensor(node, 0))
    shape = x.shape
    if b.source.opset >= 13:
        axis = row_axis(node, node.integer("axis", -1), shape)
    else:
        axis = row_axis(node, node.integer("axis", 1), shape)
        x = reshaped(b, x, (*shape[:axis], prod(shape[axis:])))
    if (x.fact.high - x.fact.low).bit_length() > SOFTMAX_INPUT_BITS_MAX:
        x = b.within_limit(x)
    result = _softmax(b, x, axis)
    b.bind(node, reshaped(b, result, shape))


def _softmax(b: Builder, x: Tensor, axis: int) -> Tensor:
    """Changing every logit by at most e changes no probability by more than e / 2."""
    emitted = ir.Softmax(x=x.index, axis=axis, frac_bits_in=x.frac_bits, frac_bits_out=SOFTMAX_FRAC_BITS)
    error = min(1.0, x.error / 2 + SOFTMAX_ERROR + 2.0**-SOFTMAX_FRAC_BITS / 2)
    return b.derive(x, emitted, frac_bits=SOFTMAX_FRAC_BITS, error=error, limit=None)
