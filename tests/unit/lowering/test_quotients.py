"""Quotients whose divisor is kept from 0 by an epsilon, as normalisations write it: the epsilon costs no bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference.engine import Engine
from tools.lowering import lower

Call = Callable[..., Any]


def shares(model_of: Call, epsilon: float) -> bytes:
    """x over the sum of its magnitudes, which an epsilon keeps from 0."""
    nodes = [
        helper.make_node("ReduceL1", ["x"], ["sum"], axes=[1], keepdims=1),
        helper.make_node("Clip", ["sum", "epsilon"], ["least"]),
        helper.make_node("Div", ["x", "least"], ["y"]),
    ]
    constants = {"epsilon": np.array(epsilon, np.float32)}
    return bytes(model_of(nodes, {"x": ["N", 5]}, ["y"], constants).SerializeToString())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), power=st.integers(-6, 12), epsilon=st.sampled_from([1e-12, 1e-9, 1e-5]))
def test_an_epsilon_that_never_acts_costs_no_bits(model_of: Call, seed: int, power: int, epsilon: float) -> None:
    rows = {"x": (np.random.default_rng(seed).standard_normal((40, 5)) * 2.0**power).astype(np.float32)}
    lowered = lower(shares(model_of, epsilon), calibration=rows)
    (output,) = lowered.report.outputs
    assert output.frac_bits >= 16
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    expected = rows["x"] / np.abs(rows["x"]).sum(axis=1, keepdims=True)
    assert np.abs(found - expected).max() < 2.0**-10


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5])
def test_a_row_of_zeros_stays_zeros_and_small_rows_stay_within_the_limit(model_of: Call, epsilon: float) -> None:
    usual = np.random.default_rng(4).standard_normal((40, 5)).astype(np.float32)
    lowered = lower(shares(model_of, epsilon), calibration={"x": usual})
    (output,) = lowered.report.outputs
    rows = np.array([[0, 0, 0, 0, 0], [2**-16, 0, 0, 0, 0], [0, -(2**-14), 0, 0, 2**-14]], np.float32)
    found = np.asarray(lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"])
    assert not found[0].any()
    assert output.low <= found.min() <= found.max() <= output.high
    assert np.abs(found[2] - [0, -0.5, 0, 0, 0.5]).max() < 0.01
