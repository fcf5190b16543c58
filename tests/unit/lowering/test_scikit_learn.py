"""What scikit-learn and skl2onnx make, as people do: trained, exported, lowered, proven and run on held-out rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from runtime.inference import Engine, interpret
from tools.lowering import Lowered, lower

NEWTON = {"solver": "lbfgs", "max_iter": 60, "random_state": 0}


def mlp(activation: str) -> Any:
    return make_pipeline(StandardScaler(), MLPClassifier((8, 6), activation=activation, **NEWTON))


def columns() -> Any:
    return ColumnTransformer([("a", StandardScaler(), [0, 3]), ("b", "passthrough", [1]), ("c", MinMaxScaler(), [2])])


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "min-max logistic": lambda: make_pipeline(MinMaxScaler(), LogisticRegression()),
    "clipping scaler": lambda: make_pipeline(MinMaxScaler(clip=True), LogisticRegression()),
    "unscaled logistic": lambda: LogisticRegression(max_iter=5000),
    "one against the rest": lambda: make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
    "rows of length one": lambda: make_pipeline(Normalizer(), LogisticRegression()),
    "rows of sum one": lambda: make_pipeline(Normalizer("l1"), LogisticRegression()),
    "linear discriminants": LinearDiscriminantAnalysis,
    "components": lambda: make_pipeline(StandardScaler(), PCA(3), LogisticRegression()),
    "best features": lambda: make_pipeline(SelectKBest(k=3), StandardScaler(), LogisticRegression()),
    "columns apart": lambda: make_pipeline(columns(), LogisticRegression()),
    "support vectors": lambda: LinearSVC(max_iter=5000),
    "hinge": lambda: make_pipeline(StandardScaler(), SGDClassifier(random_state=0)),
    "perceptron": lambda: make_pipeline(StandardScaler(), Perceptron()),
    "ridge classifier": lambda: make_pipeline(StandardScaler(), RidgeClassifier()),
    "bags": lambda: BaggingClassifier(LogisticRegression(max_iter=1000), n_estimators=4, random_state=0),
    "naive Bayes": GaussianNB,
    "naive Bayes of counts": MultinomialNB,
    "naive Bayes of signs": lambda: make_pipeline(StandardScaler(), BernoulliNB()),
    "network of relu": lambda: mlp("relu"),
    "network of tanh": lambda: mlp("tanh"),
    "network of logistic": lambda: mlp("logistic"),
    "network of identity": lambda: mlp("identity"),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "linear": lambda: make_pipeline(StandardScaler(), LinearRegression()),
    "ridge": lambda: make_pipeline(RobustScaler(), Ridge()),
    "unscaled": LinearRegression,
    "support vectors": lambda: make_pipeline(MaxAbsScaler(), LinearSVR(random_state=0)),
    "network": lambda: make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), **NEWTON)),
    "network of tanh": lambda: MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", **NEWTON),
}
LABELS: dict[str, Callable[[Any], np.ndarray]] = {
    "texts": lambda data: data.target_names[data.target],
    "0, 1, 2": lambda data: data.target,
    "other numbers": lambda data: data.target * data.target + 4,
}


@cache
def data_of(name: str) -> tuple[Any, np.ndarray]:
    """A dataset that scikit-learn ships, and an order that mixes its classes: even places train, odd ones do not."""
    data = {"iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer, "diabetes": load_diabetes}[name]()
    return data, np.random.default_rng(0).permutation(len(data.target))


def exported(pipeline: Any, rows: np.ndarray, targets: np.ndarray, **options: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fit has not converged: it is a model all the same
        pipeline.fit(rows, targets)
    return bytes(to_onnx(pipeline, rows[:1], **options).SerializeToString())


def float_outputs(model: bytes, rows: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, {"X": rows}), strict=True))
    maps = {name: value for name, value in found.items() if isinstance(value, list)}
    return found | {name: np.array([list(row.values()) for row in rows], np.float32) for name, rows in maps.items()}


def check(model: bytes, calibration: np.ndarray, held_out: np.ndarray) -> tuple[Lowered, dict[str, np.ndarray]]:
    """Lowered and run on rows that it has not seen; errors are within what the report bounds, where it does."""
    lowered = lower(model, calibration={"X": calibration})
    integers = lowered.quantize({"X": held_out})
    outputs = Engine().run(lowered.model, integers)
    for name, array in interpret(lowered.model, {"X": integers["X"][:3]}).items():
        np.testing.assert_array_equal(array, outputs[name][:3])
    exact, expected = lowered.dequantize(outputs), float_outputs(model, held_out)
    assert set(exact) == set(expected)
    for output in lowered.report.outputs:
        found, wanted = exact[output.name], expected[output.name]
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        if not output.is_class:
            error = np.abs(found.astype(np.float64) - wanted).max()
            assert error <= 5e-4 * (1 + np.abs(wanted).max())
            assert output.error_bound is None or error <= output.error_bound + 2e-6 * (1 + np.abs(wanted).max())
    return lowered, exact


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("labels", LABELS)
def test_classifiers_of_flowers_say_what_the_float_ones_say(kind: str, labels: str) -> None:
    data, order = data_of("iris")
    rows, targets = data.data.astype(np.float32)[order], LABELS[labels](data)[order]
    model = exported(CLASSIFIERS[kind](), rows[::2], targets[::2])
    lowered, exact = check(model, rows[::2], rows[1::2])
    label = next(name for name in exact if "label" in name)
    assert (exact[label] == float_outputs(model, rows[1::2])[label]).all()
    assert (exact[label] == targets[1::2]).mean() >= 0.6
    expected = () if labels == "0, 1, 2" else tuple(str(name) for name in np.unique(targets))
    assert lowered.graph.labels == expected
    assert lowered.report.agreement == 1.0


@pytest.mark.parametrize("kind", ["logistic", "unscaled logistic", "support vectors", "network of relu", "hinge"])
@pytest.mark.parametrize("name", ["cancer", "wine"])
def test_features_of_very_different_sizes_keep_their_accuracy(name: str, kind: str) -> None:
    """Two classes and three; columns from 0.001 to 4,000."""
    data, order = data_of(name)
    rows, targets = data.data.astype(np.float32)[order], data.target_names[data.target][order]
    pipeline = LogisticRegression(solver="newton-cholesky") if kind == "unscaled logistic" else CLASSIFIERS[kind]()
    model = exported(pipeline, rows[::2], targets[::2])
    _, exact = check(model, rows[::2], rows[1::2])
    label = next(name for name in exact if "label" in name)
    right, expected = exact[label] == targets[1::2], float_outputs(model, rows[1::2])[label] == targets[1::2]
    assert abs(right.mean() - expected.mean()) <= 0.003
    assert right.mean() >= 0.9


@pytest.mark.parametrize(
    ("kind", "targets"), [*((kind, 1) for kind in REGRESSORS), ("linear", 2), ("ridge", 2), ("unscaled", 2)]
)
def test_regressors_keep_their_score(kind: str, targets: int) -> None:
    data, order = data_of("diabetes")
    rows, wanted = data.data.astype(np.float32)[order], data.target[order]
    both = wanted if targets == 1 else np.stack([wanted, np.sqrt(wanted)], axis=1)
    check(exported(REGRESSORS[kind](), rows[::2], both[::2]), rows[::2], rows[1::2])


@pytest.mark.parametrize("kind", ["logistic", "network of tanh"])
@pytest.mark.parametrize("options", [{"zipmap": False}, {"zipmap": "columns"}])
def test_probabilities_leave_as_tensors_however_they_were_asked_for(kind: str, options: dict[str, Any]) -> None:
    data, order = data_of("iris")
    rows, targets = data.data.astype(np.float32)[order], data.target_names[data.target][order]
    pipeline = CLASSIFIERS[kind]()
    check(exported(pipeline, rows, targets, options={id(pipeline): options}), rows, rows)


def test_double_inputs_and_old_opsets_do_as_well() -> None:
    data, order = data_of("iris")
    rows, targets = data.data[order], data.target_names[data.target][order]
    pipeline = CLASSIFIERS["network of relu"]()
    check(exported(pipeline, rows, targets, options={id(pipeline): {"zipmap": False}}), rows, rows)
    rows = rows.astype(np.float32)
    for opset in (9, 11, 13, 17):
        check(exported(CLASSIFIERS["logistic"](), rows, targets, target_opset={"": opset, "ai.onnx.ml": 1}), rows, rows)


def test_probabilities_alone_still_name_their_classes() -> None:
    """Where no output is a class, ZipMap's names are the graph's labels."""
    data, order = data_of("iris")
    rows, targets = data.data.astype(np.float32)[order], data.target_names[data.target][order]
    proto = onnx.ModelProto.FromString(exported(CLASSIFIERS["logistic"](), rows, targets))
    kept = [output for output in proto.graph.output if output.name == "output_probability"]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    lowered, _ = check(proto.SerializeToString(), rows, rows)
    assert lowered.graph.labels == tuple(data.target_names)


def test_the_same_pipeline_gives_the_same_bytes() -> None:
    data, order = data_of("cancer")
    rows, targets = data.data.astype(np.float32)[order], data.target_names[data.target][order]
    model = exported(CLASSIFIERS["network of logistic"](), rows, targets)
    first, second = (lower(model, calibration={"X": rows}).model for _ in range(2))
    assert first == second


def test_classifiers_by_stochastic_descent_spell_out_their_logistic_function() -> None:
    data, order = data_of("iris")
    rows, targets = data.data.astype(np.float32)[order], data.target[order]
    pipeline = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0))
    lowered, _ = check(exported(pipeline, rows, targets, options={id(pipeline): {"zipmap": False}}), rows, rows)
    became = {node.where.split()[0]: node.became for node in lowered.report.source_nodes}
    assert became["Exp"].startswith("part of Sigmoid")


def test_rows_over_their_largest_element_may_have_both_signs() -> None:
    """onnxruntime divides by the largest element, be it negative."""
    data, order = data_of("iris")
    rows, targets = (data.data - data.data.mean(axis=0)).astype(np.float32)[order], data.target[order]
    rows = rows[np.abs(rows.max(axis=1)) > 0.1]
    pipeline = make_pipeline(Normalizer("max"), LogisticRegression()).fit(rows, targets[: len(rows)])
    model = exported(pipeline, rows, targets[: len(rows)], options={id(pipeline): {"zipmap": False}})
    check(model, rows, rows)


def test_features_of_very_different_sizes_keep_their_weight_unscaled() -> None:
    """One of 1e-4, one of 1e5: on one grid the small one would vanish. One that is 0 in calibration may be large."""
    random = np.random.default_rng(4)
    sizes = np.array([1e-4, 1.0, 1e5, 1.0])
    rows = (random.normal(0, 1, (400, 4)) * sizes).astype(np.float32)
    targets = (rows / sizes).sum(axis=1) > 0
    rows[:300, 3] = 0
    model = LinearDiscriminantAnalysis().fit(rows[300:], targets[300:])
    source = bytes(to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString())
    lowered = lower(source, calibration={"X": rows[:300]})
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"X": rows})))
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    label, scores = session.run(None, {"X": rows})
    wrong = np.abs(found["probabilities"] - scores).max(axis=1)
    assert (found["label"][:300] == label[:300]).all()
    assert wrong[:300].max() <= 1e-3
    assert wrong.max() <= 0.1
