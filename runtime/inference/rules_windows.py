"""Rules of the ops that look through windows: Conv and MaxPool.

A Conv sums products, by the argument of rules_linear; a MaxPool selects. What is proven here besides is that every
index stays inside.
"""

from __future__ import annotations

from enum import Enum
from math import prod

from runtime.inference.facts import Dims, Fact, Place, Proof, Work
from runtime.inference.graph import Conv, ConvForm, MaxPool
from runtime.inference.limbs import Limbs
from runtime.inference.limits import POOL_TAPS_MAX, SINGLE_EXACT_MAX, SPATIAL_RANK_MAX
from runtime.inference.rules_linear import columns, limbs_for, product_work, weighted

RUN_BYTES = 32
"""So short a run of channels is laid side by side with others faster than gathered."""
SHORT_RUN_UNITS = 3
"""Of each element of a window where tensors are shifted: a run of all channels times as many numbers."""
GATHERED_RUN_UNITS = 2
"""Of each element of a window: a run of all channels, copied by itself."""


class ConvWay(Enum):
    """How the engine computes a Conv in double precision. Exactness makes the choice free; it decides the cost."""

    GATHERED = "windows gathered channels last, one matrix product for all rows"
    BY_CHANNEL = "shifted tensors times one number per channel, summed"
    BY_GROUP = "windows side by side, one matrix product for each group and row"


def conv_way(node: Conv, weights: Dims) -> ConvWay:
    """By the groups: one, as many as input and output channels, or others. weights: [O, C / groups, kernel...]."""
    if node.groups == 1:
        return ConvWay.GATHERED
    return ConvWay.BY_CHANNEL if node.groups == weights[0] and weights[1] == 1 else ConvWay.BY_GROUP


def has_short_runs(channels: int, limbs: Limbs | None) -> bool:
    """Whether windows are laid side by side, not gathered."""
    return channels * (8 if limbs is None else 1) <= RUN_BYTES


def out_sizes(place: Place, shape: Dims, kernel: Dims, strides: Dims, begin: Dims, end: Dims, dilations: Dims) -> Dims:
    """Positions of a window along each spatial dimension, each at least 1."""
    dims = len(shape)
    place.demand(1 <= dims <= SPATIAL_RANK_MAX, "there are 1 to 3 spatial dimensions", spatial=dims)
    for name, values in (
        ("kernel", kernel),
        ("strides", strides),
        ("pads_begin", begin),
        ("pads_end", end),
        ("dilations", dilations),
    ):
        place.demand(
            len(values) == dims, f"{name} has one number per spatial dimension", found=len(values), spatial=dims
        )
    place.demand(
        min(*kernel, *strides, *dilations) >= 1,
        "kernel, strides and dilations are at least 1",
        kernel=kernel,
        strides=strides,
        dilations=dilations,
    )
    sizes = []
    for axis in range(dims):
        room = shape[axis] + begin[axis] + end[axis] - dilations[axis] * (kernel[axis] - 1) - 1
        place.demand(room >= 0, "the window fits into the padded input", axis=axis, missing=-room)
        sizes.append(room // strides[axis] + 1)
    return tuple(sizes)


def conv(node: Conv, place: Place) -> Proof:
    """x [channels, spatial...], weights [outputs, channels / groups, kernel...]. Padding puts 0 into x's interval.
    Form SINGLE runs in float32: all partial sums within 2**24."""
    x = place.fact(node.x)
    weights = place.shape_of(node.weights)
    groups = node.groups
    place.demand(
        len(x.shape) >= 2 and len(weights) == len(x.shape) + 1,
        "x is [channels, spatial...], weights [outputs, channels / groups, kernel...]",
        x=x.shape,
        weights=weights,
    )
    place.demand(
        groups >= 1 and weights[1] * groups == x.shape[0] and weights[0] % groups == 0,
        "groups divide input and output channels",
        groups=groups,
        x=x.shape,
        weights=weights,
    )
    kernel = weights[2:]
    spatial = out_sizes(place, x.shape[1:], kernel, node.strides, node.pads_begin, node.pads_end, node.dilations)
    padded = any(node.pads_begin) or any(node.pads_end)
    reach = Fact(x.shape, min(x.low, 0), max(x.high, 0)) if padded else x
    fact = weighted(place, node, reach, (weights[0], *spatial))
    if node.form == ConvForm.SINGLE:
        _check_single(place, node, reach)
    if node.form == ConvForm.DOUBLE and conv_way(node, weights) == ConvWay.GATHERED:
        return Proof(fact, _gathered(place, node, x, fact))
    place.expand(prod(weights), "conv", node.form, node.weights, None if node.form else node.shifts, groups)
    if node.bias is not None:
        place.expand(weights[0], "bias", node.bias, node.shifts, len(weights))
    return Proof(fact, _conv_work(node, x, fact, weights, padded))


def _check_single(place: Place, node: Conv, x: Fact) -> None:
    """Form SINGLE: float32's 24 bits for the sums; bias, shift and rounding follow in float64."""
    sums = place.sums(node.weights)
    found = columns(sums.positive, sums.negative, None, x.low, x.high)
    worst = max(int(found.partial_high.max()), -int(found.partial_low.min()))
    largest = max(worst, x.magnitude, int(sums.positive.max()), -int(sums.negative.min()))
    place.demand(
        largest <= SINGLE_EXACT_MAX,
        "every partial sum of a single-precision Conv is exact: within 2**24",
        sum=largest,
        limit=SINGLE_EXACT_MAX,
    )


def _gathered(place: Place, node: Conv, x: Fact, fact: Fact) -> Work:
    """Channels last: x is padded, windows are gathered, one product of all rows."""
    kernel, spatial = place.shape_of(node.weights)[2:], fact.shape[1:]
    sizes = tuple(s + b + e for s, b, e in zip(x.shape[1:], node.pads_begin, node.pads_end, strict=True))
    taps, positions, source = prod(kernel), prod(spatial), x.shape[0] * prod(sizes)
    gathered, limbs = taps * x.shape[0] * positions, limbs_for(place, node, x, fact)
    if limbs is not None:
        gathered = -(-gathered * limbs.x // 8)
    short = has_short_runs(x.shape[0], limbs)
    if not short:
        place.expand(positions * taps, "windows", sizes, spatial, kernel, node.strides, node.dilations)
    return product_work(place, node, x, fact) + Work(
        kernels=8 + (2 * (sum(kernel) + len(kernel)) if short else 0),
        strided=GATHERED_RUN_UNITS * taps * positions * (limbs.x if limbs else 1),
        streamed=gathered + source,
        weights=0 if short else taps * positions,
        scratch=gathered + source,
        numbers=8 + (4 * sum(kernel) if short else 0),
    )


def _conv_work(node: Conv, x: Fact, fact: Fact, weights: Dims, padded: bool) -> Work:
    taps, positions = prod(weights[2:]), prod(fact.shape[1:])
    source = x.shape[0] * prod(s + b + e for s, b, e in zip(x.shape[1:], node.pads_begin, node.pads_end, strict=True))
    macs = fact.elements * prod(weights[1:])
    tail = 1 + (node.bias is not None) + (node.shifts is not None)
    if node.form == ConvForm.SINGLE:
        tail += 2
        return Work(
            kernels=6,
            macs_single=macs,
            strided=60 * node.groups,
            streamed=x.elements + tail * fact.elements + taps * x.shape[0] * positions,
            weights=prod(weights),
            scratch=x.elements + 2 * fact.elements + taps * x.shape[0] * positions,
        )
    gathered = taps * x.shape[0] * positions
    moved = source if padded else 0
    if conv_way(node, weights) == ConvWay.BY_CHANNEL:
        return Work(
            kernels=3 * taps + 5,
            strided=moved + gathered + SHORT_RUN_UNITS * taps * positions,
            streamed=2 * gathered + tail * fact.elements,
            weights=prod(weights),
            scratch=source + 2 * fact.elements,
            numbers=6 * taps + 4,
        )
    return Work(
        kernels=2 * taps + 6,
        macs_double=macs,
        strided=gathered + (source if padded else 0) + 130 * node.groups,
        streamed=gathered + tail * fact.elements,
        weights=prod(weights),
        scratch=2 * gathered + fact.elements + (source if padded else 0),
        numbers=5 * taps + 6,
    )


def max_pool(node: MaxPool, place: Place) -> Proof:
    """The engine pads with x's lowest possible value, which never exceeds an element: the maximum is of elements
    inside x as soon as each window holds one. It does: a window that starts at a >= 0 holds a itself, and a is below
    x's size; one that starts at a < 0 reaches a + dilation * j in [0, dilation) for some j of the kernel."""
    x = place.fact(node.x)
    place.demand(len(x.shape) >= 2, "x is [channels, spatial...]", x=x.shape)
    spatial = out_sizes(place, x.shape[1:], node.kernel, node.strides, node.pads_begin, node.pads_end, node.dilations)
    for axis, size in enumerate(x.shape[1:]):
        begin, dilation = node.pads_begin[axis], node.dilations[axis]
        last = (spatial[axis] - 1) * node.strides[axis] - begin
        place.demand(
            begin <= dilation * (node.kernel[axis] - 1) and last < size and (begin == 0 or dilation <= size),
            "every window holds an element of x",
            axis=axis,
            pads_begin=begin,
            dilation=dilation,
            last_start=last,
            size=size,
        )
    shape = (x.shape[0], *spatial)
    padded = x.shape[0] * prod(s + b + e for s, b, e in zip(x.shape[1:], node.pads_begin, node.pads_end, strict=True))
    fact, taps = Fact(shape, x.low, x.high), prod(node.kernel)
    if taps > POOL_TAPS_MAX:
        return Proof(fact, Work(kernels=2, strided=padded + fact.elements * (2 * taps + 3), scratch=padded))
    return Proof(
        fact,
        Work(
            kernels=taps + 4,
            streamed=padded + 2 * taps * fact.elements,
            strided=2 * taps * prod(spatial),
            scratch=padded + taps * fact.elements,
            numbers=4 * taps + 2,
        ),
    )
