"""ConvTranspose in all its forms, and ArgMin, against onnxruntime's float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=50, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
Call = Callable[..., Any]


@EXAMPLES
@given(
    data=st.data(),
    seed=SEEDS,
    dims=st.integers(1, 3),
    groups=st.integers(1, 2),
    mode=st.sampled_from(["pads", "pads", "VALID", "SAME_UPPER", "SAME_LOWER", "output_shape"]),
)
def test_conv_transpose(
    data: st.DataObject, seed: int, dims: int, groups: int, mode: str, model_of: Call, close: Call
) -> None:
    random = np.random.default_rng(seed)

    def each(low: int, high: int) -> list[int]:
        return [data.draw(st.integers(low, high)) for _ in range(dims)]

    kernel, strides, dilations, size = each(1, 3), each(1, 3), each(1, 2), each(1, 4)
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": groups}
    extra = [data.draw(st.integers(0, s - 1)) for s in strides]
    whole = [
        s * (n - 1) + e + d * (k - 1) + 1 for s, n, e, d, k in zip(strides, size, extra, dilations, kernel, strict=True)
    ]
    if mode == "pads":
        begin = [data.draw(st.integers(0, min(2, w - 1))) for w in whole]
        end = [data.draw(st.integers(0, min(2, w - b - 1))) for w, b in zip(whole, begin, strict=True)]
        attributes |= {"pads": begin + end, "output_padding": extra}
    elif mode == "output_shape":
        attributes["output_shape"] = [
            data.draw(st.integers(max(1, w - e - 2), w - e)) for w, e in zip(whole, extra, strict=True)
        ]
    else:
        attributes["auto_pad"] = mode
        if mode.startswith("SAME"):
            attributes["strides"] = [
                min(s, d * (k - 1) + 1) for s, d, k in zip(strides, dilations, kernel, strict=True)
            ]
    inputs, outputs = groups * data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    constants = {"w": random.standard_normal((inputs, outputs, *kernel)).astype(np.float32)}
    if data.draw(st.booleans()):
        constants["b"] = random.standard_normal(outputs * groups).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["x", *constants], ["y"], **attributes)
    rows = random.standard_normal((3, inputs, *size)).astype(np.float32)
    close(model_of([node], {"x": ["N", inputs, *size]}, ["y"], constants), {"x": rows})


@pytest.mark.parametrize("size", [{"output_padding": [1, 1]}, {"output_shape": [7, 7]}])
def test_an_output_that_is_longer_than_the_kernel_reaches(size: Any, model_of: Call, close: Call) -> None:
    random = np.random.default_rng(4)
    constants = {"w": random.standard_normal((2, 1, 2, 2)).astype(np.float32), "b": np.ones(1, np.float32)}
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], strides=[2, 2], **size)
    rows = random.standard_normal((2, 2, 3, 3)).astype(np.float32)
    close(model_of([node], {"x": ["N", 2, 3, 3]}, ["y"], constants), {"x": rows})


@EXAMPLES
@given(
    data=st.data(),
    seed=SEEDS,
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    last=st.booleans(),
    keep=st.booleans(),
)
def test_arg_min_breaks_ties_as_told(
    data: st.DataObject, seed: int, shape: list[int], last: bool, keep: bool, model_of: Call, close: Call
) -> None:
    rows = np.random.default_rng(seed).integers(-2, 3, (4, *shape)).astype(np.float32)
    axis = data.draw(st.integers(1, len(shape)))
    node = helper.make_node("ArgMin", ["x"], ["y"], axis=axis, keepdims=int(keep), select_last_index=int(last))
    close(model_of([node], {"x": ["N", *shape]}, ["y"], integers=["y"]), {"x": rows})


@pytest.mark.parametrize(
    ("attributes", "weights", "part"),
    [
        ({"group": 2}, (3, 1, 2, 2), "groups"),
        ({}, (3, 1, 2), "do not fit rows"),
        ({}, (2, 1, 2, 2), "do not fit weights"),
        ({"kernel_shape": [3, 3]}, (3, 1, 2, 2), "kernel_shape"),
        ({"strides": [0, 1]}, (3, 1, 2, 2), "at least 1"),
        ({"pads": [9, 9, 9, 9]}, (3, 1, 2, 2), "leave an output"),
        ({"pads": [1]}, (3, 1, 2, 2), "do not fit its dimensions"),
        ({"auto_pad": "ROUND"}, (3, 1, 2, 2), "ROUND"),
    ],
)
def test_invalid_uses_name_op_node_and_reason(
    attributes: Any, weights: tuple[int, ...], part: str, model_of: Call
) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], "p", **attributes)
    model = model_of([node], {"x": ["N", 3, 4, 4]}, ["y"], {"w": np.ones(weights, np.float32)})
    with pytest.raises(OpRefused, match=part) as found:
        lower(model.SerializeToString())
    assert found.value.where == 'ConvTranspose "p"'
