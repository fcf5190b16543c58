"""Constant parts are computed once, dead ones dropped, neighbours merged; and nothing constant can blow up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tools.lowering import LoweringError, lower

Call = Callable[..., Any]
RNG = np.random.default_rng(11)
ROWS = {"x": RNG.standard_normal((5, 6)).astype(np.float32)}
WEIGHTS = RNG.standard_normal((3, 6)).astype(np.float32)


def test_weights_behind_constant_nodes(model_of: Call, close: Call) -> None:
    """As exporters write them: transposed, scaled, squeezed and glued together from constants."""
    nodes = [
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Constant", [], ["part"], value=numpy_helper.from_array(WEIGHTS[None])),
        helper.make_node("Squeeze", ["part", "zero"], ["flat"]),
        helper.make_node("Concat", ["flat", "flat"], ["both"], axis=0),
        helper.make_node("Transpose", ["both"], ["turned"], perm=[1, 0]),
        helper.make_node("Mul", ["turned", "half"], ["w"]),
        helper.make_node("Cast", ["sizes"], ["shape"], to=TensorProto.INT64),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "shape"], ["y"]),
    ]
    constants = {"zero": np.array([0], np.int64), "sizes": np.array([0, 2, 3], np.int32)}
    lowered = close(model_of(nodes, {"x": ["N", 6]}, ["y"], constants), ROWS)
    assert [layer.where for layer in lowered.report.layers] == ["MatMul (node 7)", "Reshape (node 8)"]


def test_dead_nodes_and_constants_leave_no_trace(model_of: Call) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    alone = lower(model_of(nodes, {"x": ["N", 6]}, ["y"], {"w": WEIGHTS.T}).SerializeToString())
    dead = [helper.make_node("Relu", ["y"], ["z"]), helper.make_node("Sin", ["z"], ["never"])]
    constants = {"w": WEIGHTS.T, "unused": WEIGHTS}
    both = lower(model_of([*nodes, *dead], {"x": ["N", 6]}, ["y"], constants).SerializeToString())
    assert (both.graph.nodes, both.graph.constants) == (alone.graph.nodes, alone.graph.constants)


def test_a_product_that_others_read_is_not_merged_away(model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
        helper.make_node("Relu", ["m"], ["z"]),
    ]
    constants = {"w": WEIGHTS.T, "b": np.ones(3, np.float32)}
    lowered = close(model_of(nodes, {"x": ["N", 6]}, ["y", "z"], constants), ROWS)
    assert len(lowered.report.layers) == 3


def test_a_bias_that_adds_a_dimension_is_not_merged(model_of: Call, close: Call) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    model = model_of(nodes, {"x": ["N", 6]}, ["y"], {"w": WEIGHTS.T, "b": np.ones((1, 1, 3), np.float32)})
    assert close(model, ROWS).batch_axes == {"y": 1}


def test_equal_constants_and_nodes_are_stored_once(model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["x", "v"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    lowered = close(model_of(nodes, {"x": ["N", 6]}, ["y"], {"w": WEIGHTS.T, "v": WEIGHTS.T.copy()}), ROWS)
    assert len(lowered.graph.nodes) == 2


def test_invalid_constants_that_double_until_memory_ends(model_of: Call) -> None:
    """Thirty concatenations of a tensor with itself: a file of two kilobytes, a constant of gigabytes."""
    nodes, last = [], "w"
    for step in range(30):
        nodes.append(helper.make_node("Concat", [last, last], [f"c{step}"], axis=0))
        last = f"c{step}"
    nodes.append(helper.make_node("Add", ["x", last], ["y"]))
    model = model_of(nodes, {"x": ["N", 6]}, ["y"], {"w": np.ones(6, np.float32)})
    with pytest.raises(LoweringError, match=r"elements|too large"):
        lower(model.SerializeToString())


def test_invalid_constants_that_are_too_large_together(model_of: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.lowering.fold.WEIGHTS_MAX", 11)
    nodes = [helper.make_node("Neg", ["w"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]
    nodes.append(helper.make_node("Add", ["x", "b"], ["y"]))
    with pytest.raises(LoweringError, match="more than 11 elements"):
        lower(model_of(nodes, {"x": ["N", 6]}, ["y"], {"w": np.ones(6, np.float32)}).SerializeToString())


def test_invalid_broadcast_that_explodes(model_of: Call) -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    constants = {"a": np.ones((1 << 15, 1), np.float32), "b": np.ones((1, 1 << 15), np.float32)}
    with pytest.raises(LoweringError, match="too large"):
        lower(model_of(nodes, {"x": ["N", 6]}, ["y"], constants).SerializeToString())


@pytest.mark.parametrize(
    ("node", "part"),
    [
        (helper.make_node("Div", ["w", "z"], ["c"]), "NaN or infinity"),
        (helper.make_node("Sqrt", ["n"], ["c"]), "NaN or infinity"),
        (helper.make_node("Reshape", ["w", "s"], ["c"]), "cannot be computed"),
        (helper.make_node("Add", ["w", "five"], ["c"]), "cannot be computed"),
        (helper.make_node("Transpose", ["w"], ["c"], perm=[0, 0]), "cannot be computed"),
    ],
)
def test_invalid_constant_expressions(node: Any, part: str, model_of: Call) -> None:
    constants = {
        "w": np.ones(6, np.float32),
        "z": np.zeros(6, np.float32),
        "n": -np.ones(6, np.float32),
        "five": np.ones(5, np.float32),
        "s": np.array([4, 4], np.int64),
    }
    used = {name: array for name, array in constants.items() if name in node.input}
    model = model_of([node, helper.make_node("Add", ["x", "c"], ["y"])], {"x": ["N", 6]}, ["y"], used)
    with pytest.raises(LoweringError, match=part) as found:
        lower(model.SerializeToString())
    assert node.op_type in str(found.value)


def test_invalid_output_without_any_input(model_of: Call) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["w"], ["c"])]
    model = model_of(nodes, {"x": ["N", 6]}, ["y", "c"], {"w": WEIGHTS})
    with pytest.raises(LoweringError, match="does not depend on any input"):
        lower(model.SerializeToString())


@pytest.mark.parametrize("hidden", [True, False])
def test_an_infinite_constant_is_refused_where_it_is_read(hidden: bool, model_of: Callable[..., Any]) -> None:
    """T5's places: the logarithm of 0 is computed, and Where takes the place itself instead."""
    nodes = [
        helper.make_node("Log", ["places"], ["log"]),
        helper.make_node("Less", ["places", "one"], ["small"]),
        helper.make_node("Where", ["small", "places", "log"], ["bucket"]),
        helper.make_node("Add", ["x", "bucket" if hidden else "log"], ["y"]),
    ]
    constants = {"places": np.arange(4, dtype=np.float32)[np.newaxis], "one": np.array(1, np.float32)}
    model = model_of(nodes, {"x": ["N", 4]}, ["y"], constants).SerializeToString()
    rows = {"x": np.ones((3, 4), np.float32)}
    if hidden:
        assert lower(model, calibration=rows).report.outputs[0].error_bound is not None
    else:
        with pytest.raises(LoweringError, match="NaN or infinity"):
            lower(model, calibration=rows)
