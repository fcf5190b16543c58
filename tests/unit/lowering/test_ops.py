"""Each operator's exact form against onnxruntime's float32, over shapes and attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtime.inference.engine import Engine
from tools.lowering import lower

EXAMPLES = settings(max_examples=50, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
Call = Callable[..., Any]


def rows_of(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal((4, *shape)) * 2).astype(np.float32)


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


@EXAMPLES
@given(seed=SEEDS, k=st.integers(1, 9), m=st.integers(1, 9), transposed=st.booleans(), biased=st.integers(0, 3))
def test_gemm(seed: int, k: int, m: int, transposed: bool, biased: int, model_of: Call, close: Call) -> None:
    rng = np.random.default_rng(seed)
    constants = {"w": weights(rng, *((m, k) if transposed else (k, m)))}
    if biased:
        constants["b"] = weights(rng, *[(), (m,), (1, m), (1,)][biased])
    inputs = ["x", "w"] + (["b"] if biased else [])
    node = helper.make_node("Gemm", inputs, ["y"], transB=int(transposed), alpha=0.75, beta=1.5)
    close(model_of([node], {"x": ["N", k]}, ["y"], constants), {"x": rows_of(rng, k)})


@EXAMPLES
@given(seed=SEEDS, k=st.integers(1, 6), m=st.integers(1, 6), one=st.booleans(), beta=st.sampled_from([1.0, -0.5, 0.0]))
def test_gemm_plus_what_is_computed(
    seed: int, k: int, m: int, one: bool, beta: float, model_of: Call, close: Call
) -> None:
    rng = np.random.default_rng(seed)
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], alpha=-2.0, beta=beta)
    width = 1 if one else m
    model = model_of([node], {"x": ["N", k], "c": ["N", width]}, ["y"], {"w": weights(rng, k, m)})
    close(model, {"x": rows_of(rng, k), "c": rows_of(rng, width)})


@EXAMPLES
@given(
    seed=SEEDS,
    shape=st.lists(st.integers(1, 4), max_size=3),
    k=st.integers(1, 6),
    m=st.integers(0, 6),
    bias_rank=st.integers(0, 3),
)
def test_matmul_and_its_bias(
    seed: int, shape: list[int], k: int, m: int, bias_rank: int, model_of: Call, close: Call
) -> None:
    rng = np.random.default_rng(seed)
    constants = {"w": weights(rng, *((k, m) if m else (k,)))}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p" if bias_rank else "y"])]
    out_rank = len(shape) + 1 + (m > 0)
    if bias_rank and bias_rank <= out_rank:
        constants["b"] = weights(rng, *[1] * (bias_rank - 1), m or 1) if m or not shape else weights(rng)
        nodes.append(helper.make_node("Add", ["b", "p"], ["y"]))
    elif bias_rank:
        nodes[0].output[0] = "y"
    close(model_of(nodes, {"x": ["N", *shape, k]}, ["y"], constants), {"x": rows_of(rng, *shape, k)})


@EXAMPLES
@given(seed=SEEDS, shape=st.lists(st.integers(1, 4), min_size=2, max_size=3), m=st.integers(1, 5))
def test_a_constant_matrix_on_the_left(seed: int, shape: list[int], m: int, model_of: Call, close: Call) -> None:
    rng = np.random.default_rng(seed)
    nodes = [helper.make_node("MatMul", ["w", "x"], ["y"])]
    close(model_of(nodes, {"x": ["N", *shape]}, ["y"], {"w": weights(rng, m, shape[-2])}), {"x": rows_of(rng, *shape)})


@EXAMPLES
@given(data=st.data(), seed=SEEDS, dims=st.integers(1, 3), groups=st.integers(1, 3))
def test_conv(data: st.DataObject, seed: int, dims: int, groups: int, model_of: Call, close: Call) -> None:
    rng = np.random.default_rng(seed)
    each = {"min_size": dims, "max_size": dims}
    kernel = data.draw(st.lists(st.integers(1, 3), **each))
    strides = data.draw(st.lists(st.integers(1, 3), **each))
    dilations = data.draw(st.lists(st.integers(1, 2), **each))
    size = [2 * (k - 1) + data.draw(st.integers(1, 4)) for k in kernel]
    mode = data.draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    attributes: dict[str, Any] = {"strides": strides, "group": groups, "auto_pad": mode, "dilations": dilations}
    if mode == "NOTSET":
        attributes["pads"] = data.draw(st.lists(st.integers(0, 2), min_size=2 * dims, max_size=2 * dims))
    if mode.startswith("SAME"):
        attributes["dilations"] = [1] * dims  # onnxruntime refuses others with SAME
    channels = groups * data.draw(st.integers(1, 2))
    outputs = groups * data.draw(st.integers(1, 2))
    constants = {"w": weights(rng, outputs, channels // groups, *kernel), "b": weights(rng, outputs)}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
    model = model_of([node], {"x": ["N", channels, *size]}, ["y"], constants)
    close(model, {"x": rows_of(rng, channels, *size)})


@EXAMPLES
@given(data=st.data(), seed=SEEDS, dims=st.integers(1, 3), ceil_mode=st.booleans())
def test_max_pool(data: st.DataObject, seed: int, dims: int, ceil_mode: bool, model_of: Call, close: Call) -> None:
    rng = np.random.default_rng(seed)
    each = {"min_size": dims, "max_size": dims}
    kernel = data.draw(st.lists(st.integers(1, 3), **each))
    pads = [data.draw(st.integers(0, (k - 1) // 2)) for k in kernel * 2]
    size = [k + data.draw(st.integers(0, 4)) for k in kernel]
    strides = data.draw(st.lists(st.integers(1, 3), **each))
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=kernel, strides=strides, pads=pads, ceil_mode=int(ceil_mode)
    )
    close(model_of([node], {"x": ["N", 2, *size]}, ["y"]), {"x": rows_of(rng, 2, *size)})


@EXAMPLES
@given(
    seed=SEEDS, shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), before=st.sampled_from(["", "Conv", "Gemm"])
)
def test_batch_normalization_alone_and_folded(
    seed: int, shape: list[int], before: str, model_of: Call, close: Call
) -> None:
    rng = np.random.default_rng(seed)
    if before == "Conv":
        shape = [shape[0], 3, 3]
    if before == "Gemm":
        shape = shape[:1]
    c = shape[0]
    constants = {
        "g": weights(rng, c),
        "o": weights(rng, c),
        "m": weights(rng, c),
        "v": rng.random(c).astype(np.float32),
    }
    nodes = []
    if before == "Conv":
        constants["w"] = weights(rng, c, c, 1, 1)
        nodes.append(helper.make_node("Conv", ["x", "w"], ["p"]))
    if before == "Gemm":
        constants |= {"w": weights(rng, c, c), "b": weights(rng, c)}
        nodes.append(helper.make_node("Gemm", ["x", "w", "b"], ["p"], alpha=0.5, beta=2.0))
    inputs = ["p" if before else "x", "g", "o", "m", "v"]
    nodes.append(helper.make_node("BatchNormalization", inputs, ["y"], epsilon=1e-2))
    lowered = close(model_of(nodes, {"x": ["N", *shape]}, ["y"], constants), {"x": rows_of(rng, *shape)})
    assert len(lowered.report.layers) == 1


@EXAMPLES
@given(data=st.data(), seed=SEEDS, shape=st.lists(st.integers(1, 4), max_size=3))
def test_add_of_tensors_and_of_constants(
    data: st.DataObject, seed: int, shape: list[int], model_of: Call, close: Call
) -> None:
    rng = np.random.default_rng(seed)
    rank = data.draw(st.integers(0, len(shape) + 1))
    full = [1, *shape][len(shape) + 1 - rank :]
    constant = weights(rng, *[size if data.draw(st.booleans()) else 1 for size in full])
    other = [size if data.draw(st.booleans()) else 1 for size in shape]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Add", ["r", "c"], ["s"]),
        helper.make_node("Add", ["z", "s"], ["t"]),
        helper.make_node("Add", ["t", "t"], ["y"]),
    ]
    model = model_of(nodes, {"x": ["N", *shape], "z": ["N", *other]}, ["y"], {"c": constant})
    close(model, {"x": rows_of(rng, *shape), "z": rows_of(rng, *other)})


@EXAMPLES
@given(
    data=st.data(),
    seed=SEEDS,
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    opset=st.sampled_from([11, 17]),
)
def test_softmax(data: st.DataObject, seed: int, shape: list[int], opset: int, model_of: Call, close: Call) -> None:
    rng = np.random.default_rng(seed)
    axis = data.draw(st.integers(1, len(shape)))
    node = helper.make_node("Softmax", ["x"], ["y"], axis=data.draw(st.sampled_from([axis, axis - len(shape) - 1])))
    close(model_of([node], {"x": ["N", *shape]}, ["y"], opset=opset), {"x": 3 * rows_of(rng, *shape)})


@EXAMPLES
@given(
    data=st.data(),
    seed=SEEDS,
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    last=st.booleans(),
    keep=st.booleans(),
)
def test_arg_max_breaks_ties_as_told(
    data: st.DataObject, seed: int, shape: list[int], last: bool, keep: bool, model_of: Call, close: Call
) -> None:
    rows = np.random.default_rng(seed).integers(-2, 3, (4, *shape)).astype(np.float32)
    axis = data.draw(st.integers(1, len(shape)))
    node = helper.make_node("ArgMax", ["x"], ["y"], axis=axis, keepdims=int(keep), select_last_index=int(last))
    close(model_of([node], {"x": ["N", *shape]}, ["y"], integers=["y"]), {"x": rows})


@pytest.mark.parametrize(
    ("target", "fixed"),
    [
        ([0, 12], False),
        ([-1, 12], False),
        ([0, 0, -1], False),
        ([-1, 3, 2, 2], False),
        ([1, -1], True),
        ([1, 12], True),
    ],
)
def test_reshape_keeps_the_batch(target: list[int], fixed: bool, model_of: Call, close: Call) -> None:
    rows = rows_of(np.random.default_rng(1), 3, 4)
    model = model_of(
        [helper.make_node("Reshape", ["x", "s"], ["y"])],
        {"x": [1 if fixed else "N", 3, 4]},
        ["y"],
        {"s": np.array(target, np.int64)},
    )
    close(model, {"x": rows[:1] if fixed else rows})


@pytest.mark.parametrize(("axis", "shape"), [(1, [3, 4]), (-2, [3, 4]), (2, [1, 5]), (-1, [5]), (3, [1, 1])])
def test_flatten_keeps_the_batch(axis: int, shape: list[int], model_of: Call, close: Call) -> None:
    node = helper.make_node("Flatten", ["x"], ["y"], axis=axis)
    close(model_of([node], {"x": ["N", *shape]}, ["y"]), {"x": rows_of(np.random.default_rng(1), *shape)})


def test_integer_inputs_and_labels_pass_through_casts(model_of: Call, close: Call) -> None:
    rng = np.random.default_rng(3)
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["f", "w"], ["g"]),
        helper.make_node("Identity", ["g"], ["y"]),
        helper.make_node("ArgMax", ["y"], ["i"], axis=1, keepdims=0),
        helper.make_node("Cast", ["i"], ["label"], to=TensorProto.INT64),
    ]
    constants = {"w": weights(rng, 5, 3) / 255}
    model = model_of(nodes, {"x": ["N", 5]}, ["y", "label"], constants, dtype=TensorProto.UINT8, integers=["label"])
    lowered = close(model, {"x": rng.integers(0, 256, (4, 5)).astype(np.uint8)})
    assert [spec.frac_bits for spec in lowered.graph.inputs] == [0]
    assert (lowered.graph.inputs[0].low, lowered.graph.inputs[0].high) == (0, 255)


def test_wide_ranges_give_up_bits_and_say_so(model_of: Call, close: Call) -> None:
    """Inputs in the thousands through two wide layers: 22-bit weights and 16 fractional bits do not fit together."""
    rng = np.random.default_rng(4)
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["g"]),
        helper.make_node("Relu", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "c"], ["y"]),
    ]
    constants = {"a": weights(rng, 64, 64), "c": weights(rng, 64, 3)}
    model = model_of(nodes, {"x": ["N", 64]}, ["y"], constants)
    lowered = close(model, {"x": 4000 * rows_of(rng, 64)})
    assert max(layer.dropped_bits for layer in lowered.report.layers) > 0
    assert lowered.report.layers[-1].saturated == 0.0


def test_tiny_values_get_more_fractional_bits(model_of: Call, close: Call) -> None:
    rng = np.random.default_rng(5)
    model = model_of([helper.make_node("Gemm", ["x", "w"], ["y"])], {"x": ["N", 4]}, ["y"], {"w": weights(rng, 4, 2)})
    lowered = close(model, {"x": rows_of(rng, 4) / 1000})
    assert lowered.graph.inputs[0].frac_bits > 16
    assert lowered.report.outputs[0].error_max < 1e-6


def test_extreme_weights_still_lower(model_of: Call, close: Call) -> None:
    """Columns that vanish, that are zero and that are huge, side by side."""
    rng = np.random.default_rng(6)
    w = weights(rng, 4, 4) * np.array([1e-30, 0, 1, 1e4], np.float32)
    model = model_of([helper.make_node("Gemm", ["x", "w"], ["y"])], {"x": ["N", 4]}, ["y"], {"w": w})
    close(model, {"x": rows_of(rng, 4)})


def test_residual_sums_without_calibration_drop_bits_rather_than_overflow(model_of: Call) -> None:
    """Intervals grow by every layer; where a sum no longer fits fractional bits go, and the report says so."""
    rng = np.random.default_rng(7)
    nodes, constants, last = [], {}, "x"
    for depth in range(8):
        constants[f"w{depth}"] = weights(rng, 16, 16)
        nodes.append(helper.make_node("MatMul", [last, f"w{depth}"], [f"m{depth}"]))
        nodes.append(helper.make_node("Add", [f"m{depth}", last], [f"a{depth}"]))
        last = f"a{depth}"
    model = model_of(nodes, {"x": ["N", 16]}, [last], constants).SerializeToString()
    lowered = lower(model)
    rows = {"x": rows_of(rng, 16)}
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))[last]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (expected,) = session.run([last], rows)
    assert lowered.graph.outputs[0].spec.frac_bits < 16
    assert np.abs(exact - expected).max() <= 1e-2 * np.abs(expected).max()
    assert any("bits were dropped" in note for note in lowered.report.notes)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceL2"])
def test_parts_stacked_before_the_batch_are_reduced_row_by_row(op: str, keep: int, model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["m"]),
        *(helper.make_node("Reshape", [name, "shape"], [name * 2]) for name in "xm"),
        helper.make_node("Concat", ["xx", "mm"], ["c"], axis=0),
        helper.make_node(op, ["c"], ["r"], axes=[0], keepdims=keep),
        helper.make_node("Reshape", ["r", "rows"], ["y"]),
    ]
    rng = np.random.default_rng(3)
    shapes = {"shape": np.array([1, -1, 3]), "rows": np.array([-1, 3])}
    close(model_of(nodes, {"x": ["N", 3]}, ["y"], {"w": weights(rng, 3), **shapes}), {"x": rows_of(rng, 3)})


def test_calibration_rows_never_saturate(model_of: Call) -> None:
    """A clip stands at twice what calibration saw, so its own rows pass it, and the report says so."""
    rng = np.random.default_rng(8)
    nodes = [helper.make_node("Gemm", ["x", "a"], ["g"]), helper.make_node("Gemm", ["g", "c"], ["y"])]
    constants = {"a": 1000 * weights(rng, 512, 8), "c": weights(rng, 8, 2)}
    model = model_of(nodes, {"x": ["N", 512]}, ["y"], constants)
    rows = rows_of(rng, 512) * np.float32(1000)
    lowered = lower(model.SerializeToString(), calibration={"x": rows})
    assert [layer.saturated for layer in lowered.report.layers] == [None, 0.0]
