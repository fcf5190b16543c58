"""The model with rows in the making: node after node by its rule; what follows from shapes alone is computed at once.

No op is known here by name, but for what is folded: rules.py has the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from runtime.inference.limits import WEIGHTS_MAX
from tools.lowering.builder import Builder
from tools.lowering.errors import ConstantNeeded
from tools.lowering.fold import FOLDERS, check_wild, evaluate, is_wild
from tools.lowering.shapes import MEASURES, typed
from tools.lowering.source import HELPER, Array, Attribute, Node, Shape, Source


class Rows:
    """The model in the making. A shape here is a row's, which is the whole shape that the file knows."""

    def __init__(
        self,
        source: Source,
        limits: dict[str, float],
        lower_node: Callable[[Node, Builder], None],
        rules: Mapping[str, Rule],
    ) -> None:
        self.constants = dict(source.constants)
        self.source = replace(source, constants=self.constants)
        self.builder = Builder(self.source, limits)
        self.lower_node = lower_node
        self.rules = rules
        self.nodes: list[Node] = []
        self.names = {name for node in source.nodes for name in node.outputs} | {port.name for port in source.inputs}
        self.origins: dict[str, str] = {}
        self.wild: dict[str, Node] = {}
        self.elements = 0

    def run(self) -> Source:
        """Node after node. Raises OpRefused."""
        for node in self.source.nodes:
            node = typed(node, self.constants, self.builder)
            measured = node.op in MEASURES
            if measured or (node.op in FOLDERS and all(name in self.constants for name in node.inputs)):
                self._know(node, measured=measured)
            else:
                self._rewrite(node)
        for port in self.source.outputs:
            if port.name in self.constants:
                self.add(Node("Fill", "", HELPER, (port.name,), (port.name,)))
        return replace(self.source, nodes=tuple(self.nodes))

    def _know(self, node: Node, *, measured: bool) -> None:
        given = [self.constants[name] for name in node.inputs if name in self.constants]
        if measured and not given:
            given = [np.broadcast_to(np.int8(0), self.shape(node.inputs[0]))]
        result = evaluate(node, given)
        if is_wild(node, given, result):
            self.wild[node.outputs[0]] = node
        self.elements += result.size
        if self.elements > WEIGHTS_MAX:
            raise node.refuse(f"what follows from shapes has more than {WEIGHTS_MAX} elements")
        self.constants[node.outputs[0]] = result

    def _rewrite(self, node: Node) -> None:
        if node.op not in self.rules:
            reason = "it has no form with rows in front of all dimensions, and the first dimension is no batch"
            raise node.refuse(reason, "export with a dynamic batch dimension")
        try:
            self.rules[node.op](node, self)
        except ConstantNeeded as needed:
            while needed.tensor in self.origins:
                needed.tensor = self.origins[needed.tensor]
            raise

    # ---- what rules ask

    def is_constant(self, name: str) -> bool:
        """Whether the tensor's value is known."""
        return name in self.constants

    def shape(self, name: str) -> Shape:
        """Of a computed tensor or a constant, as the file knows it."""
        return self.constants[name].shape if name in self.constants else self.builder.finished(name).shape

    def constant(self, node: Node, position: int, what: str) -> Array:
        """An operand's value, refused where it is computed or left out."""
        return self.builder.constant(node, position, what)

    def integers(self, node: Node, position: int, name: str) -> tuple[int, ...] | None:
        """A list that older opsets have as an attribute and newer ones as a constant input; None where left out."""
        if node.has_input(position):
            return tuple(int(value) for value in self.constant(node, position, name).reshape(-1))
        return node.integers(name)

    # ---- what rules do

    def add(self, node: Node) -> None:
        """A node of the new model."""
        check_wild(node.inputs, self.wild)
        self.lower_node(node, self.builder)
        self.nodes.append(node)

    def finish(self, node: Node, op: str, inputs: Sequence[str], **attributes: Attribute) -> None:
        """The node's own result, by this op."""
        self.add(replace(node, op=op, inputs=tuple(inputs), attributes=attributes))

    def helper(self, node: Node, op: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """A tensor on the way to the node's result."""
        name = self._free(f"{node.outputs[0]}/{op}")
        self.origins[name] = inputs[0]
        self.add(Node(op, node.name, HELPER, tuple(inputs), (name,), attributes))
        return name

    def store(self, node: Node, values: Any) -> str:
        """A constant; a list is of int64."""
        name = self._free(f"{node.outputs[0]}/constant")
        self.constants[name] = np.asarray(values) if isinstance(values, np.ndarray) else np.array(values, np.int64)
        return name

    def shaped(self, node: Node, name: str, shape: Shape) -> str:
        """A computed tensor in another row shape of as many elements."""
        if self.shape(name) == shape:
            return name
        return self.helper(node, "Reshape", [name, self.store(node, [0, *shape])])

    def _free(self, name: str) -> str:
        attempt, number = name, 1
        while attempt in self.names or attempt in self.constants:
            number += 1
            attempt = f"{name}{number}"
        self.names.add(attempt)
        return attempt


Rule = Callable[[Node, Rows], None]
