"""Protobuf nodes -> protobuf nodes: sequences of tensors, whose members are known, become the tensors themselves.

PyTorch writes a list that a loop fills as SequenceEmpty, SequenceInsert, ConcatFromSequence: once the loop is unrolled
(control.py), that is a Concat. Must not: anything about shapes. What is left is refused as an operator without an exact
form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

from tools.lowering.source import Array

SEQUENCES: Final = ("SequenceEmpty", "SequenceConstruct")
"""Operators that begin one."""
AXES_AS_INPUT: Final = 13
"""From this opset on, Unsqueeze has its axes as an operand."""
LENGTHS_MAX: Final = 1 << 16
"""Members of all sequences together: each step makes a list of its own."""


def without_sequences(
    nodes: Iterable[NodeProto],
    value: Callable[[str], Array | None],
    prefix: Callable[[NodeProto], str],
    opset: int,
) -> list[NodeProto]:
    """The nodes, but for those that make or read a sequence of known members. `value`: of a tensor that is known, which
    may say at what place one is put or taken. `prefix`: of names that no tensor has."""
    return _Sequences(value, prefix, opset).run(nodes)


class _Sequences:
    def __init__(self, value: Callable[[str], Array | None], prefix: Callable[[NodeProto], str], opset: int) -> None:
        self.value, self.prefix, self.opset = value, prefix, opset
        self.members: dict[str, tuple[str, ...]] = {}
        self.total = 0

    def run(self, nodes: Iterable[NodeProto]) -> list[NodeProto]:
        kept: list[NodeProto] = []
        for node in nodes:
            found = self._made(node)
            if found is not None and len(node.output) == 1:
                self.members[node.output[0]] = found
                self.total += len(found)
            else:
                kept += self._read(node)
        return kept

    def _made(self, node: NodeProto) -> tuple[str, ...] | None:
        """The members of the sequence that the node makes; None where it makes none, or one that is not known."""
        if node.domain not in ("", "ai.onnx") or self.total > LENGTHS_MAX:
            return None
        if node.op_type == "SequenceEmpty":
            return ()
        if node.op_type == "SequenceConstruct":
            return tuple(node.input)
        members = self.members.get(node.input[0]) if node.input else None
        if members is None:
            return None
        if node.op_type == "Identity":
            return members
        if node.op_type == "SequenceInsert" and len(node.input) > 1:
            place = self._place(node, 2, len(members), len(members) + 1)
            return None if place is None else (*members[:place], node.input[1], *members[place:])
        if node.op_type == "SequenceErase":
            place = self._place(node, 1, len(members) - 1, len(members))
            return None if place is None else (*members[:place], *members[place + 1 :])
        return None

    def _read(self, node: NodeProto) -> list[NodeProto]:
        """The nodes that stand for one that reads a sequence; any other as it is."""
        members = self.members.get(node.input[0]) if node.input else None
        if members is None or len(node.output) != 1:
            return [node]
        if node.op_type == "SequenceAt" and len(node.input) > 1:
            place = self._place(node, 1, 0, len(members))
            return [node] if place is None else [onnx.helper.make_node("Identity", [members[place]], node.output)]
        if node.op_type == "SequenceLength":
            length = numpy_helper.from_array(np.array(len(members), np.int64))
            return [onnx.helper.make_node("Constant", [], node.output, value=length)]
        if node.op_type == "ConcatFromSequence" and members:
            return self._together(node, members)
        return [node]

    def _together(self, node: NodeProto, members: tuple[str, ...]) -> list[NodeProto]:
        """A Concat of the members, each with a new dimension where the node says so."""
        given = {attribute.name: attribute.i for attribute in node.attribute}
        axis = given.get("axis", 0)
        if not given.get("new_axis", 0):
            return [onnx.helper.make_node("Concat", members, node.output, name=node.name, axis=axis)]
        prefix = self.prefix(node)
        names = [f"{prefix}{place}" for place in range(len(members))]
        made = [part for pair in zip(members, names, strict=True) for part in self._apart(*pair, axis)]
        return [*made, onnx.helper.make_node("Concat", names, node.output, name=node.name, axis=axis)]

    def _apart(self, x: str, name: str, axis: int) -> list[NodeProto]:
        """x with one more dimension, under this name."""
        if self.opset < AXES_AS_INPUT:
            return [onnx.helper.make_node("Unsqueeze", [x], [name], name=name, axes=[axis])]
        stored = numpy_helper.from_array(np.array([axis], np.int64))
        axes = onnx.helper.make_node("Constant", [], [f"{name}/axes"], value=stored)
        return [axes, onnx.helper.make_node("Unsqueeze", [x, f"{name}/axes"], [name], name=name)]

    def _place(self, node: NodeProto, position: int, default: int, count: int) -> int | None:
        """A place among `count`; None where it is not known or there is none."""
        place = default
        if len(node.input) > position and node.input[position]:
            value = self.value(node.input[position])
            if value is None or value.size != 1 or value.dtype.kind not in "iu":
                return None
            place = int(value.reshape(-1)[0])
        place += count if place < 0 else 0
        return place if 0 <= place < count else None
