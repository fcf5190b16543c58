"""Divisors that calibration saw on one side of 0 stay there: an input's range ends before 0, others are clipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference import Engine
from tools.lowering import DataRefused, OpRefused, lower

Call = Callable[..., Any]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), negative=st.booleans(), computed=st.booleans(), op=st.sampled_from(["Div", "Recip"])
)
def test_a_divisor_of_one_sign_needs_no_proof_from_the_file(
    seed: int, negative: bool, computed: bool, op: str, model_of: Call, run_stock: Call
) -> None:
    rng = np.random.default_rng(seed)
    divisor = rng.uniform(0.5, 4, (20, 3)).astype(np.float32) * (-1 if negative else 1)
    rows = {"x": rng.uniform(-3, 3, (20, 3)).astype(np.float32), "z": divisor}
    weights = np.diag(rng.uniform(0.5, 2, 3)).astype(np.float32)
    nodes = (
        [helper.make_node("MatMul", ["z", "w"], ["d"])] if computed else [helper.make_node("Identity", ["z"], ["d"])]
    )
    if op == "Div":
        nodes.append(helper.make_node("Div", ["x", "d"], ["y"]))
    else:
        nodes += [helper.make_node("Reciprocal", ["d"], ["r"]), helper.make_node("Mul", ["x", "r"], ["y"])]
    model = model_of(nodes, {"x": ["N", 3], "z": ["N", 3]}, ["y"], {"w": weights}).SerializeToString()
    lowered = lower(model, calibration=rows)
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    np.testing.assert_allclose(found, run_stock(model, rows)["y"], rtol=1e-3, atol=2.0**-12)


def test_powers_may_differ_from_column_to_column(model_of: Call, close: Call) -> None:
    powers = np.linspace(-1.4, 2.3, 11).astype(np.float32)
    rows = {"x": np.random.default_rng(0).uniform(0.4, 3, (30, 11)).astype(np.float32)}
    close(model_of([helper.make_node("Pow", ["x", "e"], ["y"])], {"x": ["N", 11]}, ["y"], {"e": powers}), rows)


def test_the_degrees_of_a_graph_keep_their_bits(model_of: Call, run_stock: Call) -> None:
    """adjacency.sum(-1).pow(-0.5): by its interval a degree may be as good as 0, but calibration saw 1 and more."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "last"], ["degree"], keepdims=0),
        helper.make_node("Pow", ["degree", "power"], ["y"]),
    ]
    constants = {"last": np.array([-1]), "power": np.array(-0.5, np.float32)}
    model = model_of(nodes, {"x": ["N", 6, 6]}, ["y"], constants).SerializeToString()
    links = np.random.default_rng(1).random((40, 6, 6)) < 0.4
    rows = {"x": np.maximum(links, np.eye(6)).astype(np.float32)}
    lowered = lower(model, calibration=rows)
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    np.testing.assert_allclose(found, run_stock(model, rows)["y"], rtol=1e-4)


def test_invalid_rows_on_the_other_side_of_0(model_of: Call) -> None:
    model = model_of([helper.make_node("Reciprocal", ["x"], ["y"])], {"x": ["N", 3]}, ["y"])
    lowered = lower(model.SerializeToString(), calibration={"x": np.full((4, 3), 2.0, np.float32)})
    with pytest.raises(DataRefused, match="values lie in"):
        lowered.quantize({"x": np.full((1, 3), -2.0, np.float32)})


def test_invalid_divisors_of_both_signs(model_of: Call) -> None:
    model = model_of([helper.make_node("Reciprocal", ["x"], ["y"])], {"x": ["N", 3]}, ["y"])
    with pytest.raises(OpRefused, match="divisor may be anything"):
        lower(model.SerializeToString(), calibration={"x": np.array([[1, 2, -1]], np.float32)})
