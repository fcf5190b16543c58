"""Source -> Source: Shape, and all that is computed from shapes alone, becomes constants. Exporters write a flatten as
Shape, Gather, Unsqueeze, Concat, Reshape.

The number of rows is open, so each such value is computed twice: for one row and for WITNESS rows. What is equal both
times does not depend on it. What is one row's array, once or WITNESS times, is the same in every row: a constant with
a leading 1; where that repeats along another dimension, a tensor that has the batch there. A target of Reshape, Expand
or Resize may begin with the number of rows. Any other use of it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from runtime.inference.limits import WEIGHTS_MAX
from tools.lowering.builder import BATCH_FIRST, Builder
from tools.lowering.fold import FOLDERS, check_wild, each_output, evaluate, is_wild
from tools.lowering.protobuf import DTYPES
from tools.lowering.row_numbers import Pair, RowNumbers, are_places_of_each_row
from tools.lowering.source import HELPER, Array, Node, Source

WITNESS: Final = 61
Repetition = tuple[int, int, int]
"""The dimension along which something is repeated for each row, and whether it has more than one place there: before
the batch, each place repeated, or behind it, all of them repeated."""
MEASURES: Final = ("Shape", "Size")
INITIAL_STATES: Final[dict[str, tuple[int, ...]]] = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}
"""Operands that have N in the middle: constant ones may repeat there."""
TARGETS: Final = {"Expand": 1, "Reshape": 1, "Resize": 3}
"""Which operand is a shape that begins with the number of rows."""


def resolve(source: Source, limits: dict[str, float], lower_node: Callable[[Node, Builder], None]) -> Source:
    """The same function without Shape and Size, and without nodes that compute with constants alone. `lower_node`
    translates a node, so that its result has a shape."""
    if not any(node.op in MEASURES or _reads_constants(node, source.constants) for node in source.nodes):
        return source
    return _Resolver(source, limits, lower_node).run()


def typed(node: Node, constants: Mapping[str, Array], builder: Builder) -> Node:
    """A CastLike of a constant as the Cast that it is: the other operand gives no more than its type."""
    if node.op != "CastLike" or node.inputs[0] not in constants:
        return node
    name = node.inputs[1]
    dtype = constants[name].dtype if name in constants else builder.finished(name).dtype
    kinds = {found: kind for kind, found in DTYPES.items()}
    if dtype not in kinds:
        return node
    return replace(node, op="Cast", inputs=node.inputs[:1], attributes={"to": kinds[dtype]})


class _Resolver:
    def __init__(self, source: Source, limits: dict[str, float], lower_node: Callable[[Node, Builder], None]) -> None:
        self.constants = dict(source.constants)
        self.source = replace(source, constants=self.constants)
        self.builder = Builder(self.source, limits)
        self.lower_node = lower_node
        self.pairs: dict[str, Pair] = {}
        self.wild: dict[str, Node] = {}
        self.nodes: list[Node] = []
        self.elements = 0
        self.numbers = RowNumbers(self._store, self._free)

    def run(self) -> Source:
        for node in self.source.nodes:
            node = self.numbers.renamed(typed(node, self.constants, self.builder))
            if node.op in MEASURES and node.inputs[0] not in self.pairs:
                self._know(node, self._measured(node))
            elif self._is_known(node):
                for one in each_output(node):
                    self._know(one, self._computed(one))
            else:
                for one in self._without_numbers(node):
                    self._add(self._without_rows(one))
        return replace(self.source, nodes=tuple(self.nodes))

    def _add(self, node: Node) -> None:
        check_wild(node.inputs, self.wild)
        self.lower_node(node, self.builder)
        self.nodes.append(node)

    def _without_numbers(self, node: Node) -> list[Node]:
        """The nodes that stand for it, without rows' own numbers."""
        taken = self.numbers.is_taken_in(node, self.pairs, self.constants)
        if taken is not None and all(port.name != node.outputs[0] for port in self.source.outputs):
            return [taken]
        if not node.inputs or not self.builder.is_bound(node.inputs[0]):
            return [node]
        x = self.builder.finished(node.inputs[0])
        merged = x.shape[0] if x.place == (0, (0, 1)) else None
        index = node.inputs[1] if len(node.inputs) > 1 else ""
        pair = None if index in self.constants else self.pairs.get(index)
        placed = self.numbers.with_constant_places(node, pair, merged, x.shape)
        return self.numbers.are_read_by(node, merged, x.shape) if placed is None else placed

    def _measured(self, node: Node) -> Pair:
        tensor = self.builder.finished(node.inputs[0])
        end = tensor.batch_axis + sum(tensor.merged)
        before, own, after = (
            tensor.shape[: tensor.batch_axis],
            tensor.shape[tensor.batch_axis : end],
            tensor.shape[end:],
        )
        stand_in = (np.broadcast_to(np.int8(0), (*before, prod(own) * rows, *after)) for rows in (1, WITNESS))
        one, many = (evaluate(node, [array]) for array in stand_in)
        return one, many

    def _is_known(self, node: Node) -> bool:
        return node.op in FOLDERS and all(name in self.pairs or name in self.constants for name in node.inputs)

    def _computed(self, node: Node) -> Pair:
        given = [self.pairs.get(name) or (self.constants[name],) * 2 for name in node.inputs]
        operands = [pair[0] for pair in given]
        found = evaluate(node, operands), evaluate(node, [pair[1] for pair in given])
        if is_wild(node, operands, found[0]):
            self.wild[node.outputs[0]] = node
        return found

    def _know(self, node: Node, pair: Pair) -> None:
        name, (one, many) = node.outputs[0], pair
        self.elements += one.size + many.size
        if self.elements > WEIGHTS_MAX:
            raise node.refuse(f"what follows from shapes has more than {WEIGHTS_MAX} elements")
        if any(port.name == name for port in self.source.outputs):
            raise node.refuse("it is an output, but depends on no input's values", "drop it from the outputs")
        self.pairs[name] = pair
        if _same_in_every_row(one, many):
            self.constants[name] = one

    def _without_rows(self, node: Node) -> Node:
        """The node, its target's leading number of rows as Reshape's "the rest", or Expand's "as it is"."""
        inputs = list(node.inputs)
        for position, name in enumerate(inputs):
            if name in self.pairs and name not in self.constants:
                if node.op == "ScatterND" and position == 1 and are_places_of_each_row(*self.pairs[name]):
                    inputs[1] = self._store(f"{node.outputs[0]}/places", self.pairs[name][0][0, ..., 1:])
                    node = replace(node, attributes={**node.attributes, "batch_dims": 1})
                    continue
                inputs[position] = self._target(node, position, *self.pairs[name])
        if _reads_constants(node, self.constants):
            inputs[0] = self._filled(node, self.constants[inputs[0]], (0, 0, 0))
        return replace(node, inputs=tuple(inputs))

    def _target(self, node: Node, position: int, one: Array, many: Array) -> str:
        if node.op in INITIAL_STATES and position in INITIAL_STATES[node.op] and _repetition(one, many) == (1, 0, 0):
            return self._store(f"{node.outputs[0]}/state", one)
        if node.op == "Reshape" and position == 1:
            one, many = self._without_rest(node, one, many)
            if self._is_around(node, one, many):
                return self._store(f"{node.outputs[0]}/shape", np.where(one != many, 0 if -1 in one else -1, one))
        repetition = None if TARGETS.get(node.op) == position else _repetition(one, many)
        if repetition is not None:
            return self._filled(node, one, repetition)
        leads = one.shape == many.shape and one.ndim == 1 and one[0] == 1 and many[0] == WITNESS
        if TARGETS.get(node.op) != position or not leads or (one[1:] != many[1:]).any():
            mend = "keep the batch as the first dimension, and the number of rows out of the arithmetic"
            raise node.refuse("it computes with the number of rows, but rows are independent", mend)
        lead = 1 if node.op != "Reshape" else 0 if -1 in one[1:] else -1
        return self._store(f"{node.outputs[0]}/shape", np.concatenate([[lead], one[1:]]).astype(np.int64))

    def _without_rest(self, node: Node, one: Array, many: Array) -> Pair:
        """A target's -1 as the number that it is, for one row and for many, where that is the same."""
        total, found = prod(self.builder.finished(node.inputs[0]).shape), []
        for array, rows in ((one, 1), (many, WITNESS)):
            rest = -int(np.prod(array)) if list(array.reshape(-1)).count(-1) == 1 else 0
            found.append(total * rows // rest if rest > 0 else 0)
        if one.shape != many.shape or found[0] != found[1] or not found[0]:
            return one, many
        return np.where(one == -1, found[0], one), np.where(many == -1, found[1], many)

    def _filled(self, node: Node, one: Array, repetition: Repetition) -> str:
        """A constant that is the same in every row as a tensor that has the batch where it is repeated."""
        axis, before, after = repetition
        if not one.ndim or (one.shape[axis] != 1 and not before + after):
            raise node.refuse(f"a constant of shape {list(one.shape)} alone is computed with", "give it a leading 1")
        value = self._store(f"{node.outputs[0]}/value", one if before + after else np.take(one, 0, axis))
        name = self._free(f"{node.outputs[0]}/rows")
        self._add(Node("Fill", node.name, HELPER, (value,), (name,), {"axis": axis, "before": before, "after": after}))
        return name

    def _is_around(self, node: Node, one: Array, many: Array) -> bool:
        """Whether a target has a multiple of the number of rows once, and either more than the number itself, or that
        behind dimensions of 1, or the batch of what is reshaped is not first and alone; beside a -1 it is that number
        itself at the same place as that has it."""
        x = self.builder.finished(node.inputs[0])
        if one.shape != many.shape or one.ndim != 1:
            return False
        (places,) = np.nonzero(one != many)
        once = len(places) == 1 and one[places[0]] * WITNESS == many[places[0]]
        if x.place == BATCH_FIRST and not (once and (one[0] > 1 if places[0] == 0 else (one[: places[0]] == 1).all())):
            return False
        return once and (-1 not in one or (one[places[0]] == 1 and places[0] == x.batch_axis and not sum(x.merged)))

    def _store(self, name: str, array: Array) -> str:
        name = self._free(name)
        self.constants[name] = array
        return name

    def _free(self, name: str) -> str:
        while name in self.constants or name in self.pairs or self.builder.is_bound(name):
            name += "'"
        return name


def _reads_constants(node: Node, constants: Mapping[str, Array]) -> bool:
    """Whether a node that cannot be folded computes with nothing but constants."""
    given = [name for name in node.inputs if name]
    return node.op not in FOLDERS and bool(given) and all(name in constants for name in given)


def _repetition(one: Array, many: Array) -> Repetition | None:
    """How many is one, repeated along a dimension; None where it is not."""
    if one.ndim != many.ndim or any(m not in (o, WITNESS * o) for o, m in zip(one.shape, many.shape, strict=True)):
        return None
    longer = [axis for axis, size in enumerate(one.shape) if size != many.shape[axis]]
    if len(longer) != 1:
        return None
    (axis,) = longer
    many_at = np.array_equal(many, np.concatenate([one] * WITNESS, axis))
    if many_at:
        return axis, 0, int(one.shape[axis] > 1)
    return (axis, 1, 0) if np.array_equal(many, np.repeat(one, WITNESS, axis)) else None


def _same_in_every_row(one: Array, many: Array) -> bool:
    """Whether the value does not depend on the number of rows, but for how often a row's array is repeated."""
    if one.shape == many.shape:
        return np.array_equal(one, many)
    once = one.ndim == many.ndim and one.shape[0] == 1 and many.shape == (WITNESS, *one.shape[1:])
    return once and bool((one == many).all())
