"""Random models of ai.onnx.ml: what is lowered agrees with the float model, what is not is refused by op and node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine
from tools.lowering import LoweringError, ModelRefused, ModelsDisagree, OpRefused, check_agreement, lower

ML = "ai.onnx.ml"
EXAMPLES = settings(max_examples=60, deadline=None)


def pipeline_of(nodes: list[onnx.NodeProto], features: int, label: int | None, **constants: np.ndarray) -> bytes:
    """x [N, features] -> y, and label of this element type if there is one."""
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if label is not None:
        outputs.append(helper.make_tensor_value_info("label", label, None))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", features])]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "pipeline", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def classifier(features: int, classes: int, **changes: Any) -> onnx.NodeProto:
    names = changes.pop("names", [f"class {number}" for number in range(classes)])
    kind = "classlabels_strings" if isinstance(names[0], str) else "classlabels_ints"
    attributes = {"coefficients": [1.0] * (features * classes), "intercepts": [0.0] * classes, kind: names}
    return helper.make_node("LinearClassifier", ["x"], ["label", "y"], "last", domain=ML, **attributes | changes)


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    features=st.integers(1, 9),
    classes=st.integers(2, 6),
    kind=st.sampled_from(["NONE", "SOFTMAX", "LOGISTIC"]),
    numbers=st.booleans(),
    alone=st.booleans(),
)
def test_random_classifiers_agree_within_what_is_predicted(
    seed: int, features: int, classes: int, kind: str, numbers: bool, alone: bool
) -> None:
    random = np.random.default_rng(seed)
    columns = 1 if alone and kind != "SOFTMAX" else classes
    classes = 2 if columns == 1 else classes
    names = sorted(map(int, random.choice(1000, classes, replace=False))) if numbers else list("zyxwvu"[:classes])
    scales = 10.0 ** random.uniform(-3, 3, features)
    scaler = helper.make_node(
        "Scaler", ["x"], ["s"], domain=ML, offset=random.normal(0, scales).tolist(), scale=(1 / scales).tolist()
    )
    node = classifier(
        features, classes, names=names, post_transform=kind,
        coefficients=random.normal(0, 2, columns * features).tolist(), intercepts=random.normal(0, 2, columns).tolist(),
    )  # fmt: skip
    node.input[0] = "s"
    model = pipeline_of([scaler, node], features, TensorProto.INT64 if numbers else TensorProto.STRING)
    rows = (random.normal(0, 1, (40, features)) * scales).astype(np.float32)
    lowered = lower(model, calibration={"x": rows})
    y, label = lowered.report.outputs
    assert y.error_max is not None
    assert y.error_bound is not None
    assert y.error_max <= y.error_bound + 1e-5
    assert y.error_max <= 2e-3
    assert label.agreement is not None
    assert label.agreement >= 0.95
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))
    assert set(exact["label"].tolist()) <= set(names)
    assert lowered.graph.labels == (() if names == list(range(classes)) else tuple(map(str, names)))


@pytest.mark.parametrize("kind", ["SOFTMAX_ZERO", "PROBIT"])
def test_seldom_transforms_are_onnxruntime_s(kind: str) -> None:
    """Among rows of one score that is 0, and of scores between 0 and 1."""
    random = np.random.default_rng(3)
    rows = random.uniform(0.02, 0.98, (50, 3)).astype(np.float32)
    if kind == "SOFTMAX_ZERO":
        rows[::2, 1] = 0
    node = classifier(3, 3, coefficients=np.eye(3).reshape(-1).tolist(), post_transform=kind)
    model = pipeline_of([node], 3, TensorProto.STRING)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (expected,) = session.run(["y"], {"x": rows})
    lowered = lower(model, calibration={"x": rows})
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    assert np.abs(exact - expected).max() <= 1e-3
    assert kind == "PROBIT" or not exact[::2, 1].any()


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1), op=st.sampled_from(["Sigmoid", "Tanh"]), scale=st.sampled_from([0.01, 1.0, 300.0])
)
def test_sigmoid_and_tanh_are_the_float_ones(seed: int, op: str, scale: float) -> None:
    rows = (np.random.default_rng(seed).standard_normal((20, 5)) * scale).astype(np.float32)
    lowered = lower(pipeline_of([helper.make_node(op, ["x"], ["y"])], 5, None), calibration={"x": rows})
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    double = rows.astype(np.float64)
    expected = np.tanh(double) if op == "Tanh" else (1 + np.tanh(double / 2)) / 2
    (bound,) = (output.error_bound for output in lowered.report.outputs)
    assert bound is not None
    assert np.abs(exact - expected).max() <= bound + 6e-8


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), norm=st.sampled_from(["L1", "L2"]), scale=st.sampled_from([0.01, 1.0, 1000.0]))
def test_normalised_rows_are_the_float_ones_and_zeros_stay(seed: int, norm: str, scale: float) -> None:
    rows = (np.random.default_rng(seed).standard_normal((20, 7)) * scale).astype(np.float32)
    node = helper.make_node("Normalizer", ["x"], ["y"], domain=ML, norm=norm)
    lowered = lower(pipeline_of([node], 7, None), calibration={"x": rows})
    rows[0] = 0
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    lengths = np.linalg.norm(rows.astype(np.float64), 1 if norm == "L1" else 2, axis=1, keepdims=True)
    assert not exact[0].any()
    assert np.abs(exact[1:] - rows[1:] / lengths[1:]).max() <= 2e-4


BAD = {
    "coefficients": ([classifier(3, 2, coefficients=[1.0] * 5)], "LinearClassifier", "5 coefficients"),
    "intercepts": ([classifier(3, 2, intercepts=[1.0])], "LinearClassifier", "1 intercepts"),
    "one class": ([classifier(3, 1)], "LinearClassifier", "1 classes"),
    "probit": (
        [classifier(3, 2, coefficients=[1.0] * 3, intercepts=[0.0], post_transform="PROBIT")],
        "LinearClassifier",
        "PROBIT is not supported for one column",
    ),
    "not a number": ([classifier(3, 2, intercepts=[float("nan"), 0.0])], "LinearClassifier", "finite"),
    "a scale": ([helper.make_node("Scaler", ["x"], ["y"], "last", domain=ML, scale=[1.0, 2.0])], "Scaler", "2 numbers"),
    "arithmetic on names": (
        [classifier(3, 2), helper.make_node("Add", ["label", "label"], ["z"], "last")],
        "Add",
        "names of classes",
    ),
}


@pytest.mark.parametrize(("nodes", "op", "reason"), BAD.values(), ids=BAD)
def test_invalid_models_of_ai_onnx_ml_say_op_node_and_reason(nodes: list[onnx.NodeProto], op: str, reason: str) -> None:
    names = {"names": np.array(["a", "b", "c"], object)} if op == "ArrayFeatureExtractor" else {}
    proto = onnx.ModelProto.FromString(pipeline_of(nodes, 3, None, **names))
    if op == "Add":
        proto.graph.output.append(helper.make_tensor_value_info("z", TensorProto.STRING, None))
    with pytest.raises(OpRefused, match=reason) as found:
        lower(proto.SerializeToString())
    assert found.value.op == op
    assert found.value.where.startswith(op)


def test_invalid_labels_that_no_graph_holds() -> None:
    for name in ("x" * 129, "bell \a"):
        with pytest.raises(ModelRefused, match="cannot be a label"):
            lower(pipeline_of([classifier(2, 2, names=["a", name])], 2, TensorProto.STRING))


def test_invalid_text_inputs() -> None:
    proto = onnx.ModelProto.FromString(pipeline_of([classifier(2, 2)], 2, TensorProto.STRING))
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(LoweringError, match="encode categories"):
        lower(proto.SerializeToString())


def test_invalid_agreement_below_the_budget_says_how_much_and_what_to_do() -> None:
    """Scores that differ by less than any grid: the float model sees it, the exact one takes the first."""
    node = classifier(1, 2, coefficients=[1.0, 1.0 + 2.0**-23], intercepts=[0.0, 0.0])
    report = lower(pipeline_of([node], 1, TensorProto.STRING)).report
    assert report.agreement is not None
    assert report.agreement < 0.9
    with pytest.raises(ModelsDisagree, match="64 rows agree") as found:
        check_agreement(report, 0.99)
    assert "--allow-disagreement" in found.value.mend
    check_agreement(report, report.agreement)


@pytest.mark.parametrize("given", [TensorProto.FLOAT, TensorProto.INT64])
def test_features_side_by_side(given: int) -> None:
    random = np.random.default_rng(1)
    node = helper.make_node("FeatureVectorizer", ["a", "b"], ["y"], domain=ML, inputdimensions=[2, 3])
    inputs = [helper.make_tensor_value_info(name, given, ["N", width]) for name, width in (("a", 2), ("b", 3))]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    proto = helper.make_model(helper.make_graph([node], "pair", inputs, [output]), opset_imports=opsets, ir_version=8)
    rows = {name: np.rint(random.standard_normal((6, width)) * 9) for name, width in (("a", 2), ("b", 3))}
    lowered = lower(proto.SerializeToString(), calibration=rows)
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    np.testing.assert_array_equal(exact, np.concatenate([rows["a"], rows["b"]], axis=1))
    node.attribute[0].ints[0] = 3
    proto = helper.make_model(helper.make_graph([node], "pair", inputs, [output]), opset_imports=opsets, ir_version=8)
    with pytest.raises(OpRefused, match="do not fit rows of shapes"):
        lower(proto.SerializeToString())
