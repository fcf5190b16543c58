"""Functions become their bodies: those that a file defines, and those by which the standard defines its operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtime.inference.engine import Engine
from tools.lowering import ModelRefused, OpRefused, lower
from tools.lowering.inline import inlined

Call = Callable[..., Any]
OPSET = [helper.make_opsetid("", 17)]


def values(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * 2).astype(np.float32)


def function(name: str, nodes: list[onnx.NodeProto], **attributes: Any) -> onnx.FunctionProto:
    defaults = [helper.make_attribute(key, value) for key, value in attributes.items()]
    imports = [*OPSET, helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, ["a", "b"], ["c"], nodes, imports, attribute_protos=defaults)


def leaky(name: str) -> onnx.NodeProto:
    node = helper.make_node("LeakyRelu", ["t"], ["c"])
    node.attribute.append(onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name=name))
    return node


def test_local_functions_call_each_other_with_attributes(model_of: Call, close: Call) -> None:
    inner = function("Leaky", [helper.make_node("Add", ["a", "b"], ["t"]), leaky("slope")], slope=0.5)
    call = helper.make_node("Leaky", ["a", "a"], ["t"], domain="mine")
    outer = function("Twice", [call, helper.make_node("Mul", ["t", "b"], ["c"])])
    nodes = [
        helper.make_node("Twice", ["x", "w"], ["m"], domain="mine"),
        helper.make_node("Leaky", ["m", "x"], ["y"], domain="mine", slope=0.125),
    ]
    model = model_of(nodes, {"x": ["N", 3]}, ["y"], {"w": values(1, 3)})
    model.functions.extend([inner, outer])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    close(model, {"x": values(2, 5, 3)})


def test_operators_that_the_standard_defines_by_others(model_of: Call) -> None:
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[2])
    model, x = model_of([node], {"x": ["N", 2, 6]}, ["y"], opset=18), values(3, 4, 2, 6)
    lowered = lower(model.SerializeToString(), calibration={"x": x})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": x})))["y"]
    expected = (x - x.mean(axis=2, keepdims=True)) / x.std(axis=2, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_an_unused_function_is_nothing(model_of: Call, close: Call) -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ["N", 3]}, ["y"])
    model.functions.append(function("Unused", [helper.make_node("Add", ["a", "b"], ["c"])]))
    assert close(model, {"x": values(1, 4, 3)}).report.nodes == 1


def test_names_of_a_body_do_not_meet_the_file_s(model_of: Call) -> None:
    body = function("F", [helper.make_node("Add", ["a", "b"], ["t"]), helper.make_node("Relu", ["t"], ["c"])])
    nodes = [
        helper.make_node("Relu", ["x"], ["y/t"]),
        helper.make_node("F", ["y/t", "x"], ["t"], domain="mine"),
        helper.make_node("F", ["t", "x"], ["y"], domain="mine"),
    ]
    model = model_of(nodes, {"x": ["N", 3]}, ["y"])
    model.functions.append(body)
    flat = inlined(model, {"Add", "Relu"})
    outputs = [name for node in flat.graph.node for name in node.output]
    assert len(outputs) == len(set(outputs)) == 5
    assert not flat.functions


@pytest.mark.parametrize("depth", [1, 2])
def test_invalid_functions_without_end(depth: int, model_of: Call) -> None:
    call = helper.make_node("F", ["a", "b"], ["t"], domain="mine")
    nodes = [call, helper.make_node("F", ["t", "b"], ["c"], domain="mine")] if depth == 2 else [call, leaky("none")]
    model = model_of([helper.make_node("F", ["x", "x"], ["y"], domain="mine")], {"x": ["N", 3]}, ["y"])
    model.functions.append(function("F", nodes))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    with pytest.raises(ModelRefused, match=r"deep|hold more than"):
        lower(model.SerializeToString())


def test_invalid_functions_of_one_name_and_of_another_opset(model_of: Call) -> None:
    body = function("F", [helper.make_node("Add", ["a", "b"], ["c"])])
    model = model_of([helper.make_node("F", ["x", "x"], ["y"], domain="mine")], {"x": ["N", 3]}, ["y"])
    model.functions.extend([body, body])
    with pytest.raises(ModelRefused, match="one name"):
        lower(model.SerializeToString())
    old = function("F", [helper.make_node("ReduceSum", ["a"], ["c"], axes=[1])])
    old.opset_import[0].version = 11
    del model.functions[:]
    model.functions.append(old)
    with pytest.raises(ModelRefused, match="opset 11"):
        lower(model.SerializeToString())


def test_invalid_call_with_too_many_operands(model_of: Call) -> None:
    model = model_of([helper.make_node("F", ["x"] * 3, ["y"], domain="mine")], {"x": ["N", 3]}, ["y"])
    model.functions.append(function("F", [helper.make_node("Add", ["a", "b"], ["c"])]))
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    with pytest.raises(ModelRefused, match="more operands"):
        lower(model.SerializeToString())


@pytest.mark.parametrize("axis", [1 << 31, -(1 << 31), (1 << 32) + 1, 1 << 62, -(1 << 63)])
@pytest.mark.parametrize("op", ["LayerNormalization", "RMSNormalization", "LogSoftmax"])
def test_invalid_axis_beyond_32_bits_ends_no_process(model_of: Call, op: str, axis: int) -> None:
    """onnx infers shapes with a 32-bit axis: 2**31 is then far before the first dimension."""
    scale = {"w": np.ones(4, np.float32)} if op != "LogSoftmax" else {}
    model = model_of(
        [helper.make_node(op, ["x", *scale], ["y"], "p", axis=axis)], {"x": ["N", 4]}, ["y"], scale, opset=23
    )
    with pytest.raises(OpRefused, match="axis"):
        lower(model.SerializeToString())
