"""Inference: exact graphs beside the float models they were lowered from, in stock onnxruntime, in one run.

Both have one thread; the float model has all of onnxruntime's optimisations. Gas is nanoseconds on the reference
machine: `gas_share` is the gas that the verifier proves over the time measured here times its slowness.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from runtime.inference import Engine, Verified, verify
from runtime.inference.cost import REFERENCE_SLOWDOWN
from runtime.inference.emit import emit
from runtime.inference.library import onnxruntime
from tools.bench.models import Golden
from tools.bench.pairs import Pair, paired, timed
from tools.lowering import Lowered, LoweringError, lower

BATCHES: Final = (1, 64)
CALIBRATION_ROWS: Final = 64
CALIBRATION_ELEMENTS_MAX: Final = 1 << 21
COLD_REPEATS: Final = 5
REQUESTS: Final = 256
PROFILE_KINDS: Final = 6
MEMORY_BYTES: Final = 8 << 30
"""For the engine of a benchmark: no chunks, no eviction."""


@dataclass(frozen=True)
class Batch:
    """Runs of so many rows by a loaded model. `ratio`: exact over float."""

    rows: int
    exact_ms: float
    float_ms: float
    ratio: float
    gas: int
    gas_share: float
    repeats: int


@dataclass(frozen=True)
class Measured:
    """One model. `cold`: nothing loaded, so verified, loaded and run once with one row. `requests_ratio`: so many
    requests of one row given to the engine together, over one batch of the same rows. `profile`: shares of the time of
    a run of the largest batch, by kernel, the largest first."""

    name: str
    parameters: int
    source_bytes: int
    model_bytes: int
    nodes: int
    error_max: float
    lower_s: float
    cold_ms: float
    cold_gas: int
    cold_gas_share: float
    batches: tuple[Batch, ...]
    requests: int
    requests_ratio: float
    profile: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """As docs/json.md describes it."""
        return asdict(self)


@dataclass(frozen=True)
class Refused:
    """A model that has no exact form yet, and why."""

    name: str
    refused: str

    def as_json(self) -> dict[str, Any]:
        """As docs/json.md describes it."""
        return asdict(self)


def measure(golden: Golden, seconds: float) -> Measured | Refused:
    """Lowers the model, then measures; each pair for about `seconds`."""
    rows = max(2, min(CALIBRATION_ROWS, CALIBRATION_ELEMENTS_MAX // int(np.prod(golden.shape))))
    lowered: list[Lowered] = []
    try:
        took = timed(lambda: lowered.append(lower(golden.model, calibration={"x": golden.rows(rows)})))
    except LoweringError as error:
        return Refused(golden.name, str(error))
    model = lowered[0]
    verified = verify(model.model)
    engine = Engine(memory_bytes=MEMORY_BYTES)
    batches = tuple(_batches(golden, model, verified, engine, seconds))
    cold = median(timed(lambda: _cold(golden, model)) for _ in range(COLD_REPEATS))
    cold_gas = verified.cost.gas(1)
    return Measured(
        name=golden.name,
        parameters=golden.parameters,
        source_bytes=len(golden.model),
        model_bytes=len(model.model),
        nodes=len(model.graph.nodes),
        error_max=max(output.error_max or 0.0 for output in model.report.outputs),
        lower_s=round(took, 3),
        cold_ms=_ms(cold),
        cold_gas=cold_gas,
        cold_gas_share=_share(cold_gas, cold),
        batches=batches,
        requests=REQUESTS,
        requests_ratio=round(_requests(golden, model, verified, engine, seconds).ratio, 3),
        profile=_profile(verified, model.quantize({"x": golden.rows(BATCHES[-1])})),
    )


def _batches(golden: Golden, model: Lowered, verified: Verified, engine: Engine, seconds: float) -> Iterator[Batch]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(golden.model, options, providers=["CPUExecutionProvider"])
    for count in BATCHES:
        floats = golden.rows(count)
        inputs = model.quantize({"x": floats})
        pair = paired(
            lambda inputs=inputs: engine.run_by_hash(  # type: ignore[misc] # bound
                verified.model_hash, lambda: model.model, inputs
            ),
            lambda floats=floats: session.run(None, {"x": floats}),  # type: ignore[misc] # bound
            seconds,
        )
        gas = verified.cost.gas(count, loads=False)
        share = _share(gas, pair.first_s)
        yield Batch(count, _ms(pair.first_s), _ms(pair.second_s), round(pair.ratio, 3), gas, share, pair.repeats)


def _cold(golden: Golden, model: Lowered) -> None:
    Engine(memory_bytes=MEMORY_BYTES).run(model.model, model.quantize({"x": golden.rows(1)}))


def _requests(golden: Golden, model: Lowered, verified: Verified, engine: Engine, seconds: float) -> Pair:
    together = model.quantize({"x": golden.rows(REQUESTS)})
    single = [{name: array[n : n + 1] for name, array in together.items()} for n in range(REQUESTS)]
    return paired(
        lambda: engine.run_many_by_hash(verified.model_hash, lambda: model.model, single),
        lambda: engine.run_by_hash(verified.model_hash, lambda: model.model, together),
        seconds,
    )


def _profile(verified: Verified, inputs: dict[str, Any]) -> dict[str, float]:
    """Shares of the time that kernels take, from onnxruntime's own profiler."""
    emitted = emit(verified)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in emitted.arrays.values()]
    options.add_external_initializers(list(emitted.arrays), values)
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(emitted.model, options, providers=["CPUExecutionProvider"])
        feed = {f"i{number}": inputs[spec.name] for number, spec in enumerate(verified.inputs)}
        session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and str(event.get("name")).endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    total = max(1, spent.total())
    return {kernel: round(count / total, 3) for kernel, count in spent.most_common(PROFILE_KINDS)}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _share(gas: int, seconds: float) -> float:
    return round(gas / (seconds * 1e9 * REFERENCE_SLOWDOWN), 3)
