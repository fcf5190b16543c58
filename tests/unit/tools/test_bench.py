"""armillary bench: the models are what they say, and the figures are of one run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from runtime.inference.library import onnxruntime
from tools.bench import inference as bench
from tools.bench.models import GOLDEN, Golden, mlp, trees
from tools.bench.pairs import REPEATS_MIN, paired
from tools.cli.app import run


@pytest.mark.parametrize("name", [name for name in GOLDEN if name not in ("resnet18", "mlp")])
def test_each_float_model_runs_and_keeps_its_activations_of_order_one(name: str) -> None:
    golden = GOLDEN[name]()
    session = onnxruntime.InferenceSession(golden.model, providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": golden.rows(3)})[0]
    assert found.shape[0] == 3
    assert np.isfinite(found).all()
    assert 1e-3 < np.abs(found).max() < 100
    assert GOLDEN[name]() == golden


def test_pairs_are_measured_in_turn() -> None:
    calls: list[str] = []
    pair = paired(lambda: calls.append("a"), lambda: calls.append("b"), 0)
    assert calls == ["a", "b"] * (REPEATS_MIN + 1)
    assert pair.repeats == REPEATS_MIN
    assert pair.first_s > 0 < pair.second_s


def test_figures_of_a_small_forest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(GOLDEN, "trees", lambda: trees(count=3, depth=3))
    file = tmp_path / "bench.json"
    assert run(["bench", "inference", "--model", "trees", "--seconds", "1", "--json", str(file)]) == 0
    document = json.loads(file.read_text())
    (found,) = document["models"]
    assert found["error_max"] < 1e-3
    assert [batch["rows"] for batch in found["batches"]] == list(bench.BATCHES)
    for batch in found["batches"]:
        assert batch["gas_share"] == pytest.approx(batch["gas"] / (3e6 * batch["exact_ms"]), rel=0.05)
    assert sum(found["profile"].values()) == pytest.approx(1, abs=0.01)


def test_a_model_without_an_exact_form_is_told_with_the_reason() -> None:
    golden = mlp()
    hostile = Golden("mlp", golden.model.replace(b"Relu", b"Rulu"), golden.shape, golden.parameters)
    found = bench.measure(hostile, 0)
    assert isinstance(found, bench.Refused)
    assert "Rulu" in found.refused


def test_invalid_model_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "inference", "--model", "vgg"]) == 2
    assert "--model vgg: there is no such model; there are mlp, cnn" in capsys.readouterr().err
