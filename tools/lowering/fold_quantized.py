"""DequantizeLinear and QuantizeLinear of constants, as `fold` computes them: weights of quantised models. In float32,
as onnxruntime does, since the values are rounded there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tools.lowering.protobuf import dtype_of
from tools.lowering.source import Array, Node


def _along(node: Node, x: Array, values: Array) -> Array:
    """One for all, one per place of the axis, or one per block of it. ValueError where they do not fit."""
    if values.size == 1:
        return values.reshape(())
    axis = node.integer("axis", 1)
    if values.ndim == 1:
        shape = [1] * x.ndim
        shape[axis] = -1
        return np.broadcast_to(values.reshape(shape), x.shape)
    block = node.integer("block_size", 0)
    wide = np.repeat(values, max(1, block), axis)[tuple(slice(size) for size in x.shape)]
    return np.broadcast_to(wide, x.shape)


def dequantize(node: Node, inputs: list[Array]) -> Array:
    """(x - zero point) * scale."""
    x, scale = inputs[0], inputs[1]
    zero = inputs[2].astype(np.int64) if len(inputs) > 2 else np.zeros((), np.int64)
    apart = x.astype(np.int64) - _along(node, x, zero)
    return np.asarray((apart.astype(np.float32) * _along(node, x, scale.astype(np.float32))).astype(scale.dtype))


def quantize(node: Node, inputs: list[Array]) -> Array:
    """x / scale, rounded, plus the zero point, cut to its type."""
    x, scale = inputs[0].astype(np.float32), inputs[1].astype(np.float32)
    given = node.integer("output_dtype", 0)
    dtype: np.dtype[Any] = dtype_of(given, node.where) if given else np.dtype(np.uint8)
    zero = np.zeros((), np.int64)
    if len(inputs) > 2:
        dtype, zero = inputs[2].dtype, inputs[2].astype(np.int64)
    if dtype.kind not in "iu":
        raise ValueError(f"it quantises to {dtype}")
    info = np.iinfo(dtype)
    found = np.rint(x / _along(node, x, scale)).astype(np.float64) + _along(node, x, zero)
    return np.asarray(np.clip(found, int(info.min), int(info.max)).astype(dtype))


QUANTIZED: Final[dict[str, Callable[[Node, list[Array]], Array]]] = {
    "DequantizeLinear": dequantize,
    "QuantizeLinear": quantize,
}
