"""Inputs that are texts: a graph takes their place among the texts that the file knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtime.inference import Engine
from tools.lowering import LoweringError, lower

TOWNS = ["Bern", "Graz", "Köln"]
SIZES = ["large", "small"]
Rows = dict[str, np.ndarray]


def _texts(*items: str) -> np.ndarray:
    return np.array(items, object).reshape(-1, 1)


def _model(nodes: Sequence[onnx.NodeProto], outputs: dict[str, int]) -> bytes:
    """Two inputs of texts, one of numbers."""
    kinds = {"town": TensorProto.STRING, "size": TensorProto.STRING, "age": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(name, kind, ["N", 1]) for name, kind in kinds.items()]
    made = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    graph = helper.make_graph(list(nodes), "texts", inputs, made)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _ml(op: str, inputs: list[str], outputs: list[str], **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, domain="ai.onnx.ml", **attributes)  # type: ignore[arg-type]  # any attribute


ENCODED = _model(
    [
        _ml("OneHotEncoder", ["town"], ["hot"], cats_strings=TOWNS, zeros=1),
        helper.make_node("Flatten", ["hot"], ["a"]),
        helper.make_node("Concat", ["town", "size"], ["both"], axis=1),
        helper.make_node("Slice", ["both", "one", "two", "one"], ["second"]),
        _ml("LabelEncoder", ["second"], ["b"], keys_strings=SIZES, values_floats=[2.5, -1.5], default_float=0.25),
        _ml("LabelEncoder", ["size"], ["kind"], keys_strings=SIZES, values_int64s=[7, 3], default_int64=-1),
        helper.make_node("Cast", ["kind"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["a", "b", "c", "age"], ["y"], axis=1),
    ],
    {"y": TensorProto.FLOAT, "kind": TensorProto.INT64},
)
_PROTO = onnx.ModelProto.FromString(ENCODED)
_PROTO.graph.initializer.extend(
    onnx.numpy_helper.from_array(np.array([value]), name) for name, value in (("one", 1), ("two", 2))
)
ENCODED = bytes(_PROTO.SerializeToString())
SEEN: Rows = {
    "town": _texts("Bern", "Graz", "Rome"),
    "size": _texts("small", "large", "small"),
    "age": np.array([[1], [2.5], [-3]], np.float32),
}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*TOWNS, "Rome", ""]), st.sampled_from([*SIZES, "tiny"])), min_size=1))
def test_texts_are_what_the_float_model_makes_of_them(items: list[tuple[str, str]]) -> None:
    lowered = lower(ENCODED, calibration=SEEN)
    towns, sizes = (np.array([item[place] for item in items], object) for place in (0, 1))
    rows = {
        "town": towns.reshape(-1, 1), "size": sizes.reshape(-1, 1), "age": np.full((len(items), 1), 1.5, np.float32)
    }  # fmt: skip
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))
    kinds = [{"large": 7, "small": 3}.get(size, -1) for size in sizes]
    floats = [{"large": 2.5, "small": -1.5}.get(size, 0.25) for size in sizes]
    hot = [[town == known for known in TOWNS] for town in towns]
    expected = np.column_stack([np.array(hot, np.float32), floats, kinds, np.full(len(items), 1.5)])
    np.testing.assert_array_equal(found["y"], expected)
    np.testing.assert_array_equal(found["kind"].reshape(-1), kinds)


def test_the_report_says_what_the_numbers_stand_for() -> None:
    report = lower(ENCODED, calibration=SEEN).report
    assert any("0 for 'Bern', 1 for 'Graz'" in note and "5 for any other" in note for note in report.notes)
    assert report.agreement == 1.0


def test_without_calibration_every_known_text_is_tried() -> None:
    assert lower(ENCODED).report.agreement == 1.0


@pytest.mark.parametrize("wrong", [np.array([[1.0]]), np.array([[b"Bern"]], object), np.array([[None]], object)])
def test_invalid_rows_that_are_no_texts(wrong: np.ndarray) -> None:
    rows = {"town": wrong, "size": _texts("small"), "age": np.ones((1, 1), np.float32)}
    with pytest.raises(LoweringError, match="texts are needed"):
        lower(ENCODED, calibration=SEEN).quantize(rows)
    with pytest.raises(LoweringError, match="texts are needed"):
        lower(ENCODED, calibration=rows)


def test_invalid_texts_that_nothing_looks_for() -> None:
    nodes = [helper.make_node("Identity", [name], [f"{name}/same"]) for name in ("town", "size", "age")]
    model = _model(nodes, {"town/same": TensorProto.STRING, "age/same": TensorProto.FLOAT})
    with pytest.raises(LoweringError, match="it takes texts, which have no exact form"):
        lower(model)


def test_invalid_numbers_made_of_texts() -> None:
    nodes = [
        _ml("OneHotEncoder", ["town"], ["hot"], cats_strings=TOWNS),
        helper.make_node("Cast", ["size"], ["y"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(LoweringError, match="Cast"):
        lower(_model(nodes, {"hot": TensorProto.FLOAT, "y": TensorProto.FLOAT}))
