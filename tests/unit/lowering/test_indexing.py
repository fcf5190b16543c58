"""What is found by its place: the same elements as onnxruntime's, for constant and for computed places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtime.inference.engine import Engine
from tools.lowering import DataRefused, LoweringError, lower

EXAMPLES = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
Call = Callable[..., Any]


def values(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * 2).astype(np.float32)


def integers_at(model: Any, *places: int) -> Any:
    """The model with these inputs of int64."""
    for place in places:
        model.graph.input[place].type.tensor_type.elem_type = TensorProto.INT64
    return model


@EXAMPLES
@given(seed=SEEDS, words=st.integers(1, 9), width=st.integers(1, 4), length=st.integers(1, 5))
def test_token_embeddings(seed: int, words: int, width: int, length: int, model_of: Call, close: Call) -> None:
    table = values(seed, words, width)
    rows = np.random.default_rng(seed).integers(-words, words, (4, length))
    rows[0] = -words  # calibration limits integers to what it has seen
    model = model_of([helper.make_node("Gather", ["t", "x"], ["y"])], {"x": ["N", length]}, ["y"], {"t": table})
    lowered = close(integers_at(model, 0), {"x": rows})
    assert (lowered.graph.inputs[0].low, lowered.graph.inputs[0].high) == (-words, words - 1)
    with pytest.raises(DataRefused, match="the model takes"):
        lowered.quantize({"x": np.full((1, length), words)})


def test_computed_places_that_do_not_exist_are_the_nearest(model_of: Call, close: Call) -> None:
    table = values(1, 5, 3)
    nodes = [
        helper.make_node("Add", ["x", "one"], ["i"]),
        helper.make_node("Clip", ["i", "low", "high"], ["c"]),
        helper.make_node("Gather", ["t", "c"], ["y"]),
    ]
    constants = {"t": table, "one": np.array(1), "low": np.array(0), "high": np.array(4)}
    model = integers_at(model_of(nodes, {"x": ["N", 2]}, ["y"], constants), 0)
    rows = {"x": np.array([[0, 9], [-7, 3]])}
    expected = close(model, rows)
    nodes[1] = helper.make_node("Identity", ["i"], ["c"])
    model = integers_at(model_of(nodes, {"x": ["N", 2]}, ["y"], constants), 0)
    lowered = lower(model.SerializeToString(), calibration={"x": np.array([[0, -6], [3, 2]])}, ranges={"x": (-20, 20)})
    found = Engine().run(lowered.model, lowered.quantize({"x": np.array([[0, 9]])}))["y"]
    np.testing.assert_array_equal(found[:, 1], Engine().run(expected.model, expected.quantize(rows))["y"][:1, 1])


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, data=st.data(), rank=st.integers(0, 2))
def test_gather_of_constant_places(
    seed: int, shape: list[int], data: st.DataObject, rank: int, model_of: Call, close: Call
) -> None:
    axis = data.draw(st.integers(1, len(shape)))
    size = shape[axis - 1]
    index = np.random.default_rng(seed).integers(
        -size, size, data.draw(st.sampled_from([(), (3,), (2, 7)][: rank + 1]))
    )
    node = helper.make_node("Gather", ["x", "i"], ["y"], axis=axis)
    close(model_of([node], {"x": ["N", *shape]}, ["y"], {"i": index}), {"x": values(seed, 4, *shape)})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, data=st.data(), computed=st.booleans())
def test_gather_elements(
    seed: int, shape: list[int], data: st.DataObject, computed: bool, model_of: Call, close: Call
) -> None:
    axis = data.draw(st.integers(1, len(shape)))
    wanted = [data.draw(st.integers(1, size)) for size in shape]
    size, rng = shape[axis - 1], np.random.default_rng(seed)
    index = rng.integers(-size, size, (1, *wanted))
    node = helper.make_node("GatherElements", ["x", "i"], ["y"], axis=axis)
    x = values(seed, 1, *shape)
    if computed:
        model = model_of([node], {"x": ["N", *shape], "i": ["N", *wanted]}, ["y"])
        close(integers_at(model, 1), {"x": x, "i": index})
    else:
        close(model_of([node], {"x": [1, *shape]}, ["y"], {"i": index}), {"x": x})


@EXAMPLES
@given(seed=SEEDS, shape=st.lists(st.integers(1, 3), min_size=1, max_size=3), data=st.data())
def test_gather_nd(seed: int, shape: list[int], data: st.DataObject, model_of: Call, close: Call) -> None:
    many = data.draw(st.integers(1, len(shape)))
    rng = np.random.default_rng(seed)
    index = np.stack([rng.integers(-size, size, (4, 3)) for size in shape[:many]], axis=-1)
    node = helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=1)
    model = model_of([node], {"x": ["N", *shape], "i": ["N", 3, many]}, ["y"])
    close(integers_at(model, 1), {"x": values(seed, 4, *shape), "i": index})


@EXAMPLES
@given(
    seed=SEEDS,
    shape=SHAPES,
    data=st.data(),
    reduction=st.sampled_from(["none", "add", "mul", "max", "min"]),
    elements=st.booleans(),
)
def test_scatter_to_constant_places(
    seed: int, shape: list[int], data: st.DataObject, reduction: str, elements: bool, model_of: Call, close: Call
) -> None:
    rng = np.random.default_rng(seed)
    if elements:
        axis = data.draw(st.integers(0, len(shape) - 1))
        index = rng.integers(0, shape[axis], [size if place == axis else 1 for place, size in enumerate(shape)])
        index = rng.permuted(np.arange(shape[axis])).reshape(index.shape) if reduction == "none" else index
        updates, op = values(seed, *index.shape), "ScatterElements"
        attributes: dict[str, Any] = {"axis": axis}
    else:
        index = rng.integers(0, shape[0], (1 if reduction == "none" else 3, 1))
        updates, op, attributes = values(seed, len(index), *shape[1:]), "ScatterND", {}
    node = helper.make_node(op, ["x", "i", "u"], ["y"], reduction=reduction, **attributes)
    model = model_of([node], {"x": shape, "u": list(updates.shape)}, ["y"], {"i": index}, opset=18)
    size = np.float32(0.125 if reduction == "mul" else 1)  # bounds of products of many numbers grow with them
    close(model, {"x": values(seed + 1, *shape) * size, "u": updates * size})


def test_a_part_of_each_row_is_replaced(model_of: Call, close: Call) -> None:
    """x[:, 1] = u, as exporters write it: the number of each row beside a constant place."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], end=1),
        helper.make_node("Squeeze", ["s", "zero"], ["n"]),
        helper.make_node("Range", ["start", "n", "step"], ["r"]),
        helper.make_node("Unsqueeze", ["r", "one"], ["own"]),
        helper.make_node("Concat", ["s", "one"], ["t"], axis=0),
        helper.make_node("Expand", ["place", "t"], ["places"]),
        helper.make_node("Concat", ["own", "places"], ["i"], axis=1),
        helper.make_node("ScatterND", ["x", "i", "u"], ["y"]),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "start": np.array(0), "step": np.array(1)}
    constants["place"] = np.array([[1]])
    model = model_of(nodes, {"x": ["N", 3, 2], "u": ["N", 2]}, ["y"], constants)
    close(model, {"x": values(1, 4, 3, 2), "u": values(2, 4, 2)})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, data=st.data(), depth=st.integers(1, 5))
def test_one_hot(seed: int, shape: list[int], data: st.DataObject, depth: int, model_of: Call, close: Call) -> None:
    axis = data.draw(st.sampled_from([-1, *range(1, len(shape) + 2)]))
    rows = np.random.default_rng(seed).integers(-depth, depth, (4, *shape))
    constants = {"d": np.array(depth), "v": np.array([-0.5, 2], np.float32)}
    node = helper.make_node("OneHot", ["x", "d", "v"], ["y"], axis=axis)
    close(integers_at(model_of([node], {"x": ["N", *shape]}, ["y"], constants), 0), {"x": rows})


@EXAMPLES
@given(seed=SEEDS, shape=SHAPES, data=st.data(), largest=st.booleans())
def test_top_k_breaks_ties_by_the_first(
    seed: int, shape: list[int], data: st.DataObject, largest: bool, model_of: Call, close: Call
) -> None:
    axis = data.draw(st.integers(1, len(shape)))
    k = data.draw(st.integers(1, shape[axis - 1]))
    rows = np.random.default_rng(seed).integers(-2, 3, (4, *shape)).astype(np.float32)
    node = helper.make_node("TopK", ["x", "k"], ["y", "i"], axis=axis, largest=int(largest))
    model = model_of([node], {"x": ["N", *shape]}, ["y", "i"], {"k": np.array([k])}, integers=["i"])
    close(model, {"x": rows})


@EXAMPLES
@given(seed=SEEDS, size=st.tuples(st.integers(1, 4), st.integers(1, 4)), k=st.integers(-6, 6), upper=st.booleans())
def test_trilu(seed: int, size: tuple[int, int], k: int, upper: bool, model_of: Call, close: Call) -> None:
    node = helper.make_node("Trilu", ["x", "k"], ["y"], upper=int(upper))
    close(model_of([node], {"x": ["N", *size]}, ["y"], {"k": np.array(k)}), {"x": values(seed, 4, *size)})


def test_compress_and_reversed_sequences(model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("Compress", ["x", "c"], ["p"], axis=1),
        helper.make_node("ReverseSequence", ["p", "n"], ["y"], batch_axis=1, time_axis=2),
    ]
    constants = {"c": np.array([True, False, True]), "n": np.array([3, 2])}
    model = model_of([nodes[0]], {"x": ["N", 3, 4]}, ["p"], constants | {"n": np.array([1])})
    close(model, {"x": values(1, 4, 3, 4)})
    model = model_of([helper.make_node("ReverseSequence", ["x", "n"], ["y"])], {"x": [4, 2, 3]}, ["y"], constants)
    close(model, {"x": values(1, 4, 2, 3)})


BAD = {
    "a place outside": (helper.make_node("Gather", ["x", "c"], ["y"], "p", axis=1), np.array([3]), "do not lie"),
    "k too large": (helper.make_node("TopK", ["x", "c"], ["y", "i"], "p"), np.array([4]), "takes 4 of 3"),
    "nothing kept": (helper.make_node("Compress", ["x", "c"], ["y"], "p", axis=1), np.array([False] * 3), "are none"),
    "rows of its own": (
        helper.make_node("GatherElements", ["x", "c"], ["y"], "p", axis=1),
        np.array([[0], [1]]),
        "same in every row",
    ),
    "no matrix": (helper.make_node("Trilu", ["x", "c"], ["y"], "p"), np.array(0), "no matrices"),
}


@pytest.mark.parametrize(("node", "constant", "part"), BAD.values(), ids=BAD)
def test_invalid_uses_name_op_node_and_reason(node: Any, constant: np.ndarray, part: str, model_of: Call) -> None:
    model = model_of([node], {"x": ["N", 3]}, ["y"], {"c": constant})
    with pytest.raises(LoweringError, match=part) as found:
        lower(model.SerializeToString())
    assert found.value.where == f'{node.op_type} "p"'


def test_integer_arithmetic_wraps_as_the_float_model_s(model_of: Call) -> None:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["s"]),
        helper.make_node("Mul", ["s", "x"], ["m"]),
        helper.make_node("Sub", ["m", "c"], ["y"]),
    ]
    model = model_of(nodes, {"x": ["N", 3]}, ["y"], {"c": np.array([200], np.uint8)}, dtype=TensorProto.UINT8)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    rows = np.random.default_rng(1).integers(0, 256, (64, 3)).astype(np.uint8)
    lowered = lower(model.SerializeToString(), calibration={"x": rows})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    np.testing.assert_array_equal(found, (rows + rows) * rows - np.uint8(200))


@EXAMPLES
@given(seed=SEEDS, fmod=st.booleans(), op=st.sampled_from(["Div", "Mod"]))
def test_integers_divide_as_the_standard_says(seed: int, fmod: bool, op: str, model_of: Call) -> None:
    rng = np.random.default_rng(seed)
    x, z = rng.integers(-50, 51, (32, 3)), rng.integers(1, 9, (32, 3)) * rng.choice([-1, 1], (32, 3))
    attributes: dict[str, Any] = {"fmod": int(fmod)} if op == "Mod" else {}
    node = helper.make_node(op, ["x", "z"], ["y"], **attributes)
    model = model_of([node], {"x": ["N", 3], "z": ["N", 3]}, ["y"], dtype=TensorProto.INT64, integers=["y"])
    lowered = lower(model.SerializeToString(), calibration={"x": x, "z": z})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": x, "z": z})))["y"]
    towards_zero = np.trunc(x / z).astype(np.int64)
    expected = towards_zero if op == "Div" else x - towards_zero * z if fmod else np.mod(x, z)
    np.testing.assert_array_equal(found, expected)


@EXAMPLES
@given(seed=SEEDS, to=st.sampled_from([TensorProto.INT64, TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL]))
def test_casts_cut_the_fraction_off(seed: int, to: int, model_of: Call) -> None:
    rows = np.random.default_rng(seed).integers(-60, 60, (16, 3)).astype(np.float32) / 4
    rows = np.abs(rows) if to == TensorProto.UINT8 else rows
    model = model_of([helper.make_node("Cast", ["x"], ["y"], to=to)], {"x": ["N", 3]}, ["y"])
    model.graph.output[0].type.tensor_type.elem_type = to
    lowered = lower(model.SerializeToString(), calibration={"x": rows})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    dtype = helper.tensor_dtype_to_np_dtype(to)
    np.testing.assert_array_equal(found, (rows != 0) if to == TensorProto.BOOL else np.trunc(rows).astype(dtype))


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_updates_of_nodes_of_a_graph_with_the_batch_behind_them(reduction: str, model_of: Call, close: Call) -> None:
    """torch.zeros(n, nodes, f).index_add(1, edges, messages): transposed, scattered, transposed back."""
    turn = {"perm": [1, 0, 2]}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], **turn),
        helper.make_node("Gather", ["t", "from"], ["messages"], axis=0),
        helper.make_node("ScatterND", ["t", "to", "messages"], ["s"], reduction=reduction),
        helper.make_node("Transpose", ["s"], ["y"], **turn),
    ]
    to = [[0], [3], [3], [0], [1]] if reduction == "add" else [[0], [3], [2]]
    constants = {"from": np.arange(len(to)) % 4, "to": np.array(to)}
    model = model_of(nodes, {"x": ["N", 4, 3]}, ["y"], constants, opset=18)
    close(model, {"x": values(5, 6, 4, 3)})


def test_invalid_updates_that_have_the_batch_elsewhere(model_of: Call) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("ScatterND", ["t", "to", "x"], ["y"]),
    ]
    model = model_of(nodes, {"x": ["N", 4, 3]}, ["y"], {"to": np.array([[0], [1], [2], [3]])}).SerializeToString()
    with pytest.raises(LoweringError, match="batch"):
        lower(model, calibration={"x": values(5, 4, 4, 3)})
