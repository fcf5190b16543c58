"""ScatterElements at computed places: each update is chosen where the place is its own, one update after another.

Where the index is constant, indexing.py moves elements instead. Must not: check what the file says of shapes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.logic import chosen
from tools.lowering.ops.pieces import piece, repeated
from tools.lowering.source import Node

UPDATES_MAX: Final = 64


def put_at(node: Node, b: Builder, data: Tensor, index: Tensor, updates: Tensor, axis: int) -> Tensor:
    """data with updates[..., j, ...] at index[..., j, ...] along the axis; the later of two for one place counts. Index
    and updates have data's shape but for the axis; places lie inside."""
    count, size = index.shape[axis], data.shape[axis]
    if count > UPDATES_MAX:
        raise node.refuse(f"it puts {count} updates at computed places, at most {UPDATES_MAX} are supported")
    own = b.store(-np.arange(size).reshape([-1 if place == axis else 1 for place in range(len(data.shape))]))
    for number in range(count):
        place = repeated(node, b, piece(b, index, axis, number, 1), data.shape)
        apart = b.derive(place, ir.Affine(x=place.index, weights=None, bias=own, shifts=None), limit=None)
        apart = b.derive(apart, ir.Clip(x=apart.index, low=-1, high=1))
        elsewhere = b.derive(apart, ir.Mul(a=apart.index, b=apart.index, shift=0))
        update = repeated(node, b, piece(b, updates, axis, number, 1), data.shape)
        data = chosen(node, b, elsewhere, data, update)
    return replace(data, limit=None)
