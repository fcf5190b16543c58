"""Ops that have a batch of their own: what reads [B, ...] as B pictures is done one picture after another."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from tools.lowering.source import Node
from tools.lowering.unbatched.axes import moved
from tools.lowering.unbatched.rows import Rows

PICTURES_MAX: Final = 64
"""How many parts of a tensor are computed one after another."""


def per_picture(node: Node, rows: Rows) -> None:
    """The op's own batch is the file's first dimension: one after another, then put together."""
    data = node.inputs[0]
    shape = rows.shape(data)
    if not shape or shape[0] > PICTURES_MAX:
        raise node.refuse(f"its batch is fixed at {list(shape[:1])}, at most {PICTURES_MAX} are supported")
    for place, name in enumerate(node.inputs[1:], start=1):
        if name and not rows.is_constant(name) and prod(rows.shape(name)) != 1:  # one number is the same for all
            raise node.needs_constant(place, f"operand {place}")
    if len(node.outputs) > 1 and any(rows.builder.is_read(node, place) for place in range(1, len(node.outputs))):
        raise node.refuse("more than its first output is read")
    results = []
    for place in range(shape[0]):
        part = data
        if shape[0] > 1:
            ends = [rows.store(node, [number]) for number in (place, place + 1, 1)]
            part = rows.helper(node, "Slice", [data, *ends])
        picture = rows.shaped(node, part, shape[1:])
        found = rows.helper(node, node.op, [picture, *node.inputs[1:]], **node.attributes)
        results.append(rows.shaped(node, found, (1, *rows.shape(found))))
    rows.finish(node, "Concat", results, axis=1)


def resize(node: Node, rows: Rows) -> None:
    """Scales or sizes of the dimensions that it names, or of all."""
    attributes = dict(node.attributes)
    if (axes := node.integers("axes")) is not None:
        attributes["axes"] = tuple(moved(axis) for axis in axes)
        rows.add(replace(node, attributes=attributes))
        return
    inputs = list(node.inputs)
    for position, what in (
        ((2, "scales"), (3, "sizes")) if node.op == "Resize" and len(inputs) > 2 else ((1, "scales"),)
    ):
        if node.has_input(position) and rows.shape(inputs[position]) != (0,):
            values = rows.constant(node, position, what).reshape(-1)
            inputs[position] = rows.store(node, np.concatenate([np.ones(1, values.dtype), values]))
    rows.add(replace(node, inputs=tuple(inputs), attributes=attributes))
