"""MaxPool: comparisons in windows, which keep the grid."""

from __future__ import annotations

from runtime.inference import graph as ir
from tools.lowering.builder import Builder
from tools.lowering.ops.axes import window
from tools.lowering.ops.columns import floating
from tools.lowering.source import Node


def max_pool(node: Node, b: Builder) -> None:
    """Exact: a selection. Its second output, the places of the maxima, is refused."""
    x = floating(node, b.tensor(node, 0))
    if any(node.outputs[1:]):
        raise node.refuse("its output Indices is not supported", "export without return_indices")
    if node.integer("storage_order", 0):
        raise node.refuse("storage_order 1 is not supported")
    kernel = node.integers("kernel_shape")
    if kernel is None or len(x.shape) < 2:
        raise node.refuse(f"a kernel {kernel} does not fit rows of shape {list(x.shape)}")
    view = window(node, x.shape[1:], kernel)
    emitted = ir.MaxPool(
        x=x.index,
        kernel=kernel,
        strides=view.strides,
        pads_begin=view.pads_begin,
        pads_end=view.pads_end,
        dilations=view.dilations,
    )
    b.bind(node, b.derive(x, emitted))
