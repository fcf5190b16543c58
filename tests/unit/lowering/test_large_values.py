"""Activations far beyond 2**53: inner tensors lie on grids coarser than that of whole numbers; nothing else changes.

Layers multiply by a power of two that later ones divide by again. Outputs are as close to the float model's as those of
a model of usual size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference.engine import Engine
from runtime.inference.interpreter import interpret
from tools.lowering import Lowered, LoweringError, lower
from tools.lowering.grids import FRAC_BITS_MIN, bits_to_drop

Call = Callable[..., Any]
RANDOM = np.random.default_rng(23)
ROWS = {"x": RANDOM.standard_normal((16, 2, 6, 6)).astype(np.float32)}
FIRST = RANDOM.standard_normal((4, 2, 3, 3)).astype(np.float32)
SECOND = RANDOM.standard_normal((4, 4, 3, 3)).astype(np.float32) / 6
LAST = RANDOM.standard_normal((4, 3)).astype(np.float32)


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def network(model_of: Call, power: int, ending: str, *, opset: int = 17) -> bytes:
    """Two convolutions with what stands around them, enlarged by 2**power; a dense layer undoes it, or a Softmax."""
    nodes = [
        node("Conv", "x w0", "a", pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b w1 b1", "c", pads=[1, 1, 1, 1]),
        node("Add", "c a", "d"),
        node("Concat", "d c", "e", axis=1),
        node("MaxPool", "e", "f", kernel_shape=[2, 2], strides=[2, 2]),
        node("Sub", "f offset", "g"),
        node("Split", "g", "h"),
        node("GlobalAveragePool", "h", "i"),
        node("Flatten", "i", "j"),
        node("Gemm", "j w2", "z"),
    ]
    nodes[7] = helper.make_node("Split", ["g"], ["h", "unused"], axis=1)
    nodes += [node("Softmax", "z", "y", axis=-1)] if ending == "Softmax" else [node("Mul", "z back", "y")]
    scale = np.float32(2.0**power)
    constants = {
        "w0": FIRST * scale,
        "w1": SECOND,
        "b1": np.array([0.5, -0.25, 1.0, 0.0], np.float32),
        "offset": np.full((1, 1, 1, 1), 0.75, np.float32) * scale,
        "w2": LAST,
        "back": np.array([1 / scale], np.float32),
    }
    named = {name for each in nodes for name in each.input}
    kept = {name: array for name, array in constants.items() if name in named}
    proto = model_of(nodes, {"x": ["N", 2, 6, 6]}, ["y"], kept, opset=opset)
    return bytes(proto.SerializeToString())


def run(lowered: Lowered, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    inputs = lowered.quantize(rows)
    exact = Engine().run(lowered.model, inputs)
    assert all(np.array_equal(array, exact[name]) for name, array in interpret(lowered.model, inputs).items())
    return np.asarray(lowered.dequantize(exact)["y"], np.float64)


@pytest.mark.parametrize("power", [20, 36, 50, 64, 100])
def test_a_model_whose_values_are_enlarged_and_made_small_again_is_as_close_as_others(
    model_of: Call, run_stock: Call, power: int
) -> None:
    model = network(model_of, power, "Mul")
    lowered, expected = lower(model, calibration=ROWS), run_stock(model, ROWS)["y"]
    assert np.abs(run(lowered, ROWS) - expected).max() < 1e-3 * np.abs(expected).max()
    assert min(layer.frac_bits for layer in lowered.report.layers) < (0 if power > 40 else 17)


@pytest.mark.parametrize("power", [0, 4, 20, 40, 64, 100])
@pytest.mark.parametrize("opset", [11, 17])
def test_a_softmax_of_large_values_chooses_what_the_float_model_chooses(
    model_of: Call, run_stock: Call, power: int, opset: int
) -> None:
    """Nearly all of the probability is at the maximum: the differences are in the thousands and more."""
    model = network(model_of, power, "Softmax", opset=opset)
    found = run(lower(model, calibration=ROWS), ROWS)
    assert np.abs(found - run_stock(model, ROWS)["y"]).max() < 1e-3


@settings(max_examples=30, deadline=None)
@given(power=st.integers(1, 110), steps=st.lists(st.integers(-8, 0), min_size=6, max_size=6))
def test_a_softmax_on_a_coarse_grid_is_that_of_the_real_numbers(model_of: Call, power: int, steps: list[int]) -> None:
    """Differences of whole steps of the grid: ties stay ties, and one step of 2 is a factor of exp(2)."""
    nodes = [node("Mul", "x large", "z"), node("Softmax", "z", "y", axis=-1)]
    model = model_of(nodes, {"x": ["N", 6]}, ["y"], {"large": np.array([2.0**power], np.float32)})
    rows = {"x": np.array([steps, steps[::-1]], np.float32)}
    found = run(lower(model.SerializeToString(), calibration=rows), rows)
    shares = np.exp((rows["x"] - rows["x"].max(axis=1, keepdims=True)).astype(np.float64) * 2.0**power)
    assert np.abs(found - shares / shares.sum(axis=1, keepdims=True)).max() < 1e-6


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Mul", "x large", "y")], "more than integers hold exactly"),
        ([node("Mul", "x large", "z"), node("Tanh", "z", "y")], "too large for Tanh"),
    ],
    ids=["an output", "an operator that reads fine grids alone"],
)
def test_invalid_values_that_are_too_large_are_refused_by_name(
    model_of: Call, nodes: list[onnx.NodeProto], reason: str
) -> None:
    model = model_of(nodes, {"x": ["N", 6]}, ["y"], {"large": np.array([2.0**90], np.float32)})
    with pytest.raises(LoweringError, match=reason):
        lower(model.SerializeToString(), calibration={"x": np.ones((2, 6), np.float32)})


@given(bits=st.integers(1, 50), frac_bits=st.integers(-60, 30), width=st.integers(1, 4096))
def test_whole_numbers_are_coarsened_only_for_weights_that_would_have_next_to_nothing(
    bits: int, frac_bits: int, width: int
) -> None:
    weights = np.full((1, width), 0.7)
    fine, coarse = (bits_to_drop(weights, 1 << bits, frac_bits, least) for least in (min(0, frac_bits), FRAC_BITS_MIN))
    assert coarse >= fine
    left = 52 - bits - (width - 1).bit_length() + coarse
    assert coarse == fine or left <= 15
