"""Missing values: where calibration has NaN, an Imputer and trees take it as the float model does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine, interpret
from tools.lowering import LoweringError, lower

Call = Callable[..., Any]
NAN = float("nan")
Rows = Mapping[str, np.ndarray]


def _model(
    nodes: Sequence[onnx.NodeProto], widths: Mapping[str, int], constants: Mapping[str, np.ndarray] | None = None
) -> bytes:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name, width in widths.items()]
    stored = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    output = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(list(nodes), "missing", inputs, output, stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _imputer(name: str, made: str, *values: float) -> onnx.NodeProto:
    return helper.make_node(
        "Imputer", [name], [made], domain="ai.onnx.ml", imputed_value_floats=values, replaced_value_float=NAN
    )


def _rows(seed: int, width: int, count: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.uniform(-40, 40, (count, width)).astype(np.float32)
    return np.where(rng.random(values.shape) < 0.25, np.float32(NAN), values)


def _same(model: bytes, rows: Rows, run_stock: Call, room: float = 1e-4) -> None:
    """Interpreter and engine agree to the bit, and with the float model within `room`."""
    lowered = lower(model, calibration=rows)
    inputs = lowered.quantize(rows)
    exact = Engine().run(lowered.model, inputs)
    np.testing.assert_array_equal(interpret(lowered.model, inputs)["y"], exact["y"])
    np.testing.assert_allclose(lowered.dequantize(exact)["y"], run_stock(model, rows)["y"], rtol=0, atol=room)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), several=st.booleans())
def test_an_imputer_fills_in_what_is_missing(seed: int, several: bool, run_stock: Call) -> None:
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["both"], axis=1),
        _imputer("both", "full", 1.25, -3.7, 0.1) if several else _imputer("both", "full", 2.5),
        helper.make_node("MatMul", ["full", "w"], ["y"]),
    ]
    weights = {"w": np.random.default_rng(seed).uniform(-1, 1, (3, 2)).astype(np.float32)}
    rows = {"a": _rows(seed, 2), "b": _rows(seed + 1, 1) / 1000}
    _same(_model(nodes, {"a": 2, "b": 1}, weights), rows, run_stock)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), scaled=st.booleans())
def test_trees_send_what_is_missing_where_the_float_model_does(
    data: st.DataObject, scaled: bool, run_stock: Call
) -> None:
    """A tree of three branches, of any mode, on either side."""
    modes = [data.draw(st.sampled_from(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])) for _ in range(3)]
    tracks = [data.draw(st.integers(0, 1)) for _ in range(3)]
    attributes: dict[str, Any] = {
        "nodes_treeids": [0] * 7,
        "nodes_nodeids": list(range(7)),
        "nodes_featureids": [0, 1, 0, 0, 0, 0, 0],
        "nodes_modes": [*modes, *["LEAF"] * 4],
        "nodes_values": [3.0, -2.5, 11.0, 0.0, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 3, 5, 0, 0, 0, 0],
        "nodes_falsenodeids": [2, 4, 6, 0, 0, 0, 0],
        "nodes_missing_value_tracks_true": [*tracks, 0, 0, 0, 0],
        "target_treeids": [0] * 4,
        "target_nodeids": [3, 4, 5, 6],
        "target_ids": [0] * 4,
        "target_weights": [1.0, 2.0, 4.0, 8.0],
        "n_targets": 1,
    }
    nodes = [helper.make_node("TreeEnsembleRegressor", ["z"], ["y"], domain="ai.onnx.ml", **attributes)]
    step: tuple[str, dict[str, Any]] = ("Scaler", {"domain": "ai.onnx.ml", "offset": [0.5, -1.0], "scale": [0.5, -2.0]})
    op, extra = step if scaled else ("Identity", {})
    nodes.insert(0, helper.make_node(op, ["x"], ["z"], **extra))
    _same(_model(nodes, {"x": 2}), {"x": _rows(data.draw(st.integers(0, 99)), 2)}, run_stock)


def test_is_nan_asks_what_is_missing(run_stock: Call) -> None:
    nodes = [helper.make_node("IsNaN", ["x"], ["lacks"]), helper.make_node("Cast", ["lacks"], ["y"], to=1)]
    _same(_model(nodes, {"x": 3}), {"x": _rows(0, 3)}, run_stock, 0.0)


def test_invalid_missing_values_where_no_operator_takes_them() -> None:
    model = _model([helper.make_node("Relu", ["x"], ["y"])], {"x": 3})
    with pytest.raises(LoweringError, match=r"Relu.*NaN"):
        lower(model, calibration={"x": _rows(0, 3)})


def test_invalid_missing_values_that_calibration_did_not_have() -> None:
    lowered = lower(_model([_imputer("x", "y", 1.0)], {"x": 3}), calibration={"x": np.ones((4, 3), np.float32)})
    with pytest.raises(LoweringError, match="NaN"):
        lowered.quantize({"x": _rows(0, 3)})
