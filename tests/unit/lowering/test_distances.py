"""Distances of rows from constant rows, as an operator and as neighbours are exported; outputs that are lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine
from tools.lowering import OpRefused, lower


def model_of(nodes: list[Any], constants: dict[str, np.ndarray], width: int, domains: dict[str, int]) -> bytes:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    opsets = [helper.make_opsetid(domain, version) for domain, version in {"": 17, **domains}.items()]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def cdist(rows: np.ndarray, metric: str) -> bytes:
    node = helper.make_node("CDist", ["x", "rows"], ["y"], "far", domain="com.microsoft", metric=metric)
    return model_of([node], {"rows": rows.astype(np.float32)}, rows.shape[1], {"com.microsoft": 1})


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(1, 20),
    count=st.integers(1, 12),
    metric=st.sampled_from(["euclidean", "sqeuclidean"]),
    power=st.integers(-6, 12),
)
def test_distances_are_those_of_reals_and_0_from_equal_rows(
    seed: int, width: int, count: int, metric: str, power: int
) -> None:
    random = np.random.default_rng(seed)
    rows = (random.normal(0, 1, (count, width)) * 2.0**power).astype(np.float32)
    given = np.concatenate([rows, (random.normal(0, 1, (40, width)) * 2.0**power).astype(np.float32)])
    lowered = lower(cdist(rows, metric), calibration={"x": given})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": given})))["y"]
    squared = ((given[:, np.newaxis].astype(np.float64) - rows) ** 2).sum(axis=2)
    expected = squared if metric == "sqeuclidean" else np.sqrt(squared)
    assert np.abs(found - expected).max() <= 1e-4 * (1 + np.abs(expected).max())
    assert (np.diag(found[:count]) == 0).all()


def test_rows_less_constant_ones_squared_and_summed_are_one_product(run_stock: Any) -> None:
    random = np.random.default_rng(1)
    rows = random.normal(0, 1, (1, 7, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Unsqueeze", ["x", "one"], ["apart"]),
        helper.make_node("Sub", ["rows", "apart"], ["less"]),
        helper.make_node("ReduceSumSquare", ["less"], ["y"], axes=[2], keepdims=0),
    ]
    model = model_of(nodes, {"rows": rows, "one": np.array([1])}, 4, {})
    given = {"x": random.normal(0, 1, (30, 4)).astype(np.float32)}
    lowered = lower(model, calibration=given)
    assert [type(node).__name__ for node in lowered.graph.nodes].count("Gemm") == 1
    assert "Sub" not in {type(node).__name__ for node in lowered.graph.nodes}
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(given)))["y"]
    assert np.abs(found - run_stock(model, given)["y"]).max() <= 1e-4


def test_invalid_a_metric_without_an_exact_form_is_named() -> None:
    with pytest.raises(OpRefused, match="metric cosine is not supported"):
        lower(cdist(np.ones((2, 3)), "cosine"))


def test_an_output_that_is_a_list_of_tensors_becomes_its_members(run_stock: Any) -> None:
    """As a classifier of several targets is exported: the probabilities of each."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["first"]),
        helper.make_node("Sigmoid", ["x"], ["second"]),
        helper.make_node("SequenceConstruct", ["first", "second"], ["all"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])]
    outputs = [helper.make_tensor_sequence_value_info("all", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    given = {"x": np.random.default_rng(2).normal(0, 1, (20, 3)).astype(np.float32)}
    lowered = lower(model, calibration=given)
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(given)))
    expected = run_stock(model, given)["all"]
    assert list(found) == ["first", "second"]
    for array, wanted in zip(found.values(), expected, strict=True):
        assert np.abs(array - wanted).max() <= 1e-4
