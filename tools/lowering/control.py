"""Protobuf -> protobuf: If, Loop and Scan whose course is known beforehand become the nodes that they run.

What lives here: which branch, how many rounds; a body's nodes under new names; the rounds' results side by side. Known
beforehand is what follows from the file's constants and declared shapes. A Scan that compares each row with constant
ones (distances) runs all rounds at once, along one more dimension. Must not: anything about grids or operators' rules.
What is left is refused when the file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeGuard

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, numpy_helper

from tools.lowering.errors import LoweringError, ModelRefused
from tools.lowering.fold import FOLDERS, evaluate
from tools.lowering.protobuf import read_attributes, read_tensor
from tools.lowering.source import Array, Node

OPS: Final = ("If", "Loop", "Scan")
ROUNDS_MAX: Final = 1024
NODES_MAX: Final = 1 << 14
SIZES_MAX: Final = 64
ELEMENTWISE: Final = ("Sub", "Add", "Mul", "Div", "Abs", "Neg", "Pow", "Sqrt", "Exp", "Identity", "Max", "Min")
REDUCING: Final = ("ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMin", "ReduceMean")
AXES_AS_INPUT: Final = 13
"""From this opset on, Unsqueeze has its axes as an operand."""
Rename = Callable[[NodeProto, dict[str, str]], NodeProto]


class Known:
    """What of a graph is the same for all inputs. A dimension that is open is two numbers at once, 1 and one that no
    other dimension is: what comes out equal does not depend on it."""

    def __init__(self, proto: ModelProto, types: Mapping[str, onnx.TypeProto]) -> None:
        self.types = types
        self.opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
        self._open: dict[object, int] = {}
        self._pairs: dict[str, tuple[Array, Array]] = {}
        for tensor in proto.graph.initializer:
            self._learn(tensor.name, lambda tensor=tensor: (read_tensor(tensor, ""),) * 2)  # type: ignore[misc]  # a lambda's default
        self.take_in(proto.graph.node)

    def take_in(self, nodes: Iterable[NodeProto]) -> None:
        """Nodes that follow those that it knows."""
        for index, node in enumerate(nodes):
            if len(node.output) == 1 and node.domain in ("", "ai.onnx"):
                self._learn(node.output[0], lambda node=node, index=index: self._computed(node, index))  # type: ignore[misc]  # as above

    def value(self, name: str) -> Array | None:
        """The tensor, or None where it depends on inputs or on a dimension that is open."""
        one, other = self._pairs.get(name, (None, None))
        return one if one is not None and other is not None and np.array_equal(one, other) else None

    def sizes(self) -> dict[str, Array]:
        """The short lists of whole numbers among what is known: target shapes, pads, places."""
        short = [name for name, (one, _) in self._pairs.items() if one.dtype.kind in "iu" and one.size <= SIZES_MAX]
        return {name: found for name in short if (found := self.value(name)) is not None}

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """The tensor's shape, None for a dimension that is open; None where not even the rank is known."""
        value = self.value(name)
        if value is not None:
            return tuple(value.shape)
        kind = self.types.get(name)
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.tensor_type.shape.dim)

    def _learn(self, name: str, compute: Callable[[], tuple[Array, Array] | None]) -> None:
        try:
            found = compute()
        except LoweringError:
            return  # whoever needs it says why not
        if found is not None:
            self._pairs[name] = found

    def _computed(self, node: NodeProto, index: int) -> tuple[Array, Array] | None:
        if node.op_type == "Shape" and node.input and node.input[0] not in self._pairs:
            given = self._measured(node.input[0])
        elif node.op_type in FOLDERS and all(name in self._pairs for name in node.input):
            given = [[self._pairs[name][place] for name in node.input] for place in range(2)]
        else:
            return None
        if given is None:
            return None
        read = Node(node.op_type, node.name, index, tuple(node.input), tuple(node.output), read_attributes(node, ""))
        return evaluate(read, given[0]), evaluate(read, given[1])

    def _measured(self, name: str) -> list[list[Array]] | None:
        shape = self.shape(name)
        if shape is None:
            return None
        dims = self.types[name].tensor_type.shape.dim
        keys = [dim.dim_param or (name, axis) for axis, dim in enumerate(dims)]
        numbers = [self._open.setdefault(key, len(self._open)) for key in keys]
        sizes = [
            [
                1009 + 7 * number if size is None and many else size or 1
                for size, number in zip(shape, numbers, strict=True)
            ]
            for many in (False, True)
        ]
        return [[np.broadcast_to(np.int8(0), found)] for found in sizes]


def unrolled(node: NodeProto, known: Known, prefix: str, copy: Rename) -> list[NodeProto] | None:
    """The nodes that stand for an If, Loop or Scan; None where its course is not known. `copy`: a node under names that
    begin with `prefix`, but for those that are given."""
    if not node.input:
        return None  # the standard's own checker says so later
    body = _Body(node, known, prefix, copy)
    return {"If": body.branch, "Loop": body.loop, "Scan": body.scan}[node.op_type]()


class _Body:
    def __init__(self, node: NodeProto, known: Known, prefix: str, copy: Rename) -> None:
        self.node, self.known, self.prefix, self.copy = node, known, prefix, copy
        self.attributes = {attribute.name: attribute for attribute in node.attribute}
        self.made: list[NodeProto] = []

    def branch(self) -> list[NodeProto] | None:
        condition = self.known.value(self.node.input[0])
        if not _is_one(condition, "b"):
            return None
        graph = self._graph("then_branch" if condition.all() else "else_branch")
        if graph is None or len(graph.output) != len(self.node.output):
            return None
        self._identities(self._round(graph, {}, 0), self.node.output)
        return self.made

    def loop(self) -> list[NodeProto] | None:
        """A trip count that is known, or none; and a condition that is known before each round."""
        graph = self._graph("body")
        limited = bool(self.node.input[0])
        count = self.known.value(self.node.input[0]) if limited else np.array(ROUNDS_MAX + 1)
        start = self.node.input[1] if len(self.node.input) > 1 else ""
        goes = self.known.value(start) if start else np.array(True)
        carried = list(self.node.input[2:])
        if graph is None or not _is_one(count, "iu") or not _is_one(goes, "b"):
            return None
        if len(graph.input) != 2 + len(carried) or len(graph.output) != 1 + len(self.node.output):
            return None
        rounds = int(count.reshape(-1)[0])
        stays = limited and _stays_true(graph)
        if stays and not self._is_small(rounds, graph):
            return None
        parts: list[list[str]] = [[] for _ in graph.output[1 + len(carried) :]]
        number = 0
        while goes.all() and number < rounds:
            given = [self._constant(np.array(number, np.int64)), self._constant(np.array(True)), *carried]
            before = len(self.made) - 2
            condition, *results = self._round(graph, dict(zip(_names(graph.input), given, strict=True)), number)
            number += 1
            if not stays:
                self.known.take_in(self.made[before:])
                goes = self.known.value(condition)
                if not _is_one(goes, "b") or not self._is_small(number, graph):
                    return None
            carried = results[: len(carried)]
            for place, name in enumerate(results[len(carried) :]):
                parts[place].append(self._apart(name, 0))
        if any(not found for found in parts):
            return None  # no rounds: a tensor of no elements
        self._identities([*carried, *(self._together(found, 0) for found in parts)], self.node.output)
        return self.made

    def scan(self) -> list[NodeProto] | None:
        graph = self._graph("body")
        count = self.attributes["num_scan_inputs"].i if "num_scan_inputs" in self.attributes else 0
        states = len(self.node.input) - count
        if graph is None or count < 1 or states < 0 or len(graph.input) != len(self.node.input):
            return None
        if len(graph.output) != len(self.node.output) or len(graph.output) < states:
            return None
        if self._at_once(graph, states):
            return self.made
        scanned = list(self.node.input[states:])
        shapes = [self.known.shape(name) for name in scanned]
        axes = self._integers("scan_input_axes", count)
        lengths = {shape[axis] for shape, axis in zip(shapes, axes, strict=True) if shape and axis < len(shape)}
        length = next(iter(lengths)) if len(lengths) == 1 and None not in shapes else None
        if length is None or not self._is_small(length, graph):
            return None
        self._rounds(graph, list(self.node.input[:states]), scanned, axes, length)
        return self.made

    def _rounds(self, graph: GraphProto, carried: list[str], scanned: list[str], axes: list[int], length: int) -> None:
        back = self._integers("scan_input_directions", len(scanned))
        count = len(graph.output) - len(carried)
        out_axes, out_back = (self._integers(f"scan_output_{what}", count) for what in ("axes", "directions"))
        parts: list[list[str]] = [[] for _ in range(count)]
        states = len(carried)
        for number in range(length):
            places = [length - 1 - number if reverse else number for reverse in back]
            taken = [
                self._emit("Gather", [name, self._constant(np.array(place))], axis=axis)
                for name, place, axis in zip(scanned, places, axes, strict=True)
            ]
            results = self._round(graph, dict(zip(_names(graph.input), [*carried, *taken], strict=True)), number)
            carried = results[:states]
            for place, name in enumerate(results[states:]):
                parts[place].append(self._apart(name, out_axes[place]))
        ordered = [found[::-1] if reverse else found for found, reverse in zip(parts, out_back, strict=True)]
        joined = [self._together(found, axis) for found, axis in zip(ordered, out_axes, strict=True)]
        self._identities([*carried, *joined], self.node.output)

    def _at_once(self, graph: GraphProto, states: int) -> bool:
        """Where each round compares states [N, F], which it hands on as they are, with a row [F] of what is scanned,
        and makes [N] of that: all rounds are [N, 1, F] beside [1, K, F]."""
        simple = not any(name in self.attributes for name in ("scan_input_axes", "scan_input_directions"))
        if not simple or len(graph.input) != states + 1 or len(graph.output) != states + 1 or not states:
            return False
        if any(len(self.known.shape(name) or (0, 0)) != 2 for name in self.node.input):
            return False
        names = _names(graph.input)
        makers = {name: node for node in graph.node for name in node.output}
        if any(_origin(graph.output[place].name, makers) != names[place] for place in range(states)):
            return False
        vectorised = _vectorised(graph, set(names))
        if vectorised is None or _origin(graph.output[-1].name, makers) not in vectorised:
            return False
        given = {name: self._apart(outer, 1) for name, outer in zip(names, self.node.input[:states], strict=False)}
        given[names[-1]] = self._apart(self.node.input[-1], 0)
        two = self._constant(np.array([2]))
        copies = self._copied(graph, given, 0)
        for copy in copies:
            if copy.op_type in REDUCING:
                kept = [attribute for attribute in copy.attribute if attribute.name != "axes"]
                as_input = len(copy.input) > 1
                del copy.attribute[:], copy.input[1:]
                copy.attribute.extend(kept)
                if as_input:
                    copy.input.append(two)
                else:
                    copy.attribute.append(onnx.helper.make_attribute("axes", [2]))
        self.made += copies
        result = self._inner(graph, given, 0).get(graph.output[-1].name, graph.output[-1].name)
        turned = self._emit("Transpose", [result], perm=[1, 0])
        self._identities([*self.node.input[:states], turned], self.node.output)
        return True

    # ---- nodes

    def _graph(self, name: str) -> GraphProto | None:
        found = self.attributes.get(name)
        return found.g if found is not None and found.type == AttributeProto.GRAPH else None

    def _integers(self, name: str, length: int) -> list[int]:
        """A list of numbers, each 0 where it is left out."""
        found = list(self.attributes[name].ints) if name in self.attributes else [0] * length
        if len(found) != length or min(found, default=0) < 0:
            where = f"{self.node.op_type} {self.node.name!r}"
            raise ModelRefused(where, f"its {name} are {found}; {length} numbers from 0 on are supported")
        return found

    def _is_small(self, rounds: int, graph: GraphProto) -> bool:
        return 0 <= rounds <= ROUNDS_MAX and rounds * (len(graph.node) + len(graph.output) + 2) <= NODES_MAX

    def _inner(self, graph: GraphProto, given: Mapping[str, str], number: int) -> dict[str, str]:
        """The names of one round: what the body defines is new in each, all others are those outside."""
        defined = {name for node in graph.node for name in node.output if name}
        defined |= {tensor.name for tensor in graph.initializer}
        return {**{name: f"{self.prefix}{number}/{name}" for name in defined}, **given}

    def _copied(self, graph: GraphProto, given: Mapping[str, str], number: int) -> list[NodeProto]:
        rename = self._inner(graph, given, number)
        for tensor in graph.initializer:
            self.made.append(onnx.helper.make_node("Constant", [], [rename[tensor.name]], value=tensor))
        outer = {name: name for node in graph.node for name in _all_names(node)}
        copies = [self.copy(node, {**outer, **rename}) for node in graph.node]
        for copy in copies:
            copy.name = f"{self.prefix}{number}/{copy.name}" if copy.name else ""  # onnxruntime takes no name twice
        return copies

    def _round(self, graph: GraphProto, given: Mapping[str, str], number: int) -> list[str]:
        """One round's nodes; its results under the body's order."""
        self.made += self._copied(graph, given, number)
        rename = self._inner(graph, given, number)
        return [rename.get(output.name, output.name) for output in graph.output]

    def _emit(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{self.prefix}made{len(self.made)}"
        self.made.append(onnx.helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, value: Array) -> str:
        return self._emit("Constant", [], value=numpy_helper.from_array(value))

    def _apart(self, name: str, axis: int) -> str:
        if self.known.opset < AXES_AS_INPUT:
            return self._emit("Unsqueeze", [name], axes=[axis])
        return self._emit("Unsqueeze", [name, self._constant(np.array([axis]))])

    def _together(self, names: list[str], axis: int) -> str:
        return self._emit("Concat", names, axis=axis)

    def _identities(self, results: Iterable[str], outputs: Iterable[str]) -> None:
        for result, output in zip(results, outputs, strict=True):
            if output:
                self.made.append(onnx.helper.make_node("Identity", [result], [output]))


def _is_one(value: Array | None, kinds: str) -> TypeGuard[Array]:
    """Whether it is known, one element and of such a type."""
    return value is not None and value.size == 1 and value.dtype.kind in kinds


def _names(values: Iterable[onnx.ValueInfoProto]) -> list[str]:
    return [value.name for value in values]


def _all_names(node: NodeProto) -> Iterator[str]:
    """Those that the node and its subgraphs read and make."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield from (*found.input, *found.output)
        for attribute in found.attribute:
            waiting.extend(attribute.g.node)


def _origin(name: str, makers: Mapping[str, NodeProto]) -> str:
    """The tensor that is handed on under this name."""
    for _ in range(len(makers)):
        if name not in makers or makers[name].op_type != "Identity" or not makers[name].input:
            break
        name = makers[name].input[0]
    return name


def _stays_true(graph: GraphProto) -> bool:
    """Whether a Loop's condition is handed on, or set to true."""
    makers = {name: node for node in graph.node for name in node.output}
    name = _origin(graph.output[0].name, makers)
    if name == graph.input[1].name:
        return True
    stored = {tensor.name: tensor for tensor in graph.initializer}
    tensor = stored.get(name)
    if name in makers and makers[name].op_type == "Constant":
        tensor = next((attribute.t for attribute in makers[name].attribute if attribute.name == "value"), None)
    return tensor is not None and bool(np.all(read_tensor(tensor, "a Loop's condition")))


def _vectorised(graph: GraphProto, names: set[str]) -> set[str] | None:
    """What the body's nodes make with one number for each row, where they work element by element on rows [N, F] and
    reduce these over F; None where any does something else."""
    small = {tensor.name for tensor in graph.initializer if np.prod(tensor.dims, dtype=int) <= 1}
    small |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    flat: set[str] = set()
    for node in graph.node:
        operands = [name for name in node.input if name not in small]
        if node.op_type == "Constant":
            continue
        wide = set(operands) <= names - flat
        reduced = node.op_type in REDUCING and wide and _over_last(node, graph)
        if node.op_type in ELEMENTWISE and wide:
            names = names | set(node.output)
        elif reduced or (node.op_type in ELEMENTWISE and set(operands) <= flat):
            flat |= set(node.output)
        else:
            return None
    return flat


def _over_last(node: NodeProto, graph: GraphProto) -> bool:
    """Whether a matrix is reduced to a vector of its rows."""
    given = {attribute.name: attribute for attribute in node.attribute}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    if len(node.input) > 1:
        tensor = stored.get(node.input[1])
        axes = read_tensor(tensor, "axes in a Scan's body").reshape(-1).tolist() if tensor is not None else []
    else:
        axes = list(given["axes"].ints) if "axes" in given else []
    return axes in ([1], [-1]) and "keepdims" in given and given["keepdims"].i == 0
