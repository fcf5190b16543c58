"""Normalisations against onnxruntime's float32, or the formula in float64 where onnxruntime has no kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference.engine import Engine
from runtime.inference.interpreter import interpret
from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([2.0**-7, 1.0, 2.0**7])
Call = Callable[..., Any]


def rows_of(seed: int, scale: float, *shape: int) -> np.ndarray:
    """On a grid that inputs hold: what rounding an input loses, a row of nearly equal elements makes large."""
    rows = np.random.default_rng(seed).standard_normal((4, *shape)) + 0.5
    return (np.rint(rows * 4096) / 4096 * scale).astype(np.float32)


def check(model: Any, rows: np.ndarray, expected: np.ndarray, *, bounded: bool = True) -> None:
    """The engine equals the interpreter; the result is within 2e-4 and within the report's bound of the formula's."""
    lowered = lower(model.SerializeToString(), calibration={"x": rows})
    inputs = lowered.quantize({"x": rows})
    exact = Engine().run(lowered.model, inputs)
    np.testing.assert_array_equal(exact["y"], interpret(lowered.model, inputs)["y"])
    error = np.abs(lowered.dequantize(exact)["y"] - expected).max()
    (output,) = lowered.report.outputs
    assert error <= 2e-4 * (1 + np.abs(expected).max())
    if bounded:
        assert output.error_bound is not None
        assert error <= output.error_bound + 1e-6 * (1 + np.abs(expected).max())


def normal(x: np.ndarray, axes: tuple[int, ...], epsilon: float, *, mean: bool = True) -> np.ndarray:
    x = x.astype(np.float64)
    centred = x - x.mean(axis=axes, keepdims=True) if mean else x
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + epsilon))


def parameters(seed: int, *shape: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed + 1)
    return {name: random.standard_normal(shape).astype(np.float32) for name in ("scale", "bias")}


@EXAMPLES
@given(
    seed=SEEDS,
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    scale=SCALES,
    op=st.sampled_from(["LayerNormalization", "RMSNormalization"]),
    biased=st.booleans(),
    data=st.data(),
)
def test_layer_and_rms_normalisation(
    seed: int, shape: list[int], scale: float, op: str, biased: bool, data: st.DataObject, model_of: Call
) -> None:
    axis = data.draw(st.integers(1, len(shape)))
    found = parameters(seed, *shape[axis - 1 :])
    layer = op == "LayerNormalization"
    if not (layer and biased):
        del found["bias"]
    node = helper.make_node(op, ["x", *found], ["y"], axis=axis - len(shape) - 1, epsilon=1e-4)
    rows = rows_of(seed, scale, *shape)
    expected = normal(rows, tuple(range(axis, len(shape) + 1)), 1e-4, mean=layer) * found["scale"] + found.get(
        "bias", 0
    )
    check(model_of([node], {"x": ["N", *shape]}, ["y"], found, opset=17 if layer else 23), rows, expected)


@EXAMPLES
@given(
    seed=SEEDS,
    channels=st.integers(1, 4),
    spatial=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    scale=SCALES,
    groups=st.integers(0, 3),
)
def test_instance_and_group_normalisation(
    seed: int, channels: int, spatial: list[int], scale: float, groups: int, model_of: Call
) -> None:
    channels *= max(1, groups)
    shape = [channels, *spatial]
    rows = rows_of(seed, scale, *shape)
    found = parameters(seed, channels)
    if groups:
        node = helper.make_node("GroupNormalization", ["x", *found], ["y"], num_groups=groups, epsilon=1e-3)
        parts = rows.reshape(len(rows), groups, -1)
    else:
        node = helper.make_node("InstanceNormalization", ["x", *found], ["y"], epsilon=1e-3)
        parts = rows.reshape(len(rows), channels, -1)
    along = {name: value.reshape(-1, *[1] * len(spatial)) for name, value in found.items()}
    expected = normal(parts, (2,), 1e-3).reshape(rows.shape) * along["scale"] + along["bias"]
    check(model_of([node], {"x": ["N", *shape]}, ["y"], found, opset=21), rows, expected)


@EXAMPLES
@given(seed=SEEDS, shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), scale=SCALES, data=st.data())
def test_lengths_of_one_and_zero_stays_zero(
    seed: int, shape: list[int], scale: float, data: st.DataObject, model_of: Call
) -> None:
    axis, p = data.draw(st.integers(1, len(shape))), data.draw(st.sampled_from([1, 2]))
    rows = rows_of(seed, scale, *shape)
    lengths = np.linalg.norm(rows.astype(np.float64), ord=p, axis=axis, keepdims=True)
    node = helper.make_node("LpNormalization", ["x"], ["y"], axis=axis, p=p)
    lowered = lower(model_of([node], {"x": ["N", *shape]}, ["y"]).SerializeToString(), calibration={"x": rows})
    exact = Engine().run(lowered.model, lowered.quantize({"x": rows}))
    far = lengths > 0.05 * scale  # a shorter vector has few bits of its own
    error = np.abs(lowered.dequantize(exact)["y"] - rows / np.maximum(lengths, 1e-30))
    assert np.where(far, error, 0).max() <= 2e-3
    zero = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": 0 * rows})))["y"]
    assert not zero.any()


def test_rows_over_their_maximum_where_that_is_not_negative(model_of: Call) -> None:
    """Declared so: by a maximum of either sign, which may be nearly 0, nothing is divided."""
    node = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm="MAX")
    model = model_of([node], {"x": ["N", 3]}, ["y"])
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    lowered = lower(model.SerializeToString(), ranges={"x": (0, 4)})
    rows = np.array([[1, 2, 4], [0, 0, 0], [0.5, 0.25, 0]], np.float32)
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    np.testing.assert_array_equal(exact, [[0.25, 0.5, 1], [0, 0, 0], [1, 0.5, 0]])
    with pytest.raises(OpRefused, match="its divisor may be anything from -4 to 4"):
        lower(model.SerializeToString(), ranges={"x": (-4, 4)})


def test_a_layer_normalisation_as_older_exporters_write_it(model_of: Call) -> None:
    """Its root may be as small as epsilon's, which no bound of the operand's error survives."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[-1]),
        helper.make_node("Sub", ["x", "m"], ["d"]),
        helper.make_node("Pow", ["d", "two"], ["s"]),
        helper.make_node("ReduceMean", ["s"], ["v"], axes=[-1]),
        helper.make_node("Add", ["v", "e"], ["w"]),
        helper.make_node("Sqrt", ["w"], ["r"]),
        helper.make_node("Div", ["d", "r"], ["u"]),
        helper.make_node("Mul", ["u", "scale"], ["t"]),
        helper.make_node("Add", ["t", "bias"], ["y"]),
    ]
    rows = rows_of(5, 1.0, 7, 32)
    constants = {"two": np.array(2, np.float32), "e": np.array(1e-5, np.float32), **parameters(3, 32)}
    expected = normal(rows, (2,), 1e-5) * constants["scale"] + constants["bias"]
    check(model_of(nodes, {"x": ["N", 7, 32]}, ["y"], constants, opset=14), rows, expected, bounded=False)


@EXAMPLES
@given(
    seed=SEEDS,
    channels=st.integers(1, 6),
    spatial=st.lists(st.integers(1, 3), min_size=2, max_size=2),  # all that onnxruntime takes
    size=st.sampled_from([1, 3, 5]),
    beta=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    scale=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_local_response_normalisation(
    seed: int, channels: int, spatial: list[int], size: int, beta: float, scale: float, model_of: Call
) -> None:
    size = min(size, 2 * channels - 1)
    rows = rows_of(seed, scale, channels, *spatial)
    squares = np.pad(rows.astype(np.float64) ** 2, [(0, 0), (size // 2, size // 2), *[(0, 0)] * len(spatial)])
    sums = sum(squares[:, place : place + channels] for place in range(size))
    expected = rows / (1.5 + 0.3 / size * sums) ** beta
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=0.3, beta=beta, bias=1.5)
    check(model_of([node], {"x": ["N", channels, *spatial]}, ["y"]), rows, expected)


BAD = {
    "means that are read": (helper.make_node("LayerNormalization", ["x", "s"], ["y", "m"], "p"), "Mean"),
    "a scale that does not fit": (
        helper.make_node("LayerNormalization", ["x", "s"], ["y"], "p", axis=1),
        "does not fit",
    ),
    "a negative epsilon": (
        helper.make_node("LayerNormalization", ["x", "s"], ["y"], "p", epsilon=-1.0),
        "epsilon is -1",
    ),
    "the batch": (helper.make_node("LayerNormalization", ["x", "s"], ["y"], "p", axis=0), "batch"),
    "no channels": (helper.make_node("InstanceNormalization", ["x", "t", "t"], ["y"], "p"), "one for each of 3"),
    "groups": (helper.make_node("GroupNormalization", ["x", "s", "s"], ["y"], "p", num_groups=2), "2 groups"),
    "an odd power": (helper.make_node("LRN", ["x"], ["y"], "p", size=3, beta=0.6), "beta 0.6"),
    "no bias": (helper.make_node("LRN", ["x"], ["y"], "p", size=3, bias=0.0), "must be positive"),
    "the wrong norm": (helper.make_node("LpNormalization", ["x"], ["y"], "p", p=3), "1 and 2"),
}


@pytest.mark.parametrize(("node", "part"), BAD.values(), ids=BAD)
def test_invalid_uses_name_op_node_and_reason(node: Any, part: str, model_of: Call) -> None:
    every = {"s": np.ones(4, np.float32), "t": np.ones(2, np.float32)}
    constants = {name: array for name, array in every.items() if name in node.input}
    if "does not fit" in part:
        constants["s"] = np.ones(3, np.float32)
    outputs = list(node.output)
    model = model_of([node], {"x": ["N", 3, 4]}, outputs, constants, opset=21)
    with pytest.raises(OpRefused, match=part) as found:
        lower(model.SerializeToString())
    assert found.value.where == f'{node.op_type} "p"'
