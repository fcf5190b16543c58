"""Which dimension N is: the leading one, fixed or not, or one in front of all; and inputs that become constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtime.inference.engine import Engine
from tools.lowering import DataRefused, LoweringError, OpRefused, lower

EXAMPLES = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
Call = Callable[..., Any]


def values(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * 2).astype(np.float32)


@EXAMPLES
@given(seed=SEEDS, batch=st.integers(1, 5), rows=st.integers(1, 9), width=st.integers(1, 4))
def test_a_fixed_batch_is_still_the_batch(
    seed: int, batch: int, rows: int, width: int, model_of: Call, close: Call
) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "s"], ["r"]),
        helper.make_node("ReduceSum", ["r", "a"], ["y"], keepdims=0),
    ]
    constants = {"w": values(seed, width, 4), "s": np.array([batch, 2, 2]), "a": np.array([1])}
    model = model_of(nodes, {"x": [batch, width]}, ["y"], constants)
    lowered = close(model, {"x": values(seed, batch, width)})
    assert lowered.graph.inputs[0].shape == (width,)
    more = np.concatenate([values(seed, batch, width)[:1]] * rows)
    exact = Engine().run(lowered.model, lowered.quantize({"x": more}))["y"]
    assert (exact == exact[0]).all()
    assert len(exact) == rows


WHOLE = {
    "a sum over all": ([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], {}),
    "a mean over the first": ([helper.make_node("ReduceMean", ["x"], ["y"], axes=[0])], {}),
    "softmax along the first": ([helper.make_node("Softmax", ["x"], ["y"], axis=0)], {}),
    "a reshape": ([helper.make_node("Reshape", ["x", "s"], ["y"])], {"s": np.array([4, -1])}),
    "a flatten of all": ([helper.make_node("Flatten", ["x"], ["y"], axis=0)], {}),
    "a slice of the first": (
        [helper.make_node("Slice", ["x", "s", "e"], ["y"])],
        {"s": np.array([1]), "e": np.array([9])},
    ),
    "a part of the first": (
        [helper.make_node("Split", ["x", "s"], ["y", "z"])],
        {"s": np.array([1, 1])},
    ),
    "padding of the first": ([helper.make_node("Pad", ["x", "p"], ["y"])], {"p": np.array([1, 0, 0, 0, 2, 0])}),
    "concat along the first": (
        [helper.make_node("Concat", ["x", "c", "x"], ["y"], axis=0)],
        {"c": values(1, 1, 3, 4)},
    ),
    "a constant with rows": ([helper.make_node("Add", ["x", "c"], ["y"])], {"c": values(1, 2, 3, 4)}),
    "a constant of more dimensions": ([helper.make_node("Mul", ["x", "c"], ["y"])], {"c": values(1, 2, 2, 3, 1)}),
    "repetition": ([helper.make_node("Tile", ["x", "t"], ["y"])], {"t": np.array([2, 1, 2])}),
    "expansion": ([helper.make_node("Expand", ["x", "t"], ["y"])], {"t": np.array([3, 1, 1, 1])}),
    "a shape": (
        [
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Gather", ["s", "i"], ["t"]),
            helper.make_node("Transpose", ["x"], ["u"], perm=[2, 0, 1]),
            helper.make_node("Reshape", ["u", "t"], ["y"]),
        ],
        {"i": np.array([1, 2, 0])},
    ),
    "pictures": (
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            helper.make_node("Conv", ["t", "w"], ["y"], pads=[1, 1]),
        ],
        {"w": values(3, 2, 2, 3)},
    ),
    "a matrix": (
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[2, 1, 0]),
            helper.make_node("MatMul", ["t", "w"], ["y"]),
        ],
        {"w": values(3, 2, 5)},
    ),
    "an equation": ([helper.make_node("ReduceMax", ["x"], ["y"], axes=[0, -1], keepdims=0)], {}),
}


@pytest.mark.parametrize(("nodes", "constants"), WHOLE.values(), ids=WHOLE)
def test_where_the_first_dimension_is_no_batch_a_row_is_one_run(
    nodes: Any, constants: dict[str, np.ndarray], model_of: Call, close: Call
) -> None:
    opset = 13 if nodes[0].op_type != "ReduceSum" else 17
    lowered = close(model_of(nodes, {"x": [2, 3, 4]}, ["y"], constants, opset=opset), {"x": values(7, 2, 3, 4)})
    assert lowered.graph.inputs[0].shape == (2, 3, 4)
    several = np.stack([values(seed, 2, 3, 4) / 4 for seed in range(3)])
    together = Engine().run(lowered.model, lowered.quantize({"x": several}))["y"]
    for row, alone in zip(several, together, strict=True):
        np.testing.assert_array_equal(Engine().run(lowered.model, lowered.quantize({"x": row}))["y"][0], alone)


@EXAMPLES
@given(seed=SEEDS, sizes=st.tuples(*[st.integers(1, 3)] * 4), ranks=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_products_of_two_inputs(
    seed: int, sizes: tuple[int, ...], ranks: tuple[int, int], model_of: Call, close: Call
) -> None:
    m, k, n, b = sizes
    left, right = (b, m, k)[3 - ranks[0] :], (k,) if ranks[1] == 1 else (b, k, n)[3 - ranks[1] :]
    model = model_of([helper.make_node("MatMul", ["x", "z"], ["y"])], {"x": list(left), "z": list(right)}, ["y"])
    close(model, {"x": values(seed, *left), "z": values(seed + 1, *right)})


def test_an_input_that_has_to_be_constant_is_fixed_by_the_calibration(model_of: Call) -> None:
    model = model_of([helper.make_node("Reshape", ["x", "s"], ["y"])], {"x": [2, 3], "s": [2]}, ["y"])
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    rows = {"x": values(1, 2, 3), "s": np.array([3, 2])}
    lowered = lower(model.SerializeToString(), calibration=rows)
    assert [spec.name for spec in lowered.graph.inputs] == ["x"]
    assert any("'s'" in note for note in lowered.report.notes)
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    np.testing.assert_allclose(found, rows["x"].reshape(3, 2), atol=1e-4)
    with pytest.raises(DataRefused, match="fixed it at another value"):
        lowered.quantize(rows | {"s": np.array([6, 1])})
    with pytest.raises(OpRefused, match="computed from the inputs"):
        lower(model.SerializeToString())


def test_invalid_input_of_an_open_size_is_not_fixed(model_of: Call) -> None:
    model = model_of([helper.make_node("Reshape", ["x", "z"], ["y"])], {"x": ["N", 3], "z": ["K"]}, ["y"])
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(OpRefused, match="computed from the inputs"):
        lower(model.SerializeToString(), calibration={"x": values(1, 2, 3), "z": np.array([3, 2])})


def test_invalid_fixed_batch_beside_an_open_one(model_of: Call) -> None:
    model = model_of([helper.make_node("Add", ["x", "z"], ["y"])], {"x": ["N", 3], "z": [8, 3]}, ["y"])
    with pytest.raises(LoweringError, match="fixed at 8"):
        lower(model.SerializeToString())


def test_invalid_op_without_a_form_for_whole_tensors(model_of: Call) -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("ZipMap", ["t"], ["y"], "p")]
    model = model_of([nodes[0]], {"x": [2, 3]}, ["t"])
    lower(model.SerializeToString())
    nodes[1] = helper.make_node("LSTM", ["t", "w", "r"], ["y"], "p", hidden_size=1)
    constants = {"w": values(1, 1, 4, 2), "r": values(1, 1, 4, 1)}
    with pytest.raises(LoweringError):
        lower(model_of(nodes, {"x": [2, 3]}, ["y"], constants).SerializeToString())


def test_dimensions_that_the_file_leaves_open_are_those_of_the_calibration(model_of: Call) -> None:
    proto = model_of(
        [helper.make_node("ReduceSum", ["x", "a"], ["y"], keepdims=0)],
        {"x": ["N", "L", 3]},
        ["y"],
        {"a": np.array([1])},
    )
    model = proto.SerializeToString()
    assert lower(model, calibration={"x": values(1, 9, 5, 3)}).graph.inputs[0].shape == (5, 3)
    assert lower(model, calibration={"x": values(1, 9, 5, 3)[:, :4]}, shapes={"x": (None, 4, 3)}).graph.inputs[
        0
    ].shape == (4, 3)
    with pytest.raises(LoweringError, match="open dimension"):
        lower(model)
