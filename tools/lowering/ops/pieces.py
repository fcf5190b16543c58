"""Split, Pad, Expand, Tile, DepthToSpace, SpaceToDepth: elements cut apart, repeated, surrounded, reordered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.layout import gathered, numbers, reshaped
from tools.lowering.source import Node, Shape


def split(node: Node, b: Builder) -> None:
    """Into parts of given sizes, or into as many as there are outputs, the last one maybe smaller."""
    x = b.tensor(node, 0, classes=True)
    axis = row_axis(node, node.integer("axis", 0), x.shape)
    size, count = x.shape[axis], node.integer("num_outputs", len(node.outputs))
    parts = numbers(node, b, 1, "split")
    if parts is None and count == len(node.outputs):
        each = -(-size // max(count, 1))
        parts = (*[each] * (count - 1), size - each * (count - 1))
    if parts is None:
        raise node.refuse(f"num_outputs is {count}, it has {len(node.outputs)} outputs")
    if len(parts) != len(node.outputs) or sum(parts) != size or min(parts, default=0) < 1:
        raise node.refuse(f"parts {list(parts)} for {len(node.outputs)} outputs do not fit a dimension of {size}")
    start = 0
    for position, part in enumerate(parts):
        if b.is_read(node, position):
            b.bind(node, piece(b, x, axis, start, part), position)
        start += part


def piece(b: Builder, x: Tensor, axis: int, start: int, count: int) -> Tensor:
    """So many places of one dimension from `start` on."""
    if count == x.shape[axis]:
        return x
    starts, counts = [0] * len(x.shape), list(x.shape)
    starts[axis], counts[axis] = start, count
    return b.derive(x, ir.Slice(x=x.index, starts=tuple(starts), counts=tuple(counts), steps=(1,) * len(x.shape)))


def pad(node: Node, b: Builder) -> None:
    """With a constant, or with places of the row itself (edge, reflect, wrap); a negative pad cuts off."""
    x = b.tensor(node, 0)
    before, after = _pads(node, b, x)
    for axis, size in enumerate(x.shape):
        cut = -min(before[axis], 0)
        count = size - cut + min(after[axis], 0)
        if count < 1:
            raise node.refuse(f"nothing is left of dimension {axis + 1}")
        x = piece(b, x, axis, cut, count)
    before, after = (tuple(max(0, size) for size in sizes) for sizes in (before, after))
    mode = node.text("mode", "constant")
    if mode == "constant":
        b.bind(node, _surrounded(node, b, x, before, after))
        return
    if mode not in ("edge", "reflect", "wrap"):
        raise node.refuse(f"mode {mode!r} is unknown")
    for axis, size in enumerate(x.shape):
        if mode == "reflect" and max(before[axis], after[axis]) >= size > 1:
            raise node.refuse(f"it reflects more than the {size} places of dimension {axis + 1}")
        places = np.pad(np.arange(size), (before[axis], after[axis]), mode)  # type: ignore[call-overload] # mode is text
        x = gathered(b, x, places.tolist(), axis)
    b.bind(node, x)


def _pads(node: Node, b: Builder, x: Tensor) -> tuple[Shape, Shape]:
    """Per dimension of a row. Before opset 11 an attribute, inputs since; since opset 18 of chosen axes."""
    pads = numbers(node, b, 1, "pads") or ()
    rank = len(x.shape) + 1
    axes = numbers(node, b, 3, "axes") or tuple(range(rank))
    if len(pads) != 2 * len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise node.refuse(f"pads {list(pads)} and axes {list(axes)} do not fit a tensor of {rank} dimensions")
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], after[axis] = pads[place], pads[place + len(axes)]
    if before[0] or after[0]:
        raise node.refuse("it would pad the batch")
    return tuple(before[1:]), tuple(after[1:])


def _surrounded(node: Node, b: Builder, x: Tensor, before: Shape, after: Shape) -> Tensor:
    if not any((*before, *after)):
        return x
    value = node.number("value", 0.0)
    if node.has_input(2):
        found = b.constant(node, 2, "the value").reshape(-1)
        value = float(found[0]) if found.size == 1 else np.nan
    integer = np.rint(np.ldexp(value, x.frac_bits))
    if not abs(integer) <= 2.0**51:
        raise node.refuse(
            f"its value {value:g} is too large or not one number", "pad with the least value that can occur"
        )
    error = max(x.error, abs(float(np.ldexp(integer, -x.frac_bits)) - value))
    emitted = ir.Pad(x=x.index, before=before, after=after, value=int(integer))
    return b.derive(x, emitted, error=error, limit=None if value else x.limit)


def expand(node: Node, b: Builder) -> None:
    """To a constant shape, by adding zeros of that shape; the batch stays what it is."""
    x = b.tensor(node, 0)
    target = [int(size) for size in b.constant(node, 1, "the shape").reshape(-1)]
    rank = max(len(target), len(x.shape) + 1)
    target = [1] * (rank - len(target)) + target
    if rank > len(x.shape) + 1:
        raise node.refuse(f"shape {target} would put dimensions before the batch")
    if target[0] != 1:
        raise node.refuse(f"shape {target} repeats rows", "expand to 1 in the first dimension: it stays the batch")
    if any((1 not in (size, own) and size != own) or size < 1 for size, own in zip(target[1:], x.shape, strict=True)):
        raise node.refuse(f"rows of shape {list(x.shape)} do not fit shape {target}")
    b.bind(node, repeated(node, b, x, tuple(max(sizes) for sizes in zip(target[1:], x.shape, strict=True))))


def repeated(node: Node, b: Builder, x: Tensor, shape: Shape) -> Tensor:
    """x with its dimensions of size 1 repeated up to `shape`."""
    if x.shape == shape:
        return x
    rank = len(shape)
    one = b.derive(x, ir.Slice(x=x.index, starts=(0,) * rank, counts=(1,) * rank, steps=(1,) * rank))
    zero = b.derive(one, ir.Affine(x=one.index, weights=b.store(np.zeros((1,) * rank, int)), bias=None, shifts=None))
    zeros = ir.Pad(x=zero.index, before=(0,) * rank, after=tuple(size - 1 for size in shape), value=0)
    return b.derive(x, ir.Add(a=x.index, b=b.derive(zero, zeros).index))


def tile(node: Node, b: Builder) -> None:
    """Each dimension one after another: split off a dimension of size 1, repeat it, merge it."""
    x = b.tensor(node, 0)
    times = [int(count) for count in b.constant(node, 1, "repeats").reshape(-1)]
    if len(times) != len(x.shape) + 1 or min(times) < 1 or times[0] != 1:
        raise node.refuse(f"repeats {times} do not fit rows of shape {list(x.shape)}, or repeat rows")
    for axis, count in enumerate(times[1:]):
        if count > 1:
            lead, rest = x.shape[:axis], x.shape[axis:]
            flat = int(np.prod(lead)), int(np.prod(rest))
            wide = repeated(node, b, reshaped(b, x, (flat[0], 1, flat[1])), (flat[0], count, flat[1]))
            x = reshaped(b, wide, (*lead, count * rest[0], *rest[1:]))
    b.bind(node, x)


def depth_to_space(node: Node, b: Builder) -> None:
    """Channels to blocks of a picture; mode DCR has the block before the channel, CRD after it."""
    x = b.tensor(node, 0)
    side, (channels, height, width) = _block(node, x)
    inner = channels // side**2
    if inner * side**2 != channels:
        raise node.refuse(f"{channels} channels are no blocks of {side} x {side}")
    first = node.text("mode", "DCR") == "DCR"
    parts = (side, side, inner, height, width) if first else (inner, side, side, height, width)
    order = (2, 3, 0, 4, 1) if first else (0, 3, 1, 4, 2)
    b.bind(node, _reordered(b, x, parts, order, (inner, height * side, width * side)))


def space_to_depth(node: Node, b: Builder) -> None:
    """Blocks of a picture to channels; mode DCR has the block before the channel, CRD after it."""
    x = b.tensor(node, 0)
    side, (channels, height, width) = _block(node, x)
    if height % side or width % side:
        raise node.refuse(f"{height} x {width} is not made of blocks of {side} x {side}")
    parts = (channels, height // side, side, width // side, side)
    order = (2, 4, 0, 1, 3) if node.text("mode", "DCR") == "DCR" else (0, 2, 4, 1, 3)
    b.bind(node, _reordered(b, x, parts, order, (channels * side**2, height // side, width // side)))


def _block(node: Node, x: Tensor) -> tuple[int, Shape]:
    side = node.integer("blocksize", 0)
    if side < 1 or len(x.shape) != 3:
        raise node.refuse(f"blocks of side {side} do not fit rows of shape {list(x.shape)}")
    return side, x.shape


def _reordered(b: Builder, x: Tensor, parts: Shape, order: Sequence[int], shape: Shape) -> Tensor:
    x = reshaped(b, x, parts)
    return reshaped(b, b.derive(x, ir.Transpose(x=x.index, permutation=tuple(order))), shape)
