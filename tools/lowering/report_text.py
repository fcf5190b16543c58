"""A Report as plain text for a terminal of any width; tables are as wide as their words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tools.lowering.report import InputReport, LayerReport, OutputReport, Report

_LAYERS: Final = ("tensor", "grid", "bits", "weights", "dropped", "clipped", "error bound", "largest error")
_LABELS_SHOWN: Final = 12


def report_lines(report: Report) -> list[str]:
    """The whole report, most important last: it stays on the screen."""
    return [
        "Source nodes and what they became",
        *_table([(node.where, node.became) for node in report.source_nodes]),
        "",
        "Computed tensors: grid, bits of the largest integer and of weights, bits dropped, share clipped, errors",
        *_table([_LAYERS, *(_layer(layer) for layer in report.layers if layer.is_new)], right_from=1),
        "",
        *_table(list(_facts(report))),
        *(f"note: {note}" for note in report.notes),
    ]


def _table(rows: Sequence[Sequence[str]], right_from: int = 99) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if column < right_from else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _layer(layer: LayerReport) -> tuple[str, ...]:
    weights = "" if layer.weight_bits is None else "-".join(dict.fromkeys(map(str, layer.weight_bits)))
    return (
        layer.tensor,
        _grid(layer.frac_bits),
        str(layer.bits),
        weights,
        str(layer.dropped_bits or ""),
        "" if layer.saturated is None else f"{layer.saturated:.2%}",
        _error(layer.error_bound),
        _error(layer.error_max),
    )


def _grid(frac_bits: int) -> str:
    return f"2^{-frac_bits}" if frac_bits else "1"


def _error(error: float | None) -> str:
    return "" if error is None else f"{error:.1e}"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "source", f"{report.source_hash}  {report.source_bytes:,} bytes, {len(report.source_nodes)} nodes"
    yield "model", f"{report.model_hash}  {report.model_bytes:,} bytes, {report.nodes} nodes"
    for item in report.inputs:
        yield "input", _input(item)
    for output in report.outputs:
        yield "output", _output(output)
    if report.labels:
        shown, rest = report.labels[:_LABELS_SHOWN], len(report.labels) - _LABELS_SHOWN
        yield "labels", ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
    yield "gas", f"{report.gas_load:,} to load, {report.gas_fixed:,} per run, {report.gas_per_row:,} per row (proven)"
    yield "memory", f"{report.memory_bytes:,} bytes for one row (proven)"
    if report.compared_rows:
        kind = "calibration" if report.calibration_rows else "random"
        yield "compared", f"with the float model in onnxruntime on {report.compared_rows:,} {kind} rows:"
    for output in report.outputs:
        if output.error_max is not None or output.agreement is not None:
            yield "", _difference(output)


def _input(item: InputReport) -> str:
    return f"{item.name}  {_shape(item.shape)}, grid {_grid(item.frac_bits)}, {item.low:g} to {item.high:g}"


def _output(item: OutputReport) -> str:
    kind = f"a class, {item.low:g} to {item.high:g}" if item.is_class else f"{item.low:g} to {item.high:g}"
    return f"{item.name}  {_shape(item.shape)}, grid {_grid(item.frac_bits)}, {kind}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(["N", *map(str, shape)])


def _difference(item: OutputReport) -> str:
    """What differs of one output, as far as it was measured."""
    parts = []
    if not item.is_class and item.error_max is not None and item.error_mean is not None:
        parts.append(f"largest error {item.error_max:.2e}, mean {item.error_mean:.2e}")
        parts.append("no bound is proven" if item.error_bound is None else f"bound {item.error_bound:.2e}")
    if item.agreement is not None:
        parts.append(f"{'same class' if item.is_class else 'same largest'} in {item.agreement:.2%}")
    return f"{item.name}: " + ", ".join(parts)
