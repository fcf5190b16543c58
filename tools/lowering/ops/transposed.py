"""ConvTranspose: a Conv that makes all phases of an output position as channels, which then move into their places.

In one dimension with stride s, y[q s + r] = sum_j x[q - j] w[j s + r] for each phase r < s: a Conv with s times as many
channels and a kernel of ceil(K / s). Nothing is multiplied with the zeros between strides.
"""

from __future__ import annotations

from math import prod

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops.axes import per_dim
from tools.lowering.ops.columns import floating, floats
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.linear import convolved
from tools.lowering.source import Node, Shape


def conv_transpose(node: Node, b: Builder) -> None:
    """In one to three spatial dimensions, with constant weights."""
    x = floating(node, b.tensor(node, 0))
    weights = floats(b.constant(node, 1, "W"))
    groups, dims = node.integer("group", 1), len(x.shape) - 1
    if not 1 <= dims <= 3 or weights.ndim != dims + 2 or groups < 1:
        raise node.refuse(f"weights of shape {list(weights.shape)} do not fit rows of shape {list(x.shape)}")
    if weights.shape[0] != x.shape[0] or x.shape[0] % groups:
        raise node.refuse(f"{groups} groups do not fit weights {list(weights.shape)} and rows {list(x.shape)}")
    if (node.integers("kernel_shape") or weights.shape[2:]) != weights.shape[2:]:
        raise node.refuse("kernel_shape differs from the shape of the weights")
    channels = weights.shape[1] * groups
    bias = floats(b.constant(node, 2, "B")) if node.has_input(2) else None
    if bias is not None and bias.shape != (channels,):
        raise node.refuse(f"a bias of shape {list(bias.shape)} does not fit {channels} channels")
    strides, dilations = per_dim(node, "strides", dims), per_dim(node, "dilations", dims)
    if min(*strides, *dilations) < 1:
        raise node.refuse(f"strides {list(strides)} and dilations {list(dilations)} must be at least 1")
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilations, weights.shape[2:], strict=True))
    begin, out = _cut(node, x.shape[1:], strides, reach)
    kernel, taps = _phases(weights, groups, strides, dilations, _taps(x.shape[1:], strides, reach, begin, out))
    pads = tuple(count - 1 for count in taps)
    every = None if bias is None else np.repeat(bias, prod(strides))
    y = convolved(node, b, x, kernel, every, (1,) * dims, pads, pads, (1,) * dims, groups)
    b.bind(node, _interleaved(b, y, channels, strides, begin, out))


def _cut(node: Node, spatial: Shape, strides: Shape, reach: Shape) -> tuple[Shape, Shape]:
    """Where the output begins in the whole result, and its sizes, as ONNX defines both."""
    dims = len(spatial)
    extra = node.integers("output_padding") or (0,) * dims
    sizes = node.integers("output_shape")
    mode = node.text("auto_pad", "NOTSET")
    pads = node.integers("pads") or (0,) * (2 * dims)
    if len(extra) != dims or len(pads) != 2 * dims or min(*extra, *pads) < 0 or len(sizes or extra) < dims:
        raise node.refuse("its pads, output_padding or output_shape do not fit its dimensions")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise node.refuse(f"auto_pad {mode!r} is unknown")
    whole = tuple(s * (n - 1) + e + r for s, n, e, r in zip(strides, spatial, extra, reach, strict=True))
    if sizes is None and not mode.startswith("SAME"):
        begin, end = (pads[:dims], pads[dims:]) if mode == "NOTSET" else ((0,) * dims,) * 2
        out = tuple(size - first - last for size, first, last in zip(whole, begin, end, strict=True))
    else:
        out = sizes[-dims:] if sizes else tuple(n * s for n, s in zip(spatial, strides, strict=True))
        total = [max(0, size - wanted) for size, wanted in zip(whole, out, strict=True)]
        begin = tuple(t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in total)
    if min(out) < 1:
        raise node.refuse(f"its pads leave an output of {list(out)}")
    return begin, out


def _taps(spatial: Shape, strides: Shape, reach: Shape, begin: Shape, out: Shape) -> Shape:
    """Taps of each phase: enough for the kernel, and for the last output position to exist."""
    return tuple(
        max(-(-r // s), -(-(first + size) // s) - n + 1)
        for n, s, r, first, size in zip(spatial, strides, reach, begin, out, strict=True)
    )


def _phases(weights: Floats, groups: int, strides: Shape, dilations: Shape, taps: Shape) -> tuple[Floats, Shape]:
    """W [C, O / groups, kernel...] as a Conv's kernel [O * phases, C / groups, taps...], phases last in the first."""
    dims = len(strides)
    inputs, outputs = weights.shape[0] // groups, weights.shape[1]
    full = np.zeros((*weights.shape[:2], *(t * s for t, s in zip(taps, strides, strict=True))))
    steps = [slice(0, d * (k - 1) + 1, d) for d, k in zip(dilations, weights.shape[2:], strict=True)]
    full[(slice(None), slice(None), *steps)] = weights
    parts = full.reshape(groups, inputs, outputs, *(n for pair in zip(taps, strides, strict=True) for n in pair))
    tap_axes, phase_axes = tuple(range(3, 3 + 2 * dims, 2)), tuple(range(4, 4 + 2 * dims, 2))
    parts = np.flip(parts, tap_axes).transpose(0, 2, *phase_axes, 1, *tap_axes)
    return np.ascontiguousarray(parts.reshape(groups * outputs * prod(strides), inputs, *taps)), taps


def _interleaved(b: Builder, y: Tensor, channels: int, strides: Shape, begin: Shape, out: Shape) -> Tensor:
    """[O * phases, positions...] as [O, positions * strides...], cut to the output."""
    dims, positions = len(strides), y.shape[1:]
    if max(strides) > 1:
        y = reshaped(b, y, (channels, *strides, *positions))
        order = (0, *(axis for dim in range(dims) for axis in (1 + dims + dim, 1 + dim)))
        y = b.derive(y, ir.Transpose(x=y.index, permutation=order))
        y = reshaped(b, y, (channels, *(n * s for n, s in zip(positions, strides, strict=True))))
    if y.shape[1:] == out:
        return y
    cut = ir.Slice(x=y.index, starts=(0, *begin), counts=(channels, *out), steps=(1,) * (dims + 1))
    return b.derive(y, cut)
