"""Products with constant weights for the engine: in float64, or byte by byte where limbs.py says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from runtime.inference import graph as ops
from runtime.inference.constants import unpack
from runtime.inference.limbs import BYTE_BITS, LIMB_BITS, Limbs, limbs_of, limbs_of_weights
from runtime.inference.writer import Writer, powers

Order = Callable[[npt.NDArray[np.integer]], npt.NDArray[np.integer]]


def limbs_for(node: ops.Gemm | ops.Conv, to: Writer) -> Limbs | None:
    """As the rule decided."""
    x, made = to.facts[node.x], to.facts[to.present]
    return limbs_of(x.low, x.high, to.weights_of(node.weights), x.elements, made.elements)


def parts(x: str, limbs: Limbs | None, to: Writer) -> list[str]:
    """x itself, or the bytes of x - offset, the lowest first; of one x they are made once."""
    return [x] if limbs is None else to.once(("bytes", x, limbs.offset, limbs.x), lambda: _bytes(x, limbs, to))


def _bytes(x: str, limbs: Limbs, to: Writer) -> list[str]:
    """A cast to bytes takes the integer part of a float in range, and the low bits of an integer."""
    if limbs.offset:
        x = to.add("Add", x, to.scalar(float(-limbs.offset)))
    if limbs.x == 1:
        return [to.add("Cast", x, to=TensorProto.UINT8)]
    high = to.add("Mul", x, to.scalar(2.0**-BYTE_BITS))
    whole = to.add("Cast", x, to=TensorProto.INT32)
    return [to.add("Cast", part, to=TensorProto.UINT8) for part in (whole, high)]


def product(rows: list[str], node: ops.Gemm | ops.Conv, limbs: Limbs | None, to: Writer, order: Order) -> str:
    """Parts of x [rows, K] by the node's weights [O, K]: + bias, * 2**-shifts, rounded if there are any. `order` puts
    the weights' columns [O, ...] into the order of K."""
    key = (type(node), node.weights)

    def weights() -> npt.NDArray[np.integer]:
        return order(unpack(to.graph.constants[node.weights]))

    if limbs is None:
        y = _in_float64(
            rows[0], node, to, to.constant(("product", *key, node.shifts), lambda: _scaled(weights(), node, to))
        )
    else:
        kept = to.once(("limbs", *key), lambda: _limbs(weights(), limbs, key, to))
        y = _by_bytes(rows, node, limbs, kept, to)
    return y if node.shifts is None else to.add("Round", y)


def _in_float64(x: str, node: ops.Gemm | ops.Conv, to: Writer, weights: str) -> str:
    operands = [x, weights]
    if node.bias is not None:
        bias = node.bias
        operands.append(to.constant(("bias", bias, node.shifts), lambda: to.scaled(bias, node.shifts)))
    return to.add("Gemm", *operands, transB=1)


def _scaled(weights: npt.NDArray[np.integer], node: ops.Gemm | ops.Conv, to: Writer) -> npt.NDArray[np.float64]:
    scaled = weights.astype(np.float64)
    scaled *= _scale(node, to)[:, None]
    return scaled


def _scale(node: ops.Gemm | ops.Conv, to: Writer) -> npt.NDArray[np.float64]:
    """2**-shifts, of each output."""
    outputs = to.graph.constants[node.weights].shape[0]
    shifts = np.zeros(outputs, np.int64) if node.shifts is None else unpack(to.graph.constants[node.shifts])
    return powers(shifts)


def _limbs(weights: npt.NDArray[np.integer], limbs: Limbs, key: tuple[object, ...], to: Writer) -> list[str]:
    """The names of the weights' limbs, each [K, O], the lowest first."""
    found = limbs_of_weights(weights.astype(np.int16), limbs)
    return [to.constant(("limb", *key, place), partial(np.transpose, limb)) for place, limb in enumerate(found)]


def _by_bytes(rows: list[str], node: ops.Gemm | ops.Conv, limbs: Limbs, weights: list[str], to: Writer) -> str:
    total = ""
    for part in reversed(rows):
        term = to.add("Cast", _sums(part, weights, to), to=TensorProto.DOUBLE)
        total = to.add("Add", to.add("Mul", total, to.scalar(float(1 << BYTE_BITS))), term) if total else term
    if node.shifts is not None:
        total = to.add("Mul", total, to.constant(("scale", node.weights, node.shifts), partial(_scale, node, to)))
    if limbs.offset or node.bias is not None:
        key = ("added", node.weights, node.bias, node.shifts, limbs.offset)
        total = to.add("Add", total, to.constant(key, partial(_added, node, limbs, to)))
    return total


def _sums(part: str, weights: list[str], to: Writer) -> str:
    """One byte of x by the weights, in 32 bits."""
    sums = ""
    for limb in reversed(weights):
        found = to.add("MatMulInteger", part, limb)
        sums = to.add("Add", to.add("Mul", sums, to.small(1 << LIMB_BITS)), found) if sums else found
    return sums


def _added(node: ops.Gemm | ops.Conv, limbs: Limbs, to: Writer) -> npt.NDArray[np.float64]:
    """bias + offset * the sum of each column's weights, scaled."""
    weights = unpack(to.graph.constants[node.weights])
    total = limbs.offset * weights.reshape(len(weights), -1).sum(axis=1, dtype=np.int64)
    if node.bias is not None:
        total += unpack(to.graph.constants[node.bias])
    scaled: npt.NDArray[np.float64] = total.astype(np.float64) * _scale(node, to)
    return scaled
