"""Nodes may stand in any order in which they can be sorted, as onnxruntime takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference import Engine
from tools.lowering import LoweringError, lower

Call = Callable[..., Any]
NODES = [
    helper.make_node("Cast", ["x"], ["a"], to=1),
    helper.make_node("Relu", ["a"], ["b"]),
    helper.make_node("Neg", ["a"], ["c"]),
    helper.make_node("Add", ["b", "c"], ["d"]),
    helper.make_node("Mul", ["d", "b"], ["y"]),
]
ROWS = {"x": np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)}


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(len(NODES))))
def test_the_order_of_nodes_changes_nothing(order: list[int], model_of: Call) -> None:
    sorted_, shuffled = (
        lower(
            model_of([NODES[place] for place in places], {"x": ["N", 3]}, ["y"]).SerializeToString(), calibration=ROWS
        )
        for places in (range(len(NODES)), order)
    )
    exact, other = (Engine().run(found.model, found.quantize(ROWS))["y"] for found in (sorted_, shuffled))
    np.testing.assert_array_equal(exact, other)
    assert len(sorted_.graph.nodes) == len(shuffled.graph.nodes)


@pytest.mark.parametrize("reads", ["y", "nothing", "d"])
def test_invalid_nodes_that_cannot_be_sorted(reads: str, model_of: Call) -> None:
    nodes = [helper.make_node("Add", ["x", reads], ["a"]), *NODES[1:]]
    with pytest.raises(LoweringError, match="not defined before it"):
        lower(model_of(nodes, {"x": ["N", 3]}, ["y"]).SerializeToString(), calibration=ROWS)
