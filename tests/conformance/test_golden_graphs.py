"""Golden graphs give the recorded bits: on any number of threads, with and without onnxruntime's optimisations, by the
reference interpreter, and on older processors where they can be emulated (Debian: qemu-user)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from runtime.inference import Engine, decode_graph, interpret, verify
from runtime.inference.emit import emit
from runtime.inference.library import onnxruntime
from runtime.inference.verifier import RULES
from tools.golden import __main__ as golden

EMULATOR = shutil.which("qemu-x86_64")
EMULATED = ("Nehalem", pytest.param("Haswell", marks=pytest.mark.soak))
"""SSE4.2 without AVX, and AVX2 without AVX-512."""
BROKEN = ["FuseReluClip"]
"""Fails on a Clip of doubles: a session with it cannot be made."""
Levels = onnxruntime.GraphOptimizationLevel


def test_every_graph_is_recorded_and_every_op_is_in_one() -> None:
    assert set(golden.recorded()) == set(golden.graphs())
    assert len({entry["outputs"] for entry in golden.recorded().values()}) == len(golden.recorded())
    assert {type(node) for model in golden.graphs().values() for node in decode_graph(model).nodes} == set(RULES)


def test_products_by_one_two_and_four_bytes_are_among_them() -> None:
    works = {name: verify(model).work for name, model in golden.graphs().items() if name.startswith("bytes")}
    macs = {"bytes_limb": 49 * 60, "bytes_limbs": 2 * 70 * 100, "bytes_conv": 4 * 34 * 25 * 28 * 9}
    assert {name: work.macs_byte for name, work in works.items()} == macs


@pytest.mark.parametrize("threads", [1, 2])
def test_the_engine_gives_the_recorded_bits(threads: int) -> None:
    assert golden.found_by(Engine(threads=threads).run) == golden.recorded()


def test_the_interpreter_gives_the_recorded_bits() -> None:
    assert golden.found_by(interpret) == golden.recorded()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", [Levels.ORT_DISABLE_ALL, Levels.ORT_ENABLE_ALL], ids=["none", "all"])
def test_threads_within_a_kernel_and_optimisations_change_no_bit(threads: int, level: Any) -> None:
    def run(model: bytes, inputs: Mapping[str, Any]) -> dict[str, Any]:
        verified = verify(model)
        emitted = emit(verified)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = level
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in emitted.arrays.values()]
        options.add_external_initializers(list(emitted.arrays), values)
        session = onnxruntime.InferenceSession(
            emitted.model, options, providers=["CPUExecutionProvider"], disabled_optimizers=BROKEN
        )
        found = session.run(None, {f"i{number}": inputs[spec.name] for number, spec in enumerate(verified.inputs)})
        return {spec.name: array for spec, array in zip(verified.outputs, found, strict=True)}

    assert golden.found_by(run) == golden.recorded()


@pytest.mark.parametrize("processor", ["this one", *(EMULATED if EMULATOR else ())])
def test_a_process_on_this_processor_gives_the_recorded_bits(processor: str) -> None:
    command = [sys.executable, "-m", "tools.golden"]
    if processor != "this one":
        command = [str(EMULATOR), "-cpu", processor, *command]
    found = subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
    assert json.loads(found.stdout.splitlines()[-1]) == golden.recorded()


def test_a_graph_that_gives_other_bits_is_seen() -> None:
    def off_by_one(model: bytes, inputs: Mapping[str, Any]) -> dict[str, Any]:
        outputs = Engine().run(model, inputs)
        first = min(outputs)
        changed = outputs[first].copy()
        changed.flat[-1] += 1
        return outputs | {first: changed}

    found, recorded = golden.found_by(off_by_one), golden.recorded()
    assert all(found[name]["outputs"] != recorded[name]["outputs"] for name in recorded)
