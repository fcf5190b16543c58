"""Files that name an opset below those that are read: taken where their few operators meant the same then."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtime.inference import Engine
from tools.lowering import ModelRefused, lower


def _model(opset: int, *nodes: onnx.NodeProto) -> bytes:
    scaler = helper.make_node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", scale=[2.0], offset=[1.0])
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("x", "y")]
    graph = helper.make_graph([scaler, *nodes], "old", ports[:1], ports[1:])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@pytest.mark.parametrize("opset", [1, 5])
def test_operators_that_never_changed_may_be_of_any_opset(opset: int) -> None:
    model = _model(opset, helper.make_node("Identity", ["s"], ["y"]))
    rows = {"x": np.array([[1, 2, 3.5]], np.float32)}
    lowered = lower(model, calibration=rows)
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    np.testing.assert_array_equal(found, np.array([[0, 2, 5]], np.float32))


def test_invalid_opsets_of_operators_that_did() -> None:
    model = _model(1, helper.make_node("Identity", ["s"], ["z"]), helper.make_node("Relu", ["z"], ["y"]))
    with pytest.raises(ModelRefused, match="opset 1 is not supported"):
        lower(model)
