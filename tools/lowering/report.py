"""What lowering did to a model: where bits went, and how far the exact model is from the float one. Data and its text.

Errors are absolute, in the float model's units. `error_bound` is proven for real arithmetic as long as no Clip
saturates, and absent for integers; `error_max` is what calibration rows showed against onnxruntime's float32, which
rounds too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COLUMNS: Final[tuple[str, ...]] = (
    "layer", "tensor", "frac", "bits", "weights", "dropped", "error bound", "error", "saturated",
)  # fmt: skip


@dataclass(frozen=True)
class InputReport:
    """An input and the real numbers that it accepts."""

    name: str
    shape: tuple[int, ...]
    frac_bits: int
    low: float
    high: float


@dataclass(frozen=True)
class LayerReport:
    """One tensor of the source model.

    bits: of the largest proven integer. weight_bits: the fewest and the most that a column's largest weight kept.
    dropped_bits: given up by the operand. saturated: the share of elements at a Clip's bound; None where none is.
    """

    where: str
    tensor: str
    frac_bits: int
    bits: int
    weight_bits: tuple[int, int] | None
    dropped_bits: int
    error_bound: float | None
    error_max: float | None
    saturated: float | None


@dataclass(frozen=True)
class OutputReport:
    """agreement: the share of rows with the same largest element (floats), or of equal elements (integers)."""

    name: str
    shape: tuple[int, ...]
    frac_bits: int
    error_bound: float | None
    error_max: float | None
    agreement: float | None


@dataclass(frozen=True)
class Report:
    """Sizes are bytes, gas is nanoseconds on the reference machine, hashes are lower-case hex."""

    lowering_version: str
    source_hash: str
    source_bytes: int
    model_hash: str
    model_bytes: int
    nodes: int
    calibration_rows: int
    inputs: tuple[InputReport, ...]
    layers: tuple[LayerReport, ...]
    outputs: tuple[OutputReport, ...]
    gas_load: int
    gas_fixed: int
    gas_per_row: int
    memory_bytes: int
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report as plain text."""
        return [*self._head(), "", *self._layers(), "", *self._ends(), *(f"note: {note}" for note in self.notes)]

    def _head(self) -> Iterator[str]:
        yield f"model      {self.model_hash}"
        yield f"source     {self.source_hash} ({self.source_bytes:,} bytes)"
        yield f"size       {self.model_bytes:,} bytes, {self.nodes} nodes ({self.lowering_version})"
        yield (
            f"gas        {self.gas_load:,} to load, {self.gas_fixed:,} per run, {self.gas_per_row:,} per row (proven)"
        )
        yield f"memory     {self.memory_bytes:,} bytes for one row (proven)"
        yield f"calibrated on {self.calibration_rows:,} rows" if self.calibration_rows else "not calibrated"
        for item in self.inputs:
            shape = ", ".join(["N", *map(str, item.shape)])
            yield f"input      {item.name} [{shape}] in [{item.low:g}, {item.high:g}], {item.frac_bits} fractional bits"

    def _layers(self) -> Iterator[str]:
        rows = [_COLUMNS, *(_cells(layer) for layer in self.layers)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
            yield "  ".join([*left, *right])

    def _ends(self) -> Iterator[str]:
        for item in self.outputs:
            shape = ", ".join(["N", *map(str, item.shape)])
            found = f"output     {item.name} [{shape}], {item.frac_bits} fractional bits"
            if item.error_max is not None:
                found += f", largest error {item.error_max:.2e}"
            if item.error_bound is not None:
                found += f" (bound {item.error_bound:.2e})"
            if item.agreement is not None:
                found += f", agreement {item.agreement:.4f}"
            yield found


def _cells(layer: LayerReport) -> tuple[str, ...]:
    weights = "" if layer.weight_bits is None else "-".join(dict.fromkeys(map(str, layer.weight_bits)))
    return (
        layer.where,
        layer.tensor,
        str(layer.frac_bits),
        str(layer.bits),
        weights,
        str(layer.dropped_bits or ""),
        "" if layer.error_bound is None else f"{layer.error_bound:.2e}",
        "" if layer.error_max is None else f"{layer.error_max:.2e}",
        "" if layer.saturated is None else f"{layer.saturated:.4f}",
    )
