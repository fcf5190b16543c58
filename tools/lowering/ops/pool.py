"""MaxPool, AveragePool, LpPool: windows that slide over a row. Maxima keep the grid; means are sums that round once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Final

import msgspec
import numpy as np

from runtime.inference import graph as ir
from runtime.inference.limits import SINGLE_EXACT_MAX
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops import curves
from tools.lowering.ops.axes import Window, window
from tools.lowering.ops.columns import floating, scaled
from tools.lowering.ops.piecewise import absolute
from tools.lowering.ops.powers import root
from tools.lowering.ops.reduce import coarse_for_squares, global_pool, summable, summed
from tools.lowering.ops.tables import tabulated
from tools.lowering.source import Node, Shape

P_MAX: Final = 3
POWER_BITS: Final = (18, 33)
"""Of a factor and of the powers of it: within 52 together, and room for a sum."""


def _view(node: Node, x: Tensor) -> Window:
    kernel = node.integers("kernel_shape")
    if kernel is None or len(x.shape) < 2:
        raise node.refuse(f"a kernel {kernel} does not fit rows of shape {list(x.shape)}")
    return window(node, x.shape[1:], kernel)


def max_pool(node: Node, b: Builder) -> None:
    """Exact: a selection. Its second output, the places of the maxima, is refused. What keeps the order of values is
    done to what is left, of which there is less: a Relu or Clip before it, and a Conv's bias and rounding."""
    x = floating(node, b.tensor(node, 0))
    if any(node.outputs[1:]):
        raise node.refuse("its output Indices is not supported", "export without return_indices")
    if node.flag("storage_order"):
        raise node.refuse("storage_order 1 is not supported")
    view, before = _view(node, x), b.maker(x)
    cut = before if isinstance(before, ir.Relu | ir.Clip) else None
    emitted = ir.MaxPool(
        x=x.index if cut is None else cut.x,
        kernel=view.kernel,
        strides=view.strides,
        pads_begin=view.pads_begin,
        pads_end=view.pads_end,
        dilations=view.dilations,
    )
    is_alone = b.source.sole_maker(node.inputs[0], ("Relu", "Clip")) == "Conv"
    pooled = (_unrounded(b, x, emitted) if is_alone else None) or b.derive(x, emitted)
    b.bind(node, pooled if cut is None else b.derive(pooled, msgspec.structs.replace(cut, x=pooled.index)))


def _unrounded(b: Builder, x: Tensor, pool: ir.MaxPool) -> Tensor | None:
    """The largest sums of a Conv, biased and rounded then; None where something else makes what is pooled."""
    conv = b.maker(replace(x, index=pool.x))
    if not isinstance(conv, ir.Conv) or (conv.bias is None and conv.shifts is None):
        return None
    sums = b.derive(x, msgspec.structs.replace(conv, bias=None, shifts=None))
    pooled = b.derive(sums, msgspec.structs.replace(pool, x=sums.index))
    column = (pooled.shape[0], *(1,) * len(pool.kernel))
    bias, shifts = (
        np.zeros(column, np.int64) if number is None else b.stored(number).reshape(column)
        for number in (conv.bias, conv.shifts)
    )
    rounded = None if conv.shifts is None else b.store(shifts)
    return b.derive(pooled, ir.Affine(x=pooled.index, weights=None, bias=b.store(bias), shifts=rounded))


def average_pool(node: Node, b: Builder) -> None:
    """The sum of each window, a Conv of ones channel by channel, times the reciprocal of how many elements count."""
    x = floating(node, b.tensor(node, 0))
    view = _view(node, x)
    counts = _counts(node, x, view)
    total = _summed(node, b, x, view)
    b.bind(node, scaled(node, b, total, 1 / counts, None))


def _summed(node: Node, b: Builder, x: Tensor, view: Window) -> Tensor:
    """The sum of each window; what lies outside x counts as 0."""
    channels, taps = x.shape[0], int(np.prod(view.kernel))
    x = summable(node, b, x, taps)
    emitted = ir.Conv(
        x=x.index,
        weights=b.store(np.ones((channels, 1, *view.kernel), np.int64)),
        bias=None,
        shifts=None,
        strides=view.strides,
        pads_begin=view.pads_begin,
        pads_end=view.pads_end,
        dilations=view.dilations,
        groups=channels,
        form=ir.ConvForm.SINGLE if taps * x.fact.magnitude <= SINGLE_EXACT_MAX else ir.ConvForm.DOUBLE,
    )
    return b.derive(x, emitted, error=x.error * taps, limit=None)


def lp_pool(node: Node, b: Builder) -> None:
    """The p-th root of the sum of each window's p-th powers. It moves by no more than the p-norm of what x does."""
    x = floating(node, b.tensor(node, 0))
    view, p = _view(node, x), _lp(node)
    b.bind(node, _p_norm(node, b, x, p, int(np.prod(view.kernel)), lambda powers: _summed(node, b, powers, view)))


def global_lp_pool(node: Node, b: Builder) -> None:
    """As `lp_pool`, over all spatial dimensions."""
    p = _lp(node)

    def norm(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
        count = int(np.prod([x.shape[axis] for axis in axes]))
        return _p_norm(node, b, x, p, count, lambda powers: summed(node, b, powers, axes))

    global_pool(norm)(node, b)


def _p_norm(node: Node, b: Builder, x: Tensor, p: int, count: int, total: Callable[[Tensor], Tensor]) -> Tensor:
    if p == 1:
        return total(absolute(b, x))
    if p == 2:
        x = coarse_for_squares(b, x, count)
        square = b.derive(x, ir.Mul(a=x.index, b=x.index, shift=0), frac_bits=2 * x.frac_bits, error=0.0, limit=None)
        found = root(node, b, total(square), b.wanted_frac_bits(node.outputs[0]))
        return replace(found, error=x.error * count**0.5 + 2.0**-found.frac_bits)
    return tabulated(node, b, total(_powers(b, absolute(b, b.within_limit(x)), p)), curves.power(1 / p))


def _powers(b: Builder, x: Tensor, p: int) -> Tensor:
    """x**p for an x that is not negative, with many bits for the largest: small ones have roots that are not small."""
    x = b.drop(x, min(x.frac_bits, max(0, x.fact.magnitude.bit_length() - POWER_BITS[0])))
    result = x
    for _ in range(p - 1):
        bits = (result.fact.magnitude * x.fact.magnitude).bit_length()
        fine = result.frac_bits + x.frac_bits
        shift = min(fine, max(0, bits - POWER_BITS[1]))
        error = result.magnitude * x.error + x.magnitude * result.error + x.error * result.error
        error += 2.0 ** (shift - fine) / 2 if shift else 0.0
        emitted = ir.Mul(a=result.index, b=x.index, shift=shift)
        result = b.derive(x, emitted, frac_bits=fine - shift, error=error, limit=None)
    return result


def _lp(node: Node) -> int:
    """The attribute p, 1 to P_MAX."""
    p = node.integer("p", 2)
    if not 1 <= p <= P_MAX:
        raise node.refuse(f"p is {p}, 1 to {P_MAX} are supported")
    return p


def _counts(node: Node, x: Tensor, view: Window) -> Floats:
    """How many places of each window count, [1, out...]: those inside x or, where count_include_pad says so, inside
    the pads too, but not what ceil_mode adds behind them. One number where all windows are alike."""
    include = node.flag("count_include_pad")
    pads = node.integers("pads") or (0,) * (2 * len(view.kernel))
    ends = view.pads_end if node.text("auto_pad", "NOTSET") != "NOTSET" else pads[len(view.kernel) :]
    sizes = []
    for dim, size in enumerate(x.shape[1:]):
        first, last = (-view.pads_begin[dim], size + ends[dim]) if include else (0, size)
        starts = np.arange(view.out[dim]) * view.strides[dim] - view.pads_begin[dim]
        places = starts[:, None] + np.arange(view.kernel[dim]) * view.dilations[dim]
        sizes.append(((places >= first) & (places < last)).sum(axis=1).astype(np.float64))
    counts: Floats = reduce(np.multiply.outer, sizes)[np.newaxis]
    if not counts.all():
        raise node.refuse("a window lies in the padding alone")
    return counts[(slice(0, 1),) * counts.ndim] if (counts == counts.flat[0]).all() else counts
