"""What the passes found out, gathered into a Report. No text here, and no judgement."""

from __future__ import annotations

from math import isfinite

from runtime.inference.verifier import Verified
from tools.lowering.builder import Builder, Layer
from tools.lowering.compare import Comparison, Difference
from tools.lowering.fold import FOLDERS
from tools.lowering.precision import INPUT_MAGNITUDE
from tools.lowering.report import InputReport, LayerReport, OutputReport, Report, SourceNodeReport
from tools.lowering.shapes import MEASURES
from tools.lowering.source import Node, Source


def summarise(
    version: str,
    model: bytes,
    source: Source,
    prepared: Source,
    builder: Builder,
    encoded: bytes,
    verified: Verified,
    comparison: Comparison,
) -> Report:
    """`source` as it was parsed, `prepared` as it was translated, the proven result and how it compares."""
    graph, differences = verified.graph, comparison.differences
    return Report(
        lowering_version=version,
        source_hash=graph.source_hash.hex(),
        source_bytes=len(model),
        model_hash=verified.model_hash.hex(),
        model_bytes=len(encoded),
        nodes=len(graph.nodes),
        labels=tuple(graph.labels),
        calibration_rows=comparison.rows if comparison.calibrated else 0,
        compared_rows=comparison.rows,
        inputs=tuple(
            InputReport(
                port.name, spec.shape, spec.frac_bits, spec.low * 2.0**-spec.frac_bits, spec.high * 2.0**-spec.frac_bits
            )
            for port, spec in zip(source.inputs, graph.inputs, strict=True)
        ),
        source_nodes=tuple(_fates(source, prepared, builder)),
        layers=tuple(_layer(layer, differences.get(layer.name)) for layer in builder.layers),
        outputs=tuple(_output(port.name, builder, differences.get(port.name)) for port in source.outputs),
        gas_load=verified.cost.gas_load,
        gas_fixed=verified.cost.gas_fixed,
        gas_per_row=verified.cost.gas_per_row,
        memory_bytes=verified.cost.memory_bytes,
        notes=tuple(_notes(builder, comparison)),
    )


def _fates(source: Source, prepared: Source, builder: Builder) -> list[SourceNodeReport]:
    """For each node of the file: the graph nodes that it became, or why there are none."""
    kept = {node.index: node for node in prepared.nodes}
    takers = {part: node for node in prepared.nodes for part in node.merged}
    known = _computed_here(source)
    became: dict[int, list[str]] = {}
    for layer in builder.layers:
        became.setdefault(layer.node.index, []).extend(layer.became)
    return [SourceNodeReport(node.where, _fate(node, kept, takers, became, known)) for node in source.nodes]


def _computed_here(source: Source) -> set[int]:
    """The nodes whose values follow from constants and shapes."""
    names, places = set(source.constants), set()
    for node in source.nodes:
        if node.op in MEASURES or (node.op in FOLDERS and names.issuperset(node.inputs)):
            names.update(node.outputs)
            places.add(node.index)
    return places


def _fate(
    node: Node, kept: dict[int, Node], takers: dict[int, Node], became: dict[int, list[str]], known: set[int]
) -> str:
    if node.index in takers:
        return f"part of {takers[node.index].where}"
    if node.index not in kept:
        return "computed here" if node.index in known else "dropped: no output needs it"
    if node.op == "ZipMap":
        return "dropped: probabilities stay a tensor"
    return ", ".join(became.get(node.index, ())) or "nothing to compute"


def _bound(error: float) -> float | None:
    return error if isfinite(error) else None


def _layer(layer: Layer, difference: Difference | None) -> LayerReport:
    tensor = layer.tensor
    exact = tensor.dtype.kind != "f"
    return LayerReport(
        where=layer.node.where,
        tensor=layer.name,
        reads=tuple(name for name in layer.node.inputs if name),
        is_new=bool(layer.became),
        frac_bits=tensor.frac_bits,
        bits=tensor.fact.magnitude.bit_length(),
        weight_bits=layer.weight_bits,
        dropped_bits=layer.dropped_bits,
        error_bound=None if exact else _bound(tensor.error),
        error_max=None if difference is None or tensor.classes is not None else difference.error_max,
        magnitude=None if difference is None or tensor.classes is not None else difference.magnitude,
        saturated=None if difference is None else difference.saturated,
    )


def _output(name: str, builder: Builder, difference: Difference | None) -> OutputReport:
    tensor = builder.finished(name)
    measured = difference is not None and tensor.classes is None
    return OutputReport(
        name=name,
        shape=tensor.shape,
        dtype="text" if tensor.dtype.kind == "O" else str(tensor.dtype),
        frac_bits=tensor.frac_bits,
        low=tensor.fact.low * 2.0**-tensor.frac_bits,
        high=tensor.fact.high * 2.0**-tensor.frac_bits,
        is_class=tensor.classes is not None or tensor.dtype.kind in "iub",
        error_bound=None if tensor.dtype.kind != "f" else _bound(tensor.error),
        error_max=difference.error_max if difference is not None and measured else None,
        error_mean=difference.error_mean if difference is not None and measured else None,
        magnitude=difference.magnitude if difference is not None and measured else None,
        agreement=None if difference is None else difference.agreement,
    )


def _notes(builder: Builder, comparison: Comparison) -> list[str]:
    notes = [*([comparison.failure] if comparison.failure else []), *comparison.notes]
    ports = builder.source.inputs
    if comparison.calibrated or all(port.dtype.kind != "f" for port in ports):
        return notes
    if any(port.reach is None for port in ports):
        notes.append(f"without calibration rows every float input is taken to lie within +-{INPUT_MAGNITUDE:g}")
    dropped = max((layer.dropped_bits for layer in builder.layers), default=0)
    if dropped:
        notes.append(f"intervals grew so wide that up to {dropped} bits were dropped: calibration rows would keep them")
    return notes
