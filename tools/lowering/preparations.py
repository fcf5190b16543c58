"""Source -> Source: what skl2onnx writes for PowerTransformer and QuantileTransformer becomes one operator each.

The first are some thirty nodes that divide by 0 where a feature is 0 and replace the NaN later; the second searches a
sorted list in ten rounds. Both are a function of each feature alone. So the nodes behind are computed here, at places
that tell, and compared with what they should be: nothing is believed of their order or names. What is not as expected
stays as it is. The operators are our own, no file has them (ops/preparations.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from tools.lowering import functions
from tools.lowering.errors import LoweringError
from tools.lowering.fold import FOLDERS
from tools.lowering.grids import Floats
from tools.lowering.source import Array, Attribute, Node, Source

POWERS: Final = ("Add", "Cast", "Div", "Imputer", "Less", "Log", "Mul", "Neg", "Not", "Pow", "Sub")
SEARCHES: Final = (
    "Add", "Cast", "Div", "Equal", "Flatten", "Gather", "GreaterOrEqual", "IsNaN", "LessOrEqual", "Mul", "Neg", "Not",
    "Or", "Reshape", "Shape", "Sub", "Where",
)  # fmt: skip
CLOSE: Final = 1e-4
"""Beside the larger of 1 and the value: exponents are single precision, and may be large."""
VALUES_MAX: Final = 1e6
LAMBDA_MIN: Final = 1e-6
"""Below, the power is a logarithm."""
PLACES: Final[Floats] = np.array([0.013, 0.11, 0.4, 0.9, 1.3, 2.7, 5.9])
KNOTS_MAX: Final = 1 << 20
APART: Final = ("LinearClassifier", "LinearRegressor", "PowerTransform")
"""Operators that ask what calibration says of each feature alone."""
_METHODS: Final = ("yeo-johnson", "box-cox")


def with_preparations(source: Source) -> Source:
    """The same function with fewer nodes; those that nobody reads any more stay, for `without_dead`."""
    found: dict[int, Node] = {}
    for node in source.nodes:
        if node.op == "Div" and node.inputs[0] == node.inputs[1] and node.inputs[0] not in source.constants:
            found |= _power(source, node.inputs[0])
        elif node.op == "Reshape" and node.inputs[1] not in source.constants:
            found |= _quantiles(source, node)
    nodes = tuple(found.get(place, node) for place, node in enumerate(source.nodes))
    return replace(source, nodes=nodes)


def box_cox(x: Floats, power: float) -> Floats:
    """(x**power - 1) / power, of positive x; where the power is 0, the logarithm."""
    return functions.log(x) if abs(power) < LAMBDA_MIN else (functions.power(x, power) - 1) / power


def yeo_johnson(x: Floats, power: float) -> Floats:
    """Box and Cox's of 1 + x; below 0 that of 1 - x to the power 2 - power, negative (Yeo and Johnson 2000)."""
    return np.where(x < 0, -box_cox(1 + np.maximum(-x, 0), 2 - power), box_cox(1 + np.maximum(x, 0), power))


def steps(knots: Floats, references: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """(different knots, left of each, at it, right of it): between two of them lines lead from what is right of one to
    what is left of the next. At a knot that is there several times it is the middle; at the ends, the outermost."""
    places, first, count = np.unique(knots, return_index=True, return_counts=True)
    left, right = references[first], references[first + count - 1]
    at = (left + right) / 2
    at[0], at[-1] = left[0], right[-1]
    return places, left, at, right


def _interpolated(x: Floats, knots: Floats, references: Floats) -> Floats:
    places, left, at, right = steps(knots, references)
    above = np.clip(np.searchsorted(places, x), 1, max(1, len(places) - 1))
    low, high = places[above - 1], places[np.minimum(above, len(places) - 1)]
    start, end = right[above - 1], left[np.minimum(above, len(places) - 1)]
    found = start + (end - start) * (x - low) / np.where(high > low, high - low, 1)
    found = np.where(x < places[0], left[0], np.where(x > places[-1], right[-1], found))
    equal = np.searchsorted(places, x).clip(0, len(places) - 1)
    return np.where(places[equal] == x, at[equal], found)


# ---- powers


def _power(source: Source, x: str) -> dict[int, Node]:
    """The node in the place of the last one that makes the transformed features."""
    region = [node for _, node in _region(source, x, POWERS)]
    exponents = [
        source.constants[node.inputs[1]].astype(np.float64).reshape(-1)
        for node in region
        if node.op == "Pow" and node.inputs[1] in source.constants
    ]
    for powers in exponents:
        for method, places in zip(_METHODS, (np.concatenate([-PLACES, PLACES]), PLACES), strict=True):
            of = yeo_johnson if method == _METHODS[0] else box_cox
            expected = np.stack([of(places, power) for power in powers.tolist()], axis=1)
            values = _computed(source, region, {x: np.repeat(places[:, np.newaxis], len(powers), axis=1)})
            ends = [node for node in region if node.op == "Add" and _is_close(values.get(node.outputs[0]), expected)]
            if ends:
                attributes: dict[str, Attribute] = {"method": method, "powers": tuple(powers.tolist())}
                inside = _inside(source, region, ends[-1])
                return _replaced(source, ends[-1], Node("PowerTransform", "", 0, (x,), (), attributes, inside))
    return {}


def _replaced(source: Source, end: Node, made: Node) -> dict[int, Node]:
    """`made` for the end node, or for a Scaler that alone reads it: what is scaled after has its own range."""
    readers = source.readers(end.outputs[0])
    scaled = len(readers) == 1 and readers[0].op == "Scaler" and source.use_counts()[end.outputs[0]] == 1
    last = readers[0] if scaled else end
    attributes = {**made.attributes, **({} if not scaled else last.attributes)}
    merged = (*made.merged, end.index) if scaled else made.merged
    made = replace(made, name=last.name, index=last.index, outputs=last.outputs, attributes=attributes, merged=merged)
    return {source.nodes.index(last): made}


def _inside(source: Source, region: list[Node], end: Node) -> tuple[int, ...]:
    """The places of those nodes that only the end needs."""
    taken = {end.index}
    for node in reversed(region):
        readers = [reader.index for name in node.outputs for reader in source.readers(name)]
        if node is not end and readers and taken.issuperset(readers):
            taken.add(node.index)
    return tuple(sorted(taken - {end.index}))


# ---- quantiles


def _quantiles(source: Source, end: Node) -> dict[int, Node]:
    """The node in the place of the Reshape that gives the searched features their shape again."""
    makers = {name: node for node in source.nodes for name in node.outputs}
    shape = makers.get(end.inputs[1])
    if shape is None or shape.op != "Shape":
        return {}
    x = shape.inputs[0]
    if x in makers and makers[x].op == "Where" and makers[x].inputs[1] == makers[x].inputs[2]:
        x = makers[x].inputs[1]
    region = [node for _, node in _region(source, x, SEARCHES)]
    if end not in region:
        return {}
    region = region[: region.index(end) + 1]
    tables = [source.constants[n.inputs[0]] for n in region if n.op == "Gather" and n.inputs[0] in source.constants]
    different = {id(table): table.astype(np.float64) for table in tables if table.dtype.kind == "f" and table.ndim == 1}
    for width in _widths(source, region):
        fitting = [table.reshape(width, -1) for table in different.values() if table.size % width == 0]
        for knots in fitting:
            for references in fitting:
                if references is not knots and _is_search(source, region, x, knots, references):
                    attributes: dict[str, Attribute] = {"knots": knots, "references": references}
                    inside = _inside(source, region, end)
                    made = replace(end, op="QuantileTransform", inputs=(x,), attributes=attributes, merged=inside)
                    return {source.nodes.index(end): made}
    return {}


def _widths(source: Source, region: list[Node]) -> list[int]:
    """How many features there may be: as many as constants stand beside them."""
    sizes = [source.constants[name].size for node in region for name in node.inputs if name in source.constants]
    return sorted({size for size in sizes if size <= 4096}, reverse=True)


def _is_search(source: Source, region: list[Node], x: str, knots: Floats, references: Floats) -> bool:
    """Whether the region makes of knots, of what is between them and beyond what `_interpolated` does."""
    if knots.shape != references.shape or knots.size > KNOTS_MAX or (np.diff(knots) < 0).any():
        return False
    middle = (knots[:, 1:] + knots[:, :-1]) / 2
    span = knots[:, -1:] - knots[:, :1] + 1
    places = np.concatenate([knots, middle, knots[:, :1] - span, knots[:, -1:] + span], axis=1).astype(np.float32).T
    values = _computed(source, region, {x: places})
    expected = [
        _interpolated(places[:, j].astype(np.float64), *pair)
        for j, pair in enumerate(zip(knots, references, strict=True))
    ]
    return _is_close(values.get(region[-1].outputs[0]), np.stack(expected, axis=1))


# ---- what nodes compute


def _region(source: Source, x: str, ops: tuple[str, ...]) -> Iterator[tuple[int, Node]]:
    """The nodes of these operators that compute with x and constants alone."""
    known = {x}
    for place, node in enumerate(source.nodes):
        computed = {name for name in node.inputs if name and name not in source.constants}
        if node.op in ops and computed and computed <= known:
            known.update(node.outputs)
            yield place, node


def _computed(source: Source, region: list[Node], given: Mapping[str, Array]) -> dict[str, Array]:
    """The region's tensors, of those that can be computed."""
    values = dict(given)
    for node in region:
        operands = [values.get(name, source.constants.get(name)) for name in node.inputs]
        present = [operand for operand in operands if operand is not None]
        if len(present) < len(operands):
            continue
        try:
            with np.errstate(all="ignore"):
                values[node.outputs[0]] = _one(node, present)
        except (LoweringError, ValueError, TypeError, IndexError, OverflowError):
            continue
    return values


def _one(node: Node, operands: list[Array]) -> Array:
    if node.op == "IsNaN":
        return np.isnan(operands[0])
    if node.op == "Imputer":
        replaced: Any = node.attributes.get("replaced_value_float", 0.0)
        new = node.numbers("imputed_value_floats") or (0.0,)
        here = np.isnan(operands[0]) if replaced != replaced else operands[0] == replaced
        return np.where(here, np.array(new), operands[0])
    if node.op == "Gather" and operands[0].ndim == 1:
        return np.take(operands[0], operands[1].astype(np.int64))
    return np.asarray(FOLDERS[node.op](node, operands))


def _is_close(found: Array | None, expected: Floats) -> bool:
    if found is None or found.shape != expected.shape:
        return False
    there = np.abs(expected) < VALUES_MAX
    with np.errstate(all="ignore"):
        return bool((np.abs(found - expected) <= CLOSE * np.maximum(1, np.abs(expected)))[there].all())
