"""Each fold of constants gives what onnx's own reference evaluator gives."""

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from tools.lowering.errors import OpRefused
from tools.lowering.fold_numeric import NUMERIC
from tools.lowering.source import Node

FLOATS = (np.random.default_rng(5).normal(0, 2, (3, 4)) + 0.01).astype(np.float32)
ABOVE = np.abs(FLOATS) + np.float32(0.5)
TRUTHS = FLOATS > 0
NUMBERS = np.array([[7, -7, 9], [-4, 12, 5]], np.int64)
PLACE = np.array(1, np.int64)
FIRST = np.array([1], np.int64)
REDUCED = ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
CASES = [
    *[(op, [FLOATS], {}) for op in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Reciprocal", "Relu", "Round",
                                    "Sigmoid", "Sign", "Sin", "Tanh", "Trilu", "ArgMax", "ArgMin")],
    *[(op, [FLOATS], {}) for op in ("Atan", "Softplus", "Tan")],
    *[(op, [np.linspace(-1, 1, 9, dtype=np.float32)], {}) for op in ("Acos", "Asin")],
    ("Pow", [ABOVE, np.float32(-3)], {}),
    *[(op, [FLOATS, ABOVE[:1]], {}) for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")],
    *[(op, [FLOATS, ABOVE[:1]], {}) for op in ("Max", "Min", "Sum")],
    *[(op, [TRUTHS, TRUTHS[:, :1]], {}) for op in ("And", "Or", "Xor")],
    ("Not", [TRUTHS], {}),
    ("Log", [ABOVE], {}),
    ("Pow", [ABOVE, np.float32(1.5)], {}),
    ("Pow", [NUMBERS, np.int64(2)], {}),
    ("Mod", [NUMBERS, np.array([3, -3, 4], np.int64)], {}),
    ("Mod", [FLOATS, ABOVE], {"fmod": 1}),
    ("Max", [FLOATS, ABOVE, -ABOVE], {}),
    ("Clip", [FLOATS, np.float32(-1), np.float32(1)], {}),
    ("Clip", [FLOATS, np.float32(-1)], {}),
    ("CumSum", [FLOATS, PLACE], {}),
    ("Tile", [NUMBERS, np.array([2, 1], np.int64)], {}),
    ("Trilu", [FLOATS, PLACE], {"upper": 0}),
    ("MatMul", [FLOATS, ABOVE.T], {}),
    ("CastLike", [FLOATS, NUMBERS], {}),
    ("ArgMax", [FLOATS], {"axis": 1, "keepdims": 0}),
    *[(f"Reduce{name}", [FLOATS, FIRST], {"keepdims": 0}) for name in REDUCED],
    *[(f"Reduce{name}", [FLOATS], {}) for name in REDUCED],
    ("ReduceSum", [FLOATS], {"noop_with_empty_axes": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "attributes"), CASES)
def test_a_fold_is_what_the_reference_evaluator_says(op, inputs, attributes):
    names = [f"x{place}" for place in range(len(inputs))]
    ports = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, inputs, strict=True)
    ]
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph([node], "g", ports, [onnx.ValueInfoProto(name="y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    (expected,) = ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))
    found = NUMERIC[op](Node(op, "", 0, tuple(names), ("y",), attributes), [np.asarray(each) for each in inputs])
    assert found.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)


def test_every_fold_has_a_case():
    assert {op for op, _, _ in CASES} == set(NUMERIC)


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        ("Tile", [FLOATS, np.array([1 << 20, 1 << 20], np.int64)]),
        ("Sum", [np.ones((1 << 14, 1)), np.ones((1, 1 << 14))]),
        ("MatMul", [np.ones((1 << 14, 1)), np.ones((1, 1 << 14))]),
    ],
)
def test_invalid_a_fold_that_would_be_huge_is_refused_before_it_is_made(op, inputs):
    with pytest.raises(OpRefused, match="too large"):
        NUMERIC[op](Node(op, "", 0, ("a", "b"), ("y",), {}), inputs)
