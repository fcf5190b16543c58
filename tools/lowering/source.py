"""A float model after all checks: plain Python and numpy, no protobuf. The passes and handlers read only this.

Rules: names are unique and defined before use; constants are finite; every input has a leading dimension N of rows,
which no `shape` here mentions ("row shape"); nodes have no subgraphs. Operators are known by their names alone, since
ai.onnx and ai.onnx.ml share none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tools.lowering.errors import ConstantNeeded, OpRefused

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | Array

HELPER: Final = -1
_KINDS: Final = {int: "an integer", float: "a number", str: "text"}


@dataclass(frozen=True)
class Node:
    """One operator. `inputs` may hold "" for an optional input left out; `index` is its place in the file, `HELPER` for
    one that a pass added; `merged`: the places of those that it took in."""

    op: str
    name: str
    index: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    merged: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        """How errors and reports call it."""
        return f'{self.op} "{self.name}"' if self.name else f"{self.op} (node {self.index})"

    def refuse(self, reason: str, mend: str = "") -> OpRefused:
        """The error to raise about this node."""
        return OpRefused(self.op, self.where, reason, mend)

    def needs_constant(self, position: int, what: str) -> OpRefused:
        """The error to raise where an input that must be known beforehand is computed or left out."""
        name = self.inputs[position] if self.has_input(position) else ""
        if not name:
            return self.refuse(f"{what} (input {position}) is missing, a constant is needed")
        reason = f"{what} (input {position}) is computed from the inputs, only a constant has an exact form here"
        return ConstantNeeded(self.op, self.where, reason, name)

    def has_input(self, position: int) -> bool:
        """Whether the input of this number, from 0, is given and not left out."""
        return position < len(self.inputs) and self.inputs[position] != ""

    def integer(self, name: str, default: int) -> int:
        """An attribute, or its default where it is left out; another type is refused, as in the next two."""
        return int(self._typed(name, default, int))

    def flag(self, name: str, default: bool = False) -> bool:
        """An integer that stands for yes (1) or no (0)."""
        found = self.integer(name, int(default))
        if found not in (0, 1):
            raise self.refuse(f"attribute {name} is {found}, it must be 0 or 1")
        return found == 1

    def number(self, name: str, default: float) -> float:
        """A finite number. Raises OpRefused for any other."""
        value = float(self._typed(name, default, float))
        if not np.isfinite(value):
            raise self.refuse(f"attribute {name} is {value}")
        return value

    def text(self, name: str, default: str) -> str:
        """UTF-8, read when the file was."""
        return str(self._typed(name, default, str))

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A tuple of integers, or None where the attribute is left out. Raises OpRefused for anything else."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
            return tuple(int(item) for item in value)
        raise self.refuse(f"attribute {name} must be a list of integers")

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """A tuple of finite numbers, or None where the attribute is left out. Raises OpRefused for anything else."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if isinstance(value, tuple) and all(isinstance(item, float) and np.isfinite(item) for item in value):
            return tuple(float(item) for item in value)
        raise self.refuse(f"attribute {name} must be a list of finite numbers")

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A tuple of texts, or None where the attribute is left out. Raises OpRefused for anything else."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
            return tuple(str(item) for item in value)
        raise self.refuse(f"attribute {name} must be a list of texts")

    def _typed(self, name: str, default: int | float | str, kind: type[int | float | str]) -> Any:
        value = self.attributes.get(name, default)
        if isinstance(value, kind):
            return value
        raise self.refuse(f"attribute {name} must be {_KINDS[kind]}, found {type(value).__name__}")


@dataclass(frozen=True)
class Port:
    """An input or output of the model. `shape` is the row shape of an input; an output's is found by lowering.
    `reach`: an input's least and greatest value, where the caller declared them. `texts`: those that the file knows, of
    an input that takes texts. `missing`: whether rows may lack values, which are NaN then."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape | None
    reach: tuple[float, float] | None = None
    texts: tuple[str, ...] = ()
    missing: bool = False

    @property
    def magnitude(self) -> float:
        """The largest that was declared; not zero."""
        return max(2.0**-20, *map(abs, self.reach or ()))


@dataclass(frozen=True)
class Source:
    """The model. How its dimensions are read:

    fixed_rows: the file fixes the batch at this number, so where it leads a shape there it means N. None: it is open.
    whole: N was put in front of all dimensions that the file knows; a row is all that one run of the file takes.
    hidden: tensors in which an attention mask's numbers were made moderate (masks.py).
    precise: no bits are given up for speed (ops/by_bytes.py).
    """

    opset: int
    fixed_rows: int | None
    whole: bool
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    constants: Mapping[str, Array]
    nodes: tuple[Node, ...]
    hidden: frozenset[str] = frozenset()
    precise: bool = False

    def readers(self, name: str) -> list[Node]:
        """The nodes that read a tensor."""
        return [node for node in self.nodes if name in node.inputs]

    def sole_maker(self, name: str, through: tuple[str, ...]) -> str:
        """The operator that made a tensor, behind others that it went `through`; nothing where something else reads one
        of these tensors."""
        makers, uses = {made: node for node in self.nodes for made in node.outputs}, self.use_counts()
        while uses.get(name) == 1 and name in makers and makers[name].op in through:
            name = makers[name].inputs[0]
        return makers[name].op if uses.get(name) == 1 and name in makers else ""

    def use_counts(self) -> dict[str, int]:
        """How many nodes and outputs read each name."""
        counts: dict[str, int] = {}
        for name in (*(i for node in self.nodes for i in node.inputs), *(port.name for port in self.outputs)):
            counts[name] = counts.get(name, 0) + 1
        return counts
