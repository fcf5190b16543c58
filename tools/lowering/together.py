"""Whether rows together give what each of them gives alone, by the float model.

For a file that was read as one of one row, because what it does depends on their number. What lives here: that look,
and what the report says of it. Must not: decide what is read so (readings.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx

from tools.lowering.errors import RowsMixed
from tools.lowering.float_model import FloatModel
from tools.lowering.source import Array, Source

SEVERAL: Final = 3
"""Rows that are looked at together."""
LOOKED_AT_MAX: Final = 33
DIFFERENCE_MAX: Final = 0.1
"""Of an output's largest magnitude, or of its elements where they are integers. A scale for all rows, 8 bits of it, is
far below; rows that are summed, sorted or compared are above."""


@dataclass(frozen=True)
class Together:
    """The file with a batch of SEVERAL rows."""

    proto: onnx.ModelProto
    source: Source

    def told(self, proto: onnx.ModelProto, source: Source, rows: Mapping[str, Array]) -> str:
        """What the report says; `proto` and `source` are the file with a batch of one row. Raises RowsMixed where
        rows influence each other."""
        rows = {name: array[:LOOKED_AT_MAX] for name, array in rows.items()}
        shaped = {port.name: rows[port.name].reshape(-1, *(port.shape or ())) for port in self.source.inputs}
        alone, together = _outputs(proto, source, rows), _outputs(self.proto, self.source, shaped)
        most = 0.0
        for name, expected in together.items():
            if alone[name].size != expected.size or not expected.size:
                raise _mixing(f"output {name!r} has {expected.size} elements together, {alone[name].size} alone")
            difference = _difference(alone[name].reshape(expected.shape), expected)
            if not difference <= DIFFERENCE_MAX:
                raise _mixing(f"output {name!r} differs by {difference:.2g} of its largest value")
            most = max(most, difference)
        return (
            "what the file does depends on the number of rows: each is computed as the file does it alone; of "
            f"{SEVERAL} together the float model makes up to {most:.2g} of an output's largest value otherwise"
        )


def _mixing(found: str) -> RowsMixed:
    mend = "fix the batch at 1 (--shape INPUT=1,...) if a row alone is meant"
    return RowsMixed("file", f"rows influence each other: {found}", mend)


def _outputs(proto: onnx.ModelProto, source: Source, rows: Mapping[str, Array]) -> dict[str, Array]:
    """The float model's outputs, one row after another."""
    names = [port.name for port in source.outputs]
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for part, values in FloatModel(proto, source, names).chunks(rows):
        for name in names:
            parts[name].append(values[name][: part.stop - part.start])
    return {name: np.concatenate(found) for name, found in parts.items()}


def _difference(found: Array, expected: Array) -> float:
    if expected.dtype.kind != "f":
        return float((found != expected).mean())
    return float(np.abs(found - expected).max()) / max(float(np.abs(expected).max()), 2.0**-126)
