"""Trees behind preparations of several inputs decide as the float model rounds; what cannot be seen through stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine
from tools.lowering import lower

ML = "ai.onnx.ml"
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]
IMPUTED = (0.25, -1.5)
SCALE, OFFSET = np.array([0.3, -3.7], np.float32), np.array([0.1, 2.2], np.float32)
DIVISOR = np.float64(1 / 3)


def stumps(thresholds: list[float], modes: list[str], width: int) -> dict[str, Any]:
    """Trees of one branch; each leaf a power of two, so that the sum says which way each went."""
    count = len(thresholds)
    names = {"treeids": [tree for tree in range(count) for _ in range(3)], "nodeids": [0, 1, 2] * count}
    names["featureids"] = [value for tree in range(count) for value in (tree % width, 0, 0)]
    names["truenodeids"], names["falsenodeids"] = [1, 0, 0] * count, [2, 0, 0] * count
    found: dict[str, Any] = {f"nodes_{name}": value for name, value in names.items()}
    found["nodes_modes"] = [text for mode in modes for text in (mode, "LEAF", "LEAF")]
    found["nodes_values"] = [value for threshold in thresholds for value in (threshold, 0.0, 0.0)]
    found |= {"target_treeids": list(range(count)), "target_nodeids": [1] * count, "target_ids": [0] * count}
    return found | {"target_weights": [float(1 << tree) for tree in range(count)], "n_targets": 1}


def prepared(attributes: dict[str, Any]) -> bytes:
    """Two floats that may lack values, imputed and scaled; an integer; a double that is divided and cast."""
    nodes = [
        helper.make_node(
            "Imputer", ["x"], ["there"], domain=ML, imputed_value_floats=IMPUTED, replaced_value_float=float("nan")
        ),
        helper.make_node("Scaler", ["there"], ["s"], domain=ML, offset=OFFSET.tolist(), scale=SCALE.tolist()),
        helper.make_node("Cast", ["k"], ["kf"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["d", "third"], ["dd"]),
        helper.make_node("Cast", ["dd"], ["df"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["s", "kf", "df"], ["all"], axis=1),
        helper.make_node("TreeEnsembleRegressor", ["all"], ["y"], domain=ML, **attributes),
    ]
    kinds = {"x": (TensorProto.FLOAT, 2), "k": (TensorProto.INT64, 1), "d": (TensorProto.DOUBLE, 1)}
    inputs = [helper.make_tensor_value_info(name, kind, ["N", width]) for name, (kind, width) in kinds.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    third = numpy_helper.from_array(np.array([DIVISOR]), "third")
    graph = helper.make_graph(nodes, "g", inputs, [output], [third])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def rows_at(thresholds: list[float], random: np.random.Generator) -> dict[str, np.ndarray]:
    """Values that meet the thresholds once prepared, the next below and above, some missing."""
    values = random.choice(thresholds, (40, 4))
    x = (values[:, :2] / SCALE + OFFSET).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(9)), np.nextafter(x, np.float32(-9))])
    d = values[:, 3:] * DIVISOR
    d = np.concatenate([d, np.nextafter(d, 9), np.nextafter(d, -9)])
    k = np.rint(np.concatenate([values[:, 2:3]] * 3) + random.integers(-1, 2, (120, 1))).astype(np.int64)
    x[random.random(x.shape) < 0.1] = np.nan
    x[0, 0] = np.nan
    return {"x": x, "k": k, "d": d}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    modes=st.lists(st.sampled_from(MODES), min_size=4, max_size=12),
)
def test_trees_behind_several_prepared_inputs_decide_as_the_float_model(
    run_stock: Any, seed: int, modes: list[str]
) -> None:
    random = np.random.default_rng(seed)
    thresholds = [float(np.float32(value)) for value in random.integers(-12, 13, len(modes)) / 4]
    model = prepared(stumps(thresholds, modes, 4))
    rows = rows_at(thresholds, random)
    lowered = lower(model, calibration=rows)
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    assert (exact == run_stock(model, rows)["y"]).all()
    assert {type(node).__name__ for node in lowered.graph.nodes} <= {"Trees", "Concat", "Affine", "Clip", "Add"}


@pytest.mark.parametrize(("mode", "left"), [("BRANCH_LEQ", [1, 1, 0]), ("BRANCH_LT", [1, 0, 0])])
def test_a_value_that_equals_a_threshold_goes_its_way_on_a_coarse_grid_too(mode: str, left: list[float]) -> None:
    """Beside 2**40 the grid is 2**-11; the threshold lies between two of its points."""
    value = np.float32(0.2998)
    attributes = stumps([float(value)], [mode], 1)
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, **attributes)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    rows = np.array([[0.29, 2.0**40], [value, 0], [0.31, 0]], np.float32)
    lowered = lower(model, calibration={"x": rows})
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    assert exact.reshape(-1).tolist() == left
    assert lowered.report.notes == ()


def test_trees_behind_what_is_not_seen_through_read_both(run_stock: Any) -> None:
    """A product of two inputs stays as it is computed; beside it an input is looked at past its scaling."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["xx"]),
        helper.make_node("Scaler", ["x"], ["s"], domain=ML, offset=[0.1], scale=[0.3]),
        helper.make_node("Concat", ["xx", "s"], ["all"], axis=1),
        helper.make_node(
            "TreeEnsembleRegressor", ["all"], ["y"], domain=ML, **stumps([1.0, -0.25, 2.0, 0.5], MODES, 4)
        ),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    rows = {"x": np.random.default_rng(3).normal(0, 1, (60, 2)).astype(np.float32)}
    lowered = lower(model, calibration=rows)
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    assert (exact == run_stock(model, rows)["y"]).all()
    assert [type(node).__name__ for node in lowered.graph.nodes] == ["Rescale", "Mul", "Concat", "Trees"]
