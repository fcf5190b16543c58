"""GridSample: each place of the result is read where the grid says, between its neighbours.

The grid's numbers become places, their whole parts indices and the rest weights; what lies outside is zero, or read at
the border or mirrored.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tools.lowering.bodies.body import Body


def grid_sample(body: Body) -> None:
    """x [N, C, H, W], grid [N, h, w, 2] with x before y; linear or nearest."""
    mode, padding = body.text("mode", "linear"), body.text("padding_mode", "zeros")
    modes = {"bilinear": True, "linear": True, "nearest": False}
    if mode not in modes or padding not in ("zeros", "border", "reflection") or len(body.shape(0)) != 4:
        raise body.refuse(f"mode {mode} with {padding} of {len(body.shape(0))} dimensions is not supported")
    channels, height, width = (body.size(0, axis) for axis in (1, 2, 3))
    flat = body.reshaped(body.given(0), 0, 0, height * width)
    columns, rows = (_taps(body, place, size, modes[mode]) for place, size in ((0, width), (1, height)))
    total = ""
    for row, above in rows:
        for column, left in columns:
            place = body.make("Add", body.make("Mul", row, body.real(float(width), 1)), column)
            index = body.reshaped(body.make("Cast", place, to=TensorProto.INT64), 0, 1, -1)
            each = body.make("Expand", index, body.store(np.array([1, channels, 1], np.int64)))
            read = body.make("GatherElements", flat, each, axis=2)
            weights = [weight for weight in (above, left) if weight]
            for weight in weights:
                read = body.make("Mul", read, body.reshaped(weight, 0, 1, -1))
            total = body.make("Add", total, read) if total else read
    body.finish(0, body.reshaped(total, 0, 0, body.size(1, 1), body.size(1, 2)))


def _taps(body: Body, place: int, size: int, linear: bool) -> list[tuple[str, str]]:
    """Places along one dimension [N, h * w], within it, and their weights, "" for one of 1."""
    given = body.reshaped(body.part(body.given(1), 3, place, place + 1), 0, -1)
    corners, padding = body.integer("align_corners", 0), body.text("padding_mode", "zeros")
    scaled = body.make("Mul", given, body.real((size - 1 if corners else size) / 2, 1))
    at = body.make("Add", scaled, body.real((size - 1) / 2, 1))
    if padding == "reflection":
        at = _mirrored(body, at, size, corners=bool(corners))
    if padding != "zeros":
        at = _within(body, at, size)
    if not linear:
        return [_inside(body, body.make("Round", at), size, padding, "")]
    first = body.make("Floor", at)
    more = body.make("Sub", at, first)
    less = body.make("Sub", body.real(1.0, 1), more)
    second = body.make("Add", first, body.real(1.0, 1))
    return [_inside(body, first, size, padding, less), _inside(body, second, size, padding, more)]


def _within(body: Body, x: str, size: int) -> str:
    return body.make("Clip", x, body.real(0.0, 1), body.real(float(size - 1), 1))


def _inside(body: Body, whole: str, size: int, padding: str, weight: str) -> tuple[str, str]:
    """The nearest place that there is, and the weight, 0 where that is another one."""
    place = _within(body, whole, size)
    if padding != "zeros":
        return place, weight
    kind = body.around.kind(body.given(1)) or TensorProto.FLOAT
    there = body.make("Cast", body.make("Equal", place, whole), to=kind)
    return place, body.make("Mul", weight, there) if weight else there


def _mirrored(body: Body, x: str, size: int, *, corners: bool) -> str:
    """x folded back at the outer places, or half a place outside of them."""
    span, low = (float(max(size - 1, 1)), 0.0) if corners else (float(size), -0.5)
    moved = body.make("Abs", body.make("Sub", x, body.real(low, 1)))
    turns = body.make("Floor", body.make("Mul", moved, body.real(1 / (2 * span), 1)))
    left = body.make("Sub", moved, body.make("Mul", turns, body.real(2 * span, 1)))
    back = body.make("Abs", body.make("Sub", left, body.real(span, 1)))
    return body.make("Sub", body.real(span + low, 1), back)
