"""A body in the making: standard nodes in place of one operator, as the protobuf has them.

What lives here: how a body reads the node's operands and attributes, and adds nodes. Must not: know any operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from tools.lowering.errors import ConstantNeeded, OpRefused
from tools.lowering.source import Array

AXES_AS_INPUT: Final = 18
"""From this opset on, ReduceMean has its axes as an operand."""
Sizes = tuple[int | None, ...]


@dataclass(frozen=True)
class Around:
    """What is known of the file. `shape`: None for a dimension that is open, or for a tensor of unknown rank; `value`:
    of a tensor that depends on no input; `kind`: an element type as the protobuf numbers it."""

    opset: int
    shape: Callable[[str], Sizes | None]
    value: Callable[[str], Array | None]
    kind: Callable[[str], int]


class ShapeNeeded(OpRefused):
    """A body depends on a shape that is not known: perhaps once others have become their bodies."""


class Body:
    """Of one node. `prefix`: of names that no tensor has."""

    def __init__(self, node: NodeProto, around: Around, prefix: str) -> None:
        self.node, self.around, self.prefix = node, around, prefix
        self.made: list[NodeProto] = []
        self.attributes = {attribute.name: attribute for attribute in node.attribute}

    # ---- what the node says

    def refuse(self, reason: str, mend: str = "") -> OpRefused:
        """The error to raise."""
        name = f' "{self.node.name}"' if self.node.name else ""
        return OpRefused(self.node.op_type, f"{self.node.op_type}{name}", reason, mend)

    def has(self, position: int) -> bool:
        """Whether the operand is given."""
        return position < len(self.node.input) and self.node.input[position] != ""

    def given(self, position: int) -> str:
        """An operand's name; refused where it is left out."""
        if not self.has(position):
            raise self.refuse(f"input {position} is missing")
        return self.node.input[position]

    def shape(self, position: int) -> Sizes:
        """An operand's shape. Raises ShapeNeeded where its rank is not known."""
        found = self.around.shape(self.given(position))
        if found is None:
            refused = self.refuse(f"the shape of its input {position} is not known")
            raise ShapeNeeded(refused.op, refused.where, refused.reason)
        return found

    def size(self, position: int, axis: int) -> int:
        """A dimension of an operand; refused where it is open."""
        shape = self.shape(position)
        found = shape[axis] if -len(shape) <= axis < len(shape) else None
        if found is None or found < 1:
            raise self.refuse(f"dimension {axis} of its input {position} is not known")
        return found

    def value(self, position: int, what: str) -> Array:
        """A constant operand. Raises ConstantNeeded where it is computed."""
        found = self.around.value(self.given(position))
        if found is None:
            refused = self.refuse(f"{what} (input {position}) is computed, a constant is needed")
            raise ConstantNeeded(refused.op, refused.where, refused.reason, self.given(position))
        return found

    def integer(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        return int(self._attribute(name, onnx.AttributeProto.INT, default))

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number; refused where it is not finite."""
        found = float(self._attribute(name, onnx.AttributeProto.FLOAT, default))
        if not np.isfinite(found):
            raise self.refuse(f"attribute {name} is {found}")
        return found

    def text(self, name: str, default: str) -> str:
        """An attribute that is a text."""
        found: bytes = self._attribute(name, onnx.AttributeProto.STRING, default.encode())
        return found.decode(errors="replace")

    def passed(self, *names: str) -> dict[str, Any]:
        """The attributes of these names, as they are."""
        found = {name: self.attributes[name] for name in names if name in self.attributes}
        return {name: onnx.helper.get_attribute_value(attribute) for name, attribute in found.items()}

    def _attribute(self, name: str, kind: int, default: Any) -> Any:
        if name not in self.attributes:
            return default
        if self.attributes[name].type != kind:
            raise self.refuse(f"attribute {name} is of another kind than its operator has")
        return onnx.helper.get_attribute_value(self.attributes[name])

    # ---- what it becomes

    def make(self, op: str, *inputs: str, count: int = 1, **attributes: Any) -> str:
        """A node; its first output."""
        names = [f"{self.prefix}{len(self.made)}{'' if place == 0 else f'/{place}'}" for place in range(count)]
        name = f"{self.prefix}{op}{len(self.made)}"
        self.made.append(onnx.helper.make_node(op, inputs, names, name=name, **attributes))
        return names[0]

    def store(self, values: Array) -> str:
        """A constant."""
        return self.make("Constant", value=numpy_helper.from_array(np.asarray(values)))

    def real(self, value: float | Array, position: int = 0) -> str:
        """A constant of an operand's own element type."""
        kind = self.around.kind(self.given(position)) or TensorProto.FLOAT
        return self.store(np.asarray(value).astype(onnx.helper.tensor_dtype_to_np_dtype(kind)))

    def reshaped(self, x: str, *sizes: int) -> str:
        """x in a target shape: 0 copies a dimension."""
        return self.make("Reshape", x, self.store(np.array(sizes, np.int64)))

    def part(self, x: str, axis: int, start: int, end: int) -> str:
        """Places start to end of a dimension."""
        return self.make("Slice", x, *(self.store(np.array([place], np.int64)) for place in (start, end, axis)))

    def mean(self, x: str) -> str:
        """Over the last dimension, which stays."""
        if self.around.opset < AXES_AS_INPUT:
            return self.make("ReduceMean", x, axes=[-1], keepdims=1)
        return self.make("ReduceMean", x, self.store(np.array([-1], np.int64)), keepdims=1)

    def finish(self, position: int, x: str) -> None:
        """x as an output of the node, if it has that."""
        if position < len(self.node.output) and self.node.output[position]:
            self.made.append(onnx.helper.make_node("Identity", [x], [self.node.output[position]]))
