"""SVMClassifier and SVMRegressor (ai.onnx.ml): kernels of the row with constant support vectors, and their sums.

exp(-gamma |x - v|**2) is taken of gamma * (2 x.v - |x|**2 - |v|**2): one matrix product and one sum of squares for all
support vectors. Each pair of classes has a score s; the first wins a vote where s > 0, else the second; the class is
the first of those with the most votes (onnxruntime's reading, as scikit-learn's).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops import curves
from tools.lowering.ops.classes import arg_max_of, as_classes
from tools.lowering.ops.columns import added, as_floating, dense, scaled
from tools.lowering.ops.layout import joined
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
PROBABILITY_MIN: Final = 1e-7
PROBABILITY_ERROR: Final = 0.005
"""onnxruntime finds the probabilities of two classes by iterations too, and stops as near as that."""


def _list(node: Node, name: str, length: int | None = None) -> Floats:
    found = node.numbers(name) or ()
    if length is not None and len(found) != length:
        raise node.refuse(f"{len(found)} numbers of {name}, {length} are needed")
    return np.array(found, np.float64)


def _row(node: Node, b: Builder) -> Tensor:
    x = as_floating(b.tensor(node, 0))
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    return x


def _vectors(node: Node, x: Tensor, count: int) -> Floats:
    return _list(node, "support_vectors", count * x.shape[0]).reshape(count, x.shape[0])


def _kernels(node: Node, b: Builder, x: Tensor, vectors: Floats) -> Tensor:
    """[support vectors]: the kernel of x with each."""
    kind = node.text("kernel_type", "LINEAR")
    params = node.numbers("kernel_params") or (0.0, 0.0, 3.0)
    if len(params) != 3 or kind not in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        raise node.refuse(f"kernel {kind} with {len(params)} parameters is unknown")
    gamma, offset, degree = params
    if kind == "LINEAR":
        return dense(node, b, x, vectors, None, KERNEL_FRAC_BITS)
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
    x = _row(node, b)
    count = node.integer("n_supports", 0)
    rho = _list(node, "rho", 1)
    if count < 1:
        score = dense(node, b, x, _list(node, "coefficients", x.shape[0]).reshape(1, -1), rho)
    else:
        weights = _list(node, "coefficients", count).reshape(1, -1)
        score = dense(node, b, _kernels(node, b, x, _vectors(node, x, count)), weights, rho)
    b.bind(node, _side(b, score) if node.flag("one_class") else score)


def _side(b: Builder, score: Tensor) -> Tensor:
    """1 where the score is above 0, else -1."""
    above = b.derive(score, ir.Clip(x=score.index, low=0, high=1), frac_bits=0, limit=None)
    two, minus = b.store(np.full(1, 2)), b.store(np.full(1, -1))
    emitted = ir.Affine(x=above.index, weights=two, bias=minus, shifts=None)
    return b.derive(above, emitted, error=2.0 if score.error else 0.0)


def svm_classifier(node: Node, b: Builder) -> None:
    """Outputs the class with the most votes, and the scores of pairs after post_transform NONE. Two classes have the
    scores [-s, s], or probabilities where prob_a and prob_b are given."""
    names = node.texts("classlabels_strings") or node.integers("classlabels_ints") or ()
    counts = node.integers("vectors_per_class") or ()
    if len(names) < 2 or len(counts) != len(names) or min(counts) < 0 or sum(counts) < 1:
        raise node.refuse(f"{len(names)} classes with {len(counts)} numbers of support vectors; two are the least")
    x = _row(node, b)
    kernels = _kernels(node, b, x, _vectors(node, x, sum(counts)))
    pairs = _pairs(node, len(names), counts)
    if len(names) == 2 and pairs.min() >= 0:
        raise node.refuse("its coefficients are all positive, of which onnxruntime makes another decision")
    scores = dense(node, b, kernels, pairs, _list(node, "rho", len(pairs)), KERNEL_FRAC_BITS)
    if b.is_read(node, 0):
        places = arg_max_of(b, _votes(b, scores, len(names)), 0, keep=False)
        places = replace(places, error=float("inf") if scores.error else 0.0)
        b.bind(node, as_classes(b, places, names), 0)
    if b.is_read(node, 1):
        b.bind(node, _shown(node, b, scores, len(names)), 1)


def _pairs(node: Node, classes: int, counts: tuple[int, ...]) -> Floats:
    """[pairs of classes, support vectors]: each pair sums over the vectors of both, with coefficients of its own."""
    total = sum(counts)
    coefficients = _list(node, "coefficients", (classes - 1) * total).reshape(classes - 1, total)
    ends = np.cumsum(counts)
    rows = []
    for i, j in combinations(range(classes), 2):
        row = np.zeros(total)
        for own, other in ((i, j - 1), (j, i)):
            part = slice(ends[own] - counts[own], ends[own])
            row[part] = coefficients[other, part]
        rows.append(row)
    return np.array(rows)


def _votes(b: Builder, scores: Tensor, classes: int) -> Tensor:
    """[classes]: how many pairs each wins."""
    above = b.derive(scores, ir.Clip(x=scores.index, low=0, high=1), frac_bits=0, error=0.0, limit=None)
    weights, offsets = np.zeros((classes, scores.shape[0]), np.int64), np.zeros(classes, np.int64)
    for place, (i, j) in enumerate(combinations(range(classes), 2)):
        weights[i, place], weights[j, place] = 1, -1
        offsets[j] += 1
    emitted = ir.Gemm(x=above.index, weights=b.store(weights), bias=b.store(offsets), shifts=None)
    return b.derive(above, emitted)


def _shown(node: Node, b: Builder, scores: Tensor, classes: int) -> Tensor:
    kind = node.text("post_transform", "NONE")
    likely = node.numbers("prob_a") is not None
    if kind != "NONE":
        raise node.refuse(f"post_transform {kind} is not supported", "export with NONE")
    if likely and classes > 2:
        reason = "probabilities of more than two classes are found by iterations that have no exact form"
        raise node.refuse(reason, "use CalibratedClassifierCV(SVC()), or take the class alone")
    if likely:
        a, offset = _list(node, "prob_a", 1), _list(node, "prob_b", 1)
        exponents = scaled(node, b, scores, -a, -offset, KERNEL_FRAC_BITS)
        first = tabulated(node, b, exponents, curves.SIGMOID, KERNEL_FRAC_BITS)
        first = b.derive(first, _between(first, PROBABILITY_MIN), error=first.error + PROBABILITY_ERROR)
        second = scaled(node, b, first, np.full(1, -1.0), np.full(1, 1.0), first.frac_bits)
        return joined(b, [first, b.regrid(second, first.frac_bits)], 0)
    if classes > 2:
        return scores
    other = b.derive(scores, ir.Affine(x=scores.index, weights=b.store(np.full(1, -1)), bias=None, shifts=None))
    return joined(b, [other, scores], 0)


def _between(x: Tensor, margin: float) -> ir.Node:
    one = 1 << x.frac_bits
    least = int(np.ceil(np.ldexp(margin, x.frac_bits)))
    return ir.Clip(x=x.index, low=least, high=one - least)
