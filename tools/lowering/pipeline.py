"""The way of a model: parse, fold, fuse, resolve shapes, observe, translate node by node, verify, compare, report.

What lives here: the order of the passes and the result. Off-chain and untrusted: a validator believes only the
verifier. Reproducible: the same bytes, shapes and calibration give the same graph in the same lowering version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

from runtime.inference.errors import Refused
from runtime.inference.graph import Graph, encode_graph
from runtime.inference.verifier import Verified, verify
from tools.lowering import boundary
from tools.lowering.builder import CALIBRATE, Builder, Classes
from tools.lowering.codes import with_codes
from tools.lowering.compare import Comparison, compare, random_rows
from tools.lowering.crossings import crossings
from tools.lowering.errors import DataRefused, LoweringError, ModelRefused, OpRefused
from tools.lowering.float_model import check_rows, observe
from tools.lowering.fold import FOLDERS, fold, without_dead
from tools.lowering.fuse import fuse
from tools.lowering.masks import check_finite, without_masks
from tools.lowering.names import graph_names
from tools.lowering.observed import Limits
from tools.lowering.ops import HANDLERS
from tools.lowering.parse import OF_TEXTS, TEXTS_MEND, DeclaredShapes, decode
from tools.lowering.precision import TREES
from tools.lowering.preparations import APART, with_preparations
from tools.lowering.protobuf import TEXT
from tools.lowering.readings import as_rows, as_written, first_that_works
from tools.lowering.recognise import recognise
from tools.lowering.report import Report
from tools.lowering.shapes import resolve
from tools.lowering.source import Array, Node, Source
from tools.lowering.summary import summarise
from tools.lowering.texts import places, told
from tools.lowering.together import Together
from tools.lowering.unbatched import with_rows
from tools.lowering.unscale import unscale

LOWERING_VERSION: Final = "armillary-lowering/1"
REHEARSAL_LIMIT: Final = 16.0
RANGE_MAX: Final = 2.0**40
_RANDOM: Final = (
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli",
)  # fmt: skip
_NEVER: Final = {
    "NonZero": "its shape depends on the values; use a mask of fixed shape",
    "Unique": "its shape depends on the values; use a fixed shape",
    **dict.fromkeys(_RANDOM, "pass the random numbers as an input"),
    **dict.fromkeys(OF_TEXTS, TEXTS_MEND),
}
_HANDLED: Final = frozenset((*HANDLERS, *FOLDERS, *_NEVER))


@dataclass(frozen=True)
class Lowered:
    """`model`: the canonical graph's bytes, as proven by the verifier. Rows in and out keep the source's names.
    `classes`: of those outputs that are places in a list of classes, by the source's name. `fixed`: inputs of the
    source that are constants of the graph, with the only value that they may have. `batch_axes`: of those outputs that
    have the batch elsewhere than first."""

    model: bytes
    report: Report
    graph: Graph
    source: Source
    classes: Mapping[str, Classes]
    fixed: Mapping[str, Array]
    batch_axes: Mapping[str, int]

    def quantize(self, inputs: Mapping[str, npt.ArrayLike]) -> dict[str, npt.NDArray[np.int64]]:
        """The graph's inputs from the source model's, [N, ...] each; where a row is a whole run of the model, also its
        own inputs without N: one row. DataRefused names what does not fit."""
        for name, value in self.fixed.items():
            if name in inputs and not np.array_equal(np.asarray(inputs[name]), value):
                raise DataRefused(f"input {name!r}", "lowering fixed it at another value", "lower again with this one")
        names = graph_names(self.source.inputs)
        given = {name: np.asarray(array) for name, array in inputs.items() if name not in self.fixed}
        rows = as_rows(self.source.inputs, given, whole=self.source.whole)
        renamed = {names.get(name, name): array for name, array in _as_numbers(self.source, self.graph, rows).items()}
        return boundary.quantize(self.graph.inputs, renamed)

    def dequantize(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The source model's outputs in its element types; classes by the source model's names (texts or integers).
        Where a row is a whole run of the model, one row is returned without N, and rows of runs of one row each are as
        a batch would be."""
        names = graph_names(self.source.outputs)
        found = boundary.dequantize([output.spec for output in self.graph.outputs], outputs)
        read = {port.name: found[names[port.name]] for port in self.source.outputs}
        for name, classes in self.classes.items():
            read[name] = np.array(classes, object)[read[name]]
        for name, axis in self.batch_axes.items():
            read[name] = np.moveaxis(read[name], 0, axis)
        if self.source.whole:
            read = as_written(self.source.inputs, read)
        return {port.name: np.asarray(read[port.name]).astype(port.dtype) for port in self.source.outputs}


def lower(
    model: bytes,
    *,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    calibration: Mapping[str, npt.NDArray[Any]] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    precise: bool = False,
) -> Lowered:
    """Compiles a float ONNX model to an exact-grid graph that the verifier accepts.

    shapes: by input, replacing the file's, None for the batch (first); what the file leaves open and nothing is said of
    is as calibration has it. calibration: rows of every input like those
    the model will see; without them float inputs are taken to be within +-1024 and intervals follow from that.
    ranges: the least and greatest value of an input, in place of what calibration shows of it; without calibration all
    intervals follow from them, and nothing is ever clipped. precise: large layers keep all bits of their weights and of
    what they read: errors are a tenth to a hundredth, a run takes up to twice as long.
    Raises LoweringError: the model, shape or data at fault, the reason and the mend.
    """
    given = {name: np.asarray(array) for name, array in (calibration or {}).items()}
    decoded = decode(model)
    reach = _checked_ranges(decoded, ranges or {})

    def attempt(
        proto: onnx.ModelProto, source: Source, fixed: Mapping[str, Array], together: Together | None
    ) -> Lowered:
        rest = {name: array for name, array in given.items() if name not in fixed}
        lacking = {
            name
            for name, array in given.items()
            if array.dtype.kind == "f" and np.isnan(array).any() and not np.isnan(array).all()
        }
        inputs = tuple(
            replace(port, reach=reach.get(port.name), missing=port.dtype.kind == "f" and port.name in lacking)
            for port in source.inputs
        )
        source = replace(source, inputs=inputs, precise=precise)
        return _lowered(model, proto, source, fixed, together, None if calibration is None else rest)

    return first_that_works(decoded, _checked_shapes(shapes), given, _HANDLED, attempt)


def _lowered(
    model: bytes,
    proto: onnx.ModelProto,
    source: Source,
    fixed: Mapping[str, Array],
    together: Together | None,
    calibration: Mapping[str, Array] | None,
) -> Lowered:
    """One reading of the model, compiled."""
    prepared = _prepared(source)
    rows = None
    limits: dict[str, float] = {}
    if calibration is not None:
        calibration = as_rows(source.inputs, calibration, whole=source.whole)
        rows = check_rows(source.inputs, calibration, "calibration")
        _translate(prepared, _rehearsal(prepared))  # checks each shape and attribute before onnxruntime sees the model
        apart = {name for node in prepared.nodes if node.op in APART for name in (node.inputs[0], node.outputs[0])}
        limits = observe(proto, replace(fold(source), hidden=prepared.hidden), rows, prepared.use_counts(), apart)
    builder = _translate(prepared, limits)
    _check_outputs(prepared, builder)
    graph = builder.build(LOWERING_VERSION, hashlib.sha256(model).digest())
    encoded = encode_graph(graph)
    verified = _verified(encoded)
    comparison = _compared(proto, prepared, builder, graph, rows)
    notes = [*comparison.notes, *_told(source, fixed)]
    if source.whole and together is None:
        notes.append("rows are not independent along the first dimension: a row of the graph is one run of the model")
    if together is not None:
        found = random_rows(prepared.inputs, graph.inputs) if rows is None else rows
        notes.append(together.told(proto, source, found))
    comparison = replace(comparison, notes=tuple(notes))
    report = summarise(LOWERING_VERSION, model, source, prepared, builder, encoded, verified, comparison)
    return Lowered(encoded, report, graph, prepared, builder.classes(), fixed, builder.batch_axes())


def _as_numbers(source: Source, graph: Graph, rows: Mapping[str, Array]) -> dict[str, Array]:
    """The rows with texts as their places among those that the file knows, and missing values as the least number."""
    found = dict(rows)
    for port, spec in zip(source.inputs, graph.inputs, strict=True):
        array = found.get(port.name)
        if array is not None and port.dtype == TEXT:
            found[port.name] = places(port.texts, array, f"input {port.name!r}")
        elif array is not None and port.missing and array.dtype.kind == "f":
            found[port.name] = np.where(np.isnan(array), np.ldexp(float(spec.low), -spec.frac_bits), array)
    return found


def _told(source: Source, fixed: Mapping[str, Array]) -> list[str]:
    """What the report says of the reading."""
    notes = [
        f"input {name!r} has to be known beforehand: it is fixed at the calibration's value and no input of the graph"
        for name in fixed
    ]
    notes += [told(port.name, port.texts) for port in source.inputs if port.dtype == TEXT]
    for port in source.inputs:
        if port.missing:
            notes.append(f"input {port.name!r} may lack values: NaN is the least number that the graph takes there")
    return notes


def _prepared(source: Source) -> Source:
    """What is left to translate: no constant parts, nothing that follows from shapes, activations as one
    node, pairs of nodes fused, no scaler in front of trees."""
    file, source = source, without_masks(fold(with_codes(source)))
    check_finite(source, file)
    source = without_dead(recognise(without_dead(with_preparations(source))))
    source = source if source.whole else without_dead(fuse(source))
    _check_ops(source)
    way = with_rows if source.whole else resolve
    return without_dead(_past_preparation(fuse(way(source, _rehearsal(source), _lower_node))))


def _past_preparation(source: Source) -> Source:
    if not any(node.op in TREES for node in source.nodes):
        return source
    there = replace(source, inputs=tuple(replace(port, missing=False) for port in source.inputs))
    try:
        rehearsed = _translate(there, _rehearsal(there))
    except LoweringError:
        return source  # refused again, where ranges are known
    return unscale(source, rehearsed.finished)


def _checked_ranges(
    proto: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    names = {value.name for value in proto.graph.input}
    for name, (low, high) in ranges.items():
        if name not in names:
            found = ", ".join(map(repr, sorted(names)))
            raise DataRefused(f"ranges[{name!r}]", f"the model has no such input; it has {found}")
        if not (-RANGE_MAX <= low <= high <= RANGE_MAX):
            raise DataRefused(f"ranges[{name!r}]", f"{low} to {high} is no range within +-{RANGE_MAX:g}")
    return {name: (float(low), float(high)) for name, (low, high) in ranges.items()}


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
    unknown = [node for node in source.nodes if node.op not in HANDLERS and node.op not in FOLDERS]
    if unknown:
        raise _unknown(unknown)


def _unknown(nodes: list[Node]) -> OpRefused:
    ops = ", ".join(sorted({node.op for node in nodes}))
    mend = f"supported are {', '.join(sorted(HANDLERS))}"
    return nodes[0].refuse(f"this lowering has no exact form for {ops}", mend)


def _rehearsal(source: Source) -> dict[str, float]:
    """Made-up limits for all tensors."""
    names = [*(port.name for port in source.inputs), *(name for node in source.nodes for name in node.outputs)]
    return Limits(dict.fromkeys(names, REHEARSAL_LIMIT), dict.fromkeys(names, 1 / REHEARSAL_LIMIT), {})


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
    if node.op not in HANDLERS:
        raise _unknown([node])
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


def _compared(
    proto: onnx.ModelProto, source: Source, builder: Builder, graph: Graph, calibration: Mapping[str, Array] | None
) -> Comparison:
    """The exact model beside the float one on the calibration rows, or on random ones that the inputs accept."""
    rows = random_rows(source.inputs, graph.inputs) if calibration is None else calibration
    names = graph_names(source.inputs)
    given = {names[name]: array for name, array in _as_numbers(source, graph, rows).items()}
    integers = boundary.quantize(graph.inputs, given)
    count = len(next(iter(rows.values())))
    try:
        found = compare(proto, source, builder, rows, integers)
    except LoweringError as error:
        if calibration is not None:
            raise
        return Comparison(0, False, {}, f"the float model was not compared: {error}")
    if calibration is None:
        return Comparison(count, False, found)
    as_read = {port.name: rows[port.name].astype(port.dtype) for port in source.inputs}
    moved = crossings(builder.thresholds, as_read, {name: integers[names[name]] for name in rows})
    return Comparison(count, True, found, notes=tuple(moved))
