"""The exact model beside the float one on calibration rows, tensor by tensor, by running both.

Inner tensors are seen through probe graphs: the same nodes with more outputs. They never leave this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx

from runtime.inference.engine import Engine
from runtime.inference.graph import TensorSpec, encode_graph
from runtime.inference.limits import OUTPUTS_MAX
from runtime.types import ZERO_HASH
from tools.lowering.builder import BATCH_FIRST, Builder, Layer, Tensor
from tools.lowering.errors import DataRefused
from tools.lowering.float_model import FloatModel
from tools.lowering.masks import HIDDEN
from tools.lowering.protobuf import TEXT
from tools.lowering.source import Array, Port, Shape, Source
from tools.lowering.texts import with_other

RANDOM_ROWS: Final = 64
RANDOM_OCTAVES: Final = 11
"""Random rows are of so many sizes, each half the one before: full size alone would saturate most models."""


@dataclass
class Difference:
    """Of one source tensor, so far: absolute differences, the float model's largest magnitude, rows or elements that
    agree, of how many."""

    error_max: float = 0.0
    magnitude: float = 0.0
    error_sum: float = 0.0
    elements: int = 0
    agreeing: int = 0
    compared: int = 0
    at_limit: int = 0
    clipped: int = 0

    def add(self, exact: Array, expected: Array) -> None:
        """Takes in one part: `exact` in real numbers (or integers), `expected` the float model's. Raises DataRefused
        for NaN and infinity."""
        if expected.dtype.kind == "f" and not np.isfinite(expected).all():
            raise DataRefused("comparison", "the float model makes NaN or infinity of its rows")
        if not _fits(exact.shape, expected.shape):
            reason = (
                f"the float model makes a tensor of shape {list(expected.shape)}, the exact one {list(exact.shape)}"
            )
            raise DataRefused("comparison", reason)
        if expected.dtype.kind in "fiub":
            error = np.abs(exact - expected.astype(np.float64))
            self.error_max, self.error_sum = (
                max(self.error_max, float(error.max())),
                self.error_sum + float(error.sum()),
            )
            self.magnitude = max(self.magnitude, float(np.abs(expected.astype(np.float64)).max(initial=0.0)))
            self.elements += error.size
        if expected.dtype.kind == "f":
            if exact.ndim < 2 or exact.shape[-1] < 2:
                return
            self.agreeing += int((exact.argmax(-1) == expected.argmax(-1)).sum())
            self.compared += exact.size // exact.shape[-1]
        else:
            self.agreeing += int((exact == expected).sum())
            self.compared += exact.size

    @property
    def error_mean(self) -> float:
        """The mean absolute difference of all elements so far, in real numbers; 0.0 of none."""
        return self.error_sum / self.elements if self.elements else 0.0

    @property
    def agreement(self) -> float | None:
        """The share, 0..1, that agrees: rows of scores by their largest, other elements by being equal. None of
        none."""
        return self.agreeing / self.compared if self.compared else None

    @property
    def saturated(self) -> float | None:
        """The share, 0..1, of a Clip's results that lie at its ends; None where nothing was clipped."""
        return self.at_limit / self.clipped if self.clipped else None


def _fits(exact: Shape, expected: Shape) -> bool:
    """Whether the shapes are alike, but for dimensions of 1 in front: N classes that were looked up are [1, N]."""
    short, long = sorted((exact, expected), key=len)
    return long == (1,) * (len(long) - len(short)) + short


@dataclass(frozen=True)
class Comparison:
    """Differences by source tensor, on so many rows: of the calibration, or random ones. `failure` says why not;
    `notes` what else the rows showed."""

    rows: int
    calibrated: bool
    differences: Mapping[str, Difference]
    failure: str = ""
    notes: tuple[str, ...] = ()


def random_rows(ports: Sequence[Port], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Rows that the graph's inputs accept, of many magnitudes, by source name; the same ones each time."""
    random = np.random.default_rng(0)
    octaves = np.arange(RANDOM_ROWS) % RANDOM_OCTAVES
    rows: dict[str, Array] = {}
    for port, spec in zip(ports, specs, strict=True):
        integers = random.integers(spec.low, spec.high, (RANDOM_ROWS, *spec.shape), endpoint=True)
        shifts = octaves.reshape(-1, *[1] * len(spec.shape))
        integers = np.clip(integers >> shifts, spec.low, spec.high)
        if port.dtype == TEXT:
            rows[port.name] = np.array(with_other(port.texts), TEXT)[integers]
            continue
        values = np.ldexp(integers.astype(np.float64), -spec.frac_bits)
        rows[port.name] = values.astype(port.dtype) if port.dtype.kind in "iu" else values
    return rows


def compare(
    proto: onnx.ModelProto,
    source: Source,
    builder: Builder,
    rows: Mapping[str, Array],
    integers: Mapping[str, Array],
) -> dict[str, Difference]:
    """Differences by source name. `rows` are the float inputs, `integers` the same quantised, by graph name."""
    found = {layer.name: Difference() for layer in builder.layers}
    room = max(1, OUTPUTS_MAX // 2)
    for start in range(0, len(builder.layers), room):
        _compare(proto, source, builder, rows, integers, builder.layers[start : start + room], found)
    return found


def _compare(
    proto: onnx.ModelProto,
    source: Source,
    builder: Builder,
    rows: Mapping[str, Array],
    integers: Mapping[str, Array],
    layers: Sequence[Layer],
    found: Mapping[str, Difference],
) -> None:
    probes: dict[str, Tensor] = {}
    for number, layer in enumerate(layers):
        probes[f"probe/{number}"] = layer.tensor
        if layer.clips:
            probes[f"clip/{number}"] = layer.clips[0].tensor
    outputs = tuple(builder.output(name, tensor) for name, tensor in probes.items())
    probe = encode_graph(builder.graph(outputs, "probe", ZERO_HASH))
    engine = Engine()
    for part, expected in FloatModel(proto, source, [layer.name for layer in layers]).chunks(rows):
        exact = engine.run(probe, {name: array[part] for name, array in integers.items()})
        for number, layer in enumerate(layers):
            values = np.ldexp(exact[f"probe/{number}"].astype(np.float64), -layer.tensor.frac_bits)
            wanted = _by_rows(expected[layer.name], layer.tensor)[: part.stop - part.start]
            if layer.tensor.missing is not None:
                lacks = np.isnan(wanted) & (exact[f"probe/{number}"] == layer.tensor.missing)
                values, wanted = np.where(lacks, 0.0, values), np.where(lacks, 0.0, wanted).astype(wanted.dtype)
            if layer.name in source.hidden:
                wanted = np.where(wanted <= HIDDEN / 2, values, wanted).astype(wanted.dtype)  # hidden in both
            found[layer.name].add(_named(values, layer.tensor), wanted)
            if layer.clips:
                _count_clipped(found[layer.name], layer.clips[0].most, exact[f"clip/{number}"])


def _by_rows(values: Array, tensor: Tensor) -> Array:
    """The float model's tensor with the batch first and alone."""
    if tensor.place == BATCH_FIRST:
        return values
    before, after = tensor.around
    return np.moveaxis(values.reshape(*before, -1, *after), len(before), 0)


def _named(values: Array, tensor: Tensor) -> Array:
    """Classes by their names: the float model's own outputs."""
    if tensor.classes is None:
        return values
    return np.array(tensor.classes, TEXT if tensor.dtype == TEXT else np.int64)[values.astype(np.int64)]


def _count_clipped(found: Difference, most: int, values: Array) -> None:
    found.at_limit += int((np.abs(values) >= most).sum())
    found.clipped += values.size
