"""Functions that are linear in pieces, reductions, means of windows and powers, against onnxruntime's float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.integers(1, 4), max_size=3)
Call = Callable[..., Any]


def rows_of(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((4, *shape)) * 3).astype(np.float32)


@EXAMPLES
@given(
    seed=SEEDS,
    shape=SHAPES,
    op=st.sampled_from([
        ("LeakyRelu", {}), ("LeakyRelu", {"alpha": -0.5}), ("LeakyRelu", {"alpha": 1.5}),
        ("HardSigmoid", {}), ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}), ("HardSwish", {}),
        ("Abs", {}), ("Neg", {}),
    ]),
)  # fmt: skip
def test_activations_in_pieces(seed: int, shape: list[int], op: Any, model_of: Call, close: Call) -> None:
    model = model_of([helper.make_node(op[0], ["x"], ["y"], **op[1])], {"x": ["N", *shape]}, ["y"])
    close(model, {"x": rows_of(seed, *shape)})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, data=st.data())
def test_prelu_with_a_slope_per_channel(
    seed: int, shape: list[int], data: st.DataObject, model_of: Call, close: Call
) -> None:
    slope = [size if data.draw(st.booleans()) else 1 for size in shape]
    constants = {"s": np.random.default_rng(seed).standard_normal(slope).astype(np.float32)}
    model = model_of([helper.make_node("PRelu", ["x", "s"], ["y"])], {"x": ["N", *shape]}, ["y"], constants)
    close(model, {"x": rows_of(seed, *shape)})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES)
def test_the_sign_of_numbers_that_lie_on_the_grid(seed: int, shape: list[int], model_of: Call, close: Call) -> None:
    rows = np.random.default_rng(seed).integers(-2, 3, (5, *shape)).astype(np.float32)
    lowered = lower(
        model_of([helper.make_node("Sign", ["x"], ["y"])], {"x": ["N", *shape]}, ["y"]).SerializeToString(),
        calibration={"x": rows},
    )
    assert lowered.report.outputs[0].error_max == 0.0
    assert (lowered.graph.outputs[0].spec.low, lowered.graph.outputs[0].spec.high) == (-1, 1)


@EXAMPLES
@given(
    seed=SEEDS,
    shape=SHAPES,
    op=st.sampled_from(["Max", "Min", "Sum", "Mean"]),
    count=st.integers(1, 4),
    constants=st.integers(0, 2),
    data=st.data(),
)
def test_extremes_sums_and_means_of_any_number_of_operands(
    seed: int, shape: list[int], op: str, count: int, constants: int, data: st.DataObject, model_of: Call, close: Call
) -> None:
    rng = np.random.default_rng(seed)
    inputs, rows = {}, {}
    for place in range(count):
        own = [size if place == 0 or data.draw(st.booleans()) else 1 for size in shape]
        inputs[f"x{place}"], rows[f"x{place}"] = ["N", *own], rows_of(seed + place, *own)
    full = {f"c{place}": rng.standard_normal(shape[place:]).astype(np.float32) for place in range(constants)}
    nodes = [helper.make_node(op, [*inputs, *full], ["y"])]
    close(model_of(nodes, inputs, ["y"], full), rows)


REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare")


@EXAMPLES
@given(
    seed=SEEDS,
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    op=st.sampled_from(REDUCTIONS),
    opset=st.sampled_from([11, 13, 18]),
    keep=st.booleans(),
    data=st.data(),
)
def test_reductions(
    seed: int, shape: list[int], op: str, opset: int, keep: bool, data: st.DataObject, model_of: Call, close: Call
) -> None:
    axes = data.draw(st.lists(st.integers(1, len(shape)), min_size=1, unique=True))
    axes = [axis if data.draw(st.booleans()) else axis - len(shape) - 1 for axis in axes]
    as_input = opset >= (13 if op == "ReduceSum" else 18)
    constants = {"a": np.array(axes, np.int64)} if as_input else {}
    attributes: dict[str, Any] = {} if as_input else {"axes": axes}
    node = helper.make_node(op, ["x", *constants], ["y"], keepdims=int(keep), **attributes)
    model = model_of([node], {"x": ["N", *shape]}, ["y"], constants, opset=opset)
    close(model, {"x": rows_of(seed, *shape)})


def test_roundings_that_all_go_one_way_are_within_the_bound(model_of: Call, close: Call) -> None:
    """Inputs almost half a grid step above the grid: a sum is wrong by so much times the number of summands."""
    node = helper.make_node("ReduceSum", ["x", "a"], ["y"])
    model = model_of([node], {"x": ["N", 64]}, ["y"], {"a": np.array([1], np.int64)})
    lowered = close(model, {"x": np.full((2, 64), 0.5 + 0.49 * 2.0**-16, np.float32)})
    assert lowered.report.outputs[0].error_max >= 64 * 0.4 * 2.0**-16


def test_a_reduction_over_no_axes_that_says_so_is_the_tensor(model_of: Call, close: Call) -> None:
    node = helper.make_node("ReduceMean", ["x"], ["y"], noop_with_empty_axes=1)
    close(model_of([node], {"x": ["N", 3]}, ["y"], opset=18), {"x": rows_of(1, 3)})


@EXAMPLES
@given(data=st.data(), seed=SEEDS, dims=st.integers(1, 3), op=st.sampled_from(["GlobalAveragePool", "GlobalMaxPool"]))
def test_global_pools(data: st.DataObject, seed: int, dims: int, op: str, model_of: Call, close: Call) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=dims + 1, max_size=dims + 1))
    close(model_of([helper.make_node(op, ["x"], ["y"])], {"x": ["N", *shape]}, ["y"]), {"x": rows_of(seed, *shape)})


@EXAMPLES
@given(
    data=st.data(),
    seed=SEEDS,
    dims=st.integers(1, 3),
    op=st.sampled_from(["AveragePool", "MaxPool"]),
    mode=st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]),
    ceil_mode=st.booleans(),
    include=st.booleans(),
)
def test_pools(
    data: st.DataObject,
    seed: int,
    dims: int,
    op: str,
    mode: str,
    ceil_mode: bool,
    include: bool,
    model_of: Call,
    close: Call,
) -> None:
    each = {"min_size": dims, "max_size": dims}
    kernel = data.draw(st.lists(st.integers(1, 3), **each))
    dilations = data.draw(st.lists(st.integers(1, 2), **each)) if mode == "NOTSET" else [1] * dims
    size = [2 * (k - 1) + data.draw(st.integers(1, 5)) for k in kernel]
    strides = [data.draw(st.integers(1, k if mode.startswith("SAME") else 3)) for k in kernel]  # ORT: no negative pads
    attributes: dict[str, Any] = {"strides": strides, "auto_pad": mode}
    if mode == "NOTSET":
        attributes["pads"] = [data.draw(st.integers(0, k // 2)) for k in kernel * 2]
        attributes["ceil_mode"] = int(ceil_mode)
    if op == "AveragePool":
        attributes["count_include_pad"] = int(include)
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=kernel, dilations=dilations, **attributes)
    close(model_of([node], {"x": ["N", 2, *size]}, ["y"], opset=19), {"x": rows_of(seed, 2, *size)})


@EXAMPLES
@given(
    seed=SEEDS,
    shape=SHAPES,
    op=st.sampled_from(["Sqrt", "Reciprocal", -0.5, -2.0, 0.5, 1.0, 2.0, 3.0, 1.5, 0.3, -1.7, 0.0]),
)
def test_powers_of_what_keeps_its_sign(seed: int, shape: list[int], op: Any, model_of: Call, close: Call) -> None:
    """What is raised to a power is at least 1, and proven to be."""
    constants = {"low": np.array(1, np.float32), "p": np.array(op if isinstance(op, float) else 0, np.float32)}
    last = helper.make_node(op, ["c"], ["y"]) if isinstance(op, str) else helper.make_node("Pow", ["c", "p"], ["y"])
    if isinstance(op, str):
        del constants["p"]
    model = model_of([helper.make_node("Clip", ["x", "low"], ["c"]), last], {"x": ["N", *shape]}, ["y"], constants)
    close(model, {"x": np.clip(rows_of(seed, *shape), -2, 2)})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, given_first=st.booleans(), negative=st.booleans(), data=st.data())
def test_quotients_of_tensors(
    seed: int, shape: list[int], given_first: bool, negative: bool, data: st.DataObject, model_of: Call, close: Call
) -> None:
    rng = np.random.default_rng(seed)
    other = [size if data.draw(st.booleans()) else 1 for size in shape]
    constants = {"one": np.array(1, np.float32), "c": rng.standard_normal(other).astype(np.float32)}
    nodes = [helper.make_node("Abs", ["z"], ["a"]), helper.make_node("Add", ["a", "one"], ["b"])]
    if negative:
        nodes += [helper.make_node("Neg", ["b"], ["d"])]
    nodes += [helper.make_node("Div", ["c" if given_first else "x", "d" if negative else "b"], ["y"])]
    inputs, rows = {"z": ["N", *shape]}, {"z": rows_of(seed, *shape)}
    if not given_first:
        del constants["c"]
        inputs["x"], rows["x"] = ["N", *other], rows_of(seed + 1, *other)
    close(model_of(nodes, inputs, ["y"], constants), rows)


@pytest.mark.parametrize(
    ("node", "constant", "part"),
    [
        (helper.make_node("Pow", ["x", "c"], ["y"], "p"), 17.3, "exponents 17.3"),
        (helper.make_node("Pow", ["x", "c"], ["y"], "p"), [1.0, 2.0], "does not fit"),
        (helper.make_node("Pow", ["c", "x"], ["y"], "p"), -2.0, "its base is -2"),
        (helper.make_node("Div", ["c", "x"], ["y"], "p"), 2.0, "keep its sign|keeps its sign"),
        (helper.make_node("Reciprocal", ["x"], ["y"], "p"), None, "anything from -1024 to 1024"),
        (helper.make_node("ReduceMean", ["x"], ["y"], "p"), None, "reduce over the batch"),
        (helper.make_node("ReduceMax", ["x"], ["y"], "p", axes=[0]), None, "batch"),
        (helper.make_node("GlobalAveragePool", ["x"], ["y"], "p"), None, "no spatial dimensions"),
        (helper.make_node("AveragePool", ["x"], ["y"], "p", kernel_shape=[2]), None, "does not fit"),
        (helper.make_node("Max", ["x", "c"], ["y"], "p"), [1.0, 2.0], "does not fit"),
    ],
)
def test_invalid_uses_name_op_node_and_reason(node: Any, constant: Any, part: str, model_of: Call) -> None:
    constants = {} if constant is None else {"c": np.array(constant, np.float32)}
    model = model_of([node], {"x": ["N", 3]}, ["y"], constants)
    with pytest.raises(OpRefused, match=part) as found:
        lower(model.SerializeToString())
    assert found.value.where == f'{node.op_type} "p"'
