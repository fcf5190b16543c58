"""ScatterElements at computed places: top-k gates of a mixture of experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tools.lowering import OpRefused, lower

Call = Callable[..., Any]
node = helper.make_node


def rows_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((6, *shape)).astype(np.float32)


@pytest.mark.parametrize("hidden", [0.0, -np.inf])
def test_the_largest_scores_are_put_back_among_what_hides_the_others(hidden: float, model_of: Call) -> None:
    """torch.full_like(scores, -inf).scatter(-1, i, v), then a softmax."""
    nodes = [
        node("TopK", ["x", "two"], ["v", "i"], axis=-1),
        node("ScatterElements", ["full", "i", "v"], ["s"], axis=-1),
        node("Softmax", ["s"], ["y"], axis=-1),
    ]
    constants = {"two": np.array([2]), "full": np.full((1, 5), hidden, np.float32)}
    fixed = model_of(nodes, {"x": [1, 5]}, ["y"], constants).SerializeToString()
    lowered = lower(fixed, calibration={"x": rows_of(5)})
    assert lowered.report.outputs[0].error_max < 1e-4
    assert lowered.report.agreement == 1


def test_invalid_updates_that_are_narrower_than_the_rows(model_of: Call) -> None:
    nodes = [
        node("ArgMax", ["x"], ["best"], axis=2),
        node("Slice", ["best", "zero", "one", "one"], ["i"]),
        node("Slice", ["x", "zero", "one", "one"], ["u"]),
        node("Slice", ["u", "zero", "one", "two"], ["v"]),
        node("ScatterElements", ["x", "i", "v"], ["y"], axis=2),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2])}
    model = model_of(nodes, {"x": ["N", 2, 3]}, ["y"], constants).SerializeToString()
    with pytest.raises(OpRefused, match=r"ScatterElements .*do not fit rows of shape \[2, 3\]"):
        lower(model, calibration={"x": rows_of(2, 3)})
