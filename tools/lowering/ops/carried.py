"""Operators that mix no rows, where the batch stands elsewhere than first or is merged with other dimensions.

PyTorch's attention is exported so: [N, L, E] is transposed to [L, N, E], multiplied, and reshaped to [L, N * heads, d].
A row has the other dimensions in the file's order. So axes and constants are counted anew, as though the batch stood in
front of them, and the operator's own handler translates the rest. Must not: anything about how an operator is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import BATCH_FIRST, Builder, Tensor
from tools.lowering.source import HELPER, Array, Node

Handler = Callable[[Node, Builder], None]
Counted = tuple[Node, int]
"""The node as its handler reads it, and where the batch is in the file's result."""

EACH: Final = (
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "DequantizeLinear", "Div", "Elu", "Equal",
    "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "QuantizeLinear",
    "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum",
    "Swish", "Tanh", "ThresholdedRelu", "Where", "Xor",
)  # fmt: skip
"""Element by element."""
ALONG: Final = {
    "ArgMax": 0, "ArgMin": 0, "Concat": 0, "Gather": 0, "GatherElements": 0, "Hardmax": -1, "LayerNormalization": -1,
    "LogSoftmax": -1, "LpNormalization": -1, "RMSNormalization": -1, "Softmax": -1, "Split": 0, "TopK": -1,
}  # fmt: skip
"""Along `axis`, and what that is where it is left out; Softmax and its kin before opset 13 have 1."""
ON_FROM: Final = ("LayerNormalization", "RMSNormalization")
"""Along all dimensions from `axis` on; Softmax and its kin too before opset 13."""
AXES: Final = {
    "CumSum": 1, "ReduceL1": 1, "ReduceL2": 1, "ReduceLogSum": 1, "ReduceLogSumExp": 1, "ReduceMax": 1,
    "ReduceMean": 1, "ReduceMin": 1, "ReduceProd": 1, "ReduceSum": 1, "ReduceSumSquare": 1, "Slice": 3, "Squeeze": 1,
    "Unsqueeze": 1,
}  # fmt: skip
"""Along `axes`: an attribute once, an input of this number since."""
THEMSELVES: Final = ("CastLike", "Cast", "Concat", "Gather", "Slice", "Squeeze", "Unsqueeze")
"""Read a batch that is alone wherever it stands."""
PRODUCTS: Final = {"Gemm": (0, 1), "MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}
"""And which operands are multiplied."""
CARRIED: Final = (*EACH, *ALONG, *AXES, *PRODUCTS)


def carried(handler: Handler) -> Handler:
    """The handler of a CARRIED op, for operands that all have the batch at one place elsewhere than first too."""

    def handle(node: Node, b: Builder) -> None:
        node = _lifted(node, b)
        computed = [b.finished(name) for name in node.inputs if b.is_bound(name)]
        place = computed[0].place if computed else BATCH_FIRST
        itself = node.op in THEMSELVES and not sum(place[1])
        counted = None if place == BATCH_FIRST or itself or not _agree(computed) else _counted(node, b, computed[0])
        if counted is None:
            handler(node, b)
            return
        with b.carrying(place, (counted[1], place[1])):
            handler(counted[0], b)

    return handle


def _agree(computed: Sequence[Tensor]) -> bool:
    """Whether all have the batch at the same place, merged with the same, of as many dimensions."""
    first = computed[0]
    own = slice(first.batch_axis, first.batch_axis + sum(first.merged))
    return all(
        (x.place, x.file_rank, x.shape[own]) == (first.place, first.file_rank, first.shape[own]) for x in computed
    )


def _lifted(node: Node, b: Builder) -> Node:
    """Operands of fewer dimensions than others get as many of size 1 in front, before the batch, where the batches then
    are at one place."""
    if node.op not in EACH or len(node.inputs) < 2:
        return node
    computed = [b.finished(name) for name in node.inputs if b.is_bound(name)]
    ranks = [x.file_rank for x in computed]
    ranks += [b.source.constants[name].ndim for name in node.inputs if b.is_constant(name)]
    if len({(x.file_rank - x.batch_axis, x.merged) for x in computed}) != 1 or len(set(ranks)) == 1:
        return node
    inputs = list(node.inputs)
    for position, name in enumerate(node.inputs):
        more = max(ranks) - b.finished(name).file_rank if b.is_bound(name) else 0
        if more:
            x = b.finished(name)
            inputs[position] = f"{node.outputs[0]}/deep{position}"
            shaped = b.derive(x, ir.Reshape(x=x.index, shape=(*[1] * more, *x.shape)))
            helper = Node("Unsqueeze", node.name, HELPER, (name,), (inputs[position],))
            b.bind(helper, replace(shaped, batch_axis=x.batch_axis + more))
    return replace(node, inputs=tuple(inputs))


# ---- what is counted anew


def _counted(node: Node, b: Builder, x: Tensor) -> Counted | None:
    """None where the node mixes rows, or cannot be read so."""
    if node.op in PRODUCTS:
        return (node, x.batch_axis) if _is_product_of_rows(node, b, x) else None
    if node.op in EACH:
        return _with_constants(node, b, x)
    return _with_axis(node, b, x) if node.op in ALONG else _with_axes(node, b, x)


def _is_product_of_rows(node: Node, b: Builder, x: Tensor) -> bool:
    """Whether the batch stands before the matrices' dimensions, and a constant operand is one matrix."""
    left, right = (node.inputs[place] for place in PRODUCTS[node.op])
    given = [b.source.constants[name].ndim for name in (left, right) if b.is_constant(name)]
    mixed = 1 if node.op == "Gemm" or b.is_constant(right) else 2
    return mixed + x.batch_axis < x.file_rank and all(rank <= 2 for rank in given)


def _with_constants(node: Node, b: Builder, x: Tensor) -> Counted | None:
    """Constants that reach the batch have size 1 there; a row's lie behind a leading 1."""
    given = [b.source.constants[name] for name in node.inputs if b.is_constant(name)]
    if node.op in ("DequantizeLinear", "QuantizeLinear") and any(found.size > 1 for found in given):
        return None  # one for each place of an axis
    inputs, rank, axis = list(node.inputs), x.file_rank, x.batch_axis
    for position, name in enumerate(node.inputs):
        found = b.source.constants.get(name)
        if found is None or found.ndim < rank - axis:
            continue
        shape = (*[1] * (rank - found.ndim), *found.shape)
        if len(shape) > rank or shape[axis] != 1:
            reason = (
                f"a constant of shape {list(found.shape)} has rows of its own; the batch, dimension {axis}, is open"
            )
            raise node.refuse(reason)
        own = (1,) * sum(x.merged)
        row = found.reshape(1, *shape[:axis], *own, *shape[axis + 1 :])
        inputs[position] = b.hold(f"{node.outputs[0]}/row{position}", row)
    return replace(node, inputs=tuple(inputs)), axis


def _in_row(axis: int, batch_axis: int, x: Tensor) -> int:
    """The file's axis, not the batch, where the batch stands in front of all others."""
    return axis + 1 if axis < batch_axis else axis + sum(x.merged)


def _with_axis(node: Node, b: Builder, x: Tensor) -> Counted | None:
    place, rank = x.batch_axis, x.file_rank
    old = b.source.opset < 13 and node.op in ("Hardmax", "LogSoftmax", "Softmax")
    axis = node.integer("axis", 1 if old else ALONG[node.op])
    if not -rank <= axis < rank or axis % rank == place or any(b.is_constant(name) for name in _parts(node)):
        return None
    axis %= rank
    if (old or node.op in ON_FROM) and axis < place:
        return None
    after = place
    if node.op in ("ArgMax", "ArgMin") and not node.flag("keepdims", True):
        after -= axis < place
    if node.op == "Gather":
        if not b.is_constant(node.inputs[1]):
            return None
        after += (b.source.constants[node.inputs[1]].ndim - 1) * (axis < place)
    return replace(node, attributes={**node.attributes, "axis": _in_row(axis, place, x)}), after


def _parts(node: Node) -> tuple[str, ...]:
    """The operands that have the axis."""
    return node.inputs if node.op in ("Concat", "GatherElements") else node.inputs[:1]


def _with_axes(node: Node, b: Builder, x: Tensor) -> Counted | None:
    position = AXES[node.op]
    found = _axes(node, b, position)
    adds = node.op == "Unsqueeze"
    rank = x.file_rank + (len(found or ()) if adds else 0)
    if (
        not found
        or any(not -rank <= axis < rank for axis in found)
        or len({axis % rank for axis in found}) < len(found)
    ):
        return None
    axes = [axis % rank for axis in found]
    kept = [place for place in range(rank) if place not in axes]
    place = kept[x.batch_axis] if adds else x.batch_axis
    if not adds and place in axes:
        return None
    after = place
    if node.op == "Squeeze" or (node.op.startswith("Reduce") and not node.flag("keepdims", True)):
        after -= sum(axis < place for axis in axes)
    moved = [_in_row(axis, place, x) for axis in axes]
    return _renamed(node, b, position, moved), after


def _axes(node: Node, b: Builder, position: int) -> tuple[int, ...] | None:
    if node.has_input(position):
        found = b.source.constants.get(node.inputs[position])
        return None if found is None else tuple(int(axis) for axis in found.reshape(-1))
    if node.op == "Slice" and node.integers("axes") is None:
        starts = b.source.constants.get(node.inputs[1]) if node.has_input(1) else np.array(node.integers("starts"))
        return None if starts is None else tuple(range(starts.size))
    return node.integers("axes")


def _renamed(node: Node, b: Builder, position: int, axes: list[int]) -> Node:
    """The node along other axes."""
    as_input = node.has_input(position) or (node.op == "Slice" and node.has_input(1))
    if not as_input:
        return replace(node, attributes={**node.attributes, "axes": tuple(axes)})
    values: Array = np.array(axes, np.int64)
    inputs = [*node.inputs, *[""] * (position + 1 - len(node.inputs))]
    inputs[position] = b.hold(f"{node.outputs[0]}/axes", values)
    return replace(node, inputs=tuple(inputs))
