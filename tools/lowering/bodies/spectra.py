"""STFT and DFT by constant matrices of cosines and sines: audio in front of a convolution, transforms along tokens."""

from __future__ import annotations

from typing import Final

import numpy as np

from tools.lowering import functions
from tools.lowering.bodies.body import Body
from tools.lowering.grids import Floats

POINTS_MAX: Final = 4096
AXIS_AS_INPUT: Final = 20
"""From this opset on, DFT has its axis as an operand."""


def _waves(count: int, points: int, bins: int) -> Floats:
    """exp(-2 pi i k n / points) as [count, bins, 2], of n < count and k < bins; angles are folded first, so that they
    are as exact as float64 is."""
    turns = np.outer(np.arange(count), np.arange(bins)) % points
    angles = 2 * np.pi * turns / points
    return np.stack([functions.cos(angles), -functions.sin(angles)], axis=-1)


def stft(body: Body) -> None:
    """A convolution by the windowed waves: [N, T, 1] becomes [N, frames, bins, 2]."""
    step = int(_one(body, 1, "frame_step"))
    window = body.value(2, "window").astype(np.float64).reshape(-1) if body.has(2) else None
    length = int(_one(body, 3, "frame_length")) if body.has(3) else 0 if window is None else len(window)
    shape = body.shape(0)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 1):
        raise body.refuse(f"a signal of shape {list(shape)} is not supported, real ones [N, T, 1] are")
    if step < 1 or not 1 <= length <= POINTS_MAX or (window is not None and len(window) != length):
        raise body.refuse(f"frames of {length} each {step}, at most {POINTS_MAX} long, fit no such window")
    bins = length // 2 + 1 if body.integer("onesided", 1) else length
    waves = _waves(length, length, bins) * (1.0 if window is None else window[:, np.newaxis, np.newaxis])
    weights = waves.reshape(length, 2 * bins).T[:, np.newaxis]
    signal = body.reshaped(body.given(0), 0, 1, -1)
    found = body.make("Conv", signal, body.real(weights), kernel_shape=[length], strides=[step])
    turned = body.make("Transpose", found, perm=[0, 2, 1])
    body.finish(0, body.reshaped(turned, 0, 0, bins, 2))


def dft(body: Body) -> None:
    """A product with the waves along one dimension; real ones [..., 1] or complex ones [..., 2] become complex."""
    rank = len(body.shape(0))
    if body.around.opset >= AXIS_AS_INPUT:
        axis = int(_one(body, 2, "axis")) if body.has(2) else -2
    else:
        axis = body.integer("axis", 1)
    if not -rank <= axis < rank or axis % rank in (0, rank - 1) or rank < 3:
        raise body.refuse(f"axis {axis} of {rank} dimensions is none that is transformed")
    axis %= rank
    parts, back = body.size(0, -1), body.integer("inverse", 0)
    length = int(_one(body, 1, "dft_length")) if body.has(1) else body.size(0, axis)
    if parts not in (1, 2) or not 1 <= length <= POINTS_MAX or body.size(0, axis) > POINTS_MAX:
        raise body.refuse(f"{parts} parts of {length} points, 1 or 2 of at most {POINTS_MAX} are supported")
    count, half = body.size(0, axis), bool(body.integer("onesided", 0))
    if back and half:
        matrix = _mirrored(body, count, length if body.has(1) else 2 * (count - 1), parts)
    else:
        matrix = _matrix(count, length, length // 2 + 1 if half else length, parts, back=bool(back))
    bins, last = matrix.shape[2:]
    order = [place for place in range(rank - 1) if place != axis] + [axis, rank - 1]
    turned = body.make("Transpose", body.given(0), perm=order)
    flat = body.reshaped(turned, *[0] * (rank - 2), count * parts)
    found = body.make("MatMul", flat, body.real(matrix.reshape(count * parts, bins * last)))
    apart = body.reshaped(found, *[0] * (rank - 2), bins, last)
    body.finish(0, body.make("Transpose", apart, perm=[order.index(place) for place in range(rank)]))


def _matrix(count: int, length: int, bins: int, parts: int, *, back: bool) -> Floats:
    """[count, parts, bins, 2]: what is left of a signal is cut off, what lacks is 0."""
    matrix, used = np.zeros((count, parts, bins, 2)), min(count, length)
    waves = _waves(used, length, bins) * (np.array([1, -1]) / length if back else 1.0)
    matrix[:used, 0] = waves
    if parts == 2:
        matrix[:used, 1] = np.stack([-waves[..., 1], waves[..., 0]], axis=-1)
    return matrix


def _mirrored(body: Body, count: int, length: int, parts: int) -> Floats:
    """[count, 2, length, 1]: a real signal from the first half of what it became; the other is its mirror image."""
    if parts != 2 or not 1 <= length <= POINTS_MAX or length // 2 + 1 != count:
        raise body.refuse(f"{parts} parts of {count} points are no half of {length}")
    twice = np.where((np.arange(count) == 0) | (2 * np.arange(count) == length), 1.0, 2.0) / length
    return (np.moveaxis(_waves(count, length, length), -1, 1) * twice[:, np.newaxis, np.newaxis])[..., np.newaxis]


def _one(body: Body, position: int, what: str) -> float:
    found = body.value(position, what)
    if found.size != 1 or found.dtype.kind not in "iu":
        raise body.refuse(f"{what} has {found.size} values of {found.dtype}, one whole number is needed")
    return float(found.reshape(-1)[0])
