"""Verified graph -> ONNX for the engine: every tensor float64, inputs and outputs int64, N the only symbolic dimension.

What lives here: one small function per op. What must not: any decision on whether the graph is sound. Every kernel used
is one of those whose results the rules prove: matrix product, single-precision convolution, and correctly rounded or
selecting element-by-element kernels. Constants carry their shift: w * 2**-s is the same significand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import ldexp, prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import emit_trees
from runtime.inference import graph as ops
from runtime.inference.constants import unpack
from runtime.inference.facts import Dims
from runtime.inference.graph import ConvForm
from runtime.inference.rules_linear import NARROW_POSITIONS
from runtime.inference.verifier import Verified

ROWS: Final = "N"
OPSET: Final = 17
IR_VERSION: Final = 8
INLINE_ELEMENTS_MAX: Final = 256
_INT64_LOWEST: Final = -(1 << 63)  # as the end of a backward slice: beyond the first element


@dataclass(frozen=True, slots=True)
class Emitted:
    """ONNX bytes, and the large constants that they name without holding them: the engine hands those over as arrays,
    which spares copies through protobuf. Inputs are named i0, i1, ..., outputs o0, o1, ... in the graph's order."""

    model: bytes
    arrays: dict[str, npt.NDArray[Any]]


def emit(verified: Verified) -> Emitted:
    """The verified graph for the engine."""
    writer = Writer(verified)
    graph = verified.graph
    for number in range(len(graph.inputs)):
        writer.tensors.append(writer.add("Cast", f"i{number}", to=TensorProto.DOUBLE))
    for node in graph.nodes:
        writer.tensors.append(_EMITTERS[type(node)](node, writer))
    for number, output in enumerate(graph.outputs):
        writer.nodes.append(
            helper.make_node("Cast", [writer.tensors[output.tensor]], [f"o{number}"], to=TensorProto.INT64)
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


def _elsewhere(name: str, array: npt.NDArray[Any]) -> Any:
    """An initializer whose values the engine is given beside the model. Its location names no file: were it ever
    looked up, the session would not be built."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = TensorProto(name=name, data_type=kind, dims=array.shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=f"armillary/given-in-memory/{name}")
    return tensor


def powers(shifts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """2**-shifts, exact."""
    result: npt.NDArray[np.float64] = np.ldexp(np.float64(1), -shifts.astype(np.int32))
    return result


class Writer:
    """The growing ONNX graph. Names are numbers; equal constants are written once."""

    def __init__(self, verified: Verified) -> None:
        self.graph = verified.graph
        self.facts = verified.facts
        self.tensors: list[str] = []
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self._names: dict[object, str] = {}

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """One ONNX node of one output; the output's name."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def shape(self, tensor: int) -> Dims:
        """Of a row of a tensor of the verified graph."""
        return self.facts[tensor].shape

    def made(self) -> Dims:
        """The shape of the tensor that the current node makes."""
        return self.facts[len(self.tensors)].shape

    def constant(self, key: object, make: Callable[[], npt.NDArray[Any]]) -> str:
        """The name of an initializer; `make` is called for the first use of `key` only."""
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"c{len(self._names)}"
            array = np.ascontiguousarray(make())
            if array.size <= INLINE_ELEMENTS_MAX:
                self.initializers.append(numpy_helper.from_array(array, name))
            else:
                self.initializers.append(_elsewhere(name, array))
                self.arrays[name] = array
        return name

    def scalar(self, value: float) -> str:
        """A float64 number; the callers' numbers are exact in it."""
        return self.constant(("scalar", value), lambda: np.array(value, np.float64))

    def integers(self, *values: int) -> str:
        """The name of an int64 vector, as ONNX takes shapes, axes and pads."""
        return self.constant(("integers", values), lambda: np.array(values, np.int64))

    def scaled(self, index: int, shifts: int | None, shape: Dims | None = None) -> npt.NDArray[np.float64]:
        """Constant * 2**-shifts, one shift for each index of the first dimension, or of the same shape."""
        values = unpack(self.graph.constants[index]).astype(np.float64)
        if shifts is not None:
            by = unpack(self.graph.constants[shifts])
            if by.shape != values.shape:
                by = by.reshape(-1, *(1,) * (values.ndim - 1))
            values *= powers(by)
        return values if shape is None else values.reshape(shape)

    def reshaped(self, x: str, *shape: int) -> str:
        """Under (N, *shape), N inferred."""
        return self.add("Reshape", x, self.integers(-1, *shape))

    def whole(self, x: str) -> str:
        """As int64, to index by."""
        return self.add("Cast", x, to=TensorProto.INT64)

    def biased_and_rounded(self, x: str, bias: int | None, shifts: int | None, shape: Dims) -> str:
        """+ bias * 2**-shifts, constants of one number per column under `shape`; rounds if there is a shift."""
        if bias is not None:
            x = self.add(
                "Add", x, self.constant(("bias", bias, shifts, shape), lambda: self.scaled(bias, shifts, shape))
            )
        return x if shifts is None else self.add("Round", x)


def _gemm(node: ops.Gemm, to: Writer) -> str:
    x, shape = to.tensors[node.x], to.shape(node.x)
    if len(shape) != 1:
        x = to.reshaped(x, shape[-1])
    operands = [x, to.constant(("gemm", node.weights, node.shifts), lambda: to.scaled(node.weights, node.shifts))]
    if node.bias is not None:
        bias = node.bias
        operands.append(to.constant(("bias", bias, node.shifts), lambda: to.scaled(bias, node.shifts)))
    y = to.add("Gemm", *operands, transB=1)
    y = to.biased_and_rounded(y, None, node.shifts, ())
    return y if len(shape) == 1 else to.reshaped(y, *to.made())


def _conv(node: ops.Conv, to: Writer) -> str:
    return _conv_single(node, to) if node.form == ConvForm.SINGLE else _conv_double(node, to)


def _conv_double(node: ops.Conv, to: Writer) -> str:
    """im2col: the windows side by side, then one matrix product per group with the weights on the left: of each row, or
    of all rows at once where the positions of one are too few for a product to be fast."""
    x, shape = to.tensors[node.x], to.shape(node.x)
    weights = to.graph.constants[node.weights].shape
    outputs, inputs, kernel, made = weights[0], weights[1], weights[2:], to.made()
    positions = int(np.prod(made[1:]))
    groups = node.groups
    taps = [
        _window(to, part, node, shape, made, offset)
        for part in [_padded(to, x, node, 0.0)]
        for offset in product(*map(range, kernel))
    ]
    lead = (groups, inputs) if groups > 1 else (inputs,)
    if groups > 1:
        taps = [to.reshaped(tap, groups, inputs, positions) for tap in taps]
    gathered = to.add("Concat", *taps, axis=len(lead)) if len(taps) > 1 else taps[0]
    gathered = to.reshaped(gathered, *lead[:-1], len(taps) * inputs, positions)

    def matrix() -> npt.NDArray[np.float64]:
        """[groups,] outputs, (tap, input channel): the order in which the windows were laid side by side."""
        scaled = to.scaled(node.weights, node.shifts, (groups, outputs // groups, inputs, len(taps)))
        flat = scaled.transpose(0, 1, 3, 2).reshape(groups, outputs // groups, len(taps) * inputs)
        return flat if groups > 1 else flat[0]

    flat = to.constant(("conv", node.weights, node.shifts, groups), matrix)
    if groups == 1 and positions < NARROW_POSITIONS:
        columns = to.add("Transpose", gathered, perm=[1, 0, 2])
        columns = to.add("Reshape", columns, to.integers(len(taps) * inputs, -1))
        y = to.add("Reshape", to.add("MatMul", flat, columns), to.integers(outputs, -1, positions))
        y = to.add("Transpose", y, perm=[1, 0, 2])
    else:
        y = to.add("MatMul", flat, gathered)
    y = to.reshaped(y, *made)
    return to.biased_and_rounded(y, node.bias, node.shifts, (outputs, *(1,) * len(kernel)))


def _padded(to: Writer, x: str, node: ops.Conv | ops.MaxPool, value: float) -> str:
    if not any(node.pads_begin) and not any(node.pads_end):
        return x
    pads = to.integers(0, 0, *node.pads_begin, 0, 0, *node.pads_end)
    return to.add("Pad", x, pads, to.scalar(value))


def _window(to: Writer, x: str, node: ops.Conv, shape: Dims, made: Dims, offset: Dims) -> str:
    """x[:, :, p * strides + offset * dilations] for all output positions p."""
    starts = [k * d for k, d in zip(offset, node.dilations, strict=True)]
    ends = [start + (count - 1) * step + 1 for start, count, step in zip(starts, made[1:], node.strides, strict=True)]
    padded = [s + b + e for s, b, e in zip(shape[1:], node.pads_begin, node.pads_end, strict=True)]
    if not any(starts) and ends == padded and max(node.strides) == 1:
        return x
    axes = range(2, 2 + len(starts))
    return to.add("Slice", x, to.integers(*starts), to.integers(*ends), to.integers(*axes), to.integers(*node.strides))


def _conv_single(node: ops.Conv, to: Writer) -> str:
    """float32 products and sums of integers within 2**24; scaled, biased and rounded in float64."""
    weights = to.constant(("single", node.weights), lambda: unpack(to.graph.constants[node.weights]).astype(np.float32))
    shape = to.graph.constants[node.weights].shape
    y = to.add(
        "Conv",
        to.add("Cast", to.tensors[node.x], to=TensorProto.FLOAT),
        weights,
        kernel_shape=shape[2:],
        strides=node.strides,
        pads=[*node.pads_begin, *node.pads_end],
        dilations=node.dilations,
        group=node.groups,
    )
    y = to.add("Cast", y, to=TensorProto.DOUBLE)
    column = (shape[0], *(1,) * (len(shape) - 2))
    if node.shifts is not None:
        shifts = node.shifts
        scale = to.constant(
            ("scale", shifts, column), lambda: powers(unpack(to.graph.constants[shifts])).reshape(column)
        )
        y = to.add("Mul", y, scale)
    return to.biased_and_rounded(y, node.bias, node.shifts, column)


def _affine(node: ops.Affine, to: Writer) -> str:
    y, shifts = to.tensors[node.x], node.shifts
    if node.weights is not None:
        weights = node.weights
        y = to.add("Mul", y, to.constant(("affine", weights, shifts), lambda: to.scaled(weights, shifts)))
    elif shifts is not None:
        by = shifts
        y = to.add(
            "Mul",
            y,
            to.constant(("powers", by), lambda: powers(unpack(to.graph.constants[by]))),
        )
    if node.bias is not None:
        bias = node.bias
        y = to.add("Add", y, to.constant(("affine", bias, shifts), lambda: to.scaled(bias, shifts)))
    return y if shifts is None else to.add("Round", y)


def _rescale(node: ops.Rescale, to: Writer) -> str:
    y = to.add("Mul", to.tensors[node.x], to.scalar(ldexp(1.0, -node.shift)))
    return to.add("Round", y) if node.shift > 0 else y


def _mul(node: ops.Mul, to: Writer) -> str:
    y = to.add("Mul", to.tensors[node.a], to.tensors[node.b])
    return y if node.shift == 0 else to.add("Round", to.add("Mul", y, to.scalar(ldexp(1.0, -node.shift))))


def _matmul(node: ops.MatMul, to: Writer) -> str:
    """The shift scales whatever is smallest: an operand or the sums."""
    names, facts = [to.tensors[node.a], to.tensors[node.b]], [to.facts[node.a], to.facts[node.b]]
    if node.shift == 0:
        return to.add("MatMul", *names)
    power = to.scalar(ldexp(1.0, -node.shift))
    small = min((0, 1), key=lambda side: facts[side].elements)
    before = facts[small].elements <= prod(to.made())
    if before:
        names[small] = to.add("Mul", names[small], power)
    y = to.add("MatMul", *names)
    return to.add("Round", y if before else to.add("Mul", y, power))


def _max_pool(node: ops.MaxPool, to: Writer) -> str:
    x = _padded(to, to.tensors[node.x], node, float(to.facts[node.x].low))
    return to.add("MaxPool", x, kernel_shape=node.kernel, strides=node.strides, dilations=node.dilations)


def _slice(node: ops.Slice, to: Writer) -> str:
    ends = []
    for start, count, step in zip(node.starts, node.counts, node.steps, strict=True):
        end = start + (count - 1) * step + (1 if step > 0 else -1)
        ends.append(end if end >= 0 else _INT64_LOWEST)
    axes = to.integers(*range(1, len(ends) + 1))
    if not ends:
        return to.add("Identity", to.tensors[node.x])
    return to.add(
        "Slice", to.tensors[node.x], to.integers(*node.starts), to.integers(*ends), axes, to.integers(*node.steps)
    )


def _pad(node: ops.Pad, to: Writer) -> str:
    pads = to.integers(0, *node.before, 0, *node.after)
    return to.add("Pad", to.tensors[node.x], pads, to.scalar(float(node.value)))


def _axes(axes: Dims) -> list[int]:
    return [axis + 1 for axis in axes]


def _arg_max(node: ops.ArgMax, to: Writer) -> str:
    index = to.add("ArgMax", to.tensors[node.x], axis=node.axis + 1, keepdims=1, select_last_index=0)
    return to.add("Cast", index, to=TensorProto.DOUBLE)


def _take(node: ops.Take, to: Writer) -> str:
    index, made = to.whole(to.tensors[node.index]), to.made()
    if to.shape(node.index) != made:
        index = to.add("Expand", index, to.integers(1, *made))
    return to.add("GatherElements", to.tensors[node.x], index, axis=node.axis + 1)


def _top_k(node: ops.TopK, to: Writer) -> str:
    """The kernel's first output, the elements, is not used."""
    values = f"t{len(to.nodes)}"
    index = f"{values}i"
    operands = [to.tensors[node.x], to.integers(node.k)]
    largest = int(node.largest)
    to.nodes.append(helper.make_node("TopK", operands, [values, index], axis=node.axis + 1, largest=largest, sorted=1))
    return to.add("Cast", index, to=TensorProto.DOUBLE)


def _softmax(node: ops.Softmax, to: Writer) -> str:
    """The steps of graph.Softmax, one kernel each."""
    x, axis = to.tensors[node.x], node.axis + 1
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
    ops.Conv: _conv,
    ops.Affine: _affine,
    ops.Rescale: _rescale,
    ops.Add: lambda node, to: to.add("Add", to.tensors[node.a], to.tensors[node.b]),
    ops.Sub: lambda node, to: to.add("Sub", to.tensors[node.a], to.tensors[node.b]),
    ops.Mul: _mul,
    ops.Clip: lambda node, to: to.add(
        "Clip", to.tensors[node.x], to.scalar(float(node.low)), to.scalar(float(node.high))
    ),
    ops.Relu: lambda node, to: to.add("Relu", to.tensors[node.x]),
    ops.MaxPool: _max_pool,
    ops.Reshape: lambda node, to: to.reshaped(to.tensors[node.x], *node.shape),
    ops.Transpose: lambda node, to: to.add("Transpose", to.tensors[node.x], perm=[0, *_axes(node.permutation)]),
    ops.Concat: lambda node, to: to.add("Concat", *(to.tensors[index] for index in node.tensors), axis=node.axis + 1),
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.ReduceSum: lambda node, to: to.add("ReduceSum", to.tensors[node.x], to.integers(*_axes(node.axes)), keepdims=1),
    ops.ReduceMax: lambda node, to: to.add("ReduceMax", to.tensors[node.x], axes=_axes(node.axes), keepdims=1),
    ops.ArgMax: _arg_max,
    ops.Softmax: _softmax,
    ops.Div: lambda node, to: _scaled_and_rounded(
        to, to.add("Div", to.tensors[node.a], to.tensors[node.b]), node.shift
    ),
    ops.Sqrt: lambda node, to: _scaled_and_rounded(to, to.add("Sqrt", to.tensors[node.x]), node.shift),
    ops.Trees: emit_trees.trees,
    ops.Lookup: emit_trees.lookup,
    ops.MatMul: _matmul,
    ops.Take: _take,
    ops.TopK: _top_k,
}
