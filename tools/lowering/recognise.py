"""Source -> Source: activations that exporters write as many nodes become the one operator that they are.

Gelu, SiLU, Mish and their like come as products of Erf, Tanh, Sigmoid, Add, Pow, in many orders, Sigmoid as a quotient.
What ends in a Mul, Div or Reciprocal and depends on one tensor, element by element, is computed here at some hundred
places and compared with what is known. The nodes in between are dead then, unless others read them. Distances from
constant rows, which come as differences, squared and summed, are found by their form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from tools.lowering import functions
from tools.lowering.grids import Floats
from tools.lowering.ops import curves
from tools.lowering.source import Attribute, Node, Source

DEPTH_MAX: Final = 8
"""How many nodes lie between an activation's operand and its result; all spellings that are known have fewer."""
NODES_MAX: Final = 16
PLACES: Final[Floats] = np.linspace(-9.7, 9.3, 191)
CLOSE: Final = 1e-6
"""Beside the larger of 1 and the value: exporters write constants in single precision."""

Computed = Callable[..., Floats]
_STEPS: Final[Mapping[str, Computed]] = {
    "Add": np.add, "Div": np.divide, "Erf": functions.erf, "Exp": functions.exp, "Log": functions.log,
    "Mul": np.multiply, "Neg": np.negative, "Reciprocal": lambda x: 1 / x, "Sigmoid": functions.sigmoid,
    "Softplus": functions.softplus, "Sub": np.subtract, "Tanh": functions.tanh, "Identity": lambda x: x,
}  # fmt: skip
_Known = tuple[str, dict[str, Attribute], Floats]
_PRODUCTS: Final[tuple[_Known, ...]] = (
    ("Gelu", {"approximate": "none"}, curves.GELU.of(PLACES)),
    ("Gelu", {"approximate": "tanh"}, curves.GELU_TANH.of(PLACES)),
    ("Swish", {"alpha": 1.0}, curves.swish(1.0).of(PLACES)),
    ("Swish", {"alpha": 1.702}, curves.swish(1.702).of(PLACES)),
    ("Mish", {}, curves.MISH.of(PLACES)),
)
_QUOTIENTS: Final[tuple[_Known, ...]] = (("Sigmoid", {}, curves.SIGMOID.of(PLACES)),)
_KNOWN: Final = {"Mul": _PRODUCTS, "Div": _QUOTIENTS, "Reciprocal": _QUOTIENTS}
"""By the node that they end in."""


def recognise(source: Source) -> Source:
    """The same function with fewer kinds of nodes."""
    producers = {name: node for node in source.nodes for name in node.outputs}
    readers: dict[str, list[int]] = {}
    for node in source.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node.index)
    for port in source.outputs:
        readers.setdefault(port.name, []).append(-1)
    nodes = [
        _distances(source, producers, node) or _Expression(source, producers, readers, node).known() or node
        for node in source.nodes
    ]
    return replace(source, nodes=tuple(nodes))


def _distances(source: Source, producers: Mapping[str, Node], node: Node) -> Node | None:
    """Rows [N, 1, F] less constant ones [1, K, F], squared and summed over F, as one operator."""
    less = producers.get(node.inputs[0]) if node.op == "ReduceSumSquare" and not node.flag("keepdims", True) else None
    axes = source.constants.get(node.inputs[1]) if len(node.inputs) > 1 else np.array(node.integers("axes") or ())
    if less is None or less.op != "Sub" or axes is None or axes.tolist() not in ([2], [-1]):
        return None
    for apart, rows in (less.inputs, less.inputs[::-1]):
        maker, constant = producers.get(apart), source.constants.get(rows)
        if maker is None or maker.op != "Unsqueeze" or constant is None or constant.ndim != 3 or len(constant) != 1:
            continue
        given = (
            source.constants.get(maker.inputs[1]) if len(maker.inputs) > 1 else np.array(maker.integers("axes") or ())
        )
        if given is not None and given.tolist() == [1]:
            return replace(node, op="CDist", inputs=(maker.inputs[0], rows), attributes={"metric": "sqeuclidean"})
    return None


class _Expression:
    """What lies behind a node, up to DEPTH_MAX nodes back."""

    def __init__(
        self, source: Source, producers: Mapping[str, Node], readers: Mapping[str, list[int]], end: Node
    ) -> None:
        self.source, self.producers, self.readers, self.end = source, producers, readers, end

    def known(self) -> Node | None:
        """The operator that the end node is the result of, or None."""
        known = _KNOWN.get(self.end.op)
        if known is None or len(self.end.inputs) > 2:
            return None
        for x in self._behind():
            values: dict[str, Floats | None] = {x: PLACES}
            with np.errstate(all="ignore"):
                found = self._value(self.end.outputs[0], values, DEPTH_MAX)
            if found is None or found.shape != PLACES.shape:
                continue
            for op, attributes, expected in known:
                if (np.abs(found - expected) <= CLOSE * np.maximum(1, np.abs(expected))).all():
                    return replace(
                        self.end, op=op, inputs=(x,), attributes=attributes, merged=(*self.end.merged, *self._taken(x))
                    )
        return None

    def _behind(self) -> list[str]:
        """Computed tensors behind the end node, the nearest first."""
        found: list[str] = []
        layer = list(self.end.inputs)
        for _ in range(DEPTH_MAX):
            layer = [name for name in dict.fromkeys(layer) if name not in self.source.constants and name not in found]
            found += layer
            nodes = [self.producers[name] for name in layer if name in self.producers]
            layer = [name for node in nodes if node.op in _STEPS or node.op == "Pow" for name in node.inputs if name]
            if len(found) > NODES_MAX:
                break
        return found

    def _value(self, name: str, values: dict[str, Floats | None], depth: int) -> Floats | None:
        """The tensor at PLACES, given x there; None where it depends on anything else."""
        if name not in values:
            values[name] = self._computed(name, values, depth)
        return values[name]

    def _computed(self, name: str, values: dict[str, Floats | None], depth: int) -> Floats | None:
        if name in self.source.constants:
            constant = self.source.constants[name]
            return (
                constant.astype(np.float64).reshape(-1) if constant.size == 1 and constant.dtype.kind == "f" else None
            )
        node = self.producers.get(name)
        if node is None or depth == 0 or len(node.outputs) != 1:
            return None
        given = [self._value(operand, values, depth - 1) for operand in node.inputs]
        operands = [value for value in given if value is not None]
        if len(operands) != len(given):
            return None
        if node.op == "Pow" and len(operands) == 2 and operands[1].size == 1:
            power = float(operands[1][0])
            return operands[0] ** int(power) if power in (2.0, 3.0) else None
        arity = 2 if node.op in ("Add", "Div", "Mul", "Sub") else 1
        return _STEPS[node.op](*operands) if node.op in _STEPS and len(operands) == arity else None

    def _taken(self, x: str) -> list[int]:
        """The nodes between x and the end that nothing else needs."""
        taken = {self.end.index}
        waiting = list(self.end.inputs)
        while waiting:
            node = self.producers.get(waiting.pop())
            if node is None or x in node.outputs or not taken.issuperset(self.readers.get(node.outputs[0], ())):
                continue
            taken.add(node.index)
            waiting += node.inputs
        return sorted(taken - {self.end.index})
