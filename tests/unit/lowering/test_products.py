"""Products of two computed tensors, and of a list of constant matrices, against onnxruntime's float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference.engine import Engine
from runtime.inference.graph import MatMul, Rescale
from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=30, deadline=None)
Call = Callable[..., Any]


def rows_of(seed: int, scale: float, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((5, *shape)) * scale).astype(np.float32)


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    lead=st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), max_size=2),
    sizes=st.tuples(*[st.integers(1, 7)] * 3),
    scales=st.tuples(*[st.sampled_from([0.01, 1.0, 50.0])] * 2),
)
def test_two_tensors(
    model_of: Call, close: Call, seed: int, lead: list[Any], sizes: Any, scales: tuple[float, float]
) -> None:
    m, k, n = sizes
    left = [size if one else 1 for size, one, _ in lead]
    right = [size if other else 1 for size, _, other in lead]
    rows = {"a": rows_of(seed, scales[0], *left, m, k), "b": rows_of(seed + 1, scales[1], *right, k, n)}
    shapes = {name: ["N", *array.shape[1:]] for name, array in rows.items()}
    close(model_of([helper.make_node("MatMul", ["a", "b"], ["y"])], shapes, ["y"]), rows)


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), first=st.booleans(), led=st.booleans(), scale=st.sampled_from([0.001, 1.0]))
def test_a_constant_matrix_for_each_part(
    model_of: Call, close: Call, seed: int, first: bool, led: bool, scale: float
) -> None:
    constants = {"w": rows_of(seed, scale, 4, 4)[:3]}
    if led:
        constants["w"] = constants["w"][np.newaxis]
    rows = {"x": rows_of(seed + 1, 3, 3, 4, 4)}
    node = helper.make_node("MatMul", ["w", "x"] if first else ["x", "w"], ["y"])
    close(model_of([node], {"x": ["N", 3, 4, 4]}, ["y"], constants), rows)


@pytest.mark.parametrize("width", [4, 64, 1024])
def test_a_product_keeps_sixteen_bits_where_bounds_are_wide(model_of: Call, width: int) -> None:
    """Operands that no one calibrated to be small: what is dropped is dropped from the wider one, or from both."""
    rows = {"a": rows_of(1, 30, 2, width), "b": rows_of(2, 0.5, width, 2)}
    shapes = {name: ["N", *array.shape[1:]] for name, array in rows.items()}
    proto = model_of([helper.make_node("MatMul", ["a", "b"], ["y"])], shapes, ["y"])
    lowered = lower(proto.SerializeToString(), calibration=rows)
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    real = rows["a"].astype(np.float64) @ rows["b"].astype(np.float64)
    assert np.abs(found - real).max() <= 2.0**-16 * np.abs(real).max()


def test_what_fits_is_multiplied_as_it_is(model_of: Call) -> None:
    rows = {"a": rows_of(1, 1, 3, 4), "b": rows_of(2, 1, 4, 3)}
    shapes = {name: ["N", *array.shape[1:]] for name, array in rows.items()}
    proto = model_of([helper.make_node("MatMul", ["a", "b"], ["y"])], shapes, ["y"])
    nodes = lower(proto.SerializeToString(), calibration=rows).graph.nodes
    assert [type(node) for node in nodes] == [MatMul]
    assert not any(isinstance(node, Rescale) for node in nodes)


@pytest.mark.parametrize(
    ("left", "right"), [((3, 4), (5, 3)), ((4,), (4, 3)), ((2, 3, 4), (3, 4, 3)), ((3, 4), (2, 4, 3))]
)
def test_invalid_matrices_that_do_not_fit(model_of: Call, left: Any, right: Any) -> None:
    shapes = {"a": ["N", *left], "b": ["N", *right]}
    proto = model_of([helper.make_node("MatMul", ["a", "b"], ["y"])], shapes, ["y"])
    with pytest.raises(OpRefused, match="are needed"):
        lower(proto.SerializeToString())


def test_invalid_matrices_without_any_bound(model_of: Call) -> None:
    """Integers of 2**60 and more in each product: nothing is left to drop."""
    nodes = [helper.make_node("Mul", ["a", "c"], ["big"]), helper.make_node("MatMul", ["big", "big"], ["y"])]
    proto = model_of(nodes, {"a": ["N", 3, 3]}, ["y"], {"c": np.float32(2.0**20)})
    with pytest.raises(OpRefused, match="too large"):
        lower(proto.SerializeToString())
