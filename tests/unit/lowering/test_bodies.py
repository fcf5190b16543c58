"""Operators that are written by others here: transforms, sampling, what onnxruntime's optimiser and quantiser save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtime.inference import Engine
from tools.lowering import LoweringError, lower

Call = Callable[..., Any]
node = helper.make_node
MICROSOFT = {"domain": "com.microsoft"}


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def near(model: onnx.ModelProto, rows: dict[str, np.ndarray], run_stock: Call, room: float = 2e-4) -> None:
    """The exact model beside stock onnxruntime, which has kernels of its own for these operators."""
    if not any(entry.domain == "com.microsoft" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    data = model.SerializeToString()
    lowered = lower(data, calibration=rows)
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))
    for name, expected in run_stock(data, rows).items():
        assert found[name].shape == expected.shape
        assert np.abs(found[name] - expected).max() <= room * (1 + np.abs(expected).max())


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("corners", [0, 1])
def test_places_are_sampled_where_a_computed_grid_says(
    padding: str, mode: str, corners: int, model_of: Call, run_stock: Call
) -> None:
    attributes: dict[str, Any] = {"padding_mode": padding, "mode": mode, "align_corners": corners}
    sample = node("GridSample", ["x", "grid"], ["y"], **attributes)
    model = model_of([sample], {"x": ["N", 2, 4, 5], "grid": ["N", 3, 2, 2]}, ["y"], opset=20)
    places = numbers(2, 6, 3, 2, 2) * 1.8
    near(model, {"x": numbers(1, 6, 2, 4, 5), "grid": places}, run_stock)


@pytest.mark.parametrize(("onesided", "windowed"), [(1, True), (0, True), (1, False)])
def test_short_time_transforms_are_convolutions(onesided: int, windowed: bool, model_of: Call, run_stock: Call) -> None:
    operands = ["x", "step", "window" if windowed else "", "length"]
    constants = {"step": np.array(3), "length": np.array(8)}
    if windowed:
        constants["window"] = np.hanning(8).astype(np.float32)
    model = model_of([node("STFT", operands, ["y"], onesided=onesided)], {"x": ["N", 20, 1]}, ["y"], constants)
    near(model, {"x": numbers(3, 5, 20, 1)}, run_stock)


@pytest.mark.parametrize(("parts", "onesided", "inverse"), [(1, 0, 0), (1, 1, 0), (1, 0, 1), (2, 0, 0), (2, 0, 1)])
@pytest.mark.parametrize("length", [0, 4, 9])
def test_transforms_are_products(
    parts: int, onesided: int, inverse: int, length: int, model_of: Call, run_stock: Call
) -> None:
    constants = {"length": np.array(length)} if length else {}
    operands = ["x", "length"] if length else ["x"]
    transform = node("DFT", operands, ["y"], axis=1, onesided=onesided, inverse=inverse)
    near(
        model_of([transform], {"x": ["N", 6, 3, parts]}, ["y"], constants), {"x": numbers(4, 4, 6, 3, parts)}, run_stock
    )


@pytest.mark.parametrize("length", [0, 10, 11])
def test_half_of_a_transform_gives_back_real_numbers(length: int, model_of: Call, run_stock: Call) -> None:
    constants = {"length": np.array(length)} if length else {}
    operands = ["x", "length"] if length else ["x"]
    transform = node("DFT", operands, ["y"], axis=1, onesided=1, inverse=1)
    near(model_of([transform], {"x": ["N", 6, 3, 2]}, ["y"], constants), {"x": numbers(4, 4, 6, 3, 2)}, run_stock)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("Gelu", {}), ("FastGelu", {}), ("QuickGelu", {"alpha": 1.5}), ("BiasGelu", {})],
)
def test_fused_activations(op: str, attributes: dict[str, Any], model_of: Call, run_stock: Call) -> None:
    operands = ["x", "bias"] if op.startswith(("Bias", "Fast")) else ["x"]
    nodes = [node(op, operands, ["y"], **attributes, **MICROSOFT)]
    bias = {"bias": numbers(2, 6)}
    near(
        model_of(nodes, {"x": ["N", 6]}, ["y"], bias if len(operands) == 2 else {}),
        {"x": numbers(1, 5, 6) * 3},
        run_stock,
    )


@pytest.mark.parametrize("activation", ["", "Relu", "LeakyRelu", "Clip", "HardSigmoid"])
@pytest.mark.parametrize("added", [True, False])
def test_fused_convolutions(activation: str, added: bool, model_of: Call, run_stock: Call) -> None:
    given = {"LeakyRelu": [0.2], "Clip": [-0.5, 0.7], "HardSigmoid": [0.3, 0.4]}.get(activation)
    attributes: dict[str, Any] = {"activation": activation} if activation else {}
    attributes |= {"activation_params": given} if given else {}
    nodes = [
        node("FusedConv", ["x", "w", "b", *(["x"] if added else [])], ["y"], pads=[1] * 4, **attributes, **MICROSOFT)
    ]
    constants = {"w": numbers(1, 3, 3, 3, 3), "b": numbers(2, 3)}
    near(model_of(nodes, {"x": ["N", 3, 4, 5]}, ["y"], constants), {"x": numbers(3, 4, 3, 4, 5)}, run_stock)


def test_fused_products(model_of: Call, run_stock: Call) -> None:
    nodes = [
        node("FusedGemm", ["x", "w", "b"], ["g"], transB=1, activation="Relu", **MICROSOFT),
        node("Unsqueeze", ["g", "one"], ["u"]),
        node("FusedMatMul", ["u", "u"], ["y"], transA=1, alpha=0.5, **MICROSOFT),
    ]
    constants = {"w": numbers(1, 3, 4), "b": numbers(2, 3), "one": np.array([1])}
    near(model_of(nodes, {"x": ["N", 4]}, ["y"], constants), {"x": numbers(3, 5, 4)}, run_stock)


@pytest.mark.parametrize("op", ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"])
def test_sums_that_are_normalised(op: str, model_of: Call, run_stock: Call) -> None:
    operands = ["x", "z", "gamma", *(["beta"] if op[4] == "L" else []), "bias"]
    nodes = [node(op, operands, ["y", "", "", "sum"], epsilon=1e-5, **MICROSOFT)]
    constants = {"gamma": numbers(1, 8), "beta": numbers(2, 8), "bias": numbers(3, 8)}
    rows = {"x": numbers(4, 5, 3, 8), "z": numbers(5, 5, 3, 8)}
    near(model_of(nodes, {"x": ["N", 3, 8], "z": ["N", 3, 8]}, ["y", "sum"], constants), rows, run_stock)


@pytest.mark.parametrize("mask", ["", "shown", "lengths"])
@pytest.mark.parametrize("causal", [0, 1])
def test_packed_attention(mask: str, causal: int, run_stock: Call) -> None:
    shapes: dict[str, list[Any]] = {"": [], "shown": ["N", 4], "lengths": ["N"]}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 8])]
    inputs += [helper.make_tensor_value_info(mask, TensorProto.INT32, shapes[mask])] if mask else []
    attention = node("Attention", ["x", "w", "b", *([mask] if mask else [])], ["y"], num_heads=2, unidirectional=causal)
    attention.domain = "com.microsoft"
    constants = [
        onnx.numpy_helper.from_array(numbers(1, 8, 24), "w"),
        onnx.numpy_helper.from_array(numbers(2, 24), "b"),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([attention], "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rows: dict[str, np.ndarray] = {"x": numbers(3, 5, 4, 8)}
    if mask:
        counts = np.array([4, 3, 2, 1, 4], np.int32)
        rows[mask] = counts if mask == "lengths" else (np.arange(4) < counts[:, np.newaxis]).astype(np.int32)
    near(model, rows, run_stock)


def quantised(name: str, scale: float, zero: int) -> dict[str, np.ndarray]:
    return {f"{name}s": np.array(scale, np.float32), f"{name}z": np.array(zero, np.uint8)}


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu"])
def test_quantised_operators_of_one_or_two(op: str, model_of: Call, run_stock: Call) -> None:
    pair, first = op in ("QLinearAdd", "QLinearMul"), op == "QLinearConcat"
    operands = ["q", "as", "az", *(["r", "bs", "bz"] if pair or first else [])]
    operands = ["cs", "cz", *operands] if first else [*operands, "cs", "cz"]
    numbered: dict[str, dict[str, Any]] = {"QLinearConcat": {"axis": 1}, "QLinearLeakyRelu": {"alpha": 0.1}}
    attributes = numbered.get(op, {})
    nodes = [
        node("QuantizeLinear", ["x", "as", "az"], ["q"]),
        node("QuantizeLinear", ["z", "bs", "bz"], ["r"]),
        node(op, operands, ["c"], **attributes, **MICROSOFT),
        node("DequantizeLinear", ["c", "cs", "cz"], ["y"]),
    ]
    constants = {**quantised("a", 1 / 64, 120), **quantised("b", 1 / 50, 130), **quantised("c", 1 / 40, 128)}
    rows = {"x": numbers(1, 6, 5), "z": numbers(2, 6, 5)}
    near(model_of(nodes, {"x": ["N", 5], "z": ["N", 5]}, ["y"], constants), rows, run_stock, room=1 / 39)


@pytest.mark.parametrize("op", ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_products_of_a_dynamic_scale(op: str, model_of: Call, run_stock: Call) -> None:
    weights = np.random.default_rng(1).integers(-90, 90, (4, 3)).astype(np.int8)
    constants = {"w": weights, "s": np.array([0.01, 0.02, 0.03], np.float32), "b": numbers(2, 3)}
    if op == "DynamicQuantizeMatMul":
        nodes = [node(op, ["x", "w", "s", "", "b"], ["y"], **MICROSOFT)]
    else:
        nodes = [
            node("DynamicQuantizeLinear", ["x"], ["q", "t", "z"]),
            node(op, ["q", "w", "t", "s", "z", "", "b"], ["y"], **MICROSOFT),
        ]
    rows = {"x": np.repeat(numbers(3, 1, 4), 3, axis=0)}
    near(model_of(nodes, {"x": ["N", 4]}, ["y"], constants), rows, run_stock, room=1e-2)


def test_invalid_uses_are_refused_by_node(model_of: Call) -> None:
    cases = {
        "cubic": node("GridSample", ["x", "g"], ["y"], mode="cubic"),
        "axis": node("DFT", ["x"], ["y"], axis=0),
        "signal": node("STFT", ["x", "zero", "", "one"], ["y"]),
        "activation": node("FusedConv", ["x", "x"], ["y"], activation="Magic", **MICROSOFT),
        "is missing": node("FusedMatMul", ["x"], ["y"], **MICROSOFT),
        "another kind": node("Attention", ["x", "x"], ["y"], num_heads="two", **MICROSOFT),
        "not supported": node("Attention", ["x", "x"], ["y"], num_heads=0, **MICROSOFT),
    }
    for reason, bad in cases.items():
        model = model_of(
            [bad], {"x": ["N", 2, 4, 4], "g": ["N", 2, 2, 2]}, ["y"], {"zero": np.array(0), "one": np.array(1)}
        )
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        with pytest.raises(LoweringError, match=reason):
            lower(model.SerializeToString())
