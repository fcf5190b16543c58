"""The batch elsewhere than first, alone or merged with heads or places, as PyTorch's attention is exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from onnx import NodeProto, helper

from tools.lowering import LoweringError, check_error, lower

EXAMPLES = settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
SEEDS = st.integers(0, 2**32 - 1)
Call = Callable[..., Any]
node = helper.make_node


def rows_of(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((5, *shape)).astype(np.float32)


def weights_of(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed + 1).standard_normal(shape) / 2).astype(np.float32)


def heads_of(name: str, to: list[int], apart: list[int]) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """[L, N, E] times a matrix, as [L, N * heads, d], then [N * heads, L, d] and `apart`."""
    nodes = [
        node("MatMul", ["moved", f"{name}/w"], [f"{name}/all"]),
        node("Add", [f"{name}/b", f"{name}/all"], [f"{name}/biased"]),
        node("Reshape", [f"{name}/biased", f"{name}/to"], [f"{name}/heads"]),
        node("Transpose", [f"{name}/heads"], [f"{name}/turned"], perm=[1, 0, 2]),
        node("Reshape", [f"{name}/turned", f"{name}/apart"], [name]),
    ]
    return nodes, {f"{name}/to": np.array(to), f"{name}/apart": np.array(apart)}


def attention(
    seed: int, steps: int, heads: int, width: int, *, apart: bool, fixed: bool
) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Attention as exported. apart: whether the heads leave the batch before they are multiplied."""
    rows, every = (1 if fixed else -1), heads * width
    to = [steps, heads if fixed else -1, width]
    split = [rows, heads, steps, width] if apart else [heads if fixed else -1, steps, width]
    back = [2, 0, 1, 3] if apart else [1, 0, 2]
    nodes, constants = [node("Transpose", ["x"], ["moved"], perm=[1, 0, 2])], {}
    for place, name in enumerate("qkv"):
        more, held = heads_of(name, to, split)
        nodes, constants = nodes + more, constants | held
        constants[f"{name}/w"], constants[f"{name}/b"] = (
            weights_of(seed + place, *shape) for shape in ((every, every), (every,))
        )
    turned = [0, 1, 3, 2] if apart else [0, 2, 1]
    nodes += [
        node("Transpose", ["k"], ["kt"], perm=turned),
        node("MatMul", ["q", "kt"], ["scores"]),
        node("Mul", ["scores", "scale"], ["scaled"]),
        node("Add", ["scaled", "mask"], ["masked"]),
        node("Softmax", ["masked"], ["shares"], axis=-1),
        node("MatMul", ["shares", "v"], ["mixed"]),
        node("Transpose", ["mixed"], ["back"], perm=back),
        node("Reshape", ["back", "flat"], ["places"]),
        node("Gemm", ["places", "o/w", "o/b"], ["out"], transB=1),
        node("Reshape", ["out", "whole"], ["sequence"]),
        node("LayerNormalization", ["sequence", "n/w"], ["normal"], axis=2, epsilon=0.1),
        node("Transpose", ["normal"], ["y"], perm=[1, 0, 2]),
    ]
    return nodes, constants | {
        "scale": np.float32(width**-0.5),
        "mask": np.triu(np.full((steps, steps), -3, np.float32), 1),
        "flat": np.array([steps if fixed else -1, every]),
        "whole": np.array([steps, rows, every]),
        "o/w": weights_of(seed + 3, every, every),
        "o/b": weights_of(seed + 4, every),
        "n/w": weights_of(seed + 5, every),
    }


@EXAMPLES
@given(
    seed=SEEDS, steps=st.integers(2, 4), heads=st.integers(1, 3), width=st.integers(2, 3), apart=st.booleans(),
    fixed=st.booleans(),
)  # fmt: skip
def test_attention_over_a_sequence_that_leads(
    seed: int, steps: int, heads: int, width: int, apart: bool, fixed: bool, model_of: Call
) -> None:
    """With an open batch, and with one of a single row, of which shapes do not tell where it is."""
    nodes, constants = attention(seed, steps, heads, width, apart=apart, fixed=fixed)
    model = model_of(nodes, {"x": [1 if fixed else "N", steps, heads * width]}, ["y"], constants)
    x = rows_of(seed, steps, heads * width)
    report = lower(model.SerializeToString(), calibration={"x": x}).report
    check_error(report, 0.0, 1e-3)
    (y,) = report.outputs
    assert y.error_max <= y.error_bound


def test_the_batch_and_heads_become_one_and_part_again(model_of: Call, close: Call) -> None:
    nodes = [
        node("Reshape", ["x", "one"], ["merged"]),
        node("Relu", ["merged"], ["r"]),
        node("MatMul", ["r", "w"], ["m"]),
        node("Reshape", ["m", "apart"], ["y"]),
    ]
    constants = {"one": np.array([-1, 4, 2]), "apart": np.array([-1, 3, 4, 5]), "w": weights_of(3, 2, 5)}
    close(model_of(nodes, {"x": ["N", 3, 4, 2]}, ["y"], constants), {"x": rows_of(1, 3, 4, 2)})


def refused(nodes: list[NodeProto], constants: dict[str, np.ndarray], model_of: Call, match: str) -> None:
    model = model_of(nodes, {"x": ["N", 3, 4]}, ["y"], constants)
    with pytest.raises(LoweringError, match=match):
        lower(model.SerializeToString(), calibration={"x": rows_of(1, 3, 4)})


def test_invalid_products_along_the_batch(model_of: Call) -> None:
    """A sum over the rows of a batch, whose number the file would have fixed."""
    nodes = [node("Transpose", ["x"], ["t"], perm=[1, 2, 0]), node("MatMul", ["t", "w"], ["y"])]
    refused(nodes, {"w": weights_of(1, 5, 2)}, model_of, "dimension 2 of its input 0 is the batch")


PLACES = node("Transpose", ["x"], ["t"], perm=[1, 0, 2])
"""[N, 3, 4] as [3, N, 4]."""


@pytest.mark.parametrize("shape", [(3, 1, 4), (3, 1, 1), (1, 1, 4), (4,), (1, 3, 1, 4)])
def test_constants_of_each_place_before_the_batch(shape: tuple[int, ...], model_of: Call, close: Call) -> None:
    """A positional encoding of a sequence that leads."""
    nodes = [PLACES, node("Add", ["t", "c"], ["s"]), node("Where", ["b", "s", "c"], ["y"])]
    constants = {"c": weights_of(1, *shape), "b": weights_of(2, *shape) > 0}
    close(model_of(nodes, {"x": ["N", 3, 4]}, ["y"], constants), {"x": rows_of(1, 3, 4)})


ALONG = [
    (node("Softmax", ["t"], ["y"], axis=0), (3, 4)),
    (node("ReduceMax", ["t"], ["y"], axes=[0, 2]), (1, 1)),
    (node("CumSum", ["t", "first"], ["y"]), (3, 4)),
    (node("Slice", ["t", "first", "second", "first"], ["y"]), (1, 4)),
    (node("Gather", ["t", "second"], ["y"], axis=0), (1, 4)),
    (node("Concat", ["t", "t"], ["y"], axis=-1), (3, 8)),
    (node("ReduceMean", ["t"], ["y"], axes=[0], keepdims=0), None),
    (node("Squeeze", ["one", "first"], ["y"]), None),
    (node("Unsqueeze", ["t", "pair"], ["y"]), None),
    (node("ArgMax", ["t"], ["y"], axis=0, keepdims=0), None),
]


@pytest.mark.parametrize(("last", "after"), ALONG, ids=[each.op_type for each, _ in ALONG])
def test_operators_along_dimensions_before_and_behind_the_batch(
    last: NodeProto, after: tuple[int, int] | None, model_of: Call, close: Call
) -> None:
    """And where the batch holds another dimension meanwhile."""
    constants = {"first": np.array([0]), "second": np.array([1]), "pair": np.array([0, 3])}
    nodes = [PLACES, node("Slice", ["t", "first", "second", "first"], ["one"]), last]
    integers = ["y"] if last.op_type == "ArgMax" else []
    close(model_of(nodes, {"x": ["N", 3, 4]}, ["y"], constants, integers=integers), {"x": rows_of(1, 3, 4)})
    if after is None:
        return
    many = [
        node("Reshape", ["x", "many"], ["z"]),
        node("Transpose", ["z"], ["t"], perm=[1, 0, 2]),
        last,
        node("Transpose", ["y"], ["back"], perm=[1, 0, 2]),
        node("Reshape", ["back", "apart"], ["out"]),
    ]
    constants |= {"many": np.array([-1, 3, 4]), "apart": np.array([-1, 2, *after])}
    close(model_of(many, {"x": ["N", 2, 3, 4]}, ["out"], constants), {"x": rows_of(1, 2, 3, 4)})


def test_windows_are_merged_with_the_batch_and_part_again(model_of: Call, close: Call) -> None:
    """Windows of a picture as rows of their own, of which each is normalised, scaled and reduced."""
    nodes = [
        node("Reshape", ["x", "parts"], ["p"]),
        node("Transpose", ["p"], ["w"], perm=[0, 1, 3, 2, 4]),
        node("Reshape", ["w", "windows"], ["m"]),
        node("Pow", ["m", "two"], ["sq"]),
        node("ReduceMax", ["sq"], ["most"], axes=[1]),
        node("Sub", ["sq", "most"], ["d"]),
        node("Split", ["d"], ["a", "b"], axis=1),
        node("Gather", ["b", "last"], ["g"], axis=1),
        node("Add", ["a", "g"], ["s"]),
        node("Reshape", ["s", "back"], ["y"]),
    ]
    constants = {
        "parts": np.array([-1, 2, 2, 2, 2]), "windows": np.array([-1, 4, 1]), "two": np.float32(2),
        "last": np.array([1, 0]), "back": np.array([-1, 2, 2, 2]),
    }  # fmt: skip
    close(model_of(nodes, {"x": ["N", 4, 4]}, ["y"], constants), {"x": rows_of(2, 4, 4)})


def test_invalid_constants_that_differ_along_the_batch(model_of: Call) -> None:
    nodes = [PLACES, node("Add", ["t", "c"], ["y"])]
    for shape in ((5, 4), (3, 5, 4)):
        refused(nodes, {"c": weights_of(1, *shape)}, model_of, "has rows of its own; the batch, dimension 1")


def test_invalid_merged_batch_that_is_put_out_or_read_by_what_mixes_rows(model_of: Call) -> None:
    merge = node("Reshape", ["x", "s"], ["m"])
    shape = {"s": np.array([-1, 4])}
    refused([merge, node("Relu", ["m"], ["y"])], shape, model_of, "holds more than the batch")
    refused([merge, node("ReduceSum", ["m"], ["y"], keepdims=0)], shape, model_of, "is the batch and more")


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_parts_that_are_merged_with_the_batch_are_flattened_behind_it(axis: int, model_of: Call, close: Call) -> None:
    nodes = [
        node("Reshape", ["x", "parts"], ["n"]),
        node("Identity", ["n"], ["m"]),
        node("Flatten", ["m"], ["f"], axis=axis),
        node("Reshape", ["f", "back"], ["y"]),
    ]
    constants = {"parts": np.array([-1, 3, 4]), "back": np.array([-1, 6, 4])}
    close(model_of(nodes, {"x": ["N", 6, 4]}, ["y"], constants), {"x": rows_of(3, 6, 4)})


@pytest.mark.parametrize("shape", [(1,), (1, 3, 1), (2, 3)])
def test_a_squeeze_of_all_keeps_the_batch(shape: tuple[int, ...], model_of: Call, close: Call) -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Squeeze", ["r"], ["y"])]
    close(model_of(nodes, {"x": ["N", *shape]}, ["y"]), {"x": rows_of(4, *shape)})
