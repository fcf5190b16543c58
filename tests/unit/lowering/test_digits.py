"""The demo's trained models: accepted, as accurate as the float ones, and the same bytes each time."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from functools import cache

import numpy as np
import onnxruntime
import pytest

from runtime.inference.engine import Engine
from runtime.inference.graph import model_hash
from runtime.inference.interpreter import interpret
from runtime.inference.verifier import verify
from tools.demo.assets import read_asset
from tools.lowering import Lowered, lower, report_lines

MODELS = pytest.mark.parametrize("name", ["digits_cnn", "digits_mlp"])


def arrays(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(io.BytesIO(read_asset(name)), allow_pickle=False))


@cache
def lowered_digits(name: str) -> Lowered:
    return lower(read_asset(f"{name}.onnx"), calibration=arrays("digits_calibration.npz"))


@cache
def heldout() -> tuple[np.ndarray, np.ndarray]:
    data = arrays("digits_heldout.npz")
    return data["images"][:, None], data["labels"]


def float_outputs(name: str, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(read_asset(f"{name}.onnx"), providers=["CPUExecutionProvider"])
    probabilities, label = session.run(["probabilities", "label"], {"image": images})
    return {"probabilities": probabilities, "label": label}


@MODELS
def test_heldout_images_are_enough_and_well_recognised_by_the_float_model(name: str) -> None:
    images, labels = heldout()
    assert images.dtype == np.float32
    assert len(images) == len(labels) >= 200
    assert (float_outputs(name, images)["label"] == labels).mean() >= 0.97


@MODELS
def test_exact_accuracy_is_within_half_a_point(name: str) -> None:
    images, labels = heldout()
    lowered = lowered_digits(name)
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"image": images})))
    expected = float_outputs(name, images)
    assert abs((exact["label"] == labels).mean() - (expected["label"] == labels).mean()) <= 0.005
    assert exact["label"].dtype == np.int64
    error = np.abs(exact["probabilities"] - expected["probabilities"]).max()
    output = next(output for output in lowered.report.outputs if output.name == "probabilities")
    assert error <= output.error_bound
    assert error <= 1e-4


@MODELS
def test_engine_equals_interpreter(name: str) -> None:
    lowered = lowered_digits(name)
    inputs = lowered.quantize({"image": heldout()[0][:3]})
    found, expected = Engine().run(lowered.model, inputs), interpret(lowered.model, inputs)
    assert set(found) == set(expected) == {"probabilities", "label"}
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)


@MODELS
def test_without_calibration_the_labels_still_agree(name: str) -> None:
    images, _ = heldout()
    lowered = lower(read_asset(f"{name}.onnx"))
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"image": images})))
    assert (exact["label"] == float_outputs(name, images)["label"]).mean() >= 0.995
    assert lowered.report.calibration_rows == 0
    assert any("1024" in note for note in lowered.report.notes)


@MODELS
def test_the_report_tells_what_was_proven_and_measured(name: str) -> None:
    lowered = lowered_digits(name)
    report, verified = lowered.report, verify(lowered.model)
    assert report.model_hash == model_hash(lowered.model).hex()
    assert (report.gas_load, report.gas_fixed, report.gas_per_row) == (
        verified.cost.gas_load, verified.cost.gas_fixed, verified.cost.gas_per_row,
    )  # fmt: skip
    assert report.calibration_rows == 256
    assert all(layer.error_max <= layer.error_bound for layer in report.layers if layer.error_bound is not None)
    assert {output.agreement for output in report.outputs} == {1.0}
    text = "\n".join(report_lines(report))
    for part in (report.model_hash, "probabilities", "per row (proven)", "error bound"):
        assert part in text


_CHILD = """
import io, numpy as np
from tools.demo.assets import read_asset
from tools.lowering import lower
rows = dict(np.load(io.BytesIO(read_asset("digits_calibration.npz"))))
for name in ("digits_cnn", "digits_mlp"):
    print(lower(read_asset(name + ".onnx"), calibration=rows).report.model_hash)
"""


def test_the_same_bytes_again_and_in_a_process_with_another_hash_seed() -> None:
    names = ("digits_cnn", "digits_mlp")
    again = [lower(read_asset(f"{name}.onnx"), calibration=arrays("digits_calibration.npz")).model for name in names]
    assert again == [lowered_digits(name).model for name in names]
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert child.stdout.split() == [lowered_digits(name).report.model_hash for name in names]
