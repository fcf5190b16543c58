"""In which of two ways the engine stores the rows of each tensor, decided from the graph alone: emission writes what is
said here, and the rules charge for it.

What lives here: where the layout channels last begins, and what follows it. What must not: what any op computes. A row
of rank 2 or more may be stored channels last, [spatial..., channels] for [channels, spatial...]: then the windows of a
Conv are runs in memory. Both layouts hold the same numbers; a Transpose goes between them where it must, and counts.
How long a kernel takes depends on the order of dimensions, so work is counted in the present layout.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, Final

from runtime.inference import graph as ops
from runtime.inference.facts import Dims
from runtime.inference.limits import POOL_TAPS_MAX
from runtime.inference.rules_windows import ConvWay, conv_way


def _x(node: Any) -> tuple[int, ...]:
    return (node.x,)


def _a_and_b(node: Any) -> tuple[int, ...]:
    return (node.a, node.b)


_FOLLOWERS: Final[dict[type, Callable[[Any], tuple[int, ...]]]] = {
    **dict.fromkeys((ops.Add, ops.Sub, ops.Mul, ops.Div), _a_and_b),
    **dict.fromkeys((ops.Affine, ops.Rescale, ops.Clip, ops.Relu, ops.Sqrt, ops.Lookup, ops.Softmax, ops.ArgMax), _x),
    **dict.fromkeys((ops.Slice, ops.Pad, ops.ReduceSum, ops.ReduceMax), _x),
    ops.Concat: lambda node: node.tensors,
}
"""What can be written channels last as well, and its operands: all of one rank."""


def is_channels_last(node: ops.Node, shape_of: Callable[[int], Dims], is_only_last: Callable[[int], bool]) -> bool:
    """Conv and MaxPool begin the layout; what can follows where an operand is in no other; else it is the graph's.
    `shape_of`: of a constant; `is_only_last`: of a tensor."""
    if isinstance(node, ops.Conv):
        weights = shape_of(node.weights)
        return node.form == ops.ConvForm.DOUBLE and len(weights) > 1 and conv_way(node, weights) != ConvWay.BY_GROUP
    if isinstance(node, ops.MaxPool):
        return prod(node.kernel) <= POOL_TAPS_MAX
    if isinstance(node, ops.Lookup) and len(shape_of(node.table)) > 1:
        return False
    return any(is_only_last(operand) for operand in _FOLLOWERS.get(type(node), lambda _: ())(node))
