"""post_transform of ai.onnx.ml: what classifiers and ensembles make of their columns of scores, two or more. What one
column alone becomes is each operator's own affair."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops import curves
from tools.lowering.ops.activations import SATURATION, sigmoid_of, softmax_of
from tools.lowering.ops.columns import scaled
from tools.lowering.ops.piecewise import absolute, within
from tools.lowering.ops.tables import tabulated
from tools.lowering.source import Node

ZERO: Final = 1e-7
"""What SOFTMAX_ZERO takes for 0, in onnxruntime."""
PROBIT_END: Final = 1 - 2.0**-20
PROBIT_FRAC_BITS: Final = 22


def transformed(node: Node, b: Builder, scores: Tensor, kind: str) -> Tensor:
    """scores [columns], under NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO or PROBIT, as onnxruntime reads these."""
    if kind == "NONE":
        return scores
    if kind == "LOGISTIC":
        return sigmoid_of(b, scores)
    if kind == "SOFTMAX":
        return softmax_of(b, scores, 0)
    if kind == "SOFTMAX_ZERO":
        return softmax_of(b, _without_zeros(b, scores), 0)
    if kind == "PROBIT":
        return _probit(node, b, scores)
    raise node.refuse(f"post_transform {kind} is unknown")


def _without_zeros(b: Builder, x: Tensor) -> Tensor:
    """x, but what is 0 far below all else: its part of the softmax is 0. Of nothing but zeros each has the same part,
    where onnxruntime divides 0 by 0."""
    x = b.within_limit(x)
    most = int(np.ldexp(ZERO, x.frac_bits))
    size = absolute(b, x)
    over = b.derive(size, ir.Affine(x=size.index, weights=None, bias=b.store(np.full(1, -most)), shifts=None))
    other = b.derive(over, ir.Clip(x=over.index, low=0, high=1))
    below = 2 * x.fact.magnitude + int(np.ldexp(SATURATION, x.frac_bits))
    weights, bias = b.store(np.full(1, below)), b.store(np.full(1, -below))
    lowered = b.derive(other, ir.Affine(x=other.index, weights=weights, bias=bias, shifts=None))
    found = b.derive(x, ir.Add(a=x.index, b=lowered.index), limit=None)
    return replace(found, error=inf if x.error else 0.0)


def _probit(node: Node, b: Builder, x: Tensor) -> Tensor:
    """The normal distribution's quantiles of probabilities; there are none of 0, 1 and what lies beyond."""
    middle = within(b, scaled(node, b, x, np.full(1, 2.0), np.full(1, -1.0), PROBIT_FRAC_BITS), -1.0, 1.0)
    return tabulated(node, b, within(b, middle, -PROBIT_END, PROBIT_END), curves.PROBIT, PROBIT_FRAC_BITS)
