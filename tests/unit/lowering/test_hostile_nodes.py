"""Random nodes of every operator, with attributes and constants that may mean nothing: lowered or refused by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference.verifier import verify
from tools.lowering import LoweringError, lower
from tools.lowering.bodies import BODIES
from tools.lowering.ops import HANDLERS

Call = Callable[..., Any]
INTEGERS = st.sampled_from([-(2**62), -7, -3, -2, -1, 0, 1, 2, 3, 5, 2**31, 2**62])
NUMBERS = st.sampled_from([-1e30, -2.5, -1.0, 0.0, 1e-30, 1e-5, 0.25, 0.5, 1.0, 2.0, 3.0, 1e30])
TEXTS = st.sampled_from(
    ["", "constant", "edge", "reflect", "wrap", "SAME_UPPER", "SAME_LOWER", "VALID", "CRD", "linear"]
)
KINDS = {
    onnx.defs.OpSchema.AttrType.INT: INTEGERS,
    onnx.defs.OpSchema.AttrType.FLOAT: NUMBERS,
    onnx.defs.OpSchema.AttrType.STRING: TEXTS,
    onnx.defs.OpSchema.AttrType.INTS: st.lists(INTEGERS, max_size=6),
    onnx.defs.OpSchema.AttrType.FLOATS: st.lists(NUMBERS, max_size=4),
}
SHAPES = st.lists(st.integers(1, 4), max_size=3)
OPS = sorted(name for name in HANDLERS if onnx.defs.has(name))


def constant(data: st.DataObject) -> np.ndarray:
    shape = data.draw(SHAPES)
    if data.draw(st.booleans()):
        return np.array([data.draw(INTEGERS) for _ in range(data.draw(st.integers(0, 5)))], np.int64)
    values = np.random.default_rng(data.draw(st.integers(0, 9))).standard_normal(shape)
    return (values * data.draw(NUMBERS)).astype(np.float32)


def node_of(data: st.DataObject, op: str, opset: int, names: list[str]) -> onnx.NodeProto:
    schema = onnx.defs.get_schema(op, opset)
    kept = [name for name, attribute in schema.attributes.items() if attribute.required or data.draw(st.booleans())]
    attributes = {
        name: data.draw(KINDS[schema.attributes[name].type]) for name in kept if schema.attributes[name].type in KINDS
    }
    least = max(1, schema.min_input)
    count = data.draw(st.integers(least, max(least, min(schema.max_input, 5))))
    inputs = ["x", *(data.draw(st.sampled_from(names)) for _ in range(count - 1))]
    outputs = ["y", *(f"y{place}" for place in range(1, data.draw(st.integers(1, 2)) if schema.max_output > 1 else 1))]
    node = helper.make_node(op, inputs, outputs, "p")
    for name, value in attributes.items():
        node.attribute.append(helper.make_attribute(name, value, attr_type=int(schema.attributes[name].type)))
    return node


@pytest.mark.parametrize("op", OPS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_node_is_lowered_or_refused(op: str, data: st.DataObject, model_of: Call) -> None:
    opset = data.draw(st.sampled_from([11, 13, 17, 21, 23]))
    try:
        schema = onnx.defs.get_schema(op, opset)
    except onnx.defs.SchemaError:
        return
    if schema.deprecated:
        return
    constants = {f"c{place}": constant(data) for place in range(3)}
    node = node_of(data, op, opset, ["x", "z", "", *constants])
    constants = {name: array for name, array in constants.items() if name in node.input}
    inputs = {"x": ["N", *data.draw(SHAPES)], "z": ["N", *data.draw(SHAPES)]}
    model = model_of([node], inputs, ["y"], constants, opset=opset).SerializeToString()
    lowered_or_refused(data, model, inputs)


def lowered_or_refused(data: st.DataObject, model: bytes, inputs: dict[str, list[Any]]) -> None:
    rows = {name: np.ones((2, *shape[1:]), np.float32) for name, shape in inputs.items()}
    with contextlib.suppress(LoweringError):
        verify(lower(model, calibration=rows if data.draw(st.booleans()) else None).model)


NAMES = ("activation", "alpha", "axis", "group", "kernel_shape", "mode", "num_heads", "onesided", "pads", "transA")


@pytest.mark.parametrize("op", sorted(BODIES))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_node_that_has_a_body_is_lowered_or_refused(
    op: tuple[str, str], data: st.DataObject, model_of: Call
) -> None:
    constants = {f"c{place}": constant(data) for place in range(3)}
    constants["c3"] = np.random.default_rng(1).integers(0, 9, data.draw(SHAPES)).astype(np.int8)
    names = st.sampled_from(["x", "z", "", *constants])
    inputs = ["x", *(data.draw(names) for _ in range(data.draw(st.integers(0, 11))))]
    node = helper.make_node(op[1], inputs, ["y", "v", "w"][: data.draw(st.integers(1, 3))], "p", domain=op[0])
    for name in data.draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4)):
        node.attribute.append(helper.make_attribute(name, data.draw(st.one_of(INTEGERS, NUMBERS, TEXTS))))
    constants = {name: array for name, array in constants.items() if name in inputs}
    shapes = {"x": ["N", *data.draw(SHAPES)], "z": ["N", *data.draw(SHAPES)]}
    model = model_of([node], shapes, ["y"], constants, opset=data.draw(st.sampled_from([13, 17, 21])))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    lowered_or_refused(data, model.SerializeToString(), shapes)
