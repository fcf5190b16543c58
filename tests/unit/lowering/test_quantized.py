"""Quantised operators: integers equal to onnxruntime's, products of them exact, roundings to the even one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine, interpret
from tools.lowering import LoweringError, lower

EXAMPLES = settings(max_examples=20, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
TYPES = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8, np.int32: TensorProto.INT32}


def model_from(
    nodes: list[onnx.NodeProto], shape: list[int | str], given: int, made: int, constants: dict[str, np.ndarray]
) -> bytes:
    inputs = [helper.make_tensor_value_info("x", given, shape)]
    outputs = [helper.make_tensor_value_info("y", made, None)]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "quantised", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 21)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def both(model: bytes, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The exact model's y and the float model's, which has no optimisation that would leave a rounding out."""
    lowered = lower(model, calibration={"x": rows})
    integers = lowered.quantize({"x": rows})
    outputs = Engine().run(lowered.model, integers)
    for name, array in interpret(lowered.model, integers).items():
        np.testing.assert_array_equal(array, outputs[name])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lowered.dequantize(outputs)["y"], session.run(["y"], {"x": rows})[0]


@EXAMPLES
@given(data=st.data(), seed=SEEDS, dtype=st.sampled_from([np.uint8, np.int8]), by_channel=st.booleans())
def test_quantising_values_of_the_grid_is_equal(
    data: st.DataObject, seed: int, dtype: type[Any], by_channel: bool
) -> None:
    """Values are multiples of 2**-10, scales have few bits: nothing but the node itself rounds; ties among them."""
    rng = np.random.default_rng(seed)
    count = 3 if by_channel else 1
    scale = rng.choice([0.5, 0.25, 0.0625, 6.0, 3.0], count).astype(np.float32)
    zero = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, count, endpoint=True).astype(dtype)
    if not by_channel:
        scale, zero = scale.reshape(()), zero.reshape(())
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], axis=1)
    rows = np.round(rng.standard_normal((6, 3, 4)) * 64 * 8) / np.float32(8)
    model = model_from([node], ["N", 3, 4], TensorProto.FLOAT, TYPES[dtype], {"s": scale, "z": zero})
    exact, expected = both(model, rows.astype(np.float32))
    assert exact.dtype == dtype
    np.testing.assert_array_equal(exact, expected)


@EXAMPLES
@given(seed=SEEDS, dtype=st.sampled_from([np.uint8, np.int8]), by_channel=st.booleans())
def test_dequantised_numbers_are_near(seed: int, dtype: type[Any], by_channel: bool) -> None:
    rng = np.random.default_rng(seed)
    count = 3 if by_channel else 1
    scale = rng.uniform(0.001, 2, count).astype(np.float32)
    zero = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, count, endpoint=True).astype(dtype)
    if not by_channel:
        scale, zero = scale.reshape(()), zero.reshape(())
    node = helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"], axis=1)
    model = model_from([node], ["N", 3, 4], TYPES[dtype], TensorProto.FLOAT, {"s": scale, "z": zero})
    rows = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (5, 3, 4), endpoint=True).astype(dtype)
    exact, expected = both(model, rows)
    assert np.abs(exact - expected).max() <= 1e-6 * (1 + np.abs(expected).max())


@EXAMPLES
@given(seed=SEEDS, op=st.sampled_from(["QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger"]))
def test_products_of_integers_are_equal(seed: int, op: str) -> None:
    rng = np.random.default_rng(seed)
    conv = "Conv" in op
    shape, weights = ((3, 5, 5), (4, 3, 3, 3)) if conv else ((3, 6), (6, 4))

    def byte() -> np.ndarray:
        return np.asarray(rng.integers(0, 256), np.uint8)

    constants: dict[str, np.ndarray] = {
        "w": rng.integers(0, 256, weights, dtype=np.uint8),
        "zx": byte(),
        "zw": byte(),
    }
    inputs = ["x", "w", "zx", "zw"]
    attributes: dict[str, Any] = {"pads": [1, 0, 1, 0], "strides": [1, 2]} if conv else {}
    if op.startswith("QLinear"):
        for name in ("sx", "sw", "sy"):
            constants[name] = np.asarray(rng.uniform(0.01, 0.1), np.float32)
        constants["sy"] = np.asarray(constants["sy"] * 40, np.float32)
        constants["zy"] = byte()
        inputs = ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy"]
    made = TensorProto.UINT8 if op.startswith("QLinear") else TensorProto.INT32
    model = model_from(
        [helper.make_node(op, inputs, ["y"], **attributes)], ["N", *shape], TensorProto.UINT8, made, constants
    )
    rows = rng.integers(0, 256, (4, *shape), dtype=np.uint8)
    exact, expected = both(model, rows)
    apart = np.abs(exact.astype(np.int64) - expected)
    assert apart.max() <= (1 if op.startswith("QLinear") else 0)  # onnxruntime's float32 product may lie on a tie
    assert (apart == 0).mean() >= 0.99


def test_a_quantised_network_says_what_the_float_runtime_says() -> None:
    """QuantizeLinear and DequantizeLinear around each operator and its weights, as quantisation tools write them."""
    rng = np.random.default_rng(3)
    weights = rng.integers(-127, 128, (8, 16), dtype=np.int8)
    constants: dict[str, np.ndarray] = {
        "sx": np.asarray(0.03, np.float32), "zx": np.asarray(128, np.uint8), "w": weights.T.copy(),
        "sw": np.full(8, 0.01, np.float32), "zw": np.zeros(8, np.int8), "sh": np.asarray(0.05, np.float32),
        "zh": np.asarray(100, np.uint8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wd"], axis=1),
        helper.make_node("MatMul", ["xd", "wd"], ["h"]),
        helper.make_node("QuantizeLinear", ["h", "sh", "zh"], ["hq"]),
        helper.make_node("DequantizeLinear", ["hq", "sh", "zh"], ["y"]),
    ]
    model = model_from(nodes, ["N", 16], TensorProto.FLOAT, TensorProto.FLOAT, constants)
    rows = rng.standard_normal((200, 16)).astype(np.float32)
    exact, expected = both(model, rows)
    apart = np.abs(exact - expected)
    assert apart.max() <= 0.0501
    assert (apart < 1e-3).mean() >= 0.99


def test_a_run_is_quantised_by_its_own_range() -> None:
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
    nodes = [node, helper.make_node("DequantizeLinear", ["q", "one", "none"], ["y"])]
    constants: dict[str, np.ndarray] = {"one": np.asarray(1.0, np.float32), "none": np.asarray(0, np.uint8)}
    model = model_from(nodes, [3, 4], TensorProto.FLOAT, TensorProto.FLOAT, constants)
    rows = np.random.default_rng(1).integers(-40, 90, (3, 4)).astype(np.float32) / 8
    lowered = lower(model, calibration={"x": rows})
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(exact, session.run(["y"], {"x": rows})[0])


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"]), "influence each other"),
        (helper.make_node("QuantizeLinear", ["x", "negative"], ["y"]), "positive"),
        (helper.make_node("QuantizeLinear", ["x", "several"], ["y"], axis=1), "do not fit a dimension"),
    ],
)
def test_invalid_quantisation_is_refused(node: onnx.NodeProto, reason: str) -> None:
    constants: dict[str, np.ndarray] = {"negative": np.asarray(-1.0, np.float32), "several": np.ones(5, np.float32)}
    used = {name: array for name, array in constants.items() if name in node.input}
    with pytest.raises(LoweringError, match=reason):
        lower(model_from([node], ["N", 3], TensorProto.FLOAT, TensorProto.UINT8, used))
