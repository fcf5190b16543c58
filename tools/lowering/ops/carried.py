"""Operators that work on the last dimensions alone, where the batch stands before these but is not the first.

PyTorch's attention is exported so: [N, L, E] is transposed to [L, N, E], multiplied, and reshaped to [L, N * heads, d].
A row has the other dimensions in the file's order, so the operator's own handler translates it as it is. Must not:
anything about how an operator is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from runtime.inference import graph as ir
from tools.lowering.builder import BATCH_FIRST, Builder, Tensor
from tools.lowering.source import HELPER, Node

Handler = Callable[[Node, Builder], None]

EACH: Final = (
    "Abs", "Add", "Div", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Neg", "Relu", "Sigmoid",
    "Sqrt", "Sub", "Tanh",
)  # fmt: skip
"""Element by element."""
ALONG: Final = {"LayerNormalization": -1, "Softmax": -1}
"""From `axis` on, and what that is where it is left out; Softmax before opset 13 has 1."""
TWO: Final = ("Add", "Div", "Mul", "Sub")
PRODUCTS: Final = ("Gemm", "MatMul")
CARRIED: Final = (*EACH, *ALONG, *PRODUCTS)


def carried(handler: Handler) -> Handler:
    """The handler of a CARRIED op, for operands that all have the batch at one place elsewhere than first too."""

    def handle(node: Node, b: Builder) -> None:
        node = _as_deep(node, b)
        computed = [b.finished(name) for name in node.inputs if b.is_bound(name)]
        place = computed[0].place if computed else BATCH_FIRST
        if place == BATCH_FIRST or not _agree(computed):
            handler(node, b)
            return
        node, last = _last(node, b, computed[0])
        if last + place[0] >= computed[0].file_rank or not _constants_fit(node, b, computed[0]):
            handler(node, b)
            return
        with b.carrying(place):
            handler(node, b)

    return handle


def _as_deep(node: Node, b: Builder) -> Node:
    """An operand that a constant has more dimensions than gets as many of size 1 in front, before the batch."""
    if node.op not in TWO or len(node.inputs) != 2:
        return node
    for place, name in enumerate(node.inputs):
        constant = b.source.constants.get(name)
        x = b.finished(node.inputs[1 - place]) if b.is_bound(node.inputs[1 - place]) else None
        if constant is None or x is None or x.place != BATCH_FIRST or constant.ndim <= x.file_rank:
            continue
        more = constant.ndim - x.file_rank
        axes, deep = f"{node.outputs[0]}/axes", f"{node.outputs[0]}/deep"
        shaped = b.derive(x, ir.Reshape(x=x.index, shape=(*[1] * more, *x.shape)))
        helper = Node("Unsqueeze", node.name, HELPER, (node.inputs[1 - place], axes), (deep,))
        b.bind(helper, replace(shaped, batch_axis=more))
        inputs = (name, deep) if place == 0 else (deep, name)
        return replace(node, inputs=inputs)
    return node


def _agree(computed: Sequence[Tensor]) -> bool:
    """Whether all have the batch at the same place, merged with the same, of as many dimensions."""
    first = computed[0]
    own = slice(first.batch_axis, first.batch_axis + sum(first.merged))
    return all(
        (x.place, x.file_rank, x.shape[own]) == (first.place, first.file_rank, first.shape[own]) for x in computed
    )


def _last(node: Node, b: Builder, x: Tensor) -> tuple[Node, int]:
    """(the node with its axis counted from the end, how many of the last dimensions it mixes)."""
    if node.op in ALONG:
        default = 1 if node.op == "Softmax" and b.source.opset < 13 else ALONG[node.op]
        axis = node.integer("axis", default)
        from_end = axis if axis < 0 else axis - x.file_rank
        return replace(node, attributes={**node.attributes, "axis": from_end}), -from_end
    if node.op in PRODUCTS:
        return node, 1 if node.op == "Gemm" or (b.is_constant(node.inputs[1])) else 2
    return node, 0


def _constants_fit(node: Node, b: Builder, x: Tensor) -> bool:
    """Whether each constant is a matrix of a product, or the same for all that stands before the last dimensions."""
    behind = x.file_rank - 1 - x.batch_axis
    for position, name in enumerate(node.inputs):
        if not b.is_constant(name):
            continue
        shape = b.source.constants[name].shape
        if node.op in PRODUCTS and position < 2:
            if len(shape) > 2:
                return False
        elif len(shape) > x.file_rank or any(size != 1 for size in shape[: max(0, len(shape) - behind)]):
            return False
    return True
