"""Attention (opset 23 on): softmax(scale * Q K^T + mask) V over heads, with what exporters set of it.

Heads of queries that share keys are rows of one product. A mask is what is added to scores; what it hides gets a number
so far below every score that Softmax makes 0 of it, and a query to which all is hidden gets 0, as the standard says.
A cache of earlier keys and values comes before the others. Lengths that differ by row are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import frexp, isfinite, prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops.activations import softmax_of, tanh_of
from tools.lowering.ops.axes import constant_shape
from tools.lowering.ops.columns import added, filled, floating, scaled, shifted
from tools.lowering.ops.layout import joined, reshaped
from tools.lowering.ops.linear import multiplied
from tools.lowering.source import Node, Shape

MASK: Final = 3
PAST: Final = (4, 5)
LENGTHS: Final = 6
PRESENT: Final = (1, 2)
PRODUCTS: Final = 3
ROUNDED_BITS: Final = 16
"""Fractional bits of scores."""


@dataclass(frozen=True)
class Mask:
    """What is added to scores. `fixed`: the same in every row, in the scores' rank, minus infinity where it hides;
    `given`: computed, in the scores' rank, of booleans (what is seen) or of floats."""

    fixed: Floats | None
    given: Tensor | None


def attention(node: Node, b: Builder) -> None:
    """Of four dimensions [N, heads, length, size], or of three with the heads side by side in the last."""
    packed = _file_rank(b, b.tensor(node, 0)) == 3
    q, k, v = (_heads(node, b, place, packed=packed) for place in (0, 1, 2))
    before = 0
    if node.has_input(PAST[0]):
        pasts = [floating(node, b.tensor(node, place)) for place in PAST]
        before = pasts[0].shape[-2]
        k, v = (_after(node, b, past, new) for past, new in zip(pasts, (k, v), strict=True))
    if node.has_input(LENGTHS):
        raise node.refuse("its lengths differ by row", "pad with a mask instead")
    _check_shapes(node, q, k, v)
    scores = _scores(node, b, q, k)
    softcap = node.number("softcap", 0.0)
    capped = _capped(node, b, scores, softcap) if softcap > 0 else scores
    mask = _mask(node, b, capped, before)
    seen, keeps = _masked(node, b, capped, mask)
    shares = softmax_of(b, seen, len(seen.shape) - 1)
    groups = (*k.shape[:-3], k.shape[-3], -1, k.shape[-2])
    flat = multiplied(node, b, _grouped(b, shares, groups), v, b.wanted_frac_bits(node.outputs[0]))
    y = _shown(node, b, reshaped(b, flat, (*q.shape[:-1], v.shape[-1])), keeps)
    b.bind(node, _packed(b, y) if packed else y)
    for place, tensor in zip(PRESENT, (k, v), strict=True):
        if b.is_read(node, place):
            b.bind(node, tensor, place)
    if b.is_read(node, PRODUCTS):
        mode = node.integer("qk_matmul_output_mode", 0)
        hides = mask.fixed is not None or (mask.given is not None and mask.given.dtype.kind == "b")
        if not 0 <= mode <= 3 or (mode == 2 and hides):
            raise node.refuse(f"its products of mode {mode} with a mask hold minus infinity", "read its first output")
        b.bind(node, (scores, capped, seen, _shown(node, b, shares, keeps))[mode], PRODUCTS)


def _file_rank(b: Builder, x: Tensor) -> int:
    """How many dimensions the file knows."""
    return len(x.shape) + (not b.source.whole)


# ---- operands


def _heads(node: Node, b: Builder, place: int, *, packed: bool) -> Tensor:
    """[..., heads, length, size]."""
    x = floating(node, b.tensor(node, place))
    if _file_rank(b, x) != (3 if packed else 4):
        raise node.refuse(f"its operands have {_file_rank(b, x)} dimensions and another number; 3 or 4 are needed")
    if not packed:
        return x
    name = "q_num_heads" if place == 0 else "kv_num_heads"
    heads = node.integer(name, 0)
    *lead, length, width = x.shape
    if heads < 1 or width % heads:
        raise node.refuse(f"{name} {heads} does not fit a dimension of {width}")
    apart = reshaped(b, x, (*lead, length, heads, width // heads))
    return _swapped(b, apart, -3, -2)


def _packed(b: Builder, x: Tensor) -> Tensor:
    turned = _swapped(b, x, -3, -2)
    return reshaped(b, turned, (*turned.shape[:-2], turned.shape[-2] * turned.shape[-1]))


def _swapped(b: Builder, x: Tensor, one: int, other: int) -> Tensor:
    order = list(range(len(x.shape)))
    order[one], order[other] = order[other], order[one]
    return b.derive(x, ir.Transpose(x=x.index, permutation=tuple(order)))


def _after(node: Node, b: Builder, past: Tensor, new: Tensor) -> Tensor:
    """Earlier keys or values and the new ones."""
    rank = len(new.shape)
    same = len(past.shape) == rank and past.shape[:-2] == new.shape[:-2] and past.shape[-1] == new.shape[-1]
    if not same:
        raise node.refuse(f"a cache of rows {list(past.shape)} does not fit rows of shape {list(new.shape)}")
    frac_bits = max(past.frac_bits, new.frac_bits)
    return joined(b, [b.regrid(past, frac_bits), b.regrid(new, frac_bits)], rank - 2)


def _check_shapes(node: Node, q: Tensor, k: Tensor, v: Tensor) -> None:
    fits = q.shape[:-3] == k.shape[:-3] and q.shape[-1] == k.shape[-1] and k.shape[:-1] == v.shape[:-1]
    if not fits or q.shape[-3] % k.shape[-3]:
        raise node.refuse(
            f"queries {list(q.shape)}, keys {list(k.shape)}, values {list(v.shape)} do not fit each other"
        )


def _grouped(b: Builder, x: Tensor, shape: Shape) -> Tensor:
    """In this shape, whose -1 takes what is left."""
    left = x.fact.elements // -prod(shape)
    return reshaped(b, x, tuple(left if size == -1 else size for size in shape))


# ---- scores


def _scores(node: Node, b: Builder, q: Tensor, k: Tensor) -> Tensor:
    """scale * Q K^T [..., heads, queries, keys]. A power of two of the scale is but another reading of Q's integers."""
    scale = node.number("scale", 0.0) or q.shape[-1] ** -0.5
    mantissa, exponent = frexp(scale)
    if mantissa != 0.5:
        q = scaled(node, b, q, np.full((1,) * len(q.shape), 2 * mantissa), None)
    finer = q.frac_bits + 1 - exponent
    if finer < 0:
        raise node.refuse(f"its scale is {scale:g}")
    factor = 2.0 ** (exponent - 1)
    q = replace(q, frac_bits=finer, error=q.error * factor, limit=None if q.limit is None else q.limit * factor)
    left = _grouped(b, q, (*k.shape[:-3], k.shape[-3], -1, q.shape[-1]))
    found = multiplied(node, b, left, _swapped(b, k, -2, -1), ROUNDED_BITS)
    return reshaped(b, found, (*q.shape[:-1], k.shape[-2]))


def _capped(node: Node, b: Builder, x: Tensor, cap: float) -> Tensor:
    ones = (1,) * len(x.shape)
    slope = scaled(node, b, x, np.full(ones, 1 / cap), None)
    return scaled(node, b, tanh_of(b, slope), np.full(ones, cap), None)


# ---- masks


def _mask(node: Node, b: Builder, scores: Tensor, before: int) -> Mask:
    queries, keys = scores.shape[-2:]
    apart = np.arange(queries)[:, np.newaxis] + before - np.arange(keys)  # how far a key lies behind a query
    left, right = node.integer("left_window_size", -1), node.integer("right_window_size", -1)
    hidden = (apart < 0) & node.flag("is_causal")
    hidden |= (left >= 0) & (apart > left) | (right >= 0) & (-apart > right)
    fixed = np.where(hidden, -np.inf, 0.0) if hidden.any() else None
    given = None
    if node.has_input(MASK) and b.is_constant(node.inputs[MASK]):
        constant = b.constant(node, MASK, "the mask")
        values = np.where(constant, 0.0, -np.inf) if constant.dtype.kind == "b" else constant.astype(np.float64)
        missing = keys - values.shape[-1] if values.ndim else 0
        if missing > 0 and values.shape[-1] > 1:
            values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)], constant_values=-np.inf)
        values = values.reshape(constant_shape(node, values.shape, scores.shape))
        fixed = values if fixed is None else values + fixed
    elif node.has_input(MASK):
        given = b.tensor(node, MASK)
        rank = len(scores.shape)
        if len(given.shape) > rank or (len(given.shape) < rank and not b.source.whole):
            raise node.refuse(f"a mask with rows of shape {list(given.shape)} would align against the batch")
        given = reshaped(b, given, (1,) * (rank - len(given.shape)) + given.shape)
        if any(size not in (1, full) for size, full in zip(given.shape, scores.shape, strict=True)):
            raise node.refuse(f"a mask with rows of shape {list(given.shape)} does not fit {list(scores.shape)}")
    if fixed is not None:
        fixed = fixed.reshape((1,) * (len(scores.shape) - fixed.ndim) + fixed.shape)
    return Mask(fixed, given)


def _masked(node: Node, b: Builder, scores: Tensor, mask: Mask) -> tuple[Tensor, Tensor | Floats | None]:
    """(scores, far below all others where they are hidden; 1 for each query that sees something, 0 for others)."""
    if mask.fixed is None and mask.given is None:
        return scores, None
    far = -(2.0 ** (frexp(2 * scores.magnitude + 64)[1]))
    total: Tensor | None = None
    if mask.given is not None:
        total = _additive(node, b, mask.given, far)
    if mask.fixed is not None:
        fixed = np.maximum(mask.fixed, far)
        if total is None:
            sees: Floats = np.any(mask.fixed > far, axis=-1, keepdims=True).astype(np.float64)
            return shifted(node, b, scores, fixed), None if sees.all() else sees
        total = added(node, b, total, filled(node, b, total, fixed))
    if total is None:
        return scores, None
    return added(node, b, scores, total), _sees(b, total, far)


def _additive(node: Node, b: Builder, mask: Tensor, far: float) -> Tensor:
    """What a computed mask adds to scores: 0 or `far` of booleans, floats down to `far`."""
    if mask.dtype.kind == "b":
        ones = (1,) * len(mask.shape)
        weights, bias = b.store(np.full(ones, -int(far))), b.store(np.full(ones, int(far)))
        emitted = ir.Affine(x=mask.index, weights=weights, bias=bias, shifts=None)
        return b.derive(mask, emitted, dtype=np.dtype(np.float32), limit=None)
    mask = floating(node, mask)
    least = int(np.ldexp(far, mask.frac_bits))
    if mask.fact.low >= least:
        return mask
    return b.derive(mask, ir.Clip(x=mask.index, low=least, high=max(least, mask.fact.high)), limit=None)


def _sees(b: Builder, total: Tensor, far: float) -> Tensor:
    """1 for each query some of whose keys are not hidden, else 0."""
    most = b.derive(total, ir.ReduceMax(x=total.index, axes=(len(total.shape) - 1,)))
    above = b.store(np.full((1,) * len(total.shape), -int(np.ldexp(far, total.frac_bits))))
    found = b.derive(most, ir.Affine(x=most.index, weights=None, bias=above, shifts=None))
    return b.derive(found, ir.Clip(x=found.index, low=0, high=1), frac_bits=0, error=0.0, limit=None)


def _shown(node: Node, b: Builder, y: Tensor, keeps: Tensor | Floats | None) -> Tensor:
    """y, 0 for queries that see nothing."""
    if keeps is None:
        return y
    if isinstance(keeps, Tensor):
        made = b.derive(y, ir.Mul(a=y.index, b=keeps.index, shift=0))
        return made if isfinite(y.error) else replace(made, error=y.error)
    ones = keeps.astype(np.int64)
    return b.derive(y, ir.Affine(x=y.index, weights=b.store(ones), bias=None, shifts=None))
