"""Shape and what is computed from it: constants, but for the number of rows, which only Reshape and Expand may name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper

from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
Call = Callable[..., Any]


def rows_of(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((4, *shape)) * 3).astype(np.float32)


def dimension(of: str, axis: int, out: str) -> list[NodeProto]:
    """x.size(axis) as torch writes it: Shape, a Constant, Gather, and Unsqueeze to put it into a list."""
    return [
        helper.make_node("Shape", [of], [f"{out}/shape"]),
        helper.make_node("Constant", [], [f"{out}/axis"], value_int=axis),
        helper.make_node("Gather", [f"{out}/shape", f"{out}/axis"], [f"{out}/size"], axis=0),
        helper.make_node("Unsqueeze", [f"{out}/size", "zero"], [out]),
    ]


ZERO = {"zero": np.array([0], np.int64)}


@EXAMPLES
@given(seed=SEEDS, shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), rest=st.booleans())
def test_a_flatten_written_with_shapes(seed: int, shape: list[int], rest: bool, model_of: Call, close: Call) -> None:
    """x.view(x.size(0), -1), and the same with every size named."""
    nodes = [helper.make_node("Relu", ["x"], ["r"]), *dimension("r", 0, "n")]
    parts = ["n"]
    for axis in range(1, len(shape) + 1):
        nodes += dimension("r", axis, f"d{axis}")
        parts.append(f"d{axis}")
    if rest:
        nodes.append(helper.make_node("Constant", [], ["minus"], value_ints=[-1]))
        parts = ["n", "minus"]
    nodes += [helper.make_node("Concat", parts, ["s"], axis=0), helper.make_node("Reshape", ["r", "s"], ["y"])]
    lowered = close(model_of(nodes, {"x": ["N", *shape]}, ["y"], ZERO), {"x": rows_of(seed, *shape)})
    assert lowered.report.nodes <= 2


@EXAMPLES
@given(seed=SEEDS, channels=st.integers(1, 3), width=st.integers(1, 4))
def test_halves_and_a_repeated_constant(seed: int, channels: int, width: int, model_of: Call, close: Call) -> None:
    """x[:, :size // 2] and a class token expanded to the rows, then put in front."""
    nodes = [
        *dimension("x", 1, "c"),
        helper.make_node("Div", ["c", "two"], ["half"]),
        helper.make_node("Slice", ["x", "zero", "half", "one"], ["h"]),
        *dimension("x", 0, "n"),
        helper.make_node("Constant", [], ["own"], value_ints=[1, width]),
        helper.make_node("Concat", ["n", "own"], ["target"], axis=0),
        helper.make_node("Expand", ["token", "target"], ["tokens"]),
        helper.make_node("Concat", ["tokens", "h"], ["y"], axis=1),
    ]
    constants = ZERO | {name: np.array([value], np.int64) for name, value in (("one", 1), ("two", 2))}
    constants["token"] = np.random.default_rng(seed).standard_normal((1, 1, width)).astype(np.float32)
    model = model_of(nodes, {"x": ["N", 2 * channels, width]}, ["y"], constants)
    close(model, {"x": rows_of(seed, 2 * channels, width)})


def test_zeros_as_large_as_the_rows_are_one_constant(model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["c"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [2.5])),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    close(model_of(nodes, {"x": ["N", 3, 2]}, ["y"]), {"x": rows_of(3, 3, 2)})


def test_an_expand_as_torch_writes_it(model_of: Call, close: Call) -> None:
    """expand(-1, 3, -1): ConstantOfShape, Mul, Equal, Where, Expand."""
    nodes = [
        helper.make_node("Constant", [], ["sizes"], value_ints=[-1, 3, -1]),
        helper.make_node("Shape", ["sizes"], ["rank"]),
        helper.make_node(
            "ConstantOfShape", ["rank"], ["ones"], value=helper.make_tensor("v", TensorProto.INT64, [1], [1])
        ),
        helper.make_node("Mul", ["ones", "minus"], ["all"]),
        helper.make_node("Equal", ["sizes", "all"], ["kept"]),
        helper.make_node("Where", ["kept", "ones", "sizes"], ["target"]),
        helper.make_node("Expand", ["x", "target"], ["y"]),
    ]
    constants = {"minus": np.array(-1, np.int64)}
    close(model_of(nodes, {"x": ["N", 1, 2]}, ["y"], constants), {"x": rows_of(3, 1, 2)})


def test_what_only_a_shape_was_taken_of_is_not_computed(model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("Abs", ["x"], ["unread"]),
        helper.make_node("Shape", ["unread"], ["s"]),
        helper.make_node("Reshape", ["x", "s"], ["y"]),
    ]
    assert close(model_of(nodes, {"x": ["N", 3]}, ["y"]), {"x": rows_of(1, 3)}).report.nodes == 0


@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_invalid_arithmetic_with_the_number_of_rows(op: str, model_of: Call) -> None:
    nodes = [
        *dimension("x", 0, "n"),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node(op, ["x", "f"], ["y"], "p"),
    ]
    with pytest.raises(OpRefused, match="rows are independent") as found:
        lower(model_of(nodes, {"x": ["N", 3]}, ["y"], ZERO).SerializeToString())
    assert found.value.where == f'{op} "p"'


@pytest.mark.parametrize("target", [["minus", "n"], ["n", "n", "minus"]])
def test_invalid_reshape_that_merges_rows(target: list[str], model_of: Call) -> None:
    nodes = [
        *dimension("x", 0, "n"),
        helper.make_node("Constant", [], ["minus"], value_ints=[-1]),
        helper.make_node("Concat", target, ["s"], axis=0),
        helper.make_node("Reshape", ["x", "s"], ["y"], "p"),
    ]
    with pytest.raises(OpRefused, match="rows are independent"):
        lower(model_of(nodes, {"x": ["N", 3]}, ["y"], ZERO).SerializeToString())


def test_invalid_output_of_a_shape(model_of: Call) -> None:
    with pytest.raises(OpRefused, match="depends on no input"):
        lower(
            model_of(
                [helper.make_node("Shape", ["x"], ["y"])], {"x": ["N", 3]}, ["y"], integers=["y"]
            ).SerializeToString()
        )


def test_sequences_that_lead_are_flattened_with_the_batch_and_part_by_their_sizes(model_of: Call, close: Call) -> None:
    """r.view(T * b, h), a linear layer, .view(T, b, -1): the head of a text recogniser."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["r"], perm=[1, 0, 2]),
        *dimension("r", 0, "t"),
        *dimension("r", 1, "b"),
        helper.make_node("Mul", ["t", "b"], ["tb"]),
        helper.make_node("Concat", ["tb", "five"], ["flat"], axis=0),
        helper.make_node("Reshape", ["r", "flat"], ["m"]),
        helper.make_node("MatMul", ["m", "w"], ["p"]),
        helper.make_node("Concat", ["t", "b", "rest"], ["apart"], axis=0),
        helper.make_node("Reshape", ["p", "apart"], ["q"]),
        helper.make_node("Transpose", ["q"], ["y"], perm=[1, 0, 2]),
    ]
    constants = {**ZERO, "five": np.array([5]), "rest": np.array([-1])}
    constants["w"] = np.random.default_rng(2).standard_normal((5, 3)).astype(np.float32)
    close(model_of(nodes, {"x": ["N", 4, 5]}, ["y"], constants), {"x": rows_of(0, 4, 5)})


def test_one_query_leads_and_is_flattened_with_the_batch(model_of: Call, close: Call) -> None:
    """[1, N, E].view(1 * N, E), a projection, .view(1, N, E): attention of one query, as nn.MultiheadAttention is."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["r"], perm=[1, 0, 2]),
        *dimension("r", 0, "t"),
        *dimension("r", 1, "b"),
        helper.make_node("Mul", ["t", "b"], ["tb"]),
        helper.make_node("Concat", ["tb", "five"], ["flat"], axis=0),
        helper.make_node("Reshape", ["r", "flat"], ["m"]),
        helper.make_node("Relu", ["m"], ["p"]),
        helper.make_node("Concat", ["t", "b", "five"], ["apart"], axis=0),
        helper.make_node("Reshape", ["p", "apart"], ["q"]),
        helper.make_node("Transpose", ["q"], ["y"], perm=[1, 0, 2]),
    ]
    close(model_of(nodes, {"x": ["N", 1, 5]}, ["y"], {**ZERO, "five": np.array([5])}), {"x": rows_of(0, 1, 5)})
