"""SVMClassifier node by node: probabilities from those of pairs, linear scores, every post_transform."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtime.inference import Engine, interpret
from tools.lowering import Lowered, LoweringError, lower

TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
SPREAD = 16.0


def model_of(features: int, classes: int, **attributes: Any) -> bytes:
    node = helper.make_node(
        "SVMClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", classlabels_ints=[10 + n for n in range(classes)],
        kernel_params=[0.5, 0.0, 3.0], **attributes,
    )  # fmt: skip
    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", features])
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["N"])
    scores = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "M"])
    graph = helper.make_graph([node], "g", [rows], [label, scores])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def pairs_of(classes: int) -> bytes:
    """The model whose score of a pair is a feature of its own, and whose probability is that score's sigmoid."""
    names = list(combinations(range(classes), 2))
    coefficients = np.zeros((classes - 1, len(names)))
    for place, (_, j) in enumerate(names):
        coefficients[j - 1, place] = 1
    return model_of(
        len(names), classes, kernel_type="LINEAR", support_vectors=np.eye(len(names)).reshape(-1).tolist(),
        vectors_per_class=[classes - 1 - own for own in range(classes)], coefficients=coefficients.reshape(-1).tolist(),
        rho=[0.0] * len(names), prob_a=[-1.0] * len(names), prob_b=[0.0] * len(names),
    )  # fmt: skip


def lowered_and_run(model: bytes, rows: np.ndarray) -> tuple[Lowered, dict[str, np.ndarray]]:
    lowered = lower(model, calibration={"x": rows})
    integers = lowered.quantize({"x": rows})
    outputs = Engine().run(lowered.model, integers)
    for name, array in interpret(lowered.model, {"x": integers["x"][:2]}).items():
        np.testing.assert_array_equal(array, outputs[name][:2])
    return lowered, lowered.dequantize(outputs)


def minimiser(scores: np.ndarray, classes: int) -> np.ndarray:
    """p under sum p = 1 of the least sum of (r[j, i] p[i] - r[i, j] p[j])**2, for each row of scores of pairs."""
    upper = np.triu_indices(classes, 1)
    found = []
    for row in scores.astype(np.float64):
        r = np.zeros((classes, classes))
        r[upper] = np.clip(1 / (1 + np.exp(-row)), 1e-7, 1 - 1e-7)
        r.T[upper] = 1 - r[upper]
        q = np.diag((r**2).sum(axis=0)) - r * r.T
        x = np.linalg.solve(q + 1e-11 * np.eye(classes), np.ones(classes))
        found.append(x / x.sum())
    return np.array(found)


def scores_of(random: np.random.Generator, classes: int, rows: int, noise: float) -> np.ndarray:
    """Scores of pairs as probabilities of classes make them, some of these near 0, under noise."""
    likely = random.dirichlet(np.full(classes, random.choice([0.1, 0.5, 2.0])), rows)
    logs = np.log(likely + 1e-7)
    upper = np.triu_indices(classes, 1)
    scores = logs[:, upper[0]] - logs[:, upper[1]] + random.normal(0, noise, (rows, len(upper[0])))
    return np.clip(scores, -SPREAD, SPREAD).astype(np.float32)


@settings(max_examples=12, deadline=None)
@given(st.integers(3, 12), st.sampled_from([0.0, 1.5, 10.0]), st.integers(0, 2**32 - 1))
@example(32, 1.5, 0)
def test_probabilities_are_those_that_fit_all_pairs_best(classes: int, noise: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = scores_of(random, classes, 40, noise)
    ends = np.full((2, rows.shape[1]), SPREAD, np.float32) * [[1], [-1]]
    _, exact = lowered_and_run(pairs_of(classes), np.concatenate([rows, ends.astype(np.float32)]))
    assert np.abs(exact["y"][:40] - minimiser(rows, classes)).max() <= 2e-3
    assert np.abs(exact["y"].sum(axis=1) - 1).max() <= classes * 2.0**-22


def drawn(random: np.random.Generator, classes: int, linear: bool, positive: bool, likely: bool) -> dict[str, Any]:
    shape = (classes, 2) if linear else (classes - 1, classes)
    coefficients = random.normal(0, 1, shape)
    pairs = classes * (classes - 1) // 2
    given: dict[str, Any] = {
        "coefficients": (np.abs(coefficients) if positive else coefficients).reshape(-1).tolist(),
        "rho": [0.1] if linear else random.normal(0, 0.5, pairs).tolist(),
    }
    if not linear:
        given["support_vectors"] = random.normal(0, 1, 2 * classes).tolist()
        given["vectors_per_class"] = [1] * classes
    if likely:
        given |= {"prob_a": [-1.0] * pairs, "prob_b": [0.1] * pairs}
    return given


@pytest.mark.parametrize("kind", TRANSFORMS)
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("likely", [False, True], ids=["scores", "probabilities"])
@pytest.mark.parametrize("shape", ["linear", "linear positive", "kernels", "kernels positive"])
def test_every_form_says_what_the_float_model_says(kind: str, classes: int, likely: bool, shape: str) -> None:
    linear, positive = shape.startswith("linear"), shape.endswith("positive")
    random = np.random.default_rng(classes)
    attributes = drawn(random, classes, linear, positive, likely)
    if kind == "PROBIT" and (linear or not likely):  # of what is no probability it is NaN, and in float32 around 1/2
        attributes["coefficients"] = [0.02 * value for value in attributes["coefficients"]]
        attributes["rho"] = [0.75] * len(attributes["rho"])
    model = model_of(2, classes, kernel_type="LINEAR" if linear else "RBF", post_transform=kind, **attributes)
    rows = random.normal(0, 1, (200, 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    labels, scores = session.run(["label", "y"], {"x": rows})
    if kind == "PROBIT" and not likely and classes == 2 and not linear:
        with pytest.raises(LoweringError, match="PROBIT of one score"):
            lower(model)
        return
    _, exact = lowered_and_run(model, rows)
    np.testing.assert_array_equal(exact["label"], labels)
    assert np.isfinite(scores).all()
    room = 5e-3 if likely and not linear else 1e-4
    room *= 3 if kind == "PROBIT" else 1  # as steep as it is
    assert np.abs(exact["y"] - scores).max() <= room * (1 + np.abs(scores).max())


def test_invalid_probabilities_of_too_many_classes_say_what_to_do() -> None:
    with pytest.raises(LoweringError, match=r"33 classes.*CalibratedClassifierCV"):
        lower(pairs_of(33), calibration={"x": np.full((2, 528), SPREAD, np.float32)})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"vectors_per_class": [1, 1]}, "3 classes with 2 numbers of support vectors"),
        ({"rho": [0.0]}, "1 numbers of rho, 3 are needed"),
        ({"prob_a": [1.0]}, "1 numbers of prob_a, 3 are needed"),
        ({"coefficients": [1.0] * 5}, "5 numbers of coefficients, 6 are needed"),
        ({"post_transform": "SQUARE"}, "post_transform SQUARE is unknown"),
    ],
)
def test_invalid_attributes_are_named(changed: dict[str, Any], reason: str) -> None:
    attributes = drawn(np.random.default_rng(0), 3, linear=False, positive=False, likely=True)
    with pytest.raises(LoweringError, match=reason):
        lower(model_of(2, 3, **{"kernel_type": "LINEAR", **attributes, **changed}))
