"""What onnxruntime.quantization makes: dynamic ones in runs of one row, static ones where a sequence leads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from runtime.inference import Engine
from tools.lowering import lower

Call = Callable[..., Any]
node = helper.make_node


def dynamic(model_of: Call) -> bytes:
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("ConvInteger", ["q", "w", "zero"], ["sums"], pads=[1, 1]),
        node("Cast", ["sums"], ["real"], to=TensorProto.FLOAT),
        node("Mul", ["real", "scale"], ["y"]),
    ]
    weights = np.random.default_rng(0).integers(-90, 90, (2, 3, 3)).astype(np.int8)
    model: bytes = model_of(nodes, {"x": ["N", 3, 5]}, ["y"], {"w": weights}).SerializeToString()
    return model


def rows_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((6, *shape)).astype(np.float32)


def test_a_dynamic_convolution_of_one_row_a_run_takes_rows_as_the_file_declares_them(
    model_of: Call, run_one: Callable[[bytes, np.ndarray], np.ndarray]
) -> None:
    model, x = dynamic(model_of), rows_of(3, 5)
    lowered = lower(model, calibration={"x": x}, shapes={"x": (1, 3, 5)})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": x})))["y"]
    expected = np.concatenate([run_one(model, row[np.newaxis]) for row in x])
    step = (x.max((1, 2)) - x.min((1, 2))).max() / 255  # one code may differ where the float model rounds a tie
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 90 * step + 1e-3


def test_a_dynamic_scale_of_an_open_batch_is_each_rows_own_and_the_report_says_so(model_of: Call) -> None:
    model, x = dynamic(model_of), rows_of(3, 5)
    fixed = lower(model, calibration={"x": x}, shapes={"x": (1, 3, 5)})
    lowered = lower(model, calibration={"x": x})
    assert lowered.graph.nodes == fixed.graph.nodes
    assert any("depends on the number of rows" in note for note in lowered.report.notes)


def test_codes_of_a_sequence_that_leads(model_of: Call, run_one: Callable[[bytes, np.ndarray], np.ndarray]) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("QuantizeLinear", ["t", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        node("Transpose", ["d"], ["y"], perm=[1, 0, 2]),
    ]
    constants = {"scale": np.float32(0.25), "zero": np.array(7, np.uint8)}
    x = (np.rint(rows_of(3, 2) * 16) / 16 + 1 / 32).astype(np.float32)  # no ties
    model = model_of(nodes, {"x": ["N", 3, 2]}, ["y"], constants).SerializeToString()
    lowered = lower(model, calibration={"x": x})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": x})))["y"]
    assert np.array_equal(found, run_one(model, x))


@pytest.fixture
def run_one() -> Callable[[bytes, np.ndarray], np.ndarray]:
    import onnxruntime

    def run(model: bytes, x: np.ndarray) -> np.ndarray:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {"x": x})[0])

    return run


def codes(op: str, model_of: Call) -> bytes:
    """x quantised, dequantised, through a large layer of dequantised weights and a Relu, quantised again."""
    random = np.random.default_rng(1)
    shape = (24, 40, 3, 3) if op == "Conv" else (360, 24)
    layer = node(op, ["r", "weights", "bias"], ["l"]) if op != "MatMul" else node(op, ["r", "weights"], ["l"])
    nodes = [
        node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
        node("DequantizeLinear", ["q", "sx", "zx"], ["r"]),
        node("DequantizeLinear", ["w", "sw", "zw"], ["weights"], axis=0 if op == "Conv" else 1),
        layer,
        node("Relu", ["l"], ["p"]),
        node("QuantizeLinear", ["p", "sy", "zy"], ["c"]),
        node("DequantizeLinear", ["c", "sy", "zy"], ["y"]),
    ]
    constants = {
        "sx": np.array(0.0173, np.float32),
        "zx": np.array(117, np.uint8),
        "w": random.integers(-127, 128, shape).astype(np.int8),
        "sw": random.uniform(0.001, 0.004, 24).astype(np.float32),
        "zw": np.zeros(24, np.int8),
        "bias": random.standard_normal(24).astype(np.float32),
        "sy": np.array(0.031, np.float32),
        "zy": np.array(3, np.uint8),
    }
    x = [40, 5, 5] if op == "Conv" else [360]
    return bytes(model_of(nodes, {"x": ["N", *x]}, ["y"], constants).SerializeToString())


@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul"])
def test_codes_behind_a_large_layer_are_onnxruntimes(op: str, model_of: Call, run_stock: Call) -> None:
    model = codes(op, model_of)
    x = np.random.default_rng(4).standard_normal((64, *((40, 5, 5) if op == "Conv" else (360,)))).astype(np.float32)
    lowered = lower(model, calibration={"x": x})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": x})))["y"]
    others = np.abs(found - run_stock(model, {"x": x})["y"]) > 0.031 / 4
    assert others.mean() < 2e-4  # where float32's own sums fall on the other side


def test_integers_are_multiplied_by_a_vector(model_of: Call, run_stock: Call) -> None:
    """The query of a pooling by attention: [N, L, K] by [K]."""
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("MatMulInteger", ["q", "w", "zero"], ["sums"]),
        node("Cast", ["sums"], ["real"], to=TensorProto.FLOAT),
        node("Mul", ["real", "scale"], ["y"]),
    ]
    weights = np.random.default_rng(0).integers(-90, 90, 5).astype(np.int8)
    model = model_of(nodes, {"x": ["N", 3, 5]}, ["y"], {"w": weights}).SerializeToString()
    x = np.repeat(rows_of(3, 5)[:1], 4, axis=0)
    lowered = lower(model, calibration={"x": x})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": x})))["y"]
    expected = run_stock(model, {"x": x})["y"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


def test_codes_with_the_batch_behind_the_sequence_are_multiplied_and_repeated(model_of: Call, run_stock: Call) -> None:
    """As QuantFormat.QOperator writes attention and nearest neighbours."""
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("Transpose", ["q"], ["t"], perm=[1, 0, 2]),
        node("QLinearMatMul", ["t", "scale", "zero", "w", "scale", "zero", "scale", "zero"], ["p"]),
        node("Transpose", ["p"], ["u"], perm=[1, 0, 2]),
        node("Unsqueeze", ["u", "one"], ["v"]),
        node("Resize", ["v", "", "scales"], ["r"], mode="nearest", coordinate_transformation_mode="asymmetric"),
        node("DequantizeLinear", ["r", "scale", "zero"], ["y"]),
    ]
    constants = {
        "scale": np.array(0.03, np.float32),
        "zero": np.array(128, np.uint8),
        "w": np.random.default_rng(0).integers(100, 156, (5, 4)).astype(np.uint8),
        "one": np.array([1]),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    model = model_of(nodes, {"x": ["N", 3, 5]}, ["y"], constants).SerializeToString()
    x = rows_of(3, 5)
    lowered = lower(model, calibration={"x": x})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": x})))["y"]
    np.testing.assert_allclose(found, run_stock(model, {"x": x})["y"], atol=1e-5)
