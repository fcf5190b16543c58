"""Tables looked up at several places a row, and batches put one behind another: scikit-learn's neighbours and bags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine
from tools.lowering import lower

Call = Callable[..., Any]
ROWS = np.random.default_rng(0).uniform(-3, 3, (12, 6)).astype(np.float32)


def _model(nodes: Sequence[onnx.NodeProto], kind: int, constants: Mapping[str, np.ndarray]) -> bytes:
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])]
    graph = helper.make_graph(list(nodes), "g", ports, [helper.make_tensor_value_info("y", kind, None)], stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _found(op: str, inputs: list[str], made: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [made], domain="ai.onnx.ml", **attributes)


NEAREST = [
    helper.make_node("TopK", ["x", "k"], ["values", "places"], axis=1),
    helper.make_node("Flatten", ["places"], ["flat"]),
    _found("ArrayFeatureExtractor", ["table", "flat"], "found"),
]


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_a_table_of_numbers_at_several_places_a_row(kind: type, run_stock: Call) -> None:
    table: np.ndarray = np.array([4, -1, 2, 9, 0, 7], kind)
    nodes = [*NEAREST, helper.make_node("Reshape", ["found", "shape"], ["y"])]
    constants = {"table": table, "k": np.array([3]), "shape": np.array([-1, 3])}
    model = _model(nodes, TensorProto.FLOAT if kind is np.float32 else TensorProto.INT64, constants)
    _equal(model, run_stock)


def test_a_table_of_several_targets_at_several_places_a_row(run_stock: Call) -> None:
    table = np.arange(12, dtype=np.float32).reshape(2, 6)
    nodes = [
        *NEAREST,
        helper.make_node("Reshape", ["found", "shape"], ["apart"]),
        helper.make_node("Transpose", ["apart"], ["y"], perm=[1, 0, 2]),
    ]
    constants = {"table": table, "k": np.array([3]), "shape": np.array([2, -1, 3])}
    _equal(_model(nodes, TensorProto.FLOAT, constants), run_stock)


def test_names_of_classes_may_be_an_output_with_the_batch_second(run_stock: Call) -> None:
    nodes = [
        helper.make_node("ArgMax", ["x"], ["place"], axis=1, keepdims=0),
        _found("ArrayFeatureExtractor", ["names", "place"], "y"),
    ]
    model = _model(nodes, TensorProto.STRING, {"names": np.array(list("abcdef"), object)})
    _equal(model, run_stock)


def test_batches_one_behind_another_are_rows_again(run_stock: Call) -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["less"]),
        helper.make_node("Concat", ["x", "less"], ["both"], axis=0),
        helper.make_node("Reshape", ["both", "shape"], ["apart"]),
        helper.make_node("Transpose", ["apart"], ["y"], perm=[1, 0, 2]),
    ]
    _equal(_model(nodes, TensorProto.FLOAT, {"shape": np.array([2, -1, 6])}), run_stock)


def _equal(model: bytes, run_stock: Call) -> None:
    lowered = lower(model, calibration={"x": ROWS})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": ROWS})))["y"]
    expected = run_stock(model, {"x": ROWS})["y"]
    assert found.shape == expected.shape
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=0, atol=2.0**-16)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("sizes", [(50, 80, 6), (3, 2, 90)])
def test_columns_of_one_input_are_places_in_tables_of_their_own_sizes(
    sizes: tuple[int, ...], model_of: Call, close: Call
) -> None:
    """Entity embeddings of a table: each column has as many categories as it has."""
    nodes, constants = [], {}
    for column, size in enumerate(sizes):
        constants[f"i{column}"] = np.array(column)
        constants[f"t{column}"] = np.random.default_rng(column).standard_normal((size, 2)).astype(np.float32)
        nodes.append(helper.make_node("Gather", ["x", f"i{column}"], [f"c{column}"], axis=1))
        nodes.append(helper.make_node("Gather", [f"t{column}", f"c{column}"], [f"e{column}"]))
    nodes.append(helper.make_node("Concat", [f"e{column}" for column in range(len(sizes))], ["y"], axis=1))
    rows = np.stack([np.random.default_rng(9).integers(0, size, 40) for size in sizes], axis=1)
    rows[0] = np.array(sizes) - 1
    close(model_of(nodes, {"x": ["N", len(sizes)]}, ["y"], constants, dtype=TensorProto.INT64), {"x": rows})


@pytest.mark.parametrize("first", [True, False])
def test_a_token_of_their_own_is_put_beside_the_rows_tokens(first: bool, model_of: Call, close: Call) -> None:
    """torch.cat([cls, ids], 1) in front of an embedding: whole numbers, of which some are the same in every row."""
    both = ["cls/rows", "x"] if first else ["x", "cls/rows"]
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["rows"]),
        helper.make_node("Concat", ["rows", "one"], ["sizes"], axis=0),
        helper.make_node("Expand", ["cls", "sizes"], ["cls/rows"]),
        helper.make_node("Concat", both, ["ids"], axis=1),
        helper.make_node("Gather", ["table", "ids"], ["y"]),
    ]
    table = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    constants = {"zero": np.array([0]), "one": np.array([1]), "cls": np.array([[8]]), "table": table}
    rows = np.random.default_rng(1).integers(0, 8, (6, 4))
    close(model_of(nodes, {"x": ["N", 4]}, ["y"], constants, dtype=TensorProto.INT64), {"x": rows})
