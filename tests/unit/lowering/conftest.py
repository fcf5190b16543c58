"""Small float models for the lowering's tests, and the comparison of an exact model with onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.inference.engine import Engine
from runtime.inference.interpreter import interpret
from tools.lowering import Lowered, lower

Shapes = Mapping[str, Sequence[int | str]]


def build_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Shapes,
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    integers: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model proto; `integers` names the outputs that are int64. Output shapes are left open."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.INT64 if name in integers else TensorProto.FLOAT, None)
            for name in outputs
        ],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run_float(model: bytes, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(rows)), strict=True))


def check_close(proto: onnx.ModelProto, rows: Mapping[str, np.ndarray], **options: Any) -> Lowered:
    """Lowers with the rows as calibration; the exact outputs must be within the report's own bound of float32's (whose
    own rounding gets a little room), equal where they are integers, and the interpreter's to the bit."""
    model = proto.SerializeToString()
    lowered = lower(model, calibration=rows, **options)
    inputs = lowered.quantize(rows)
    exact = Engine().run(lowered.model, inputs)
    for name, array in interpret(lowered.model, inputs).items():
        np.testing.assert_array_equal(array, exact[name])
    found, expected = lowered.dequantize(exact), run_float(model, rows)
    assert set(found) == set(expected)
    bounds = {output.name: output.error_bound for output in lowered.report.outputs}
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        bound = bounds[name]
        if bound is None:
            np.testing.assert_array_equal(found[name], array)
            continue
        room = 2e-6 * (1 + float(np.abs(array).max()))
        assert bound <= 2e-3 * (1 + float(np.abs(array).max()))
        assert float(np.abs(found[name].astype(np.float64) - array).max()) <= bound + room
    return lowered


@pytest.fixture(scope="session")
def model_of() -> Callable[..., onnx.ModelProto]:
    return build_model


@pytest.fixture(scope="session")
def close() -> Callable[..., Lowered]:
    return check_close


@pytest.fixture(scope="session")
def run_stock() -> Callable[..., dict[str, np.ndarray]]:
    return run_float
