"""LinearRegressor, LinearClassifier (ai.onnx.ml): scores of constant coefficients, and what is made of them."""

from __future__ import annotations

from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops.classes import arg_max_of, as_classes
from tools.lowering.ops.columns import as_floating, dense, shifted
from tools.lowering.ops.scores import transformed
from tools.lowering.source import Node

CLASSES_MAX: Final = 65_536


def linear_regressor(node: Node, b: Builder) -> None:
    """x @ coefficients.T + intercepts, one column per target."""
    if node.text("post_transform", "NONE") != "NONE":
        raise node.refuse(f"post_transform {node.text('post_transform', '')} is not supported", "export with NONE")
    b.bind(node, _scores(node, b, node.integer("targets", 1)))


def _scores(node: Node, b: Builder, count: int) -> Tensor:
    """x @ coefficients.T + intercepts for so many columns; x may hold integers."""
    x = b.tensor(node, 0)
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    columns = _columns(node, count, x.shape[0])
    offsets = node.numbers("intercepts")
    if offsets is not None and len(offsets) != count:
        raise node.refuse(f"{len(offsets)} intercepts do not fit {count} columns")
    x = as_floating(x)
    return dense(node, b, x, columns, None if offsets is None else np.array(offsets))


def _columns(node: Node, count: int, width: int) -> Floats:
    coefficients = node.numbers("coefficients") or ()
    if count < 1 or len(coefficients) != count * width:
        raise node.refuse(f"{len(coefficients)} coefficients do not fit {count} columns of {width} features")
    return np.array(coefficients).reshape(count, width)


def linear_classifier(node: Node, b: Builder) -> None:
    """Outputs the class of the largest score, and the scores after post_transform.

    Two classes may share one column of coefficients s: the second wins where s > 0, and the scores are then
    [1 - s, s], or the logistic function of [-s, s] (onnxruntime's reading; the standard says nothing).
    """
    names = node.texts("classlabels_strings") or node.integers("classlabels_ints") or ()
    if not 2 <= len(names) <= CLASSES_MAX:
        raise node.refuse(f"it names {len(names)} classes, 2 to {CLASSES_MAX} are supported")
    kind = node.text("post_transform", "NONE")
    width = len(b.tensor(node, 0).shape) and b.tensor(node, 0).shape[0]
    alone = len(names) == 2 and len(node.numbers("coefficients") or ()) == width
    if alone and kind not in ("NONE", "LOGISTIC"):
        raise node.refuse(f"post_transform {kind} is not supported for one column")
    scores = _scores(node, b, 1 if alone else len(names))
    if b.is_read(node, 0):
        compared = _beside_zero(b, scores) if alone else scores
        b.bind(node, as_classes(b, arg_max_of(b, compared, 0, keep=False), names), 0)
    if b.is_read(node, 1):
        columns = _two_columns(node, b, scores, 0.0 if kind == "LOGISTIC" else 1.0) if alone else scores
        b.bind(node, transformed(node, b, columns, kind), 1)


def _beside_zero(b: Builder, score: Tensor) -> Tensor:
    return b.derive(score, ir.Pad(x=score.index, before=(1,), after=(0,), value=0))


def _two_columns(node: Node, b: Builder, score: Tensor, total: float) -> Tensor:
    """[total - s, s]."""
    other = shifted(node, b, score, np.array([total]), sign=-1)
    pair = ir.Concat(tensors=(other.index, score.index), axis=0)
    return b.derive(score, pair, error=max(other.error, score.error))
