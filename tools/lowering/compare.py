"""The exact model beside the float one on calibration rows, tensor by tensor, by running both.

Inner tensors are seen through probe graphs: the same nodes with more outputs. They never leave this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx

from runtime.inference.engine import Engine
from runtime.inference.graph import Output, encode_graph
from runtime.inference.limits import OUTPUTS_MAX
from runtime.types import ZERO_HASH
from tools.lowering.builder import Builder, Layer, Tensor
from tools.lowering.float_model import FloatModel
from tools.lowering.source import Array, Source


@dataclass
class Difference:
    """Of one source tensor, so far: the largest absolute difference, rows or elements that agree, of how many."""

    error_max: float = 0.0
    agreeing: int = 0
    compared: int = 0
    at_limit: int = 0
    clipped: int = 0

    def add(self, exact: Array, expected: Array) -> None:
        """Takes in one part: `exact` in real numbers (or integers), `expected` the float model's."""
        self.error_max = max(self.error_max, float(np.abs(exact - expected.astype(np.float64)).max()))
        if expected.dtype.kind == "f" and exact.ndim > 1:
            self.agreeing += int((exact.argmax(-1) == expected.argmax(-1)).sum())
            self.compared += exact.size // exact.shape[-1]
        elif expected.dtype.kind != "f":
            self.agreeing += int((exact == expected).sum())
            self.compared += exact.size

    @property
    def agreement(self) -> float | None:
        return self.agreeing / self.compared if self.compared else None

    @property
    def saturated(self) -> float | None:
        return self.at_limit / self.clipped if self.clipped else None


def compare(
    proto: onnx.ModelProto,
    source: Source,
    builder: Builder,
    ends: Sequence[Output],
    rows: Mapping[str, Array],
    integers: Mapping[str, Array],
) -> dict[str, Difference]:
    """Differences by source name. `rows` are the float inputs, `integers` the same quantised, by graph name."""
    found = {layer.name: Difference() for layer in builder.layers}
    room = max(1, (OUTPUTS_MAX - len(ends)) // 2)
    for start in range(0, len(builder.layers), room):
        _compare(proto, source, builder, ends, rows, integers, builder.layers[start : start + room], found)
    return found


def _compare(
    proto: onnx.ModelProto,
    source: Source,
    builder: Builder,
    ends: Sequence[Output],
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
    outputs = (*_renamed(ends), *(builder.output(name, tensor) for name, tensor in probes.items()))
    probe = encode_graph(builder.graph(outputs, "probe", ZERO_HASH))
    engine = Engine()
    for part, expected in FloatModel(proto, source, [layer.name for layer in layers]).chunks(rows):
        exact = engine.run(probe, {name: array[part] for name, array in integers.items()})
        for number, layer in enumerate(layers):
            values = np.ldexp(exact[f"probe/{number}"].astype(np.float64), -layer.tensor.frac_bits)
            found[layer.name].add(values, expected[layer.name])
            if layer.clips:
                _count_clipped(found[layer.name], layer.clips[0].most, exact[f"clip/{number}"])


def _renamed(ends: Sequence[Output]) -> list[Output]:
    """The model's own outputs under names that no probe has."""
    return [
        Output(tensor=end.tensor, spec=msgspec.structs.replace(end.spec, name=f"end/{number}"))
        for number, end in enumerate(ends)
    ]


def _count_clipped(found: Difference, most: int, values: Array) -> None:
    found.at_limit += int((np.abs(values) >= most).sum())
    found.clipped += values.size
