"""Resize and Upsample to constant sizes: one dimension after another, each a constant matrix of weights.

Nearest places that are every place some times over are a repetition, evenly spaced ones a slice; the rest is a Gemm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats, Ints
from tools.lowering.ops.columns import dense, floating, floats
from tools.lowering.ops.layout import gathered, numbers, reshaped
from tools.lowering.ops.pieces import repeated
from tools.lowering.source import Node

RATIO_MAX: Final = 1024


@dataclass(frozen=True)
class _Axis:
    """One dimension: `size` places become `out`, the scale being about out / size."""

    size: int
    out: int
    scale: float


_TRANSFORMS: Final[dict[str, Callable[[Floats, _Axis], Floats]]] = {
    "half_pixel": lambda i, a: (i + 0.5) / a.scale - 0.5,
    "pytorch_half_pixel": lambda i, a: (i + 0.5) / a.scale - 0.5 if a.out > 1 else 0 * i,
    "align_corners": lambda i, a: i * ((a.size - 1) / (a.out - 1)) if a.out > 1 else 0 * i,
    "asymmetric": lambda i, a: i / a.scale,
    "half_pixel_symmetric": lambda i, a: a.size / 2 * (1 - a.out / (a.size * a.scale)) + (i + 0.5) / a.scale - 0.5,
}
_WHOLE: Final = 2.0**-16
_ROUNDINGS: Final[dict[str, Callable[[Floats], Floats]]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(node: Node, b: Builder) -> None:
    """mode nearest, linear or cubic."""
    mode = node.text("mode", "nearest")
    x = b.tensor(node, 0)
    x = x if mode == "nearest" and x.dtype.kind in "iu" else floating(node, x)
    old = node.op == "Upsample" or b.source.opset < 11
    transform = "asymmetric" if old else node.text("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else node.text("nearest_mode", "round_prefer_floor")
    if mode not in ("nearest", "linear", "cubic") or transform not in _TRANSFORMS or rounding not in _ROUNDINGS:
        raise node.refuse(f"mode {mode} with {transform} and {rounding} is not supported", "export without cropping")
    if node.flag("antialias") or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.refuse("antialias and keep_aspect_ratio_policy are not supported", "export without them")
    for place, axis in enumerate(_axes(node, b, x, old=old)):
        if axis.out == axis.size and axis.scale == 1:
            continue
        if transform == "align_corners" and abs(axis.size * axis.scale - axis.out) > _WHOLE and not old:
            reason = f"onnxruntime and the standard align corners apart at a scale of {axis.scale:g} of {axis.size}"
            raise node.refuse(reason, "export with sizes instead of scales")
        at = _TRANSFORMS[transform](np.arange(axis.out, dtype=np.float64), axis)
        if mode == "nearest":
            places = np.clip(_ROUNDINGS[rounding](at), 0, axis.size - 1).astype(np.int64)
            x = _nearest(node, b, x, place, places)
        else:
            x = _weighted(node, b, x, place, _linear(at, axis) if mode == "linear" else _cubic(node, at, axis))
    b.bind(node, x)


def _axes(node: Node, b: Builder, x: Tensor, *, old: bool) -> list[_Axis]:
    """What becomes of each dimension of a row, by scales or by sizes."""
    rank = len(x.shape) + 1
    axes = node.integers("axes") or tuple(range(rank))
    scales = _scales(node, b, 1 if old else 2)
    sizes = numbers(node, b, 3, "sizes")
    given = scales if scales else sizes or ()
    if len(given) != len(axes) or any(not -rank <= axis < rank for axis in axes) or min(given, default=0) <= 0:
        raise node.refuse(f"scales {scales} and sizes {sizes} do not fit a tensor of {rank} dimensions")
    by_axis = dict(zip((axis % rank for axis in axes), given, strict=True))
    if by_axis.get(0, 1) not in (1, b.source.fixed_rows if sizes and not scales else 1):
        raise node.refuse("it would change the number of rows", "give the batch the scale 1")
    found = []
    for axis, size in enumerate(x.shape, start=1):
        value = by_axis.get(axis, 1.0 if scales else size)
        scale = float(value) if scales else value / size
        if not 1 / RATIO_MAX <= scale <= RATIO_MAX or int(size * scale) < 1:
            raise node.refuse(f"scale {scale:g} of dimension {axis} is out of bounds")
        found.append(_Axis(size, int(np.float32(size) * np.float32(scale)) if scales else int(value), scale))
    return found


def _scales(node: Node, b: Builder, position: int) -> list[float]:
    if node.has_input(position):
        return [float(value) for value in b.constant(node, position, "scales").reshape(-1)]
    return list(node.numbers("scales") or ())


def _nearest(node: Node, b: Builder, x: Tensor, axis: int, places: Ints) -> Tensor:
    size, out = x.shape[axis], len(places)
    if out % size == 0 and (places == np.repeat(np.arange(size), out // size)).all():
        lead, rest = int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis + 1 :]))
        wide = repeated(node, b, reshaped(b, x, (lead * size, 1, rest)), (lead * size, out // size, rest))
        return reshaped(b, wide, (*x.shape[:axis], out, *x.shape[axis + 1 :]))
    if x.dtype.kind != "f" or (len(set(np.diff(places).tolist())) <= 1 and len(set(places.tolist())) == out):
        return gathered(b, x, places.tolist(), axis)
    return _weighted(node, b, x, axis, np.eye(size)[places])


def _weighted(node: Node, b: Builder, x: Tensor, axis: int, matrix: Floats) -> Tensor:
    """matrix [out, size] applied along one dimension, which goes last for as long as that takes."""
    last = len(x.shape) - 1
    order = (*(place for place in range(last + 1) if place != axis), axis)
    turned = x if axis == last else b.derive(x, ir.Transpose(x=x.index, permutation=order))
    result = dense(node, b, turned, floats(matrix), None)
    back = tuple(order.index(place) for place in range(last + 1))
    return result if axis == last else b.derive(result, ir.Transpose(x=result.index, permutation=back))


def _linear(at: Floats, axis: _Axis) -> Floats:
    at = np.clip(at, 0, axis.size - 1)
    below = np.floor(at).astype(np.int64)
    matrix, rows = np.zeros((axis.out, axis.size)), np.arange(axis.out)
    np.add.at(matrix, (rows, below), 1 - (at - below))
    np.add.at(matrix, (rows, np.minimum(below + 1, axis.size - 1)), at - below)
    return matrix


def _cubic(node: Node, at: Floats, axis: _Axis) -> Floats:
    """Keys' cubic convolution; places outside are the border's, or left out where exclude_outside says so."""
    a, outside = node.number("cubic_coeff_a", -0.75), node.flag("exclude_outside")
    matrix, rows = np.zeros((axis.out, axis.size)), np.arange(axis.out)
    first = np.floor(at).astype(np.int64)
    for tap in range(-1, 3):
        far = np.abs(at - first - tap)
        near = ((a + 2) * far - (a + 3)) * far**2 + 1
        weight = np.where(far <= 1, near, ((far - 5) * far + 8) * far * a - 4 * a)
        place = first + tap
        inside = (place >= 0) & (place < axis.size)
        np.add.at(matrix, (rows, np.clip(place, 0, axis.size - 1)), np.where(inside | (not outside), weight, 0))
    return matrix / matrix.sum(axis=1, keepdims=True) if outside else matrix
