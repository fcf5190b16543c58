"""Attention masks: what only hides becomes moderate, whatever number says it; all else keeps its value."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine
from tools.lowering import LoweringError, lower

LENGTH = 6


def _model(nodes, constants, inputs=("scores",)):
    kinds = {"scores": TensorProto.FLOAT, "mask": TensorProto.INT64}
    ports = [helper.make_tensor_value_info(name, kinds[name], ["N", LENGTH]) for name in inputs]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", LENGTH])
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph([helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
                              "g", ports, [out], weights)  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def _scores(rows=24):
    return np.random.default_rng(3).normal(0, 3, (rows, LENGTH)).astype(np.float32)


def _softmax(x):
    e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _run(model, rows):
    lowered = lower(model, calibration=rows)
    return lowered, lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]


@pytest.mark.parametrize("hidden", [-1e4, -1e9, np.finfo(np.float32).min, -np.inf])
def test_what_a_constant_mask_hides_has_no_weight_and_the_rest_has_what_it_has_without_it(hidden):
    mask = np.where(np.arange(LENGTH) < 4, 0, hidden).astype(np.float32)
    model = _model([("Add", ["scores", "m"], ["s"]), ("Softmax", ["s"], ["y"], {"axis": -1})], {"m": mask})
    scores = _scores()
    lowered, found = _run(model, {"scores": scores})
    assert not found[:, 4:].any()
    assert np.abs(found[:, :4] - _softmax(scores[:, :4])).max() < 1e-4
    assert max(layer.error_max for layer in lowered.report.layers) < 1e-3


def test_a_mask_that_is_computed_from_an_input_hides_row_by_row():
    nodes = [
        ("Cast", ["mask"], ["wide"], {"to": TensorProto.FLOAT}),
        ("Sub", ["one", "wide"], ["away"]),
        ("Mul", ["away", "least"], ["added"]),
        ("Add", ["scores", "added"], ["s"]),
        ("Softmax", ["s"], ["y"], {"axis": -1}),
    ]
    constants = {"one": np.float32(1), "least": np.finfo(np.float32).min}
    scores = _scores()
    mask = (np.arange(LENGTH) < 2 + np.arange(len(scores))[:, None] % 4).astype(np.int64)
    _, found = _run(_model(nodes, constants, ("scores", "mask")), {"scores": scores, "mask": mask})
    assert not found[mask == 0].any()
    assert np.abs(found - _softmax(np.where(mask == 1, scores, -np.inf))).max() < 1e-4


def test_a_large_constant_that_an_output_shows_keeps_its_value():
    nodes = [("Add", ["scores", "m"], ["y"])]
    scores = _scores()
    _, found = _run(_model(nodes, {"m": np.full(LENGTH, -1e4, np.float32)}), {"scores": scores})
    assert np.abs(found - (scores.astype(np.float64) - 1e4)).max() < 1e-3


def test_invalid_minus_infinity_that_is_no_mask_is_refused_by_its_name():
    model = _model([("Add", ["scores", "m"], ["y"])], {"m": np.full(LENGTH, -np.inf, np.float32)})
    with pytest.raises(LoweringError, match="initializer 'm': it holds NaN or infinity"):
        lower(model)


def test_invalid_infinity_above_is_no_mask():
    nodes = [("Add", ["scores", "m"], ["s"]), ("Softmax", ["s"], ["y"], {"axis": -1})]
    with pytest.raises(LoweringError, match="initializer 'm': it holds NaN or infinity"):
        lower(_model(nodes, {"m": np.full(LENGTH, np.inf, np.float32)}))


def test_a_row_that_is_hidden_whole_is_found_by_comparing_with_minus_infinity():
    nodes = [
        ("Add", ["scores", "m"], ["s"]),
        ("Softmax", ["s"], ["p"], {"axis": -1}),
        ("Cast", ["mask"], ["wide"], {"to": TensorProto.FLOAT}),
        ("Equal", ["wide", "one"], ["kept"]),
        ("Where", ["kept", "zero", "least"], ["m"]),
        ("ReduceMax", ["m"], ["most"], {"axes": [1], "keepdims": 1}),
        ("Equal", ["most", "least"], ["none"]),
        ("Where", ["none", "zero", "p"], ["y"]),
    ]
    nodes = [*nodes[2:5], *nodes[:2], *nodes[5:]]
    constants = {"one": np.float32([1]), "zero": np.float32([0]), "least": np.float32([-np.inf])}
    scores = _scores()
    mask = (np.arange(LENGTH) < np.arange(len(scores))[:, None] % 4).astype(np.int64)
    model = _model(nodes, constants, ("scores", "mask"))
    lowered = lower(model, ranges={"scores": (-16, 16), "mask": (0, 1)})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"scores": scores, "mask": mask})))["y"]
    seen = mask.any(1)
    assert not found[~seen].any()
    assert np.abs(found[seen] - _softmax(np.where(mask == 1, scores, -np.inf)[seen])).max() < 1e-4


def test_minus_infinity_above_the_diagonal_hides_what_comes_later():
    """torch.full((n, n), -inf).triu(1), one row of it."""
    nodes = [
        ("ConstantOfShape", ["square"], ["full"], {"value": numpy_helper.from_array(np.array([-np.inf], np.float32))}),
        ("Trilu", ["full", "one"], ["mask"]),
        ("Slice", ["mask", "two", "three"], ["m"]),
        ("Add", ["scores", "m"], ["s"]),
        ("Softmax", ["s"], ["y"], {"axis": -1}),
    ]
    constants = {"square": np.array([LENGTH, LENGTH]), "one": np.array(1), "two": np.array([2]), "three": np.array([3])}
    scores = _scores()
    _, found = _run(_model(nodes, constants), {"scores": scores})
    assert not found[:, 3:].any()
    assert np.abs(found[:, :3] - _softmax(scores[:, :3])).max() < 1e-4
