"""TreeEnsemble is the TreeEnsembleRegressor of the same trees: random ones, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from runtime.inference.engine import Engine
from tools.lowering import OpRefused, lower
from tools.lowering.ops.tree_lists import BRANCHES

Call = Callable[..., Any]
ML = "ai.onnx.ml"


def ensemble(model_of: Call, **lists: Any) -> onnx.ModelProto:
    """A stump that asks x0 <= 0.5, unless `lists` says otherwise."""
    given = {
        "tree_roots": [0], "nodes_featureids": [0], "nodes_modes": [0], "nodes_splits": [0.5], "n_targets": 1,
        "nodes_trueleafs": [1], "nodes_falseleafs": [1], "nodes_truenodeids": [0], "nodes_falsenodeids": [1],
        "leaf_targetids": [0, 0], "leaf_weights": [1.0, 2.0], **lists,
    }  # fmt: skip
    types = {"nodes_modes": np.uint8, "nodes_splits": np.float32, "leaf_weights": np.float32}
    tensors = {name: numpy_helper.from_array(np.array(given[name], kind), name) for name, kind in types.items()}
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain=ML, **{**given, **tensors})
    model: onnx.ModelProto = model_of([node], {"x": ["N", 2]}, ["y"], opset=21)
    model.opset_import.append(helper.make_opsetid(ML, 5))
    return model


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), modes=st.lists(st.sampled_from(range(6)), min_size=1, max_size=6))
def test_a_chain_of_branches_says_what_its_definition_says(seed: int, modes: list[int], model_of: Call) -> None:
    """Each node's true side is a leaf, its false side the next node, the last one's the last leaf."""
    rng, count = np.random.default_rng(seed), len(modes)
    features, splits = rng.integers(0, 2, count), rng.integers(-3, 4, count) / 4
    weights, targets = rng.integers(-8, 9, count + 1) / 8, rng.integers(0, 2, count + 1)
    model = ensemble(
        model_of, nodes_featureids=features.tolist(), nodes_modes=modes, nodes_splits=splits, n_targets=2,
        nodes_trueleafs=[1] * count, nodes_falseleafs=[0] * (count - 1) + [1], nodes_truenodeids=[*range(count)],
        nodes_falsenodeids=[*range(1, count), count], leaf_targetids=targets.tolist(), leaf_weights=weights,
    )  # fmt: skip
    rows = (rng.integers(-4, 5, (16, 2)) / 4).astype(np.float32)
    lowered = lower(model.SerializeToString(), ranges={"x": (-2, 2)})
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    asks = {"LEQ": np.less_equal, "LT": np.less, "GTE": np.greater_equal, "GT": np.greater, "EQ": np.equal}
    asks["NEQ"] = np.not_equal
    for row, found in zip(rows, exact, strict=True):
        answers = [bool(asks[BRANCHES[m][7:]](row[f], s)) for m, f, s in zip(modes, features, splits, strict=True)]
        leaf = answers.index(True) if True in answers else count
        expected = [0.0, 0.0]
        expected[targets[leaf]] = weights[leaf]
        assert found.tolist() == expected


BAD = {
    "member": {"nodes_modes": [6]},
    "circle": {"nodes_trueleafs": [0]},
    "a root twice": {"tree_roots": [0, 0]},
    "a root beyond": {"tree_roots": [7]},
    "a leaf beyond": {"nodes_falsenodeids": [2]},
    "a negative leaf": {"nodes_falsenodeids": [-1]},
    "too few": {"nodes_splits": []},
    "a target beyond": {"leaf_targetids": [0, 1]},
    "the largest leaf": {"aggregate_function": 3},
    "probit": {"post_transform": 4},
    "an unknown sum": {"aggregate_function": 9},
}


@pytest.mark.parametrize("lists", BAD.values(), ids=BAD)
def test_invalid_lists_are_refused_by_node(lists: dict[str, Any], model_of: Call) -> None:
    with pytest.raises(OpRefused) as found:
        lower(ensemble(model_of, **lists).SerializeToString(), ranges={"x": (-2, 2)})
    assert found.value.op == "TreeEnsemble"
