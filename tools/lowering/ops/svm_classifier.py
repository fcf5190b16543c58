"""SVMClassifier (ai.onnx.ml): the class and the scores, as onnxruntime reads them.

Each pair of classes has a score s: a sum of kernels. The first wins a vote where s > 0, else the second; the class is
the first of those with the most votes, as scikit-learn's. Without support vectors there is a linear score per class.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import inf
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Classes, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops import curves
from tools.lowering.ops.classes import arg_max_of, as_classes
from tools.lowering.ops.columns import dense, negated, scaled, shifted
from tools.lowering.ops.coupling import CLASSES_MAX, coupled
from tools.lowering.ops.layout import joined
from tools.lowering.ops.scores import transformed
from tools.lowering.ops.svm import KERNEL_FRAC_BITS, listed, row, summed, support_vectors
from tools.lowering.ops.tables import tabulated
from tools.lowering.source import Node

PROBABILITY_MIN: Final = 1e-7
PROBABILITY_ERROR: Final = 0.005
"""onnxruntime finds the probabilities of two classes by iterations too, and stops as near as that."""


def svm_classifier(node: Node, b: Builder) -> None:
    """Outputs the class, and the scores after post_transform: of pairs, or probabilities of classes where prob_a and
    prob_b are given; two classes without have [-s, s]."""
    names = node.texts("classlabels_strings") or node.integers("classlabels_ints") or ()
    counts = node.integers("vectors_per_class") or ()
    if len(names) < 2:
        raise node.refuse(f"it names {len(names)} classes, two are the least")
    if sum(counts) == 0:
        _linear(node, b, names)
        return
    if len(counts) != len(names) or min(counts) < 0:
        raise node.refuse(f"{len(names)} classes with {len(counts)} numbers of support vectors")
    x = row(node, b)
    pairs = _pairs(node, len(names), counts)
    vectors = support_vectors(node, x, sum(counts))
    scores = summed(node, b, x, vectors, pairs, listed(node, "rho", len(pairs)))
    if b.is_read(node, 0):
        places = arg_max_of(b, _votes(b, scores, len(names)), 0, keep=False)
        places = replace(places, error=inf if scores.error else 0.0)
        b.bind(node, as_classes(b, places, names), 0)
    if b.is_read(node, 1):
        b.bind(node, _shown(node, b, scores, len(names)), 1)


def _linear(node: Node, b: Builder, names: Classes) -> None:
    """A column of coefficients per class, and one rho for all. Of two classes without prob_a the second wins too where
    any score is above 0; or, if no coefficient is negative, from 1/2 on."""
    x = row(node, b)
    columns = listed(node, "coefficients", len(names) * x.shape[0]).reshape(len(names), -1)
    rho = np.full(len(names), listed(node, "rho")[0])
    scores = dense(node, b, x, columns, rho, KERNEL_FRAC_BITS)
    if b.is_read(node, 0):
        places = arg_max_of(b, scores, 0, keep=False)
        if len(names) == 2 and node.numbers("prob_a") is None:
            places = _second_if_any(node, b, scores, positive=columns.min() >= 0)
        b.bind(node, as_classes(b, places, names), 0)
    if b.is_read(node, 1):
        b.bind(node, transformed(node, b, scores, node.text("post_transform", "NONE")), 1)


def _second_if_any(node: Node, b: Builder, scores: Tensor, *, positive: bool) -> Tensor:
    """1 where the second score is larger or one of them is far enough up; else 0."""
    least = int(np.ldexp(0.5, scores.frac_bits)) - 1 if positive else 0
    largest = b.derive(scores, ir.ReduceMax(x=scores.index, axes=(0,)))
    over = b.derive(largest, ir.Affine(x=largest.index, weights=None, bias=b.store(np.full(1, -least)), shifts=None))
    up = b.derive(over, ir.Clip(x=over.index, low=0, high=1))
    place = b.derive(scores, ir.ArgMax(x=scores.index, axis=0))
    total = b.derive(up, ir.Add(a=up.index, b=place.index))
    either = b.derive(total, ir.Clip(x=total.index, low=0, high=1))
    flat = b.derive(either, ir.Reshape(x=either.index, shape=()))
    return replace(flat, frac_bits=0, dtype=np.dtype(np.int64), error=inf if scores.error else 0.0, limit=None)


def _pairs(node: Node, classes: int, counts: tuple[int, ...]) -> Floats:
    """[pairs of classes, support vectors]: each pair sums over the vectors of both, with coefficients of its own."""
    total = sum(counts)
    coefficients = listed(node, "coefficients", (classes - 1) * total).reshape(classes - 1, total)
    ends = np.cumsum(counts)
    rows = []
    for i, j in combinations(range(classes), 2):
        found = np.zeros(total)
        for own, other in ((i, j - 1), (j, i)):
            part = slice(ends[own] - counts[own], ends[own])
            found[part] = coefficients[other, part]
        rows.append(found)
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
    if node.numbers("prob_a") is not None:
        return transformed(node, b, _probabilities(node, b, scores, classes), kind)
    if classes > 2:
        return transformed(node, b, scores, kind)
    if kind == "PROBIT":
        raise node.refuse(
            "post_transform PROBIT of one score, of which onnxruntime makes no second", "export with NONE"
        )
    if kind in ("SOFTMAX", "SOFTMAX_ZERO"):
        other = shifted(node, b, scores, np.ones(1), sign=-1)
        return joined(b, [other, b.regrid(scores, other.frac_bits)], 0)
    return transformed(node, b, joined(b, [negated(b, scores), scores], 0), kind)


def _probabilities(node: Node, b: Builder, scores: Tensor, classes: int) -> Tensor:
    """Of each class, from those of the pairs."""
    if classes > CLASSES_MAX:
        reason = f"probabilities of {classes} classes from those of their pairs; {CLASSES_MAX} classes are supported"
        raise node.refuse(reason, "use CalibratedClassifierCV(SVC()), or take the class alone")
    a, offset = (listed(node, name, scores.shape[0]) for name in ("prob_a", "prob_b"))
    exponents = scaled(node, b, scores, -a, -offset, KERNEL_FRAC_BITS)
    first = tabulated(node, b, exponents, curves.SIGMOID, KERNEL_FRAC_BITS)
    if classes > 2:
        return coupled(b, first, classes, KERNEL_FRAC_BITS)
    first = b.derive(first, _between(first, PROBABILITY_MIN), error=first.error + PROBABILITY_ERROR)
    second = scaled(node, b, first, np.full(1, -1.0), np.full(1, 1.0), first.frac_bits)
    return joined(b, [first, b.regrid(second, first.frac_bits)], 0)


def _between(x: Tensor, margin: float) -> ir.Node:
    one = 1 << x.frac_bits
    least = int(np.ceil(np.ldexp(margin, x.frac_bits)))
    return ir.Clip(x=x.index, low=least, high=one - least)
