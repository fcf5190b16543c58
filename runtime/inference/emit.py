"""Verified graph -> ONNX for the engine: every tensor float64, inputs and outputs int64, N the only symbolic dimension.

What lives here: one small function per op. What must not: any decision on whether the graph is sound. Every kernel used
is one of those whose results the rules prove: matrix product, single-precision convolution, and correctly rounded or
selecting element-by-element kernels. Constants carry their shift: w * 2**-s is the same significand.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ldexp, prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from runtime.inference import emit_products, emit_trees, emit_windows
from runtime.inference import graph as ops
from runtime.inference.constants import unpack
from runtime.inference.facts import Dims
from runtime.inference.layout import is_channels_last
from runtime.inference.verifier import Verified
from runtime.inference.writer import Emitted, Writer, powers

ROWS: Final = "N"
OPSET: Final = 17
IR_VERSION: Final = 8
_INT64_LOWEST: Final = -(1 << 63)  # as the end of a backward slice: beyond the first element


def emit(verified: Verified) -> Emitted:
    """The verified graph for the engine."""
    writer = Writer(verified)
    graph = verified.graph
    for number in range(len(graph.inputs)):
        writer.made_is(writer.add("Cast", f"i{number}", to=TensorProto.DOUBLE))
    for node in graph.nodes:
        writer.last = is_channels_last(node, writer.constant_shape, writer.is_only_last)
        writer.made_is(_EMITTERS[type(node)](node, writer))
    writer.last = False
    for number, output in enumerate(graph.outputs):
        writer.nodes.append(
            helper.make_node("Cast", [writer.tensor(output.tensor)], [f"o{number}"], to=TensorProto.INT64)
        )
    inputs = [_value(f"i{number}", spec.shape) for number, spec in enumerate(graph.inputs)]
    outputs = [_value(f"o{number}", output.spec.shape) for number, output in enumerate(graph.outputs)]
    return Emitted(finish(writer.nodes, inputs, outputs, writer.initializers), writer.arrays)


def finish(nodes: list[Any], inputs: list[Any], outputs: list[Any], initializers: list[Any]) -> bytes:
    """A whole ONNX model from its parts."""
    body = helper.make_graph(nodes, "armillary", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(emit_trees.ML_DOMAIN, emit_trees.ML_OPSET)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


def _value(name: str, shape: Dims) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.INT64, [ROWS, *shape])


def _gemm(node: ops.Gemm, to: Writer) -> str:
    limbs, shape = emit_products.limbs_for(node, to), to.shape(node.x)
    parts = emit_products.parts(to.tensor(node.x), limbs, to)
    if len(shape) != 1:
        parts = [to.reshaped(part, shape[-1]) for part in parts]
    y = emit_products.product(parts, node, limbs, to, lambda weights: weights)
    return y if len(shape) == 1 else to.reshaped(y, *to.made())


def _affine(node: ops.Affine, to: Writer) -> str:
    y, shifts = to.tensor(node.x), node.shifts

    def laid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.moveaxis(values, 0, -1) if to.last else values

    def constant(index: int) -> str:
        return to.constant(("affine", index, shifts, to.last), lambda: laid(to.scaled(index, shifts)))

    if node.weights is not None:
        y = to.add("Mul", y, constant(node.weights))
    elif shifts is not None:
        by = shifts
        scale = to.constant(("powers", by, to.last), lambda: laid(powers(unpack(to.graph.constants[by]))))
        y = to.add("Mul", y, scale)
    if node.bias is not None:
        y = to.add("Add", y, constant(node.bias))
    return y if shifts is None else to.add("Round", y)


def _rescale(node: ops.Rescale, to: Writer) -> str:
    y = to.add("Mul", to.tensor(node.x), to.scalar(ldexp(1.0, -node.shift)))
    return to.add("Round", y) if node.shift > 0 else y


def _mul(node: ops.Mul, to: Writer) -> str:
    y = to.add("Mul", to.tensor(node.a), to.tensor(node.b))
    return y if node.shift == 0 else to.add("Round", to.add("Mul", y, to.scalar(ldexp(1.0, -node.shift))))


def _matmul(node: ops.MatMul, to: Writer) -> str:
    """The shift scales whatever is smallest: an operand or the sums."""
    names, facts = [to.tensor(node.a), to.tensor(node.b)], [to.facts[node.a], to.facts[node.b]]
    if node.shift == 0:
        return to.add("MatMul", *names)
    power = to.scalar(ldexp(1.0, -node.shift))
    small = min((0, 1), key=lambda side: facts[side].elements)
    before = facts[small].elements <= prod(to.made())
    if before:
        names[small] = to.add("Mul", names[small], power)
    y = to.add("MatMul", *names)
    return to.add("Round", y if before else to.add("Mul", y, power))


def _slice(node: ops.Slice, to: Writer) -> str:
    if not node.starts:
        return to.add("Identity", to.tensor(node.x))
    starts, counts, steps = (to.laid(values) for values in (node.starts, node.counts, node.steps))
    ends = []
    for start, count, step in zip(starts, counts, steps, strict=True):
        end = start + (count - 1) * step + (1 if step > 0 else -1)
        ends.append(end if end >= 0 else _INT64_LOWEST)
    axes = range(1, len(ends) + 1)
    return to.add("Slice", to.tensor(node.x), *(to.integers(*values) for values in (starts, ends, axes, steps)))


def _pad(node: ops.Pad, to: Writer) -> str:
    pads = to.integers(0, *to.laid(node.before), 0, *to.laid(node.after))
    return to.add("Pad", to.tensor(node.x), pads, to.scalar(float(node.value)))


def _concat(node: ops.Concat, to: Writer) -> str:
    axis = to.axis(node.axis, len(to.made()))
    return to.add("Concat", *(to.tensor(index) for index in node.tensors), axis=axis)


def _reduce_sum(node: ops.ReduceSum, to: Writer) -> str:
    return to.add("ReduceSum", to.tensor(node.x), to.integers(*to.axes(node.axes, len(to.made()))), keepdims=1)


def _reduce_max(node: ops.ReduceMax, to: Writer) -> str:
    return to.add("ReduceMax", to.tensor(node.x), axes=to.axes(node.axes, len(to.made())), keepdims=1)


def _arg_max(node: ops.ArgMax, to: Writer) -> str:
    index = to.add(
        "ArgMax", to.tensor(node.x), axis=to.axis(node.axis, len(to.made())), keepdims=1, select_last_index=0
    )
    return to.add("Cast", index, to=TensorProto.DOUBLE)


def _take(node: ops.Take, to: Writer) -> str:
    index, made = to.whole(to.tensor(node.index)), to.made()
    if to.shape(node.index) != made:
        index = to.add("Expand", index, to.integers(1, *made))
    return to.add("GatherElements", to.tensor(node.x), index, axis=node.axis + 1)


def _top_k(node: ops.TopK, to: Writer) -> str:
    """The kernel's first output, the elements, is not used."""
    operands = [to.tensor(node.x), to.integers(node.k)]
    values = f"t{len(to.nodes)}"
    index = f"{values}i"
    largest = int(node.largest)
    to.nodes.append(helper.make_node("TopK", operands, [values, index], axis=node.axis + 1, largest=largest, sorted=1))
    return to.add("Cast", index, to=TensorProto.DOUBLE)


def _softmax(node: ops.Softmax, to: Writer) -> str:
    """The steps of graph.Softmax, one kernel each."""
    x, axis = to.tensor(node.x), to.axis(node.axis, len(to.made()))
    below = to.add("Sub", x, to.add("ReduceMax", x, axes=[axis], keepdims=1))
    t = to.add("Max", to.add("Mul", below, to.scalar(ldexp(1.0, -node.frac_bits_in - 8))), to.scalar(-3 / 32))
    y = to.add("Add", to.add("Mul", t, to.scalar(1 / 24)), to.scalar(1 / 6))
    for term in (0.5, 1.0, 1.0):
        y = to.add("Add", to.add("Mul", y, t), to.scalar(term))
    for _ in range(8):
        y = to.add("Mul", y, y)
    e = to.add("Round", to.add("Mul", y, to.scalar(ldexp(1.0, 30))))
    total = to.add("ReduceSum", e, to.integers(axis), keepdims=1)
    scaled = to.add("Mul", to.add("Div", e, total), to.scalar(ldexp(1.0, node.frac_bits_out)))
    return to.add("Round", scaled)


def _scaled_and_rounded(to: Writer, y: str, shift: int) -> str:
    return to.add("Round", to.add("Mul", y, to.scalar(ldexp(1.0, -shift))))


_EMITTERS: Final[dict[type, Callable[[Any, Writer], str]]] = {
    ops.Gemm: _gemm,
    ops.Conv: emit_windows.conv,
    ops.Affine: _affine,
    ops.Rescale: _rescale,
    ops.Add: lambda node, to: to.add("Add", to.tensor(node.a), to.tensor(node.b)),
    ops.Sub: lambda node, to: to.add("Sub", to.tensor(node.a), to.tensor(node.b)),
    ops.Mul: _mul,
    ops.Clip: lambda node, to: to.add(
        "Clip", to.tensor(node.x), to.scalar(float(node.low)), to.scalar(float(node.high))
    ),
    ops.Relu: lambda node, to: to.add("Relu", to.tensor(node.x)),
    ops.MaxPool: emit_windows.max_pool,
    ops.Reshape: lambda node, to: to.reshaped(to.tensor(node.x), *node.shape),
    ops.Transpose: lambda node, to: to.add(
        "Transpose", to.tensor(node.x), perm=[0, *(axis + 1 for axis in node.permutation)]
    ),
    ops.Concat: _concat,
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.ReduceSum: _reduce_sum,
    ops.ReduceMax: _reduce_max,
    ops.ArgMax: _arg_max,
    ops.Softmax: _softmax,
    ops.Div: lambda node, to: _scaled_and_rounded(to, to.add("Div", to.tensor(node.a), to.tensor(node.b)), node.shift),
    ops.Sqrt: lambda node, to: _scaled_and_rounded(to, to.add("Sqrt", to.tensor(node.x)), node.shift),
    ops.Trees: emit_trees.trees,
    ops.Lookup: emit_trees.lookup,
    ops.MatMul: _matmul,
    ops.Take: _take,
    ops.TopK: _top_k,
}
