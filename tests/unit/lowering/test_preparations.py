"""scikit-learn's PowerTransformer and QuantileTransformer, as skl2onnx writes them, are one operator each."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skl2onnx import to_onnx
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, QuantileTransformer

from runtime.inference import Engine, interpret
from tools.lowering import LoweringError, lower
from tools.lowering.ops import curves
from tools.lowering.preparations import steps

FEATURES = 3
SIZES = np.array([0.1, 1.0, 30.0])
"""Smaller, float32's own 1 + x would tell little of x."""


def drawn(seed: int, kind: str, rows: int = 300) -> np.ndarray:
    """Skewed features of very different sizes; `repeated`: of few values, so that quantiles repeat."""
    random = np.random.default_rng(seed)
    found = np.exp(random.normal(0, random.uniform(0.1, 0.9, FEATURES), (rows, FEATURES)))
    if kind == "both signs":
        found = found - random.uniform(0, 2, FEATURES)
    if kind == "repeated":
        found = np.maximum(np.rint(found * 4 - 2), 0) / 4
    scaled: np.ndarray = (found * SIZES).astype(np.float32)
    return scaled


def written(model: Any, rows: np.ndarray) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx calls deprecated parts of scikit-learn
        model.fit(rows)
        return bytes(to_onnx(model, rows[:1], target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString())


def exact_of(model: bytes, rows: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, set[str]]:
    lowered = lower(model, calibration={"X": rows})
    ends = {one.name: (one.low, one.high) for one in lowered.report.inputs}["X"]
    integers = lowered.quantize({"X": np.clip(seen, *ends)})
    found = Engine().run(lowered.model, integers)
    for name, array in interpret(lowered.model, integers).items():
        np.testing.assert_array_equal(array, found[name])
    return lowered.dequantize(found)["variable"], {type(node).__name__ for node in lowered.graph.nodes}


@settings(max_examples=5, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["positive", "both signs", "repeated"]),
    standardised=st.booleans(),
    boxed=st.booleans(),
)
def test_powers_are_near_the_float_model_on_rows_not_seen(
    run_stock: Any, seed: int, kind: str, standardised: bool, boxed: bool
) -> None:
    boxed = boxed and kind == "positive"
    rows = drawn(seed, kind)
    model = PowerTransformer("box-cox" if boxed else "yeo-johnson", standardize=standardised)
    source = written(model, rows[:200])
    exact, ops = exact_of(source, rows[:200], rows[200:])
    within = (rows[200:] >= rows[:200].min(0)) & (rows[200:] <= rows[:200].max(0))
    expected = run_stock(source, {"X": rows[200:]})["variable"]
    spread = np.ptp(run_stock(source, {"X": rows[:200]})["variable"], axis=0)
    assert (np.abs(exact - expected) <= 2e-4 * np.maximum(spread, 0.01))[within].all()
    assert {"Trees", "Div"} <= ops
    assert not {"Lookup", "Softmax"} & ops


@pytest.mark.parametrize("kind", ["positive", "both signs", "repeated"])
def test_quantiles_are_near_the_float_model_on_rows_not_seen(run_stock: Any, kind: str) -> None:
    rows = drawn(11, kind)
    source = written(QuantileTransformer(n_quantiles=20), rows[:200])
    exact, ops = exact_of(source, rows[:200], rows)
    assert np.abs(exact - run_stock(source, {"X": rows})["variable"]).max() <= 2e-5
    assert "Trees" in ops


def test_two_in_one_model_and_what_follows_them_stay_apart(run_stock: Any) -> None:
    rows = drawn(7, "both signs")
    source = written(make_pipeline(PowerTransformer(), QuantileTransformer(n_quantiles=20)), rows)
    exact, _ = exact_of(source, rows, rows)
    assert np.abs(exact - run_stock(source, {"X": rows})["variable"]).max() <= 1e-3


def test_what_is_nearly_such_a_search_is_not_taken_for_one() -> None:
    """References of which one is moved are not what the knots and the rounds of the search make."""
    rows = drawn(3, "positive")
    proto = onnx.ModelProto.FromString(written(QuantileTransformer(n_quantiles=20), rows))
    (tensor,) = (one for one in proto.graph.initializer if one.name == "references_neg_rev")
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[len(values) // 2] += 0.01
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(LoweringError, match="Flatten"):
        lower(proto.SerializeToString(), calibration={"X": rows})


POWERS = st.one_of(st.sampled_from([0.0, 1.0, 2.0]), st.floats(-30, -0.01), st.floats(0.01, 1.99), st.floats(2.01, 30))
"""Nearer to 0 the differences of the powers themselves say little."""


@settings(max_examples=60, deadline=None)
@given(power=POWERS, a=st.floats(-3, 3), width=st.floats(1e-3, 2), boxed=st.booleans())
def test_second_derivatives_of_powers_stay_within_their_bounds(
    power: float, a: float, width: float, boxed: bool
) -> None:
    curve = curves.box_cox(power, 0.5, 2.0) if boxed else curves.yeo_johnson(power, 0.5, 2.0)
    low = abs(a) + 0.2 if boxed else a
    places = np.linspace(low, low + width, 65)
    step = width / 64
    values = curve.of(places)
    second = np.abs(values[2:] - 2 * values[1:-1] + values[:-2]) / step**2
    bound = float(curve.bend(np.array([low]), np.array([low + width]))[0])
    assert second.max() <= bound * (1 + 1e-6) + 1e-11 * np.abs(values).max() / step**2


def test_steps_are_left_at_and_right_of_each_different_knot() -> None:
    places, left, at, right = steps(np.array([0.0, 0, 1, 1, 1, 2]), np.array([0.0, 0.1, 0.2, 0.4, 0.8, 1.0]))
    assert places.tolist() == [0, 1, 2]
    assert (left.tolist(), at.tolist(), right.tolist()) == ([0, 0.2, 1], [0, 0.5, 1], [0.1, 0.8, 1])
