"""Constants that are repeated for each row and computed with: first states, learned queries, sizes to resize to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, helper

from tools.lowering import check_error, lower

Call = Callable[..., Any]
node = helper.make_node


def rows_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((4, *shape)).astype(np.float32)


def weights_of(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) / 2).astype(np.float32)


def rows_and(out: str, *rest: str) -> list[NodeProto]:
    """[x.size(0), *rest] as a list."""
    return [
        node("Shape", ["x"], [f"{out}/shape"]),
        node("Slice", [f"{out}/shape", "zero", "one"], [f"{out}/rows"]),
        node("Concat", [f"{out}/rows", *rest], [out], axis=0),
    ]


NUMBERS = {"zero": np.array([0]), "one": np.array([1]), "five": np.array([5]), "six": np.array([6])}


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_sizes_that_begin_with_the_number_of_rows_resize_as_constant_ones_do(
    mode: str, model_of: Call, close: Call
) -> None:
    """F.interpolate(x, size=other.shape[-2:])."""
    nodes = [*rows_and("sizes", "two", "five", "six"), node("Resize", ["x", "", "", "sizes"], ["y"], mode=mode)]
    constants = NUMBERS | {"two": np.array([2])}
    close(model_of(nodes, {"x": ["N", 2, 3, 4]}, ["y"], constants), {"x": rows_of(2, 3, 4)})


def test_the_first_state_of_a_cell_is_zeros_as_large_as_the_rows(model_of: Call, close: Call) -> None:
    """h = torch.zeros(x.size(0), 5); h = tanh(W x + U h)."""
    nodes = [
        *rows_and("size", "five"),
        node("ConstantOfShape", ["size"], ["h0"]),
        node("Gemm", ["h0", "u", "b"], ["before"], transB=1),
        node("Gemm", ["x", "w"], ["read"], transB=1),
        node("Add", ["read", "before"], ["sum"]),
        node("Tanh", ["sum"], ["y"]),
    ]
    constants = NUMBERS | {"u": weights_of(1, 5, 5), "b": weights_of(2, 5), "w": weights_of(3, 5, 3)}
    close(model_of(nodes, {"x": ["N", 3]}, ["y"], constants), {"x": rows_of(3)})


@pytest.mark.parametrize("turned", [False, True])
def test_learned_queries_are_repeated_normalised_and_multiplied_with_the_rows(turned: bool, model_of: Call) -> None:
    """latents.expand(n, -1, -1) beside keys of each row; `turned`: the batch goes behind the queries and back."""
    perm = [1, 0, 2] if turned else [0, 1, 2]
    nodes = [
        *rows_and("size", "one", "one"),
        node("Expand", ["latents", "size"], ["every"]),
        node("Transpose", ["every"], ["moved"], perm=perm),
        node("LayerNormalization", ["moved", "scale"], ["normal"]),
        node("MatMul", ["normal", "w"], ["queries"]),
        node("Transpose", ["queries"], ["back"], perm=perm),
        node("Transpose", ["x"], ["keys"], perm=[0, 2, 1]),
        node("MatMul", ["back", "keys"], ["scores"]),
        node("Softmax", ["scores"], ["y"], axis=-1),
    ]
    constants = NUMBERS | {"latents": weights_of(1, 1, 2, 6), "scale": weights_of(2, 6), "w": weights_of(3, 6, 6)}
    model = model_of(nodes, {"x": ["N", 3, 6]}, ["y"], constants)
    check_error(lower(model.SerializeToString(), calibration={"x": rows_of(3, 6)}).report, 1e-4)


def test_weights_that_are_split_are_constants(model_of: Call, close: Call) -> None:
    nodes = [
        node("Split", ["w", "parts"], ["a", "b"], axis=0),
        node("Gemm", ["x", "a"], ["p"], transB=1),
        node("Gemm", ["x", "b"], ["q"], transB=1),
        node("Concat", ["p", "q"], ["y"], axis=1),
    ]
    constants = {"w": weights_of(1, 5, 3), "parts": np.array([2, 3])}
    close(model_of(nodes, {"x": ["N", 3]}, ["y"], constants), {"x": rows_of(3)})


def test_a_bias_of_one_number_without_dimensions_is_added_to_a_product(model_of: Call, close: Call) -> None:
    nodes = [node("MatMul", ["x", "w"], ["p"]), node("Add", ["p", "epsilon"], ["y"])]
    constants = {"w": weights_of(1, 3, 4), "epsilon": np.array(1e-3, np.float32)}
    close(model_of(nodes, {"x": ["N", 3]}, ["y"], constants), {"x": rows_of(3)})


@pytest.mark.parametrize("heads", [1, 2])
def test_learned_queries_may_be_merged_with_heads(heads: int, model_of: Call) -> None:
    """[N, 1, E] turned to [1, N, E], then [1, N * heads, d] and back: nn.MultiheadAttention with a learned query."""
    width = 4
    nodes = [
        *rows_and("size", "one", "one"),
        node("Expand", ["query", "size"], ["every"]),
        node("Transpose", ["every"], ["moved"], perm=[1, 0, 2]),
        node("MatMul", ["moved", "w"], ["queries"]),
        node("Reshape", ["queries", "heads"], ["parts"]),
        node("Transpose", ["parts"], ["each"], perm=[1, 0, 2]),
        node("Reshape", ["x", "merged"], ["keys"]),
        node("Transpose", ["keys"], ["columns"], perm=[0, 2, 1]),
        node("MatMul", ["each", "columns"], ["scores"]),
        node("Softmax", ["scores"], ["shares"], axis=-1),
        node("Reshape", ["shares", "back"], ["y"]),
    ]
    constants = NUMBERS | {
        "query": weights_of(1, 1, 1, heads * width), "w": weights_of(2, heads * width, heads * width),
        "heads": np.array([1, -1, width]), "merged": np.array([-1, 3, width]), "back": np.array([-1, heads, 3]),
    }  # fmt: skip
    model = model_of(nodes, {"x": ["N", heads, 3, width]}, ["y"], constants)
    check_error(lower(model.SerializeToString(), calibration={"x": rows_of(heads, 3, width)}).report, 1e-4)


def test_a_table_is_looked_up_where_the_batch_is_merged_or_elsewhere(model_of: Call, close: Call) -> None:
    """The nearest of some codes, of each part of a row."""
    nodes = [
        node("Reshape", ["x", "parts"], ["each"]),
        node("MatMul", ["each", "codes"], ["scores"]),
        node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        node("Gather", ["table", "best"], ["code"]),
        node("Reshape", ["code", "rows"], ["y"]),
    ]
    constants = {
        "parts": np.array([-1, 2]), "codes": weights_of(1, 2, 5), "table": weights_of(2, 5, 2),
        "rows": np.array([-1, 6]),
    }  # fmt: skip
    close(model_of(nodes, {"x": ["N", 6]}, ["y"], constants), {"x": rows_of(6)})


def test_a_constant_of_truths_is_connected_with_what_rows_say(model_of: Call, close: Call) -> None:
    nodes = [
        node("Greater", ["x", "zero"], ["more"]),
        node("And", ["seen", "more"], ["both"]),
        node("Or", ["both", "seen"], ["any"]),
        node("Xor", ["any", "more"], ["one"]),
        node("Where", ["one", "x", "zero"], ["y"]),
    ]
    constants = {"zero": np.float32(0), "seen": np.array([[[True], [False]]])}
    close(model_of(nodes, {"x": ["N", 2, 3]}, ["y"], constants), {"x": np.rint(rows_of(2, 3) * 8) / 8})


def test_places_of_constants_are_taken_and_set_beforehand(model_of: Call, close: Call) -> None:
    """The buffers of models: positions of a table, a mask that is filled region by region."""
    nodes = [
        node("GatherElements", ["table", "places"], ["taken"], axis=1),
        node("ScatterND", ["taken", "where", "new"], ["set"]),
        node("Add", ["x", "set"], ["y"]),
    ]
    constants = {
        "table": weights_of(1, 1, 5), "places": np.array([[4, 0, -1]]), "where": np.array([[0, 1]]),
        "new": weights_of(2, 1),
    }  # fmt: skip
    close(model_of(nodes, {"x": ["N", 3]}, ["y"], constants), {"x": rows_of(3)})


def test_a_table_that_is_scaled_and_moved_before_it_is_read(model_of: Call, close: Call) -> None:
    """A grid that is expanded to the batch: the scale and what is added to it were one node before it was constant."""
    nodes = [
        *rows_and("sizes", "five"),
        node("Expand", ["grid", "sizes"], ["each"]),
        node("Mul", ["each", "half"], ["scaled"]),
        node("Add", ["scaled", "half"], ["moved"]),
        node("Add", ["x", "moved"], ["y"]),
    ]
    constants = NUMBERS | {"grid": weights_of(5, 1, 5), "half": np.array([[3.5]], np.float32)}
    close(model_of(nodes, {"x": ["N", 5]}, ["y"], constants), {"x": rows_of(5)})
