"""RotaryEmbedding (opset 23 on): pairs of elements turned by angles that grow with their place in the sequence.

(a, b) becomes (a cos - b sin, a sin + b cos). The pairs are an element of the first half and the same of the second, or
neighbours where they are interleaved; elements behind `rotary_embedding_dim` stay as they are. Cosines and sines are
constants, or rows of constant tables that computed places choose.
"""

from __future__ import annotations

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.columns import floating, floats, regridded, scaled
from tools.lowering.ops.elementwise import product
from tools.lowering.ops.indexing import inside, looked_up
from tools.lowering.ops.layout import joined, reshaped
from tools.lowering.source import Array, Node, Shape


def rotary_embedding(node: Node, b: Builder) -> None:
    """Of four dimensions [N, heads, length, size], or of three with the heads side by side in the last."""
    x = floating(node, b.tensor(node, 0))
    shape, packed = x.shape, len(x.shape) + (not b.source.whole) == 3
    heads = node.integer("num_heads", 0)
    if packed:
        if heads < 1 or shape[-1] % heads:
            raise node.refuse(f"num_heads {heads} does not fit a dimension of {shape[-1]}")
        x = reshaped(b, x, (*shape[:-1], heads, shape[-1] // heads))
    elif len(shape) + (not b.source.whole) != 4:
        raise node.refuse(f"rows of shape {list(shape)}: heads, places and their elements are needed")
    size = x.shape[-1]
    turned = node.integer("rotary_embedding_dim", 0) or size
    if not 0 < turned <= size or turned % 2:
        raise node.refuse(f"{turned} of {size} elements cannot be turned in pairs")
    length = x.shape[-3 if packed else -2]
    along = (*x.shape[:-3], length, 1, turned // 2) if packed else (*x.shape[:-3], 1, length, turned // 2)
    cosines, sines = (_angles(node, b, place, along) for place in (1, 2))
    interleaved = node.flag("interleaved")
    first, second = _pairs(b, x, turned, interleaved=interleaved)
    real = _turned(node, b, (first, cosines), (second, sines), ir.Sub)
    imaginary = _turned(node, b, (first, sines), (second, cosines), ir.Add)
    result = _together(node, b, real, imaginary, interleaved=interleaved)
    if turned < size:
        rest = _part(b, x, turned, size - turned, 1)
        result = joined(b, regridded(node, b, (result, rest), max(result.frac_bits, rest.frac_bits)), len(x.shape) - 1)
    b.bind(node, reshaped(b, result, shape))


def _angles(node: Node, b: Builder, place: int, along: Shape) -> Tensor | Array:
    """Cosines or sines in a shape that meets the pairs': an array that is the same in every row, or a tensor."""
    found: Tensor | Array
    if not b.is_constant(node.inputs[place]):
        if node.has_input(3):
            raise node.needs_constant(place, "a table of angles")
        found = floating(node, b.tensor(node, place))
    else:
        table = b.constant(node, place, "a table of angles")
        if not table.ndim:
            raise node.refuse("its angles are one number, a table is needed")
        if not node.has_input(3):
            found = floats(table)
        elif b.is_constant(node.inputs[3]):
            found = floats(table)[inside(node, b.constant(node, 3, "the places"), len(table))]
        else:
            found = looked_up(node, b, table, b.tensor(node, 3))
    size = np.prod(found.shape) if isinstance(found, np.ndarray) else found.fact.elements
    shape = along if size == np.prod(along) else (*(1 for _ in along[:-3]), *along[-3:])
    if size != np.prod(shape) or found.shape[-1:] != along[-1:]:
        raise node.refuse(f"angles of shape {list(found.shape)} do not fit pairs of shape {list(along)}")
    return found.reshape(shape) if isinstance(found, np.ndarray) else reshaped(b, found, shape)


def _part(b: Builder, x: Tensor, start: int, count: int, step: int) -> Tensor:
    """Elements of the last dimension."""
    last = len(x.shape) - 1
    starts, counts, steps = [0] * last + [start], [*x.shape[:-1], count], [1] * last + [step]
    return b.derive(x, ir.Slice(x=x.index, starts=tuple(starts), counts=tuple(counts), steps=tuple(steps)))


def _pairs(b: Builder, x: Tensor, turned: int, *, interleaved: bool) -> tuple[Tensor, Tensor]:
    half = turned // 2
    if interleaved:
        return _part(b, x, 0, half, 2), _part(b, x, 1, half, 2)
    return _part(b, x, 0, half, 1), _part(b, x, half, half, 1)


def _turned(
    node: Node,
    b: Builder,
    one: tuple[Tensor, Tensor | Array],
    other: tuple[Tensor, Tensor | Array],
    op: type[ir.Add | ir.Sub],
) -> Tensor:
    """one * its angle, and the other's product added or subtracted."""
    parts = [
        scaled(node, b, x, a, None) if isinstance(a, np.ndarray) else product(node, b, x, a) for x, a in (one, other)
    ]
    left, right = regridded(node, b, parts, max(part.frac_bits for part in parts))
    return b.derive(left, op(a=left.index, b=right.index), error=left.error + right.error, limit=None)


def _together(node: Node, b: Builder, real: Tensor, imaginary: Tensor, *, interleaved: bool) -> Tensor:
    parts = regridded(node, b, (real, imaginary), max(real.frac_bits, imaginary.frac_bits))
    rank = len(real.shape)
    if not interleaved:
        return joined(b, parts, rank - 1)
    apart = [reshaped(b, part, (*part.shape, 1)) for part in parts]
    return reshaped(b, joined(b, apart, rank), (*real.shape[:-1], 2 * real.shape[-1]))
