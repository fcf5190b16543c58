"""Comparisons and what is chosen by them: equal to onnxruntime's on every element, also on the bounds themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper, numpy_helper

from runtime.inference import Engine, interpret
from tools.lowering import OpRefused, lower

ML = "ai.onnx.ml"
EXAMPLES = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
COMPARISONS = ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"]


def equal(
    nodes: list[NodeProto],
    rows: dict[str, np.ndarray],
    kind: int = TensorProto.BOOL,
    constants: dict[str, np.ndarray] | None = None,
) -> None:
    """The exact model's y is the float model's, element by element."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), ["N", *array.shape[1:]])
        for name, array in rows.items()
    ]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    given = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "logic", inputs, outputs, given)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, rows)
    lowered = lower(model, calibration=rows)
    integers = lowered.quantize(rows)
    run = Engine().run(lowered.model, integers)
    np.testing.assert_array_equal(interpret(lowered.model, integers)["y"], run["y"])
    exact = lowered.dequantize(run)["y"]
    assert exact.dtype == expected.dtype
    np.testing.assert_array_equal(exact, expected)


def eighths(random: np.random.Generator, *shape: int) -> np.ndarray:
    values: np.ndarray = (random.integers(-6, 7, shape) / 8).astype(np.float32)
    return values


@EXAMPLES
@given(seed=SEEDS, op=st.sampled_from(COMPARISONS), whole=st.booleans(), flat=st.booleans())
def test_comparisons_of_two_tensors(seed: int, op: str, whole: bool, flat: bool) -> None:
    random = np.random.default_rng(seed)
    shapes = ((9,), (9,)) if flat else ((9, 3, 1), (9, 1, 2))
    x, z = (eighths(random, *shape) for shape in shapes)
    if whole:
        x, z = (x * 8).astype(np.int64), (z * 8).astype(np.int64)
    equal([helper.make_node(op, ["x", "z"], ["y"])], {"x": x, "z": z})


@EXAMPLES
@given(
    seed=SEEDS, op=st.sampled_from(COMPARISONS), first=st.booleans(), shape=st.sampled_from([(), (3,), (1, 3), (2, 1)])
)
def test_comparisons_with_constants(seed: int, op: str, first: bool, shape: tuple[int, ...]) -> None:
    """Constants between the grid's points, beyond the interval, and of more elements than the tensor."""
    random = np.random.default_rng(seed)
    constant = random.choice([0.25, -0.5, 1 / 3, 0.1, 1e6, -1e6], shape or (1,)).astype(np.float32).reshape(shape)
    for width in (3, 1):
        names = ["c", "x"] if first else ["x", "c"]
        equal([helper.make_node(op, names, ["y"])], {"x": eighths(random, 9, 2, width)}, constants={"c": constant})


@EXAMPLES
@given(seed=SEEDS, op=st.sampled_from(["And", "Or", "Xor"]))
def test_connected_answers(seed: int, op: str) -> None:
    random = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Less", ["x", "z"], ["a"]), helper.make_node("Equal", ["x", "z"], ["b"]),
        helper.make_node("Not", ["b"], ["n"]), helper.make_node(op, ["a", "n"], ["y"]),
    ]  # fmt: skip
    equal(nodes, {"x": eighths(random, 9, 3), "z": eighths(random, 9, 3)})


@EXAMPLES
@given(seed=SEEDS, fixed=st.sampled_from([(), ("p",), ("q",), ("p", "q")]), whole=st.booleans())
def test_where_chooses_element_by_element(seed: int, fixed: tuple[str, ...], whole: bool) -> None:
    random = np.random.default_rng(seed)
    rows, constants = {"x": eighths(random, 9, 3)}, {"c": np.array([0.125], np.float32)}
    for name in ("p", "q"):
        values = eighths(random, *((3,) if name in fixed else (9, 3)))
        (constants if name in fixed else rows)[name] = (values * 8).astype(np.int64) if whole else values
    nodes = [helper.make_node("Greater", ["x", "c"], ["a"]), helper.make_node("Where", ["a", "p", "q"], ["y"])]
    equal(nodes, rows, TensorProto.INT64 if whole else TensorProto.FLOAT, constants)


@EXAMPLES
@given(seed=SEEDS, threshold=st.sampled_from([0.0, 0.25, 0.1]))
def test_binarizer(seed: int, threshold: float) -> None:
    node = helper.make_node("Binarizer", ["x"], ["y"], domain=ML, threshold=threshold)
    equal([node], {"x": eighths(np.random.default_rng(seed), 9, 3)}, TensorProto.FLOAT)


@pytest.mark.parametrize("replaced", [0.25, float("nan")])
@pytest.mark.parametrize("values", [[-4.0], [1.0, 2.0, 0.5]])
def test_imputer(replaced: float, values: list[float]) -> None:
    node = helper.make_node(
        "Imputer", ["x"], ["y"], domain=ML, imputed_value_floats=values, replaced_value_float=replaced
    )
    equal([node], {"x": eighths(np.random.default_rng(0), 60, 3)}, TensorProto.FLOAT)


def test_imputer_of_integers() -> None:
    node = helper.make_node("Imputer", ["x"], ["y"], domain=ML, imputed_value_int64s=[7, 8], replaced_value_int64=3)
    equal([node], {"x": np.random.default_rng(0).integers(0, 6, (30, 2))}, TensorProto.INT64)


@pytest.mark.parametrize("shape", [(20,), (20, 2)])
def test_one_hot_encoder_of_integers(shape: tuple[int, ...]) -> None:
    node = helper.make_node("OneHotEncoder", ["x"], ["y"], domain=ML, cats_int64s=[4, 0, 7], zeros=1)
    equal([node], {"x": np.random.default_rng(0).integers(0, 9, shape)}, TensorProto.FLOAT)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (helper.make_node("Imputer", ["x"], ["y"], "last", domain=ML, imputed_value_floats=[1.0, 2.0],
                          replaced_value_float=0.0), "2 imputed values"),
        (helper.make_node("OneHotEncoder", ["x"], ["y"], "last", domain=ML, cats_strings=["a"]), "texts"),
        (helper.make_node("Less", ["x", "c"], ["y"], "last"), "a constant of shape"),
    ],
)  # fmt: skip
def test_invalid_questions_are_refused_by_node(node: Any, reason: str) -> None:
    kind = TensorProto.BOOL if node.op_type == "Less" else TensorProto.FLOAT
    constants = {"c": np.zeros((2, 2, 3), np.float32)} if node.op_type == "Less" else {}
    with pytest.raises(OpRefused, match=reason):
        equal([node], {"x": np.zeros((2, 3), np.float32)}, kind, constants)
