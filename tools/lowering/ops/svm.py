"""SVMRegressor (ai.onnx.ml), and the kernels of a row with constant support vectors.

exp(-gamma |x - v|**2) is taken of gamma * (2 x.v - |x|**2 - |v|**2): one matrix product and one sum of squares for all
support vectors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats, bits_to_drop
from tools.lowering.ops import curves
from tools.lowering.ops.columns import added, as_floating, dense, scaled
from tools.lowering.ops.piecewise import within
from tools.lowering.ops.recurrent import times
from tools.lowering.ops.reduce import squares
from tools.lowering.ops.tables import tabulated
from tools.lowering.source import Node

KERNEL_FRAC_BITS: Final = 22
CURVE_FRAC_BITS: Final = 20
DISTANCE_FRAC_BITS: Final = 24
EXPONENT_MAX: Final = 32.0
"""exp(-32) is 1e-14: what lies farther away counts as 0."""
DEGREE_MAX: Final = 8


def listed(node: Node, name: str, length: int | None = None) -> Floats:
    """An attribute's numbers: as many, or one at least."""
    found = node.numbers(name) or ()
    if len(found) != length if length is not None else not found:
        raise node.refuse(f"{len(found)} numbers of {name}, {length or 'some'} are needed")
    return np.array(found, np.float64)


def row(node: Node, b: Builder) -> Tensor:
    """The operand: [features]."""
    x = as_floating(b.tensor(node, 0))
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    return x


def support_vectors(node: Node, x: Tensor, count: int) -> Floats:
    """[count, features]."""
    return listed(node, "support_vectors", count * x.shape[0]).reshape(count, x.shape[0])


def _kernels(node: Node, b: Builder, x: Tensor, vectors: Floats) -> Tensor:
    """[support vectors]: the kernel of x with each."""
    kind = node.text("kernel_type", "LINEAR")
    params = node.numbers("kernel_params") or (0.0, 0.0, 3.0)
    if len(params) != 3 or kind not in ("POLY", "RBF", "SIGMOID"):
        raise node.refuse(f"kernel {kind} with {len(params)} parameters is unknown")
    gamma, offset, degree = params
    if kind == "RBF":
        return _radial(node, b, x, vectors, gamma)
    inner = dense(node, b, x, gamma * vectors, np.full(len(vectors), offset), KERNEL_FRAC_BITS)
    if kind == "SIGMOID":
        inner = within(b, inner, -EXPONENT_MAX, EXPONENT_MAX)
        return tabulated(node, b, inner, curves.TANH, CURVE_FRAC_BITS)
    if not 1 <= degree <= DEGREE_MAX or degree != int(degree):
        raise node.refuse(f"a polynomial of degree {degree:g}; whole degrees of 1 to {DEGREE_MAX} are supported")
    inner = b.within_limit(replace(inner, limit=_reach(gamma * vectors @ vectors.T + offset)))
    result = inner
    for _ in range(int(degree) - 1):
        result = times(node, b, result, inner)
    return result


def summed(node: Node, b: Builder, x: Tensor, vectors: Floats, weights: Floats, rho: Floats) -> Tensor:
    """[columns]: the kernels of x with each vector, weighted, plus rho. weights [columns, vectors]."""
    if node.text("kernel_type", "LINEAR") == "LINEAR":  # such sums are linear in x
        columns = np.array([(each[:, np.newaxis] * vectors).sum(axis=0) for each in weights])
        return dense(node, b, x, columns, rho, KERNEL_FRAC_BITS)
    return _weighted(node, b, _kernels(node, b, x, vectors), weights, rho)


def _weighted(node: Node, b: Builder, found: Tensor, weights: Floats, rho: Floats) -> Tensor:
    """found @ weights.T + rho, of kernels that may be as large as a polynomial's: high bits and low bits apart, so that
    neither they nor the weights lose any."""
    drop = bits_to_drop(weights, found.fact.magnitude, found.frac_bits)
    if not drop:
        return dense(node, b, found, weights, rho, KERNEL_FRAC_BITS)
    high = b.regrid(found, found.frac_bits - drop)
    back = b.derive(high, ir.Rescale(x=high.index, shift=-drop))
    low = b.derive(found, ir.Sub(a=found.index, b=back.index), limit=None)
    low = b.derive(low, ir.Clip(x=low.index, low=-(1 << drop - 1), high=1 << drop - 1))
    upper = dense(node, b, replace(high, error=0.0), weights, rho, KERNEL_FRAC_BITS)
    return added(node, b, upper, _weighted(node, b, low, weights, np.zeros(len(weights))))


def _reach(products: Floats) -> float:
    """A power of two at least twice as large as what the support vectors make of each other: rows like those the model
    was trained on make no more."""
    return _power(2 * float(np.abs(products).max()))


def _power(size: float) -> float:
    """The power of two above."""
    return float(np.ldexp(1.0, int(np.frexp(size)[1])))


def _radial(node: Node, b: Builder, x: Tensor, vectors: Floats, gamma: float) -> Tensor:
    if gamma < 0:
        raise node.refuse(f"its gamma is {gamma:g}, it must not be negative")
    # A feature beyond is so far from every support vector that the kernel is 0 anyway, wherever it is cut.
    far = _power(float(np.abs(vectors).max()) + (EXPONENT_MAX / max(gamma, 2.0**-20)) ** 0.5)
    x = replace(within(b, x, -far, far), limit=None)
    lengths = -gamma * (vectors**2).sum(axis=1)
    cross = dense(node, b, x, 2 * gamma * vectors, lengths, DISTANCE_FRAC_BITS)
    own = scaled(node, b, squares(node, b, x, (0,)), np.full(1, -gamma), None, DISTANCE_FRAC_BITS)
    exponents = within(b, added(node, b, cross, own), -EXPONENT_MAX, 0.0)
    return tabulated(node, b, exponents, curves.EXP, CURVE_FRAC_BITS)


def svm_regressor(node: Node, b: Builder) -> None:
    """The sum of kernels, weighted, plus rho; of one class, whether that is above 0: 1 or -1."""
    if node.text("post_transform", "NONE") != "NONE":
        raise node.refuse(f"post_transform {node.text('post_transform', '')} is not supported", "export with NONE")
    x = row(node, b)
    count = node.integer("n_supports", 0)
    rho = listed(node, "rho", 1)
    if count < 1:
        score = dense(node, b, x, listed(node, "coefficients", x.shape[0]).reshape(1, -1), rho, KERNEL_FRAC_BITS)
    else:
        weights = listed(node, "coefficients", count).reshape(1, -1)
        score = summed(node, b, x, support_vectors(node, x, count), weights, rho)
    b.bind(node, _side(b, score) if node.flag("one_class") else score)


def _side(b: Builder, score: Tensor) -> Tensor:
    """1 where the score is above 0, else -1."""
    above = b.derive(score, ir.Clip(x=score.index, low=0, high=1), frac_bits=0, limit=None)
    two, minus = b.store(np.full(1, 2)), b.store(np.full(1, -1))
    emitted = ir.Affine(x=above.index, weights=two, bias=minus, shifts=None)
    return b.derive(above, emitted, error=2.0 if score.error else 0.0)
