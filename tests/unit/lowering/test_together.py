"""Files that do something for each row, or for their number: read as files of one row, if rows do not mix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtime.inference import Engine
from tools.lowering import LoweringError, check_error, lower

Call = Callable[..., Any]
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node = helper.make_node
TABLE = np.random.default_rng(1).standard_normal((7, 4)).astype(np.float32)
ROWS = np.random.default_rng(0).integers(0, 7, (8, 5))
NUMBERS = {"zero": np.array([0]), "one": np.array([1]), "first": np.array(0), "true": np.array(True)}
COUNTED = [helper.make_tensor_value_info("i", INT64, []), helper.make_tensor_value_info("go", BOOL, [])]


def _ports(*names: str, kind: int = FLOAT) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, kind, None) for name in names]


def _round(nodes: Sequence[onnx.NodeProto], *results: onnx.ValueInfoProto, carried: str = "") -> onnx.GraphProto:
    inputs = [*COUNTED, *(_ports(carried) if carried else [])]
    return helper.make_graph(list(nodes), "body", inputs, list(results))


def _over_rows(body: onnx.GraphProto, outputs: Sequence[str] = ("y",), start: str = "") -> list[onnx.NodeProto]:
    """A Loop of as many rounds as there are rows."""
    inputs = ["rows", "true", start] if start else ["rows", "true"]
    return [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "first"], ["rows"]),
        node("Loop", inputs, list(outputs), body=body),
    ]


BAG = _round(
    [
        node("Identity", ["go"], ["goes"]),
        node("Gather", ["x", "i"], ["row"]),
        node("Gather", ["table", "row"], ["found"]),
        node("ReduceMax", ["found"], ["most"], axes=[0], keepdims=0),
    ],
    *_ports("goes", kind=BOOL),
    *_ports("most"),
)


def test_a_bag_of_embeddings_for_each_row(model_of: Call, run_stock: Call) -> None:
    """As nn.EmbeddingBag comes from PyTorch's older exporter."""
    model = model_of(_over_rows(BAG), {"x": ["N", 5]}, ["y"], {**NUMBERS, "table": TABLE}, dtype=INT64)
    lowered = lower(model.SerializeToString(), calibration={"x": ROWS})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": ROWS})))["y"]
    np.testing.assert_allclose(found, run_stock(model.SerializeToString(), {"x": ROWS})["y"], atol=1e-4)


def test_a_list_that_a_loop_of_unknown_length_fills(model_of: Call, run_stock: Call) -> None:
    """As it comes from PyTorch's newer exporter: a counter that is carried, and a condition on it."""
    nodes = [
        node("Gather", ["x", "at"], ["row"], axis=0),
        node("Gather", ["table", "row"], ["found"]),
        node("ReduceMean", ["found"], ["mean"], axes=[0], keepdims=1),
        node("SequenceInsert", ["list", "mean"], ["longer"]),
        node("Add", ["at", "step"], ["next"]),
        node("Less", ["next", "rows"], ["goes"]),
    ]
    inputs = [*COUNTED, helper.make_tensor_value_info("at", INT64, [])]
    many = helper.make_tensor_sequence_value_info("list", FLOAT, None)
    longer = helper.make_tensor_sequence_value_info("longer", FLOAT, None)
    results = [*_ports("goes", kind=BOOL), *_ports("next", kind=INT64), longer]
    body = helper.make_graph(nodes, "body", [*inputs, many], results)
    around = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "first"], ["rows"]),
        node("Less", ["first", "rows"], ["begins"]),
        node("SequenceEmpty", [], ["empty"]),
        node("Loop", ["", "begins", "first", "empty"], ["end", "all"], body=body),
        node("ConcatFromSequence", ["all"], ["y"], axis=0),
    ]
    constants = {**NUMBERS, "step": np.array(1), "table": TABLE}
    model = model_of(around, {"x": ["N", 5]}, ["y"], constants, dtype=INT64)
    lowered = lower(model.SerializeToString(), calibration={"x": ROWS})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": ROWS})))["y"]
    np.testing.assert_allclose(found, run_stock(model.SerializeToString(), {"x": ROWS})["y"], atol=1e-4)


def _summing() -> onnx.GraphProto:
    """Each round adds to what the one before made."""
    nodes = [
        node("Identity", ["go"], ["goes"]),
        node("Gather", ["x", "i"], ["row"]),
        node("Add", ["h", "row"], ["next"]),
        node("Identity", ["next"], ["way"]),
    ]
    return _round(nodes, *_ports("goes", kind=BOOL), *_ports("next", "way"), carried="h")


@pytest.mark.parametrize("output", ["end", "y"])
def test_invalid_rows_that_build_on_each_other(output: str, model_of: Call) -> None:
    model = model_of(
        _over_rows(_summing(), ("end", "y"), "start"),
        {"x": ["N", 3]},
        [output],
        {**NUMBERS, "start": np.zeros(3, np.float32)},
    )
    rows = np.random.default_rng(3).standard_normal((6, 3)).astype(np.float32)
    with pytest.raises(LoweringError, match=r"rows influence each other.*INPUT=1"):
        lower(model.SerializeToString(), calibration={"x": rows})
    alone = lower(model.SerializeToString(), calibration={"x": rows}, shapes={"x": (1, 3)})
    check_error(alone.report, 1e-4)
