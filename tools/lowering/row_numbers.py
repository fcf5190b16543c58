"""A row's own number as an index: x[torch.arange(x.size(0)), last] takes one place of each row.

Rows do not know their number. Exporters write it into an index in two ways: as the first of several coordinates, for
GatherND, or times the length of a row and added to the place, for Gather of all rows one after another. Either becomes
GatherND within each row, or Gather where the places are constant: the masks of Hugging Face's models. Must not: read a
row's number for anything else; that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from tools.lowering.source import HELPER, Array, Node

Pair = tuple[Array, Array]
"""A value for one row, and for many."""


class RowNumbers:
    """Which tensors hold row numbers, and how. `store`: a new constant; `free`: a name that no tensor has."""

    def __init__(self, store: Callable[[str, Array], str], free: Callable[[str], str]) -> None:
        self._store, self._free = store, free
        self._lengths: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def renamed(self, node: Node) -> Node:
        """The node, reading what is left of indices that held row numbers."""
        if self._names.keys().isdisjoint(node.inputs):
            return node
        return replace(node, inputs=tuple(self._names.get(name, name) for name in node.inputs))

    def is_taken_in(self, node: Node, pairs: Mapping[str, Pair], constants: Mapping[str, Array]) -> Node | None:
        """The node without the row numbers that it adds to a computed index or puts in front of one; None where it does
        neither."""
        rest = [name for name in node.inputs if name not in pairs or name in constants]
        if len(rest) != 1 or len(node.inputs) != 2 or rest[0] in constants:
            return None
        (numbers,) = (name for name in node.inputs if name not in rest)
        one, many = pairs[numbers]
        length = _length(one, many)
        if node.op == "Add" and length > 0:
            return Node("Identity", node.name, HELPER, tuple(rest), (self._left(node, length),))
        last = node.op == "Concat" and node.integer("axis", 0) in (-1, one.ndim - 1) and one.shape[-1:] == (1,)
        if last and length == 1 and node.inputs[0] == numbers:
            return Node("Identity", node.name, HELPER, tuple(rest), (self._left(node, 0),))
        return None

    def _left(self, node: Node, length: int) -> str:
        name = self._free(f"{node.outputs[0]}/place")
        self._names[node.outputs[0]], self._lengths[name] = name, length
        return name

    def with_constant_places(
        self, node: Node, pair: Pair | None, merged: int | None, shape: tuple[int, ...]
    ) -> list[Node] | None:
        """The nodes that take constant places of each row, where `node` takes those of all rows; None where it does
        something else. `pair`: its indices; the others as in `are_read_by`."""
        if pair is None or node.op not in ("Gather", "GatherND"):
            return None
        one, many = pair
        base = node.outputs[0]
        if node.op == "GatherND" and not node.integer("batch_dims", 0) and are_places_of_each_row(one, many):
            places = self._store(f"{base}/places", one[..., 1:])
            return [replace(node, inputs=(node.inputs[0], places), attributes={"batch_dims": 1})]
        if node.op == "GatherND" or node.integer("axis", 0) or merged is None or one.shape[:1] != (1,):
            return None
        own = np.arange(len(many)).reshape(-1, *[1] * (many.ndim - 1)) * merged
        if one.shape[1:] != many.shape[1:] or not np.array_equal(many, one + own):
            return None
        places = self._store(f"{base}/places", one[0])
        apart, helper = self._apart(node, shape)
        return [helper, replace(node, inputs=(apart, places), attributes={"axis": 1})]

    def _apart(self, node: Node, shape: tuple[int, ...]) -> tuple[str, Node]:
        """(rows that were merged, each for itself again, and the node that makes them so)."""
        name = self._free(f"{node.outputs[0]}/apart")
        sizes = self._store(f"{node.outputs[0]}/sizes", np.array([-1, *shape], np.int64))
        return name, Node("Reshape", node.name, HELPER, (node.inputs[0], sizes), (name,))

    def are_read_by(self, node: Node, merged: int | None, shape: tuple[int, ...]) -> list[Node]:
        """The nodes that do what `node` does with an index that held row numbers. `merged`: what the batch of its first
        operand is merged with; `shape`: that operand's row. Raises OpRefused where they may not be read."""
        name = next((name for name in node.inputs if name in self._lengths), None)
        if name is None:
            return [node]
        length = self._lengths[name]
        if node.op == "GatherND" and name == node.inputs[1] and length == 0 and not node.integer("batch_dims", 0):
            return [replace(node, attributes={**node.attributes, "batch_dims": 1})]
        if node.op in ("Identity", "Cast"):
            self._lengths[node.outputs[0]] = length
            return [node]
        whole = node.op == "Gather" and name == node.inputs[1] and length == merged and not node.integer("axis", 0)
        if not whole or shape[0] != length:
            mend = "use it as the first index alone: x[torch.arange(x.size(0)), places]"
            raise node.refuse("it computes with the row's own number, but rows are independent", mend)
        base = node.outputs[0]
        (apart, helper), places = self._apart(node, shape), self._free(f"{base}/places")
        last = self._store(f"{base}/last", np.array([-1], np.int64))
        return [
            helper,
            Node("Unsqueeze", node.name, HELPER, (name, last), (places,)),
            replace(node, op="GatherND", inputs=(apart, places), attributes={"batch_dims": 1}),
        ]


def are_places_of_each_row(one: Array, many: Array) -> bool:
    """Whether indices begin with the number of the row, and go on alike in every row: x[:, 2] = y."""
    if one.ndim < 2 or one.shape[0] != 1 or many.shape[1:] != one.shape[1:] or one.shape[-1] < 2:
        return False
    own = np.arange(len(many)).reshape(-1, *[1] * (one.ndim - 2))
    return bool((many[..., 0] == own).all() and (many[..., 1:] == one[..., 1:]).all())


def _length(one: Array, many: Array) -> int:
    """By how much the value grows from row to row, where it is 0 in the first and the same along other dimensions; 0
    where it is no row number."""
    if not one.ndim or one.dtype.kind not in "iu" or one.shape[1:] != many.shape[1:] or one.shape[0] != 1 or one.any():
        return 0
    step = int(many.reshape(len(many), -1)[1, 0]) if many.size and len(many) > 1 else 0
    own = np.arange(len(many)).reshape(-1, *[1] * (many.ndim - 1)) * step
    return step if step > 0 and bool((many == own).all()) else 0
