"""The table of operators that have an exact form, one function each: (node, builder) -> None.

A handler checks what its op allows, reads its operands' shapes, grids and intervals from the builder, emits graph
nodes and binds the result. It refuses through `node.refuse`. To support another operator, write such a function and
name it here; nothing else knows the operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tools.lowering.builder import Builder
from tools.lowering.ops import layout, linear, select
from tools.lowering.source import Node

Handler = Callable[[Node, Builder], None]

HANDLERS: Final[dict[str, Handler]] = {
    "Add": linear.add,
    "ArgMax": select.arg_max,
    "BatchNormalization": linear.batch_norm,
    "Cast": layout.cast,
    "Conv": linear.conv,
    "Flatten": layout.flatten,
    "Gemm": linear.gemm,
    "Identity": layout.identity,
    "MatMul": linear.matmul,
    "MaxPool": select.max_pool,
    "Relu": select.relu,
    "Reshape": layout.reshape,
    "Softmax": select.softmax,
}
