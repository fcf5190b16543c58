"""Functions that jump, logarithms of sums, cumulative sums, products, p-norms of windows: against numpy in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference.engine import Engine
from runtime.inference.interpreter import interpret
from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
Call = Callable[..., Any]


def on_grid(seed: int, *shape: int) -> np.ndarray:
    """Multiples of 1/8, many of them halves and wholes."""
    return np.random.default_rng(seed).integers(-40, 41, (4, *shape)).astype(np.float32) / 8


def run(model: Any, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """(the exact model's result in float64, the report's bound)."""
    lowered = lower(model.SerializeToString(), calibration=rows)
    inputs = lowered.quantize(rows)
    exact = Engine().run(lowered.model, inputs)["y"]
    np.testing.assert_array_equal(exact, interpret(lowered.model, inputs)["y"])
    bound = lowered.report.outputs[0].error_bound
    return np.ldexp(
        exact.astype(np.float64), -lowered.graph.outputs[0].spec.frac_bits
    ), np.inf if bound is None else bound


def shrink(x: np.ndarray) -> np.ndarray:
    return np.where(x > 1.5, x - 0.25, np.where(x < -1.5, x + 0.25, 0))


STEPS: dict[str, tuple[Call, dict[str, float]]] = {
    "Floor": (np.floor, {}), "Ceil": (np.ceil, {}), "Round": (np.rint, {}),
    "ThresholdedRelu": (lambda x: np.where(x > 1.5, x, 0), {"alpha": 1.5}),
    "Shrink": (shrink, {"lambd": 1.5, "bias": 0.25}),
}  # fmt: skip


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, op=st.sampled_from(sorted(STEPS)))
def test_steps_fall_where_the_standard_says(seed: int, shape: list[int], op: str, model_of: Call) -> None:
    """On values of the grid, ties and thresholds among them, to the last bit."""
    function, attributes = STEPS[op]
    rows = on_grid(seed, *shape)
    model = model_of([helper.make_node(op, ["x"], ["y"], **attributes)], {"x": ["N", *shape]}, ["y"])
    found, bound = run(model, {"x": rows})
    np.testing.assert_array_equal(found, function(rows.astype(np.float64)))
    assert bound < 8


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, opset=st.sampled_from([11, 13]), data=st.data())
def test_hardmax_takes_the_first_of_equal_ones(
    seed: int, shape: list[int], opset: int, data: st.DataObject, model_of: Call
) -> None:
    axis = data.draw(st.integers(1, len(shape)))
    rows = np.random.default_rng(seed).integers(-2, 3, (4, *shape)).astype(np.float32)
    flat = rows if opset >= 13 else rows.reshape(*rows.shape[:axis], -1)
    first = np.expand_dims(flat.argmax(axis), axis)
    expected = (np.arange(flat.shape[axis]).reshape([-1] + [1] * (flat.ndim - 1 - axis)) == first).reshape(rows.shape)
    model = model_of([helper.make_node("Hardmax", ["x"], ["y"], axis=axis)], {"x": ["N", *shape]}, ["y"], opset=opset)
    np.testing.assert_array_equal(run(model, {"x": rows})[0], expected)


@EXAMPLES
@given(
    seed=SEEDS,
    shape=SHAPES,
    op=st.sampled_from(["LogSoftmax", "ReduceLogSumExp", "ReduceLogSum", "ReduceProd"]),
    scale=st.sampled_from([0.1, 2.0, 20.0]),
    data=st.data(),
)
def test_logarithms_of_sums_and_products(
    seed: int, shape: list[int], op: str, scale: float, data: st.DataObject, model_of: Call
) -> None:
    axes = data.draw(
        st.lists(st.integers(1, len(shape)), min_size=1, max_size=1 if op == "LogSoftmax" else 3, unique=True)
    )
    assume(op != "ReduceProd" or np.prod([shape[axis - 1] for axis in axes]) <= 8)
    rows = (np.random.default_rng(seed).standard_normal((4, *shape)) * scale).astype(np.float32)
    rows = (
        np.abs(rows) + np.float32(0.1) if op == "ReduceLogSum" else np.clip(rows, -2, 2) if op == "ReduceProd" else rows
    )
    x, over = rows.astype(np.float64), tuple(axes)
    total = np.log(np.exp(x - x.max(over, keepdims=True)).sum(over, keepdims=True)) + x.max(over, keepdims=True)
    expected = {
        "LogSoftmax": x - total,
        "ReduceLogSumExp": total,
        "ReduceLogSum": np.log(np.maximum(x.sum(over, keepdims=True), 1e-9)),
        "ReduceProd": x.prod(over, keepdims=True),
    }[op]
    node = helper.make_node(op, ["x"], ["y"], **({"axis": axes[0]} if op == "LogSoftmax" else {"axes": axes}))
    found, bound = run(model_of([node], {"x": ["N", *shape]}, ["y"], opset=13), {"x": rows})
    error = np.abs(found - expected).max()
    assert error <= bound
    assert error <= 2.0**-11 * (1 + np.abs(expected).max())


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, exclusive=st.booleans(), reverse=st.booleans(), data=st.data())
def test_cumulative_sums(
    seed: int, shape: list[int], exclusive: bool, reverse: bool, data: st.DataObject, model_of: Call
) -> None:
    axis, rows = data.draw(st.integers(1, len(shape))), on_grid(seed, *shape)
    x = np.flip(rows, axis) if reverse else rows
    expected = x.cumsum(axis) - (x if exclusive else 0)
    node = helper.make_node("CumSum", ["x", "a"], ["y"], exclusive=int(exclusive), reverse=int(reverse))
    model = model_of([node], {"x": ["N", *shape]}, ["y"], {"a": np.array(axis, np.int64)})
    np.testing.assert_array_equal(run(model, {"x": rows})[0], np.flip(expected, axis) if reverse else expected)


@EXAMPLES
@given(seed=SEEDS, p=st.sampled_from([1, 2, 3]), kernel=st.integers(1, 3), pad=st.integers(0, 1), whole=st.booleans())
def test_p_norms_of_windows(seed: int, p: int, kernel: int, pad: int, whole: bool, model_of: Call) -> None:
    rows = np.random.default_rng(seed).standard_normal((3, 2, 5)).astype(np.float32)
    padded = np.pad(np.abs(rows.astype(np.float64)) ** p, [(0, 0), (0, 0), (pad % kernel, pad % kernel)])
    if whole:
        node = helper.make_node("GlobalLpPool", ["x"], ["y"], p=p)
        expected = (np.abs(rows.astype(np.float64)) ** p).sum(2, keepdims=True) ** (1 / p)
    else:
        node = helper.make_node("LpPool", ["x"], ["y"], p=p, kernel_shape=[kernel], pads=[pad % kernel] * 2)
        places = range(padded.shape[2] - kernel + 1)
        expected = np.stack([padded[:, :, at : at + kernel].sum(2) for at in places], 2) ** (1 / p)
    found, bound = run(model_of([node], {"x": ["N", 2, 5]}, ["y"]), {"x": rows})
    error = np.abs(found - expected).max()
    assert error <= min(bound, 1e-3 * expected.max() + 2.0**-12)


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES)
def test_prelu_with_computed_slopes(seed: int, shape: list[int], model_of: Call, close: Call) -> None:
    rng = np.random.default_rng(seed)
    rows = {name: rng.standard_normal((4, *shape)).astype(np.float32) for name in ("x", "s")}
    close(
        model_of([helper.make_node("PRelu", ["x", "s"], ["y"])], {"x": ["N", *shape], "s": ["N", *shape]}, ["y"]), rows
    )


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, base=st.sampled_from([0.5, 2.0, 10.0]))
def test_a_constant_to_computed_powers(seed: int, shape: list[int], base: float, model_of: Call, close: Call) -> None:
    node = helper.make_node("Pow", ["c", "x"], ["y"])
    rows = {"x": np.random.default_rng(seed).uniform(-2, 2, (4, *shape)).astype(np.float32)}
    close(model_of([node], {"x": ["N", *shape]}, ["y"], {"c": np.array(base, np.float32)}), rows)


def test_powers_of_several_exponents(model_of: Call, close: Call) -> None:
    node = helper.make_node("Pow", ["x", "p"], ["y"])
    rows = {"x": np.random.default_rng(2).uniform(0.5, 2, (9, 4)).astype(np.float32)}
    close(model_of([node], {"x": ["N", 4]}, ["y"], {"p": np.array([0, 1, 2, 0.7], np.float32)}), rows)


@pytest.mark.parametrize(
    ("node", "part"),
    [
        (helper.make_node("Shrink", ["x"], ["y"], "p", lambd=-1.0), "lambd is -1"),
        (helper.make_node("ReduceProd", ["x"], ["y"], "p", axes=[1]), "it multiplies 65 elements"),
        (helper.make_node("Hardmax", ["x"], ["y"], "p", axis=5), "axis 5"),
    ],
)
def test_invalid_uses_name_op_node_and_reason(node: Any, part: str, model_of: Call) -> None:
    with pytest.raises(OpRefused, match=part) as found:
        lower(model_of([node], {"x": ["N", 65]}, ["y"]).SerializeToString())
    assert found.value.where == f'{node.op_type} "p"'
