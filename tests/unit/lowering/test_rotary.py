"""RotaryEmbedding against the formula in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtime.inference.engine import Engine
from runtime.inference.interpreter import interpret
from tools.lowering import OpRefused, lower

ROWS, HEADS, LENGTH, SIZE = 3, 2, 5, 8
Call = Callable[..., Any]


def turned(x: np.ndarray, angles: np.ndarray, *, interleaved: bool) -> np.ndarray:
    """x [N, heads, length, size] by angles [length, pairs] or [N, length, pairs]; as complex numbers."""
    pairs = angles.shape[-1]
    part = x[..., : 2 * pairs].astype(np.float64)
    first, second = (part[..., 0::2], part[..., 1::2]) if interleaved else (part[..., :pairs], part[..., pairs:])
    found = (first + 1j * second) * np.exp(1j * (angles if angles.ndim == 2 else angles[:, np.newaxis]))
    both = [found.real, found.imag]
    last = np.stack(both, -1).reshape(part.shape) if interleaved else np.concatenate(both, -1)
    return np.concatenate([last, x[..., 2 * pairs :]], -1)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    interleaved=st.booleans(),
    packed=st.booleans(),
    part=st.sampled_from([0, 4]),
    places=st.sampled_from(["none", "constant", "computed"]),
)
def test_pairs_are_turned(model_of: Call, seed: int, interleaved: bool, packed: bool, part: int, places: str) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal((ROWS, HEADS, LENGTH, SIZE)).astype(np.float32)
    table = random.uniform(-7, 7, (9, (part or SIZE) // 2))
    index = random.integers(0, 9, (ROWS, LENGTH) if places == "computed" else LENGTH)
    angles = table[:LENGTH] if places == "none" else table[index]
    constants: dict[str, np.ndarray] = {
        "cos": np.cos(table).astype(np.float32),
        "sin": np.sin(table).astype(np.float32),
    }
    rows: dict[str, np.ndarray] = {"x": x}
    names = ["x", "cos", "sin"]
    if places == "none":
        constants = {name: array[np.newaxis, :LENGTH] for name, array in constants.items()}
    else:
        names.append("places")
    if places == "constant":
        constants["places"] = index[np.newaxis]
    expected = turned(x, angles, interleaved=interleaved)
    attributes: dict[str, Any] = {"interleaved": int(interleaved), "rotary_embedding_dim": part}
    if packed:
        rows["x"], expected = (a.swapaxes(1, 2).reshape(ROWS, LENGTH, -1) for a in (x, expected))
        attributes["num_heads"] = HEADS
    node = helper.make_node("RotaryEmbedding", names, ["y"], **attributes)
    model = model_of([node], {"x": ["N", *rows["x"].shape[1:]]}, ["y"], constants, opset=23)
    if places == "computed":
        rows["places"] = index
        model.graph.input.append(helper.make_tensor_value_info("places", TensorProto.INT64, ["N", LENGTH]))
    calibration = rows if places == "computed" else None  # onnxruntime takes constant angles for one row only
    lowered = lower(model.SerializeToString(), calibration=calibration)
    inputs = lowered.quantize(rows)
    exact = Engine().run(lowered.model, inputs)
    np.testing.assert_array_equal(exact["y"], interpret(lowered.model, inputs)["y"])
    found = lowered.dequantize(exact)["y"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4


@pytest.mark.parametrize(("shape", "attributes"), [((5, 8), {}), ((5, 9), {"num_heads": 2}), ((2, 5, 7), {})])
def test_invalid_shapes(model_of: Call, shape: Any, attributes: dict[str, Any]) -> None:
    node = helper.make_node("RotaryEmbedding", ["x", "cos", "sin"], ["y"], **attributes)
    constants = {name: np.ones((1, 5, 4), np.float32) for name in ("cos", "sin")}
    with pytest.raises(OpRefused):
        lower(model_of([node], {"x": ["N", *shape]}, ["y"], constants, opset=23).SerializeToString())
