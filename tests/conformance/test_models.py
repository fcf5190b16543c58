"""Models as people export them, unedited: each lowers, and is as good at its task as the float model.

Task metrics: accuracy of classes (of pixels, too), r2 of numbers, the least cosine of embeddings. A point is 0.01.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from runtime.inference import Engine
from tools.lowering import check_agreement, check_error, lower

MODELS = Path(__file__).parent / "models"
INDEX = json.loads((MODELS / "index.json").read_text())
POINTS_MAX = 0.003
COSINE_MIN = 0.9999
QUICK = (
    "logistic_iris", "columns_wine", "forest_wine", "boosting_cancer", "histogram_boosting_diabetes",
    "pca_logistic_digits", "mlp_digits", "cnn_18", "mobilenet_v3", "unet_16", "autoencoder", "lstm", "gru_two_ways",
    "mixed_table", "embedding_bag", "text_cnn", "temporal", "siamese", "missing_wine", "one_hot_texts_wine",
    "nearest_diabetes", "pyramid", "perceiver", "padded", "windows", "codes",
)  # fmt: skip
"""One of each kind, the small ones; the rest is soak's."""


TIES = ("nearest_iris",)
"""Neighbours at one distance: which is the fifth depends on the last bit of the float model. Its classes agree."""


def _session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _float_outputs(session, rows):
    """As many rows at a time as the file allows."""
    count = len(next(iter(rows.values())))
    fixed = session.get_inputs()[0].shape[0]
    step = fixed if isinstance(fixed, int) else count
    parts = [session.run(None, {n: a[i : i + step] for n, a in rows.items()}) for i in range(0, count, step)]
    if isinstance(parts[0][1] if len(parts[0]) > 1 else None, list):  # ZipMap's dictionaries
        parts = [part[:1] for part in parts]
    return [np.concatenate([part[place] for part in parts]) for place in range(len(parts[0]))]


def _metric(kind, found, target):
    if kind == "accuracy":
        classes = found if found.dtype.kind != "f" else found.argmax(1)
        return float((classes.reshape(target.shape) == target).mean())
    wanted = target.reshape(len(target), -1).astype(np.float64)
    rest = ((wanted - found.reshape(wanted.shape)) ** 2).sum()
    return 1 - rest / ((wanted - wanted.mean(0)) ** 2).sum()


def _check(name):
    facts = INDEX[name]
    model = (MODELS / f"{name}.onnx").read_bytes()
    with np.load(MODELS / "data" / f"{facts['data']}.npz") as stored:
        arrays = dict(stored)
    session = _session(model)
    inputs = [port.name for port in session.get_inputs()]
    rows = {each: arrays[f"test/{each}"] for each in inputs}
    lowered = lower(model, calibration={each: arrays[f"calibration/{each}"] for each in inputs})
    check_agreement(lowered.report, 0.99)
    if name not in TIES:
        check_error(lowered.report, 0.01)
    expected = _float_outputs(session, rows)[0]
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(_reachable(lowered, rows))))
    found = np.asarray(exact[session.get_outputs()[0].name]).reshape(expected.shape)
    if facts["metric"] == "label":
        assert np.array_equal(found, expected)
    elif facts["metric"] == "cosine":
        a, b = (each.astype(np.float64) for each in (found, expected))
        cosine = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
        assert cosine.min() >= COSINE_MIN
    else:
        target = arrays["target"]
        before, after = (_metric(facts["metric"], each, target) for each in (expected, found))
        assert abs(after - before) <= POINTS_MAX, f"{before:.4f} became {after:.4f}"


def _reachable(lowered, rows):
    """Rows as far as the inputs accept them: calibration has seen nearly all."""
    ends = {item.name: (item.low, item.high) for item in lowered.report.inputs}
    return {name: np.clip(array, *ends[name]) if array.dtype.kind == "f" else array for name, array in rows.items()}


def test_at_least_fifteen_kinds_are_stored_from_three_exporters_at_opsets_13_to_21():
    assert len(INDEX) >= 15
    assert {facts["made_by"] for facts in INDEX.values()} == {
        "skl2onnx", "torch.onnx.export(dynamo=True)", "torch.onnx.export(dynamo=False)",
    }  # fmt: skip
    assert {facts["opset"] for facts in INDEX.values()} >= {13, 14, 15, 16, 17, 18, 19, 20, 21}
    assert {path.stem for path in MODELS.glob("*.onnx")} == set(INDEX)


@pytest.mark.parametrize("name", QUICK)
def test_an_ordinary_export_lowers_and_is_as_good_as_the_float_model(name):
    _check(name)


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(set(INDEX) - set(QUICK)))
def test_every_export_lowers_and_is_as_good_as_the_float_model(name):
    _check(name)
