"""Source -> Source: numbers that only say "look away" become moderate ones.

An attention mask adds -10000, float32's least number or minus infinity to scores, so that Softmax makes nothing of
them. No grid holds such a number beside scores. Softmax gives 0 for whatever lies some 21 below the largest already, so
HIDDEN does the same, where a constant's only way is to a Softmax: through sums, choices, products with 0 or 1 and all
that merely moves elements. Whether a score equals such a number becomes whether it is at most half of HIDDEN.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from tools.lowering.errors import ModelRefused
from tools.lowering.source import Array, Node, Source

HIDDEN: Final = -4096.0
"""What stands for less: far below scores, and few bits."""
LEAST: Final = -8192.0
"""Constants at most this are taken for masks."""
_MOVERS: Final = (
    "Cast", "Concat", "Expand", "Gather", "Identity", "ReduceMax", "Reshape", "Slice", "Split", "Squeeze", "Tile",
    "Transpose", "Trilu", "Unsqueeze",
)  # fmt: skip
_PASSING: Final = {
    "Add": (0, 1), "Sub": (0,), "Mul": (0, 1), "Where": (1, 2), "Max": (0, 1), "CastLike": (0,),
    "ScatterElements": (0, 2),
}  # fmt: skip


def without_masks(source: Source) -> Source:
    """The same function of rows that leave a score to look at. The tensors that hold HIDDEN are named in `hidden`."""
    hiding = _all_hiding(source)
    ways = _ways_to_softmax(source, hiding)
    constants = {name: _moderate(array) if name in ways else array for name, array in source.constants.items()}
    changed = {name for name, array in constants.items() if array is not source.constants[name]}
    nodes = []
    for node in source.nodes:
        value = node.attributes.get("value")
        for place in (0, 1) if node.op == "Equal" else ():
            if node.inputs[place] in hiding and node.inputs[1 - place] in ways:
                name = f"{node.outputs[0]}/hidden"
                constants[name] = np.array(HIDDEN / 2, np.float32)
                node = replace(node, op="LessOrEqual", inputs=(node.inputs[1 - place], name))
                break
        if node.op == "ConstantOfShape" and node.outputs[0] in ways and isinstance(value, np.ndarray):
            moderate = _moderate(value)
            if moderate is not value:
                node = replace(node, attributes={**node.attributes, "value": moderate})
                changed.add(node.outputs[0])
        nodes.append(node)
    hidden = {name for name in changed if name not in constants}
    for node in nodes:
        if (changed | hidden).intersection(node.inputs):
            hidden.update(ways.intersection(node.outputs))
    return replace(source, constants=constants, nodes=tuple(nodes), hidden=frozenset(source.hidden | hidden))


def check_finite(source: Source, file: Source) -> None:
    """Raises ModelRefused for what is infinite and no mask. `file`: the model as it was parsed."""
    for name, array in source.constants.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            where = f"initializer {name!r}" if name in file.constants else f"constant {name!r}"
            raise ModelRefused(
                where, "it holds NaN or infinity", "train or export again: no exact form has such weights"
            )
    for node in source.nodes:
        for attribute, value in node.attributes.items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
                raise node.refuse(f"attribute {attribute!r} holds NaN or infinity")


def shown(array: Array) -> Array:
    """The float model's tensor with what it hides as the exact model does."""
    result: Array = np.maximum(array, array.dtype.type(HIDDEN))
    return result


def _moderate(array: Array) -> Array:
    if array.dtype.kind != "f" or not array.size or not float(array.min()) <= LEAST or np.isnan(array).any():
        return array
    result = np.where(array <= LEAST, array.dtype.type(HIDDEN), array).astype(array.dtype)
    result.flags.writeable = False
    return result


def _all_hiding(source: Source) -> set[str]:
    """The tensors that hold nothing but such numbers."""
    floats = {name: array for name, array in source.constants.items() if array.dtype.kind == "f" and array.size}
    found = {name for name, array in floats.items() if float(array.max()) <= LEAST}
    for node in source.nodes:
        if node.op in (*_MOVERS, "CastLike") and node.op != "Concat" and node.inputs[0] in found:
            found.update(node.outputs)
    return found


def _ways_to_softmax(source: Source, hiding: set[str]) -> set[str]:
    """The tensors that nothing reads but a Softmax, at the end of such a way, or a comparison with what hides."""
    outputs = {port.name for port in source.outputs}
    readers: dict[str, list[tuple[Node, int]]] = {}
    for node in source.nodes:
        for place, name in enumerate(node.inputs):
            readers.setdefault(name, []).append((node, place))
    ways: set[str] = set()

    def leads(node: Node, place: int) -> bool:
        if node.op in ("Softmax", "Shape", "Size") or (node.op == "CastLike" and place == 1):
            return True  # the end, or nothing of the values
        if node.op == "Equal":
            return not hiding.isdisjoint(node.inputs)
        passes = place == 0 if node.op in _MOVERS and node.op != "Concat" else place in _PASSING.get(node.op, ())
        return (passes or node.op == "Concat") and all(name in ways for name in node.outputs)

    for node in reversed(source.nodes):
        for name in node.outputs:
            if name not in outputs and readers.get(name) and all(leads(*reader) for reader in readers[name]):
                ways.add(name)
    for name in source.constants:
        if readers.get(name) and all(leads(*reader) for reader in readers[name]):
            ways.add(name)
    return ways
