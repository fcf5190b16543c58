"""The way of a model: parse, fold, fuse, observe ranges, translate node by node, verify, compare, report.

What lives here: the order of the passes and the result. Off-chain and untrusted: a validator believes only the
verifier. Reproducible: the same bytes, shapes and calibration give the same graph in the same lowering version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

from runtime.inference.errors import Refused
from runtime.inference.graph import Graph, encode_graph
from runtime.inference.verifier import Verified, verify
from tools.lowering import boundary
from tools.lowering.builder import CALIBRATE, INPUT_MAGNITUDE, Builder, Layer
from tools.lowering.compare import Difference, compare
from tools.lowering.errors import DataRefused, LoweringError, ModelRefused
from tools.lowering.float_model import check_rows, observe
from tools.lowering.fold import fold, without_dead
from tools.lowering.fuse import fuse
from tools.lowering.names import graph_names
from tools.lowering.ops import HANDLERS
from tools.lowering.parse import DeclaredShapes, decode, parse
from tools.lowering.report import InputReport, LayerReport, OutputReport, Report
from tools.lowering.source import Array, Node, Source

LOWERING_VERSION: Final = "armillary-lowering/1"
REHEARSAL_LIMIT: Final = 16.0
_RANDOM: Final = (
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli",
)  # fmt: skip
_NEVER: Final = {
    "NonZero": "its shape depends on the values; use a mask of fixed shape",
    "Unique": "its shape depends on the values; use a fixed shape",
    **dict.fromkeys(_RANDOM, "pass the random numbers as an input"),
}


@dataclass(frozen=True)
class Lowered:
    """`model`: the canonical graph's bytes, as proven by the verifier. Rows in and out keep the source's names."""

    model: bytes
    report: Report
    graph: Graph
    source: Source

    def quantize(self, inputs: Mapping[str, npt.ArrayLike]) -> dict[str, npt.NDArray[np.int64]]:
        """The graph's inputs from the source model's, [N, ...] each. DataRefused names what does not fit."""
        names = graph_names(self.source.inputs)
        renamed = {names.get(name, name): np.asarray(array) for name, array in inputs.items()}
        return boundary.quantize(self.graph.inputs, renamed)

    def dequantize(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The source model's outputs in its element types; integers, such as labels, stay integers."""
        names = graph_names(self.source.outputs)
        found = boundary.dequantize([output.spec for output in self.graph.outputs], outputs)
        return {port.name: found[names[port.name]].astype(port.dtype) for port in self.source.outputs}


def lower(
    model: bytes,
    *,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    calibration: Mapping[str, npt.NDArray[Any]] | None = None,
) -> Lowered:
    """Compiles a float ONNX model to an exact-grid graph that the verifier accepts.

    shapes: by input, replacing the file's, None for the batch (first). calibration: rows of every input like those
    the model will see; without them float inputs are taken to be within +-1024 and intervals follow from that.
    Raises LoweringError: the model, shape or data at fault, the reason and the mend.
    """
    proto = decode(model)
    source = parse(proto, _checked_shapes(shapes))
    prepared = without_dead(fuse(fold(source)))
    _check_ops(prepared)
    rows = None
    limits: dict[str, float] = {}
    if calibration is not None:
        rows = check_rows(source.inputs, calibration, "calibration")
        _rehearse(prepared)
        limits = observe(proto, fold(source), rows)
    builder = _translate(prepared, limits)
    _check_outputs(prepared, builder)
    graph = builder.build(LOWERING_VERSION, hashlib.sha256(model).digest())
    encoded = encode_graph(graph)
    verified = _verified(encoded)
    report = _report(model, proto, prepared, builder, encoded, verified, rows)
    return Lowered(encoded, report, graph, prepared)


def _checked_shapes(shapes: Mapping[str, tuple[int | None, ...]] | None) -> DeclaredShapes:
    checked: dict[str, tuple[int | None, ...]] = {}
    for name, shape in (shapes or {}).items():
        sizes = tuple(shape)
        if any(size is not None and (not isinstance(size, int) or isinstance(size, bool)) for size in sizes):
            raise DataRefused(f"shapes[{name!r}]", f"{sizes} holds something else than numbers and None")
        checked[name] = sizes
    return checked


def _check_ops(source: Source) -> None:
    for node in source.nodes:
        if node.op in _NEVER:
            raise node.refuse("this operator can have no exact form", _NEVER[node.op])
    unknown = [node for node in source.nodes if node.op not in HANDLERS]
    if unknown:
        ops = ", ".join(sorted({node.op for node in unknown}))
        mend = f"supported are {', '.join(sorted(HANDLERS))}"
        raise unknown[0].refuse(f"this lowering has no exact form for {ops}", mend)


def _rehearse(source: Source) -> None:
    """Translates under made-up limits: every shape and attribute is checked before onnxruntime sees the model."""
    names = [*(port.name for port in source.inputs), *(name for node in source.nodes for name in node.outputs)]
    _translate(source, dict.fromkeys(names, REHEARSAL_LIMIT))


def _translate(source: Source, limits: Mapping[str, float]) -> Builder:
    builder = Builder(source, limits)
    for node in source.nodes:
        _lower_node(node, builder)
    return builder


def _check_outputs(source: Source, builder: Builder) -> None:
    for port in source.outputs:
        found = builder.finished(port.name).dtype
        if found != port.dtype:
            raise ModelRefused(f"output {port.name!r}", f"it is declared as {port.dtype}, but the nodes make {found}")


def _lower_node(node: Node, builder: Builder) -> None:
    try:
        HANDLERS[node.op](node, builder)
    except Refused as refused:
        found = ", ".join(f"{name}={value}" for name, value in refused.values.items())
        raise node.refuse(f"its exact form breaks a bound: {refused.rule} ({found})", CALIBRATE) from refused


def _verified(model: bytes) -> Verified:
    """The verifier's verdict on the result: lower() never returns a graph that the chain refuses."""
    try:
        return verify(model)
    except Refused as refused:
        raise LoweringError("result", f"the verifier refuses the graph: {refused}", CALIBRATE) from refused


def _report(
    model: bytes,
    proto: onnx.ModelProto,
    source: Source,
    builder: Builder,
    encoded: bytes,
    verified: Verified,
    rows: Mapping[str, Array] | None,
) -> Report:
    graph = verified.graph
    differences: dict[str, Difference] = {}
    if rows is not None:
        names = graph_names(source.inputs)
        integers = boundary.quantize(graph.inputs, {names[name]: array for name, array in rows.items()})
        differences = compare(proto, source, builder, graph.outputs, rows, integers)
    return Report(
        lowering_version=LOWERING_VERSION,
        source_hash=graph.source_hash.hex(),
        source_bytes=len(model),
        model_hash=verified.model_hash.hex(),
        model_bytes=len(encoded),
        nodes=len(graph.nodes),
        calibration_rows=0 if rows is None else len(next(iter(rows.values()))),
        inputs=tuple(
            InputReport(
                port.name, spec.shape, spec.frac_bits, spec.low * 2.0**-spec.frac_bits, spec.high * 2.0**-spec.frac_bits
            )
            for port, spec in zip(source.inputs, graph.inputs, strict=True)
        ),
        layers=tuple(_layer(layer, differences.get(layer.name)) for layer in builder.layers),
        outputs=tuple(_output(port.name, builder, differences.get(port.name)) for port in source.outputs),
        gas_load=verified.cost.gas_load,
        gas_fixed=verified.cost.gas_fixed,
        gas_per_row=verified.cost.gas_per_row,
        memory_bytes=verified.cost.memory_bytes,
        notes=tuple(_notes(builder, rows is not None)),
    )


def _layer(layer: Layer, difference: Difference | None) -> LayerReport:
    tensor = layer.tensor
    return LayerReport(
        where=layer.node.where,
        tensor=layer.name,
        frac_bits=tensor.frac_bits,
        bits=tensor.fact.magnitude.bit_length(),
        weight_bits=layer.weight_bits,
        dropped_bits=layer.dropped_bits,
        error_bound=tensor.error if tensor.dtype.kind == "f" else None,
        error_max=None if difference is None else difference.error_max,
        saturated=None if difference is None else difference.saturated,
    )


def _output(name: str, builder: Builder, difference: Difference | None) -> OutputReport:
    tensor = builder.finished(name)
    return OutputReport(
        name=name,
        shape=tensor.shape,
        frac_bits=tensor.frac_bits,
        error_bound=tensor.error if tensor.dtype.kind == "f" else None,
        error_max=None if difference is None else difference.error_max,
        agreement=None if difference is None else difference.agreement,
    )


def _notes(builder: Builder, calibrated: bool) -> list[str]:
    if calibrated or all(port.dtype.kind != "f" for port in builder.source.inputs):
        return []
    notes = [f"without calibration rows every float input is taken to lie within +-{INPUT_MAGNITUDE:g}"]
    dropped = max((layer.dropped_bits for layer in builder.layers), default=0)
    if dropped:
        notes.append(f"intervals grew so wide that up to {dropped} bits were dropped: calibration rows would keep them")
    return notes
