"""Source -> Source for a model whose first dimension is no batch: N is put in front of every computed tensor.

Each op has a rule here that says what becomes of it when its computed operands get one more dimension in front: axes
move by one, target shapes begin with 1 or 0, operands of fewer dimensions get ones behind N. What a constant is stays
as it is, since it is the same in every row. All shapes are numbers, so Shape and what follows from it are constants.
An op that has no rule is refused. What reads [B, ...] as B pictures is done one picture after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np

from runtime.inference.limits import WEIGHTS_MAX
from tools.lowering.builder import Builder
from tools.lowering.errors import ConstantNeeded
from tools.lowering.fold import FOLDERS, evaluate
from tools.lowering.shapes import MEASURES, typed
from tools.lowering.source import HELPER, Array, Attribute, Node, Shape, Source

PICTURES_MAX: Final = 64
"""How many parts of a tensor are computed one after another."""


def with_rows(source: Source, limits: dict[str, float], lower_node: Callable[[Node, Builder], None]) -> Source:
    """The same function of each row, in a form that has N first. `lower_node` translates a node, so that its result
    has a shape."""
    return Rows(source, limits, lower_node).run()


class Rows:
    """The model in the making. A shape here is a row's, which is the whole shape that the file knows."""

    def __init__(self, source: Source, limits: dict[str, float], lower_node: Callable[[Node, Builder], None]) -> None:
        self.constants = dict(source.constants)
        self.source = replace(source, constants=self.constants)
        self.builder = Builder(self.source, limits)
        self.lower_node = lower_node
        self.nodes: list[Node] = []
        self.names = {name for node in source.nodes for name in node.outputs} | {port.name for port in source.inputs}
        self.origins: dict[str, str] = {}
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
        self.elements += result.size
        if self.elements > WEIGHTS_MAX:
            raise node.refuse(f"what follows from shapes has more than {WEIGHTS_MAX} elements")
        self.constants[node.outputs[0]] = result

    def _rewrite(self, node: Node) -> None:
        if node.op not in RULES:
            reason = "it has no form with rows in front of all dimensions, and the first dimension is no batch"
            raise node.refuse(reason, "export with a dynamic batch dimension")
        try:
            RULES[node.op](node, self)
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


def _same(node: Node, rows: Rows) -> None:
    """Nothing of it speaks of the dimensions in front."""
    rows.add(node)


def _pointwise(node: Node, rows: Rows) -> None:
    """Operands broadcast from the last dimension on: those of fewer dimensions get ones behind N, and one of them is
    repeated where a constant is larger."""
    rank = max(len(rows.shape(name)) for name in node.inputs if name)
    shapes = [rows.shape(name) for name in node.inputs if name and rows.is_constant(name)]
    constant = [max((shape[place] for shape in shapes if len(shape) >= -place), default=1) for place in range(-rank, 0)]
    inputs = list(node.inputs)
    for position, name in enumerate(inputs):
        if name and not rows.is_constant(name):
            inputs[position] = _of_rank(node, rows, name, rank)
    computed = [rows.shape(name) for name in inputs if name and not rows.is_constant(name)]
    if computed and any(size > max(found) for size, found in zip(constant, zip(*computed, strict=True), strict=True)):
        position = next(p for p, name in enumerate(inputs) if name and not rows.is_constant(name))
        target = rows.store(
            node, [1, *(max(sizes) for sizes in zip(constant, rows.shape(inputs[position]), strict=True))]
        )
        inputs[position] = rows.helper(node, "Expand", [inputs[position], target])
    rows.add(replace(node, inputs=tuple(inputs)))


def _of_rank(node: Node, rows: Rows, name: str, rank: int) -> str:
    shape = rows.shape(name)
    return rows.shaped(node, name, (1,) * (rank - len(shape)) + shape)


def _moved(axis: int) -> int:
    """From the end on, dimensions keep their numbers."""
    return axis + 1 if axis >= 0 else axis


def _along(default: int | None) -> Rule:
    """An attribute `axis`; constants among the operands have no N of their own, so they get a 1."""

    def rule(node: Node, rows: Rows) -> None:
        axis = node.integer("axis", default or 0)
        if node.op in ("Softmax", "LogSoftmax", "Hardmax") and rows.source.opset < 13 and "axis" not in node.attributes:
            axis = 1
        rows.add(replace(node, attributes={**node.attributes, "axis": _moved(axis)}))

    return rule


def _quantized(node: Node, rows: Rows) -> None:
    """Scales and zero points of blocks have all dimensions."""
    inputs = [
        _leading_one(node, rows, name) if place and rows.is_constant(name) and rows.constants[name].ndim > 1 else name
        for place, name in enumerate(node.inputs)
    ]
    axis = _moved(node.integer("axis", 1)) if rows.shape(node.inputs[0]) else 1
    rows.add(replace(node, inputs=tuple(inputs), attributes={**node.attributes, "axis": axis}))


def _concat(node: Node, rows: Rows) -> None:
    inputs = [_leading_one(node, rows, name) for name in node.inputs]
    rows.finish(node, "Concat", inputs, axis=_moved(node.integer("axis", 0)))


def _leading_one(node: Node, rows: Rows, name: str) -> str:
    return rows.store(node, rows.constants[name][np.newaxis]) if rows.is_constant(name) else name


def _gather(node: Node, rows: Rows) -> None:
    """Of a constant table the axis is the table's own."""
    if rows.is_constant(node.inputs[0]):
        _look_up(node, rows)
    elif rows.is_constant(node.inputs[1]):
        rows.finish(node, "Gather", node.inputs, axis=_moved(node.integer("axis", 0)))
    else:
        _gather_computed(node, rows)


def _look_up(node: Node, rows: Rows) -> None:
    """The table's dimension goes first, and the result's back."""
    table, index = rows.constants[node.inputs[0]], rows.shape(node.inputs[1])
    axis = node.integer("axis", 0)
    if not -table.ndim <= axis < table.ndim:
        raise node.refuse(f"axis {axis} lies outside a table of {table.ndim} dimensions")
    axis %= table.ndim
    turned = rows.store(node, np.ascontiguousarray(np.moveaxis(table, axis, 0)))
    if axis == 0:
        rows.finish(node, "Gather", [turned, node.inputs[1]], axis=0)
        return
    found = rows.helper(node, "Gather", [turned, node.inputs[1]], axis=0)
    before, after = range(len(index), len(index) + axis), range(len(index) + axis, len(index) + table.ndim - 1)
    order = (*before, *range(len(index)), *after)
    rows.finish(node, "Transpose", [found], perm=(0, *(place + 1 for place in order)))


def _gather_computed(node: Node, rows: Rows) -> None:
    """GatherElements: the places in one dimension, the same for all elements of the others."""
    x, index = (rows.shape(name) for name in node.inputs)
    axis = node.integer("axis", 0)
    if not -len(x) <= axis < len(x):
        raise node.refuse(f"axis {axis} lies outside a tensor of {len(x)} dimensions")
    axis %= len(x)
    alone = tuple(prod(index) if place == axis else 1 for place in range(len(x)))
    index_alone = rows.shaped(node, node.inputs[1], alone)
    found = rows.helper(node, "GatherElements", [node.inputs[0], index_alone], axis=axis + 1, repeated=1)
    rows.finish(node, "Reshape", [found, rows.store(node, [0, *x[:axis], *index, *x[axis + 1 :]])])


def _elements(node: Node, rows: Rows) -> None:
    """GatherElements, ScatterElements: all operands alike in their dimensions."""
    inputs = [_leading_one(node, rows, name) for name in node.inputs]
    axis = _moved(node.integer("axis", 0))
    rows.add(replace(node, inputs=tuple(inputs), attributes={**node.attributes, "axis": axis}))


def _gather_nd(node: Node, rows: Rows) -> None:
    inputs = [_leading_one(node, rows, name) for name in node.inputs]
    rows.finish(node, "GatherND", inputs, batch_dims=node.integer("batch_dims", 0) + 1)


def _scatter_nd(node: Node, rows: Rows) -> None:
    """A row is all that its constant indices speak of."""
    inputs = [_leading_one(node, rows, node.inputs[0]), node.inputs[1], _leading_one(node, rows, node.inputs[2])]
    rows.add(replace(node, inputs=tuple(inputs), attributes={**node.attributes, "batch_dims": 1}))


def _compress(node: Node, rows: Rows) -> None:
    """Without an axis all dimensions are one."""
    x, axis = node.inputs[0], 1
    if "axis" in node.attributes:
        axis = _moved(node.integer("axis", 0))
    else:
        x = rows.shaped(node, x, (prod(rows.shape(x)),))
    rows.finish(node, "Compress", [x, node.inputs[1]], axis=axis)


def _sequences(node: Node, rows: Rows) -> None:
    time, batch = _moved(node.integer("time_axis", 0)), _moved(node.integer("batch_axis", 1))
    rows.add(replace(node, attributes={"time_axis": time, "batch_axis": batch}))


def _reduced(node: Node, rows: Rows) -> None:
    """No axes mean all of the file's, or none."""
    axes = rows.integers(node, 1, "axes") or ()
    rank = len(rows.shape(node.inputs[0]))
    if not axes and (node.flag("noop_with_empty_axes") or not rank):
        rows.add(replace(node, inputs=node.inputs[:1], attributes={"noop_with_empty_axes": 1}))
        return
    axes = tuple(_moved(axis) for axis in axes or range(rank))
    rows.finish(node, node.op, node.inputs[:1], axes=axes, keepdims=int(node.flag("keepdims", True)))


def _normalized_axes(node: Node, rows: Rows) -> None:
    """MeanVarianceNormalization."""
    axes = node.integers("axes") or (0, 2, 3)
    rows.add(replace(node, attributes={**node.attributes, "axes": tuple(_moved(axis) for axis in axes)}))


def _axis_input(node: Node, rows: Rows) -> None:
    """CumSum: the axis is an operand."""
    axis = int(rows.constant(node, 1, "the axis").reshape(-1)[0])
    rows.add(replace(node, inputs=(node.inputs[0], rows.store(node, np.array(_moved(axis), np.int64)))))


def _into(node: Node, rows: Rows, shape: Sequence[int]) -> None:
    rows.finish(node, "Reshape", [node.inputs[0], rows.store(node, [0, *shape])])


def _reshape(node: Node, rows: Rows) -> None:
    shape = rows.shape(node.inputs[0])
    target = [int(size) for size in rows.constant(node, 1, "the shape").reshape(-1)]
    if not node.flag("allowzero"):
        if any(size == 0 and place >= len(shape) for place, size in enumerate(target)):
            raise node.refuse(f"its shape {target} copies a dimension that the input does not have")
        target = [shape[place] if size == 0 else size for place, size in enumerate(target)]
    known = prod(size for size in target if size != -1)
    if target.count(-1) > 1 or min(target, default=1) < -1 or known == 0 or prod(shape) % known:
        raise node.refuse(f"rows of shape {list(shape)} do not fit shape {target}")
    _into(node, rows, [prod(shape) // known if size == -1 else size for size in target])


def _flatten(node: Node, rows: Rows) -> None:
    shape = rows.shape(node.inputs[0])
    axis = node.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise node.refuse(f"axis {axis} lies outside a tensor of {len(shape)} dimensions")
    axis = axis if axis >= 0 else axis + len(shape)
    _into(node, rows, [prod(shape[:axis]), prod(shape[axis:])])


def _squeeze(node: Node, rows: Rows) -> None:
    shape = rows.shape(node.inputs[0])
    axes = rows.integers(node, 1, "axes")
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    places = _places(node, axes, len(shape))
    if any(shape[place] != 1 for place in places):
        raise node.refuse(f"axes {list(axes)} of shape {list(shape)} are not all of size 1")
    _into(node, rows, [size for place, size in enumerate(shape) if place not in places])


def _unsqueeze(node: Node, rows: Rows) -> None:
    shape = list(rows.shape(node.inputs[0]))
    for place in sorted(_places(node, rows.integers(node, 1, "axes") or (), None, len(shape))):
        shape.insert(place, 1)
    _into(node, rows, shape)


def _places(node: Node, axes: Sequence[int], rank: int | None, before: int = 0) -> set[int]:
    """Axes from the front on; refused where they lie outside or repeat."""
    rank = before + len(axes) if rank is None else rank
    places = {axis % rank for axis in axes if -rank <= axis < rank}
    if len(places) != len(axes):
        raise node.refuse(f"axes {list(axes)} lie outside a tensor of {rank} dimensions, or repeat")
    return places


def _transpose(node: Node, rows: Rows) -> None:
    rank = len(rows.shape(node.inputs[0]))
    order = node.integers("perm") or tuple(reversed(range(rank)))
    rows.finish(node, "Transpose", node.inputs, perm=(0, *(axis + 1 for axis in order)))


def _expand(node: Node, rows: Rows) -> None:
    target = [int(size) for size in rows.constant(node, 1, "the shape").reshape(-1)]
    shape = rows.shape(node.inputs[0])
    rank = max(len(target), len(shape))
    x = _of_rank(node, rows, node.inputs[0], rank)
    rows.finish(node, "Expand", [x, rows.store(node, [*[1] * (rank - len(target) + 1), *target])])


def _tile(node: Node, rows: Rows) -> None:
    times = [int(count) for count in rows.constant(node, 1, "repeats").reshape(-1)]
    rows.finish(node, "Tile", [node.inputs[0], rows.store(node, [1, *times])])


def _slice(node: Node, rows: Rows) -> None:
    starts, ends, axes, steps = (
        rows.integers(node, place, name) for place, name in enumerate(("starts", "ends", "axes", "steps"), start=1)
    )
    axes = tuple(range(len(starts or ()))) if axes is None else axes
    steps = (1,) * len(starts or ()) if steps is None else steps
    lists = (starts or (), ends or (), tuple(_moved(axis) for axis in axes), steps)
    rows.finish(node, "Slice", [node.inputs[0], *(rows.store(node, list(numbers)) for numbers in lists)])


def _pad(node: Node, rows: Rows) -> None:
    rank = len(rows.shape(node.inputs[0]))
    pads = rows.integers(node, 1, "pads") or ()
    axes = rows.integers(node, 3, "axes")
    axes = tuple(range(rank)) if axes is None else axes
    value = node.inputs[2] if node.has_input(2) else ""
    moved = rows.store(node, [_moved(axis) for axis in axes])
    attributes = {name: found for name, found in node.attributes.items() if name in ("mode", "value")}
    rows.finish(node, "Pad", [node.inputs[0], rows.store(node, list(pads)), value, moved], **attributes)


def _split(node: Node, rows: Rows) -> None:
    """Parts of no elements are constants."""
    axis = _moved(node.integer("axis", 0))
    parts = rows.integers(node, 1, "split")
    if parts is None or 0 not in parts or len(parts) != len(node.outputs):
        rows.add(replace(node, attributes={**node.attributes, "axis": axis}))
        return
    x = rows.builder.finished(node.inputs[0])
    shape = list(x.shape)
    shape[axis - 1 if axis > 0 else axis] = 0
    rows.constants.update(
        {name: np.zeros(shape, x.dtype) for name, size in zip(node.outputs, parts, strict=True) if not size}
    )
    outputs = tuple(name for name, size in zip(node.outputs, parts, strict=True) if size)
    sizes = rows.store(node, [size for size in parts if size])
    rows.add(replace(node, inputs=(node.inputs[0], sizes), outputs=outputs, attributes={"axis": axis}))


def _matmul(node: Node, rows: Rows) -> None:
    """A vector is a row on the left, a column on the right, and its dimension is dropped again."""
    left, right = node.inputs[:2]
    a, b = rows.shape(left), rows.shape(right)
    if not a or not b:
        raise node.refuse("a number cannot be multiplied as a matrix")
    if rows.is_constant(right) and len(b) <= 2:
        rows.add(node)
        return
    rank = max(len(a), len(b), 2)
    if rows.is_constant(left) and len(a) <= 2 and len(b) >= 2:
        if len(a) == 2:
            rows.add(node)
            return
        left = rows.store(node, rows.constants[left][np.newaxis])
    if not rows.is_constant(left):
        left = _of_rank(node, rows, left if len(a) > 1 else rows.shaped(node, left, (1, *a)), rank)
    if not rows.is_constant(right):
        right = _of_rank(node, rows, right if len(b) > 1 else rows.shaped(node, right, (*b, 1)), rank)
    if len(a) > 1 and len(b) > 1:
        rows.finish(node, "MatMul", [left, right])
        return
    product = rows.helper(node, "MatMul", [left, right])
    shape = rows.shape(product)
    kept = [*shape[:-2], *(shape[-2:-1] if len(a) > 1 else ()), *(shape[-1:] if len(b) > 1 else ())]
    rows.finish(node, "Reshape", [product, rows.store(node, [0, *kept])])


def _gemm(node: Node, rows: Rows) -> None:
    """alpha * A @ B + beta * C: MatMul, Mul and Add."""
    left, right = (_matrix(node, rows, place, name) for place, name in enumerate(("transA", "transB")))
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    for name in (left, right):
        if alpha != 1 and rows.is_constant(name):
            scaled = rows.store(node, rows.constants[name].astype(np.float64) * alpha)
            left, right, alpha = (scaled if name == left else left), (scaled if name == right else right), 1.0
    product = rows.helper(node, "MatMul", [left, right])
    if alpha != 1:
        product = rows.helper(node, "Mul", [product, rows.store(node, np.array(alpha))])
    if not node.has_input(2):
        rows.finish(node, "Identity", [product])
        return
    offset = node.inputs[2]
    if rows.is_constant(offset):
        offset = rows.store(node, rows.constants[offset].astype(np.float64) * beta)
    else:
        offset = _of_rank(node, rows, offset, 2)
        offset = offset if beta == 1 else rows.helper(node, "Mul", [offset, rows.store(node, np.array(beta))])
    rows.finish(node, "Add", [product, offset])


def _matrix(node: Node, rows: Rows, position: int, transposed: str) -> str:
    name = node.inputs[position]
    if len(rows.shape(name)) != 2:
        raise node.refuse(f"its operand {position} has the shape {list(rows.shape(name))}, a matrix is needed")
    if not node.flag(transposed):
        return name
    if rows.is_constant(name):
        return rows.store(node, np.ascontiguousarray(rows.constants[name].T))
    return rows.helper(node, "Transpose", [name], perm=(0, 2, 1))


def _einsum(node: Node, rows: Rows) -> None:
    """Computed operands and the result get one more letter."""
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(node.inputs):
        raise node.refuse(f"its equation {equation!r} is for {len(terms)} operands")
    if not arrow:
        once = sorted(letter for letter in set(left) - {",", "."} if left.count(letter) == 1)
        result = ("..." if "..." in left else "") + "".join(once)
    letter = next(letter for letter in "NBZYXWVUTSRQPONMLKJIHGFEDCA" if letter not in equation)
    moved = [term if rows.is_constant(name) else letter + term for term, name in zip(terms, node.inputs, strict=True)]
    rows.finish(node, "Einsum", node.inputs, equation=f"{','.join(moved)}->{letter}{result}")


def _resize(node: Node, rows: Rows) -> None:
    """Scales or sizes of the dimensions that it names, or of all."""
    attributes = dict(node.attributes)
    if (axes := node.integers("axes")) is not None:
        attributes["axes"] = tuple(_moved(axis) for axis in axes)
        rows.add(replace(node, attributes=attributes))
        return
    inputs = list(node.inputs)
    for position, what in (
        ((2, "scales"), (3, "sizes")) if node.op == "Resize" and len(inputs) > 2 else ((1, "scales"),)
    ):
        if node.has_input(position) and rows.shape(inputs[position]) != (0,):
            values = rows.constant(node, position, what).reshape(-1)
            inputs[position] = rows.store(node, np.concatenate([np.ones(1, values.dtype), values]))
    rows.add(replace(node, inputs=tuple(inputs), attributes=attributes))


def _one_hot(node: Node, rows: Rows) -> None:
    rows.add(replace(node, attributes={"axis": _moved(node.integer("axis", -1))}))


def _per_picture(node: Node, rows: Rows) -> None:
    """The op's own batch is the file's first dimension: one after another, then put together."""
    data = node.inputs[0]
    shape = rows.shape(data)
    if not shape or shape[0] > PICTURES_MAX:
        raise node.refuse(f"its batch is fixed at {list(shape[:1])}, at most {PICTURES_MAX} are supported")
    if any(name and not rows.is_constant(name) for name in node.inputs[1:]):
        place = next(p for p, name in enumerate(node.inputs) if p and name and not rows.is_constant(name))
        raise node.needs_constant(place, f"operand {place}")
    if len(node.outputs) > 1 and any(rows.builder.is_read(node, place) for place in range(1, len(node.outputs))):
        raise node.refuse("more than its first output is read")
    results = []
    for place in range(shape[0]):
        part = data
        if shape[0] > 1:
            ends = [rows.store(node, [number]) for number in (place, place + 1, 1)]
            part = rows.helper(node, "Slice", [data, *ends])
        picture = rows.shaped(node, part, shape[1:])
        found = rows.helper(node, node.op, [picture, *node.inputs[1:]], **node.attributes)
        results.append(rows.shaped(node, found, (1, *rows.shape(found))))
    rows.finish(node, "Concat", results, axis=1)


def _ops(names: str) -> list[str]:
    return names.split()


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(
        _ops(
            """Abs Add And Binarizer BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip
        Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu Less
        LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign
        Softplus Softsign Sqrt Sub Sum Swish Tanh ThresholdedRelu Where Xor LabelEncoder Trilu Det
        Acos Acosh Asin Asinh Atan Atanh Cos Cosh Sin Sinh Tan IsInf IsNaN"""
        ),
        _pointwise,
    ),
    **dict.fromkeys(("ArgMax", "ArgMin", "Split"), _along(0)),
    **dict.fromkeys(
        ("Hardmax", "LayerNormalization", "LogSoftmax", "LpNormalization", "RMSNormalization", "Softmax", "TopK"),
        _along(-1),
    ),
    **dict.fromkeys(("GatherElements", "Scatter", "ScatterElements"), _elements),
    **dict.fromkeys(("CumSum", "CumProd"), _axis_input),
    **dict.fromkeys(
        _ops(
            """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare"""
        ),
        _reduced,
    ),
    **dict.fromkeys(
        _ops(
            """AveragePool BatchNormalization Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool
        GlobalMaxPool GroupNormalization InstanceNormalization LRN LinearClassifier LinearRegressor LpPool MaxPool
        Normalizer QLinearConv SVMClassifier SVMRegressor Scaler SpaceToDepth TreeEnsembleClassifier
        TreeEnsembleRegressor ArrayFeatureExtractor FeatureVectorizer Imputer"""
        ),
        _per_picture,
    ),
    "Attention": _same,
    "Compress": _compress,
    "Concat": _concat,
    "Einsum": _einsum,
    "DequantizeLinear": _quantized,
    "DynamicQuantizeLinear": _same,
    "GRU": _same,
    "MatMulInteger": _same,
    "QLinearMatMul": _same,
    "QuantizeLinear": _quantized,
    "LSTM": _same,
    "RNN": _same,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MeanVarianceNormalization": _normalized_axes,
    "OneHot": _one_hot,
    "OneHotEncoder": _same,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "ReverseSequence": _sequences,
    "RotaryEmbedding": _same,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
