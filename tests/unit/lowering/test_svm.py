"""Support vector machines of scikit-learn: all kernels, on rows not seen, against onnxruntime."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, OneClassSVM

from runtime.inference import Engine, interpret
from tools.lowering import Lowered, lower

KERNELS = ("linear", "poly", "rbf", "sigmoid")


def data_of(load: Any) -> tuple[np.ndarray, np.ndarray]:
    rows, targets = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(targets))
    return rows[order].astype(np.float32), targets[order]


def compared(model: Any, load: Any) -> tuple[Lowered, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Fitted on even rows, run on odd ones: (the exact model, its outputs, onnxruntime's)."""
    rows, targets = data_of(load)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that probability=True is deprecated: models have it all the same
        pipeline = make_pipeline(StandardScaler(), model).fit(rows[::2], targets[::2])
        options = {id(pipeline): {"zipmap": False}} if isinstance(model, SVC) else None
        proto = bytes(to_onnx(pipeline, rows[:1], options=options).SerializeToString())
    lowered = lower(proto, calibration={"X": rows[::2]})
    integers = lowered.quantize({"X": rows[1::2]})
    outputs = Engine().run(lowered.model, integers)
    for name, array in interpret(lowered.model, {"X": integers["X"][:2]}).items():
        np.testing.assert_array_equal(array, outputs[name][:2])
    session = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lowered, lowered.dequantize(outputs), dict(zip(names, session.run(names, {"X": rows[1::2]}), strict=True))


def check(found: tuple[Lowered, dict[str, np.ndarray], dict[str, np.ndarray]], room: float) -> None:
    lowered, exact, expected = found
    bounds = {output.name: output.error_bound for output in lowered.report.outputs}
    for name, wanted in expected.items():
        if wanted.dtype.kind != "f":
            np.testing.assert_array_equal(exact[name], wanted)
            continue
        assert exact[name].shape == wanted.shape
        error = float(np.abs(exact[name] - wanted).max())
        assert error <= room * (1 + float(np.abs(wanted).max()))
        bound = bounds[name]
        assert bound is None or error <= bound + 2e-6 * (1 + float(np.abs(wanted).max()))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("load", [load_wine, load_breast_cancer], ids=["three classes", "two classes"])
def test_classes_and_scores_are_the_float_model_s(kernel: str, load: Any) -> None:
    check(compared(SVC(kernel=kernel), load), 1e-4)


def test_probabilities_of_two_classes() -> None:
    check(compared(SVC(probability=True, random_state=0), load_breast_cancer), 5e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_regression(kernel: str) -> None:
    check(compared(SVR(kernel=kernel), load_diabetes), 1e-4)


def test_one_class() -> None:
    check(compared(OneClassSVM(), load_diabetes), 1e-4)


@pytest.mark.parametrize("load", [load_wine, load_digits], ids=["three classes", "ten classes"])
def test_probabilities_of_several_classes(load: Any) -> None:
    lowered, exact, expected = found = compared(SVC(probability=True, random_state=0), load)
    check(found, 3e-3)
    np.testing.assert_array_equal(exact["probabilities"].argmax(axis=1), expected["probabilities"].argmax(axis=1))
    assert [output.error_bound for output in lowered.report.outputs if output.name == "probabilities"] == [None]


def test_kernels_of_a_wide_range_lose_no_bits() -> None:
    """Standard scores of pixels that are seldom lit reach 30, and the cubes of their products a million."""
    check(compared(SVC(kernel="poly"), load_digits), 1e-4)
