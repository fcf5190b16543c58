"""Axes and windows: ONNX counts dimensions with N, a graph without. Pure integers, no tensors."""

from __future__ import annotations

from dataclasses import dataclass

from tools.lowering.source import Node, Shape


def row_axis(node: Node, axis: int, shape: Shape, batch_axis: int = 0) -> int:
    """The axis of a row that ONNX's `axis` names; refused where it is the batch or lies outside."""
    rank = len(shape) + 1
    if not -rank <= axis < rank:
        raise node.refuse(f"axis {axis} lies outside a tensor of {rank} dimensions")
    if axis % rank == batch_axis:
        raise node.refuse("it works along the batch, so rows would influence each other")
    return axis % rank - (axis % rank > batch_axis)


def constant_shape(node: Node, found: tuple[int, ...], shape: Shape, *, widens: bool = False) -> Shape:
    """The row shape, of `shape`'s rank, of a constant that is broadcast against a tensor of rows. `widens`: whether it
    may be wider where the tensor has size 1."""
    rank = len(shape)
    if len(found) > rank + 1:
        raise node.refuse(f"a constant of shape {list(found)} has more dimensions than the tensor it meets")
    if len(found) == rank + 1 and found[0] != 1:
        raise node.refuse(f"a constant of shape {list(found)} has rows of its own; the batch is open")
    rows = (1,) * (rank - len(found)) + (found if len(found) <= rank else found[1:])
    if any(
        size not in (1, full) and not (widens and full == 1 <= size) for size, full in zip(rows, shape, strict=True)
    ):
        raise node.refuse(f"a constant of shape {list(found)} does not fit rows of shape {list(shape)}")
    return rows


@dataclass(frozen=True)
class Window:
    """A sliding window, one number per spatial dimension; `out`: how many positions it takes."""

    kernel: Shape
    strides: Shape
    dilations: Shape
    pads_begin: Shape
    pads_end: Shape
    out: Shape


def window(node: Node, spatial: Shape, kernel: Shape) -> Window:
    """The node's window over `spatial` sizes: strides, dilations, pads, auto_pad, ceil_mode as ONNX defines them."""
    dims = len(spatial)
    if not 1 <= dims <= 3:
        raise node.refuse(f"it has {dims} spatial dimensions, 1 to 3 are supported")
    strides = per_dim(node, "strides", dims)
    dilations = per_dim(node, "dilations", dims)
    if len(kernel) != dims or min(*kernel, *strides, *dilations) < 1:
        found = f"kernel {list(kernel)}, strides {list(strides)}, dilations {list(dilations)}"
        raise node.refuse(f"{found}: {dims} numbers of at least 1 are needed in each")
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    begin, end = _pads(node, spatial, strides, reach)
    out = tuple(
        (size + b + e - r) // s + 1 for size, b, e, r, s in zip(spatial, begin, end, reach, strides, strict=True)
    )
    if node.flag("ceil_mode"):
        out = tuple(_ceil(*values) for values in zip(spatial, begin, end, reach, strides, strict=True))
        end = tuple(
            max(0, (o - 1) * s + r - size - b)
            for o, s, r, size, b in zip(out, strides, reach, spatial, begin, strict=True)
        )
    if min(out) < 1:
        raise node.refuse(f"a window of reach {list(reach)} does not fit into {list(spatial)}")
    return Window(kernel, strides, dilations, begin, end, out)


def _ceil(size: int, begin: int, end: int, reach: int, stride: int) -> int:
    """Positions rounded up, but none that starts in the padding behind the tensor."""
    out = -(-(size + begin + end - reach) // stride) + 1
    return out - 1 if (out - 1) * stride >= size + begin else out


def per_dim(node: Node, name: str, dims: int) -> Shape:
    """An attribute of one number per spatial dimension, 1 where it is left out."""
    values = node.integers(name) or (1,) * dims
    if len(values) != dims:
        raise node.refuse(f"{name} {list(values)} should have {dims} numbers")
    return values


def _pads(node: Node, spatial: Shape, strides: Shape, reach: Shape) -> tuple[Shape, Shape]:
    dims = len(spatial)
    mode = node.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = node.integers("pads") or (0,) * (2 * dims)
        if len(pads) != 2 * dims or min(pads) < 0:
            raise node.refuse(f"pads {list(pads)} should be {2 * dims} numbers of at least 0")
        return pads[:dims], pads[dims:]
    if mode == "VALID":
        return (0,) * dims, (0,) * dims
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.refuse(f"auto_pad {mode!r} is unknown")
    total = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(spatial, strides, reach, strict=True)]
    small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (small, large) if mode == "SAME_UPPER" else (large, small)
