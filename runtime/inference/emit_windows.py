"""Conv and MaxPool for the engine: windows over the spatial dimensions of a row.

Exactness makes the way free. A Conv in double precision has no kernel of its own: channels last, its windows are
gathered or laid side by side, each element of one a run of all channels, and one matrix product takes the windows of
all rows. With one filter per channel it is a sum of shifted tensors times numbers; with other groups a product for each
group.
"""

from __future__ import annotations

import itertools
from functools import partial
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from runtime.inference import graph as ops
from runtime.inference.constants import unpack
from runtime.inference.emit_products import limbs_for, parts, product
from runtime.inference.facts import Dims
from runtime.inference.graph import ConvForm
from runtime.inference.rules_windows import ConvWay, conv_way, has_short_runs
from runtime.inference.writer import Writer, powers

Windowed = ops.Conv | ops.MaxPool
_SPATIAL_FROM: Final = {True: 1, False: 2}  # the first spatial axis of a tensor with N, by whether channels are last


def conv(node: ops.Conv, to: Writer) -> str:
    """In the way that the rule charges for."""
    if node.form == ConvForm.SINGLE:
        return _single(node, to)
    way = conv_way(node, to.graph.constants[node.weights].shape)
    return {ConvWay.GATHERED: _gathered, ConvWay.BY_CHANNEL: _by_channel, ConvWay.BY_GROUP: _by_group}[way](node, to)


def max_pool(node: ops.MaxPool, to: Writer) -> str:
    """Channels last, the largest of shifted tensors; else the kernel."""
    x = _padded(to, to.tensor(node.x), node, float(to.facts[node.x].low))
    if not to.last:
        return to.add("MaxPool", x, kernel_shape=node.kernel, strides=node.strides, dilations=node.dilations)
    taps = [_shifted(to, x, node, offset) for offset in itertools.product(*map(range, node.kernel))]
    return to.add("Max", *taps)


def _padded(to: Writer, x: str, node: Windowed, value: float) -> str:
    if not any(node.pads_begin) and not any(node.pads_end):
        return x
    pads = to.integers(0, *to.laid((0, *node.pads_begin)), 0, *to.laid((0, *node.pads_end)))
    return to.add("Pad", x, pads, to.scalar(value))


def _padded_sizes(to: Writer, node: Windowed) -> Dims:
    sizes = to.facts[node.x].shape[1:]
    return tuple(s + b + e for s, b, e in zip(sizes, node.pads_begin, node.pads_end, strict=True))


def _positions(to: Writer) -> Dims:
    """The spatial dimensions of what the present node makes."""
    return to.made()[:-1] if to.last else to.made()[1:]


def _shifted(to: Writer, x: str, node: Windowed, offset: Dims) -> str:
    """Of the padded x what each window holds at `offset`."""
    starts = [k * d for k, d in zip(offset, node.dilations, strict=True)]
    made, sizes = _positions(to), _padded_sizes(to, node)
    ends = [start + (count - 1) * step + 1 for start, count, step in zip(starts, made, node.strides, strict=True)]
    if not any(starts) and tuple(ends) == sizes and max(node.strides) == 1:
        return x
    first = _SPATIAL_FROM[to.last]
    axes = range(first, first + len(starts))
    return to.add("Slice", x, to.integers(*starts), to.integers(*ends), to.integers(*axes), to.integers(*node.strides))


def _gathered(node: ops.Conv, to: Writer) -> str:
    outputs, channels, *kernel = to.graph.constants[node.weights].shape
    made, limbs = _positions(to), limbs_for(node, to)
    x = _padded(to, to.tensor(node.x), node, 0.0)
    short = has_short_runs(channels, limbs)
    rows = [_windows(part, node, channels, tuple(kernel), short, to) for part in parts(x, limbs, to)]

    def order(weights: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """[outputs, (tap, channel)]: as a window's elements are gathered."""
        return weights.reshape(outputs, channels, -1).transpose(0, 2, 1).reshape(outputs, -1)

    return to.reshaped(product(rows, node, limbs, to, order), *made, outputs)


def _windows(x: str, node: ops.Conv, channels: int, kernel: Dims, short: bool, to: Writer) -> str:
    """[windows, (tap, channel)] of the padded x, channels last."""
    sizes, made = _padded_sizes(to, node), _positions(to)
    if prod(kernel) > 1 or made != sizes:
        if short:
            x = _side_by_side(x, node, kernel, made, to)
        else:
            geometry = (sizes, made, kernel, node.strides, node.dilations)
            places = to.constant(("windows", *geometry), lambda: _places(*geometry))
            x = to.add("Gather", to.reshaped(x, prod(sizes), channels), places, axis=1)
    return to.reshaped(x, prod(kernel) * channels)


def _side_by_side(x: str, node: ops.Conv, kernel: Dims, made: Dims, to: Writer) -> str:
    """The same for short runs: along one spatial dimension after the other, the last one first, shifted tensors are
    laid side by side. What is so put together are the channels of the next."""
    for axis in reversed(range(len(made))):
        step, dilation = node.strides[axis], node.dilations[axis]
        starts = [tap * dilation for tap in range(kernel[axis])]
        ends = [start + (made[axis] - 1) * step + 1 for start in starts]
        shifted = [
            to.add("Slice", x, *(to.integers(number) for number in (start, end, axis + 1, step)))
            for start, end in zip(starts, ends, strict=True)
        ]
        x = to.add("Concat", *shifted, axis=len(made) + 1)
    return x


def _places(sizes: Dims, made: Dims, kernel: Dims, strides: Dims, dilations: Dims) -> npt.NDArray[np.int32]:
    """[window, tap]: where in the flat padded dimensions each window finds each of its elements."""
    found = np.zeros((1, 1), np.int64)
    for size, count, taps, stride, dilation in zip(sizes, made, kernel, strides, dilations, strict=True):
        along = np.arange(count)[:, None] * stride + np.arange(taps) * dilation
        found = (found[:, None, :, None] * size + along[None, :, None, :]).reshape(len(found) * count, -1)
    return found.astype(np.int32)


def _by_channel(node: ops.Conv, to: Writer) -> str:
    """One filter for each channel: products of shifted tensors and of one number per channel, summed."""
    channels, _, *kernel = to.graph.constants[node.weights].shape
    x = _padded(to, to.tensor(node.x), node, 0.0)

    def taps() -> list[str]:
        scaled = to.scaled(node.weights, node.shifts, (channels, prod(kernel))).T
        key = ("tap", node.weights, node.shifts)
        return [to.constant((*key, number), partial(np.copy, tap)) for number, tap in enumerate(scaled)]

    weights = to.once(("taps", node.weights, node.shifts), taps)
    total = ""
    for number, offset in enumerate(itertools.product(*map(range, kernel))):
        term = to.add("Mul", _shifted(to, x, node, offset), weights[number])
        total = to.add("Add", total, term) if total else term
    return to.biased_and_rounded(total, node.bias, node.shifts, (channels,))


def _by_group(node: ops.Conv, to: Writer) -> str:
    """The windows side by side, then one matrix product for each group and row, with the weights on the left."""
    weights = to.graph.constants[node.weights].shape
    outputs, inputs, kernel, made = weights[0], weights[1], weights[2:], to.made()
    positions, taps, groups = prod(made[1:]), prod(kernel), node.groups
    x = _padded(to, to.tensor(node.x), node, 0.0)
    windows = [
        to.reshaped(_shifted(to, x, node, offset), groups, inputs, positions)
        for offset in itertools.product(*map(range, kernel))
    ]
    gathered = to.add("Concat", *windows, axis=2) if taps > 1 else windows[0]
    gathered = to.reshaped(gathered, groups, taps * inputs, positions)

    def matrix() -> npt.NDArray[np.float64]:
        """groups, outputs, (tap, input channel): the order in which the windows were laid side by side."""
        scaled = to.scaled(node.weights, node.shifts, (groups, outputs // groups, inputs, taps))
        return scaled.transpose(0, 1, 3, 2).reshape(groups, outputs // groups, taps * inputs)

    y = to.add("MatMul", to.constant(("conv", node.weights, node.shifts, groups), matrix), gathered)
    return to.biased_and_rounded(to.reshaped(y, *made), node.bias, node.shifts, (outputs, *(1,) * len(kernel)))


def _single(node: ops.Conv, to: Writer) -> str:
    """float32 products and sums of integers within 2**24; scaled, biased and rounded in float64."""
    weights = to.constant(("single", node.weights), lambda: unpack(to.graph.constants[node.weights]).astype(np.float32))
    shape = to.graph.constants[node.weights].shape
    y = to.add(
        "Conv",
        to.add("Cast", to.tensor(node.x), to=TensorProto.FLOAT),
        weights,
        kernel_shape=shape[2:],
        strides=node.strides,
        pads=[*node.pads_begin, *node.pads_end],
        dilations=node.dilations,
        group=node.groups,
    )
    y = to.add("Cast", y, to=TensorProto.DOUBLE)
    column = (shape[0], *(1,) * (len(shape) - 2))
    if node.shifts is not None:
        shifts = node.shifts
        scale = to.constant(
            ("scale", shifts, column), lambda: powers(unpack(to.graph.constants[shifts])).reshape(column)
        )
        y = to.add("Mul", y, scale)
    return to.biased_and_rounded(y, node.bias, node.shifts, column)
