"""Resize in its modes, coordinates and roundings, against onnxruntime's float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SCALES = st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0])
Call = Callable[..., Any]


@EXAMPLES
@given(
    data=st.data(),
    seed=SEEDS,
    mode=st.sampled_from(["nearest", "linear", "cubic"]),
    transform=st.sampled_from(COORDINATES),
    rounding=st.sampled_from(ROUNDINGS),
    by_size=st.booleans(),
    opset=st.sampled_from([13, 19]),
)
def test_resize(
    data: st.DataObject, seed: int, mode: str, transform: str, rounding: str, by_size: bool, opset: int,
    model_of: Call, close: Call,
) -> None:  # fmt: skip
    if opset == 13 and transform == "half_pixel_symmetric":
        transform = "half_pixel"
    shape = [data.draw(st.integers(2, 5)) for _ in range(2)]
    scales = [data.draw(SCALES) for _ in shape]
    if transform == "align_corners":  # of other scales the standard makes something else than onnxruntime does
        scales = [max(1, int(n * s)) / n for n, s in zip(shape, scales, strict=True)]
    rows = (np.random.default_rng(seed).standard_normal((2, 2, *shape)) * 3).astype(np.float32)
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": transform}
    if mode == "nearest":
        attributes["nearest_mode"] = rounding
    if mode == "cubic":
        attributes |= {"exclude_outside": int(by_size), "cubic_coeff_a": data.draw(st.sampled_from([-0.75, -0.5]))}
    if by_size and opset >= 18:
        constants = {"s": np.array([int(n * s) for n, s in zip(shape, scales, strict=True)], np.int64)}
        inputs, attributes["axes"] = ["x", "", "", "s"], [2, 3]
    else:
        constants, inputs = {"s": np.array([1, 1, *scales], np.float32)}, ["x", "", "s"]
    node = helper.make_node("Resize", inputs, ["y"], **attributes)
    model = model_of([node], {"x": ["N", 2, *shape]}, ["y"], constants, opset=opset)
    close(model, {"x": rows})


@pytest.mark.parametrize(("mode", "nodes"), [("nearest", 12), ("linear", 4)])
def test_the_usual_doubling_is_a_repetition_or_two_matrices(mode: str, nodes: int, model_of: Call, close: Call) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric" if mode == "nearest" else "half_pixel"}
    if mode == "nearest":
        attributes["nearest_mode"] = "floor"
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], **attributes)
    model = model_of([node], {"x": ["N", 3, 4, 5]}, ["y"], {"s": np.array([1, 1, 2, 2], np.float32)})
    rows = np.random.default_rng(3).standard_normal((2, 3, 4, 5)).astype(np.float32)
    assert close(model, {"x": rows}).report.nodes <= nodes


BAD = {
    "rows": ({"mode": "nearest"}, [2.0, 1, 1, 1], "number of rows"),
    "too few": ({"mode": "nearest"}, [2.0, 1], "do not fit"),
    "negative": ({"mode": "nearest"}, [1.0, 1, -1, 1], "do not fit"),
    "nothing left": ({"mode": "nearest"}, [1.0, 1, 0.1, 1], "out of bounds"),
    "cropped": ({"coordinate_transformation_mode": "tf_crop_and_resize"}, [1.0, 1, 2, 2], "tf_crop_and_resize"),
    "between sizes": (
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        [1.0, 1, 0.6, 0.6],
        "align corners apart",
    ),
    "antialias": ({"mode": "linear", "antialias": 1}, [1.0, 1, 0.5, 0.5], "antialias"),
}


@pytest.mark.parametrize(("attributes", "scales", "part"), BAD.values(), ids=BAD)
def test_invalid_uses_name_op_node_and_reason(attributes: Any, scales: list[float], part: str, model_of: Call) -> None:
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], "p", **attributes)
    model = model_of([node], {"x": ["N", 3, 4, 4]}, ["y"], {"s": np.array(scales, np.float32)}, opset=19)
    with pytest.raises(OpRefused, match=part) as found:
        lower(model.SerializeToString())
    assert found.value.where == 'Resize "p"'
