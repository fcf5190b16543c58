"""Relu, Sigmoid, Tanh, Softmax, Clip: functions of one element or of one axis, from ops that the verifier has.

Sigmoid(x) is the first of Softmax([x, 0]), and Tanh(x) is 2 Sigmoid(2x) - 1: both take over the softmax's proof and its
error, 2e-8 at most.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import floating, resolving
from tools.lowering.ops.layout import reshaped
from tools.lowering.source import Node

SOFTMAX_FRAC_BITS: Final = 24
SOFTMAX_ERROR: Final = 2e-8  # the composite's own, by its definition in the graph
SOFTMAX_INPUT_BITS_MAX: Final = 52
SATURATION: Final = 32
"""A sigmoid is within 2e-14 of 0 or 1 beyond: a wider interval may be cut there."""


def relu(node: Node, b: Builder) -> None:
    """Nothing where no element can be negative."""
    x = floating(node, b.tensor(node, 0))
    b.bind(node, x if x.fact.low >= 0 else b.derive(x, ir.Relu(x=x.index)))


def softmax(node: Node, b: Builder) -> None:
    """Along one axis; before opset 13 along all from `axis` on, as one."""
    x, axis = softmax_shape(node, b)
    b.bind(node, reshaped(b, softmax_of(b, x, axis), b.tensor(node, 0).shape))


def softmax_shape(node: Node, b: Builder) -> tuple[Tensor, int]:
    """(the operand in the shape that the node means, the axis along which it works)."""
    x = floating(node, b.tensor(node, 0))
    if b.source.opset >= 13:
        return x, row_axis(node, node.integer("axis", -1), x.shape)
    axis = row_axis(node, node.integer("axis", 1), x.shape)
    return reshaped(b, x, (*x.shape[:axis], prod(x.shape[axis:]))), axis


def softmax_of(b: Builder, x: Tensor, axis: int) -> Tensor:
    """Changing every logit by at most e changes no probability by more than e / 2."""
    if (x.fact.high - x.fact.low).bit_length() > SOFTMAX_INPUT_BITS_MAX:
        x = b.within_limit(x)
    x = _on_whole_numbers(b, x, axis) if x.frac_bits < 0 else x
    return _softmax(b, x, axis, x.frac_bits)


def _on_whole_numbers(b: Builder, x: Tensor, axis: int) -> Tensor:
    """x less its maximum along the axis, from a grid on which whatever is not the maximum is far below it or near."""
    top = b.derive(x, ir.ReduceMax(x=x.index, axes=(axis,)))
    below = b.derive(x, ir.Sub(a=x.index, b=top.index), error=2 * x.error)
    steps = -(-SATURATION >> -x.frac_bits)
    below = b.derive(below, ir.Clip(x=below.index, low=min(-1, -steps), high=0), limit=None)
    return b.regrid(replace(below, frac_bits=max(below.frac_bits, -SATURATION.bit_length())), 0)


def _softmax(b: Builder, x: Tensor, axis: int, frac_bits_in: int) -> Tensor:
    emitted = ir.Softmax(x=x.index, axis=axis, frac_bits_in=frac_bits_in, frac_bits_out=SOFTMAX_FRAC_BITS)
    error = min(1.0, x.error / 2 + SOFTMAX_ERROR + 2.0**-SOFTMAX_FRAC_BITS / 2)
    return b.derive(x, emitted, frac_bits=SOFTMAX_FRAC_BITS, error=error, limit=None)


def sigmoid_of(b: Builder, x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) with SOFTMAX_FRAC_BITS fractional bits."""
    return _sigmoid(b, x, x.frac_bits)


def tanh_of(b: Builder, x: Tensor) -> Tensor:
    """2 Sigmoid(2x) - 1: doubling is reading x with one fractional bit fewer."""
    x = b.regrid(x, max(1, x.frac_bits))
    half = _sigmoid(b, x, x.frac_bits - 1)  # of 2x
    flat = reshaped(b, half, (prod(half.shape),))
    middle = b.store(np.array([-(1 << (SOFTMAX_FRAC_BITS - 1))]))
    emitted = ir.Affine(x=flat.index, weights=None, bias=middle, shifts=None)
    result = b.derive(flat, emitted, frac_bits=SOFTMAX_FRAC_BITS - 1, error=2 * half.error)
    return reshaped(b, result, half.shape)


def _sigmoid(b: Builder, x: Tensor, frac_bits_in: int) -> Tensor:
    """Of x's integers n read as n * 2**-frac_bits_in. Its slope is at most 1/4."""
    shape, count = x.shape, prod(x.shape)
    cut = SATURATION << frac_bits_in
    if x.fact.magnitude > cut:
        x = b.derive(x, ir.Clip(x=x.index, low=-cut, high=cut))
    x = reshaped(b, x, (1, count))
    pair = b.derive(x, ir.Pad(x=x.index, before=(0, 0), after=(1, 0), value=0))
    both = _softmax(b, pair, 0, frac_bits_in)
    first = ir.Slice(x=both.index, starts=(0, 0), counts=(1, count), steps=(1, 1))
    slope = x.error * 2.0 ** (x.frac_bits - frac_bits_in) / 4
    error = min(1.0, slope + SOFTMAX_ERROR + 2.0**-SOFTMAX_FRAC_BITS / 2)
    return reshaped(b, b.derive(both, first, error=error), shape)


def clip(node: Node, b: Builder) -> None:
    """Between constant bounds: attributes before opset 11, inputs since."""
    x = floating(node, b.tensor(node, 0))
    low, high = (_bound(node, b, position, name) for position, name in ((1, "min"), (2, "max")))
    if low is not None and high is not None and low > high:
        raise node.refuse(f"its lower bound {low:g} is above its upper one {high:g}")
    x = x if low is None or low <= 0 else resolving(b, x, np.array([low]))
    least = x.fact.low if low is None else _on_grid(x, low)
    most = max(x.fact.high, least) if high is None else _on_grid(x, high)
    least = min(least, most)
    if least <= x.fact.low and x.fact.high <= most:
        b.bind(node, x)
        return
    b.bind(
        node,
        b.derive(
            x,
            ir.Clip(x=x.index, low=least, high=most),
            error=min(x.error + 2.0**-x.frac_bits / 2, 2.0**-x.frac_bits * (most - least)),
        ),
    )


def _bound(node: Node, b: Builder, position: int, name: str) -> float | None:
    if not node.has_input(position):
        return node.number(name, 0.0) if name in node.attributes else None
    found = b.constant(node, position, name)
    if found.size != 1:
        raise node.refuse(f"{name} has {found.size} elements, one is needed")
    return float(found.reshape(-1)[0])


def _on_grid(x: Tensor, bound: float) -> int:
    """The bound as an integer of x's grid; one beyond 2**53 limits nothing."""
    return int(np.rint(np.clip(np.ldexp(bound, x.frac_bits), -(2.0**53), 2.0**53)))
