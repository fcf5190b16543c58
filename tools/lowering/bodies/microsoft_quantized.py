"""What onnxruntime.quantization writes beside the standard's operators: each is dequantised, computed, quantised again.

Sources: onnxruntime's contrib operators. Results may differ from its kernels' by one step of a scale where these scale
sums of integers at once. DynamicQuantizeLSTM's inputs and states keep the bits that its kernel drops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from onnx import TensorProto

from tools.lowering.bodies.body import Body

LSTM: Final = (
    "activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget",
)  # fmt: skip
POOL: Final = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")


def _real(body: Body, x: int, scale: int, zero: int) -> str:
    """A quantised operand as a real number."""
    zeros = [body.given(zero)] if body.has(zero) else []
    return body.make("DequantizeLinear", body.given(x), body.given(scale), *zeros)


def _finish(body: Body, x: str, scale: int, zero: int) -> None:
    zeros = [body.given(zero)] if body.has(zero) else []
    body.finish(0, body.make("QuantizeLinear", x, body.given(scale), *zeros))


def _pairwise(op: str) -> Callable[[Body], None]:
    def write(body: Body) -> None:
        _finish(body, body.make(op, _real(body, 0, 1, 2), _real(body, 3, 4, 5)), 6, 7)

    return write


def _each(op: str, *names: str) -> Callable[[Body], None]:
    """Operands x, its scale and zero point, the result's scale and zero point."""

    def write(body: Body) -> None:
        if body.integer("channels_last", 0):
            raise body.refuse("channels_last is not supported")
        _finish(body, body.make(op, _real(body, 0, 1, 2), **body.passed(*names)), 3, 4)

    return write


def _concat(body: Body) -> None:
    parts = [_real(body, place, place + 1, place + 2) for place in range(2, len(body.node.input), 3)]
    _finish(body, body.make("Concat", *parts, axis=body.integer("axis", 0)), 0, 1)


def _where(body: Body) -> None:
    chosen = body.make("Where", body.given(0), _real(body, 1, 2, 3), _real(body, 4, 5, 6))
    _finish(body, chosen, 7, 8)


def _gemm(body: Body) -> None:
    """The bias is in steps of both scales together."""
    a, b = _real(body, 0, 1, 2), _weights(body, 3, 4, 5, 0 if body.integer("transB", 0) else 1)
    found = body.make("Gemm", a, b, **body.passed("alpha", "transA", "transB"))
    if body.has(6):
        steps = body.make("Mul", body.given(1), body.given(4))
        alpha = body.number("alpha", 1.0)
        steps = steps if alpha == 1 else body.make("Mul", steps, body.real(alpha, 1))
        bias = body.make("Mul", body.make("Cast", body.given(6), to=TensorProto.FLOAT), steps)
        found = body.make("Add", found, bias)
    if body.has(7):
        _finish(body, found, 7, 8)
    else:
        body.finish(0, found)


def _weights(body: Body, x: int, scale: int, zero: int, axis: int) -> str:
    """Quantised weights as real numbers, scaled all alike or along an axis."""
    zeros = [body.given(zero)] if body.has(zero) else []
    one = body.value(scale, "the weights' scale").size == 1
    along = {} if one else {"axis": axis}
    return body.make("DequantizeLinear", body.given(x), body.given(scale), *zeros, **along)


def _integer_to_real(body: Body) -> None:
    """MatMulIntegerToFloat: a, b, a's scale, b's scale, a's and b's zero points, a bias."""
    _product(body, [body.given(0), body.given(1)], body.given(2), 3, (4, 5), 6)


def _dynamic_matmul(body: Body) -> None:
    """DynamicQuantizeMatMul: a as reals, b, its scale and zero point, a bias."""
    a = body.make("DynamicQuantizeLinear", body.given(0), count=3)
    _product(body, [a, body.given(1), f"{a}/2"], f"{a}/1", 2, (-1, 3), 4)


def _product(body: Body, sides: list[str], scale: str, other: int, zeros: tuple[int, int], bias: int) -> None:
    """`sides`: a, b and, where it is computed, a's zero point; `scale`: a's; the others are operands of the node."""
    if len(sides) == 2:
        sides.append(body.given(zeros[0]) if zeros[0] >= 0 and body.has(zeros[0]) else "")
    sides.append(body.given(zeros[1]) if body.has(zeros[1]) else "")
    while not sides[-1]:
        sides.pop()
    sums = body.make("Cast", body.make("MatMulInteger", *sides), to=TensorProto.FLOAT)
    found = body.make("Mul", sums, body.make("Mul", scale, body.given(other)))
    body.finish(0, body.make("Add", found, body.given(bias)) if body.has(bias) else found)


def _lstm(body: Body) -> None:
    """Weights [directions, features, 4 * hidden] with a scale for each direction, or for each column too."""
    weights = [_turned(body, *places) for places in ((1, 8, 9), (2, 10, 11))]
    rest = [body.given(place) if body.has(place) else "" for place in range(3, 8)]
    while rest and not rest[-1]:
        rest.pop()
    found = body.make("LSTM", body.given(0), *weights, *rest, count=3, **body.passed(*LSTM))
    for place, name in enumerate((found, f"{found}/1", f"{found}/2")):
        body.finish(place, name)


def _turned(body: Body, x: int, scale: int, zero: int) -> str:
    codes, steps = body.value(x, "its weights"), body.value(scale, "the weights' scale").astype(np.float64)
    zeros = body.value(zero, "the weights' zero point") if body.has(zero) else np.zeros(1, np.int64)
    if codes.ndim != 3 or codes.dtype.kind not in "iu":
        raise body.refuse(f"weights {codes.dtype} of shape {list(codes.shape)} are not supported")
    shape = {1: (-1, 1, 1), 2: (codes.shape[0], 1, -1)}
    if any(found.ndim not in shape for found in (steps, zeros)):
        raise body.refuse("scales and zero points of its weights have other shapes than it takes")
    apart = codes.astype(np.float64) - zeros.astype(np.float64).reshape(shape[zeros.ndim])
    real = (apart * steps.reshape(shape[steps.ndim])).astype(np.float32)
    return body.store(np.ascontiguousarray(real.transpose(0, 2, 1)))


BODIES: Final[Mapping[str, Callable[[Body], None]]] = {
    "DequantizeLinear": lambda body: body.finish(
        0, body.make("DequantizeLinear", *body.node.input, **body.passed("axis"))
    ),
    "DynamicQuantizeLSTM": _lstm,
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "MatMulIntegerToFloat": _integer_to_real,
    "QGemm": _gemm,
    "QLinearAdd": _pairwise("Add"),
    "QLinearAveragePool": _each("AveragePool", *POOL),
    "QLinearConcat": _concat,
    "QLinearGlobalAveragePool": _each("GlobalAveragePool"),
    "QLinearLeakyRelu": _each("LeakyRelu", "alpha"),
    "QLinearMul": _pairwise("Mul"),
    "QLinearReduceMean": _each("ReduceMean", "axes", "keepdims"),
    "QLinearSigmoid": _each("Sigmoid"),
    "QLinearSoftmax": _each("Softmax", "axis"),
    "QLinearWhere": _where,
    "QuantizeLinear": lambda body: body.finish(0, body.make("QuantizeLinear", *body.node.input, **body.passed("axis"))),
}
