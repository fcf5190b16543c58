"""Runs the float model over calibration rows: what its tensors' magnitudes are, and what the exact ones should be.

The one file here that uses onnxruntime. It gets only models that parse.py checked and whose every op the handlers
accepted. Its figures may differ in the last bits between CPUs; limits are powers of two, so the graph does not, unless
a magnitude lies within such a bit of a power of two.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx

from runtime.inference.library import onnxruntime
from tools.lowering.errors import DataRefused, ModelRefused
from tools.lowering.grids import Floats
from tools.lowering.masks import shown
from tools.lowering.observed import Limits
from tools.lowering.parse import OPSETS
from tools.lowering.protobuf import TEXT
from tools.lowering.source import Array, Port, Source
from tools.lowering.texts import places

ROWS_AT_ONCE: Final = 32
LIMIT_MIN: Final = 2.0**-20


def check_rows(inputs: Sequence[Port], rows: Mapping[str, Array], what: str) -> dict[str, Array]:
    """The rows in the inputs' element types; DataRefused unless exactly the inputs are there, of one length, finite."""
    unknown = sorted(set(rows) - {port.name for port in inputs})
    if unknown:
        names = ", ".join(repr(port.name) for port in inputs)
        raise DataRefused(f"{what}[{unknown[0]!r}]", f"the model has no such input; it has {names}")
    checked = {port.name: _check_array(port, rows, f"{what}[{port.name!r}]") for port in inputs}
    lengths = {len(array) for array in checked.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise DataRefused(what, f"inputs have {sorted(lengths)} rows; one number of at least 1 is needed")
    return checked


def _check_array(port: Port, rows: Mapping[str, Array], where: str) -> Array:
    if port.name not in rows:
        raise DataRefused(where, "missing")
    array = np.asarray(rows[port.name])
    if port.dtype == TEXT:
        places(port.texts, array, where)
    elif array.dtype.kind not in "fiub":
        raise DataRefused(where, f"elements of type {array.dtype}; numbers are needed")
    if array.ndim < 1 or array.shape[1:] != port.shape:
        wanted = ", ".join(["rows", *map(str, port.shape or ())])
        raise DataRefused(where, f"shape {list(array.shape)}, expected [{wanted}]")
    if port.dtype == TEXT:
        return array.astype(TEXT)
    if not (np.isfinite(array) | (np.isnan(array) & port.missing)).all():
        raise DataRefused(where, "it holds NaN or infinity")
    if port.dtype.kind == "f":
        return array.astype(np.float64)
    if array.dtype.kind == "f" and not (array == np.rint(array)).all():
        raise DataRefused(where, f"it holds fractions; the model takes {port.dtype}")
    return array.astype(np.int64)


class FloatModel:
    """The source model with chosen tensors as outputs; a ZipMap's is the tensor that it reads."""

    def __init__(self, proto: onnx.ModelProto, source: Source, names: Sequence[str]) -> None:
        self._source = source
        self._names = list(names)
        try:
            self._session = onnxruntime.InferenceSession(
                _exposing(proto, source, names), _options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelRefused("file", f"onnxruntime cannot load it ({_first_line(error)})") from error

    def chunks(self, rows: Mapping[str, Array]) -> Iterator[tuple[slice, dict[str, Array]]]:
        """The chosen tensors for successive parts of the rows, of the size that the file fixes if it does: the last
        ones may have rows too many. Raises ModelRefused where onnxruntime fails."""
        count = len(next(iter(rows.values())))
        fixed, whole = self._source.fixed_rows, self._source.whole
        step = 1 if whole else fixed or ROWS_AT_ONCE
        for start in range(0, count, step):
            part = slice(start, min(start + step, count))
            feed = {port.name: rows[port.name][part].astype(port.dtype) for port in self._source.inputs}
            if whole:
                feed = {name: np.asarray(array[0]) for name, array in feed.items()}
            elif fixed:
                feed = {name: _filled_up(array, fixed) for name, array in feed.items()}
            try:
                values = self._session.run(self._names, feed)
            except Exception as error:
                raise ModelRefused("file", f"onnxruntime cannot run it ({_first_line(error)})") from error
            if whole:
                values = [np.asarray(array)[np.newaxis] for array in values]
            yield part, dict(zip(self._names, values, strict=True))


def _filled_up(rows: Array, count: int) -> Array:
    """That many rows, the last one repeated: a file that fixes their number takes no fewer."""
    return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])


def observe(
    proto: onnx.ModelProto, source: Source, rows: Mapping[str, Array], wanted: Container[str], apart: Container[str]
) -> Limits:
    """For each floating point tensor that is `wanted` a power of two, at least twice its largest magnitude; and where
    it kept its sign, one that is at most half its least; of rows of numbers that are `apart`, what each may be. Raises
    DataRefused for NaN and infinity, and what `chunks` raises."""
    names = [name for node in source.nodes for name in node.outputs if name in wanted]
    lacking = any(port.missing for port in source.inputs)
    largest = dict.fromkeys(names, 0.0)
    ends: dict[str, tuple[float, float]] = {}
    columns: dict[str, tuple[Floats, Floats]] = {}
    for port in source.inputs:
        if port.dtype == TEXT:
            continue
        there = rows[port.name][~np.isnan(rows[port.name])]
        largest[port.name] = float(np.abs(there).max(initial=0.0))
        if there.size:
            ends[port.name] = float(there.min()), float(there.max())
        if port.name in apart:
            _take_columns(columns, port.name, rows[port.name])
    for _, values in FloatModel(proto, source, names).chunks(rows):
        for name, array in values.items():
            if array.dtype.kind not in "fiu":
                continue
            array = shown(array) if name in source.hidden else array
            if name in apart:
                _take_columns(columns, name, array)
            if lacking and array.dtype.kind == "f":
                array = array[~np.isnan(array)]
            if not np.isfinite(array).all():
                raise DataRefused("calibration", f"the float model makes NaN or infinity of it at {name!r}")
            largest[name] = max(largest[name], float(np.abs(array).max(initial=0.0)))
            if array.size and array.dtype.kind == "f":
                low, high = ends.get(name, (np.inf, -np.inf))
                ends[name] = min(low, float(array.min())), max(high, float(array.max()))
    away = {name: low if low > 0 else high for name, (low, high) in ends.items() if low > 0 or high < 0}
    limits = {name: _limit(value) for name, value in largest.items()}
    nearest = {name: float(np.copysign(_limit(abs(end)) / 8, end)) for name, end in away.items()}
    return Limits(limits, nearest, {name: _widened(*found) for name, found in columns.items()})


def _take_columns(found: dict[str, tuple[Floats, Floats]], name: str, array: Array) -> None:
    """The least and greatest number of each column, so far. A column without any is 0."""
    if array.ndim != 2 or array.dtype.kind != "f":
        return
    lacks = np.isnan(array)
    low, high = np.where(lacks, np.inf, array).min(axis=0), np.where(lacks, -np.inf, array).max(axis=0)
    before = found.get(name, (np.inf, -np.inf))
    found[name] = np.minimum(before[0], low), np.maximum(before[1], high)


def _widened(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Half as far again on both sides, on a grid that last bits do not move; a quarter as near to 0 where one sign was
    kept."""
    empty = low > high
    low, high = (np.where(empty, 0.0, side).astype(np.float64) for side in (low, high))
    span = np.maximum(high - low, LIMIT_MIN)
    step = np.ldexp(1.0, np.frexp(span)[1] - 4)
    wide = np.floor((low - span / 2) / step) * step, np.ceil((high + span / 2) / step) * step
    near = [np.copysign(np.ldexp(1.0, np.frexp(side)[1] - 3), side) for side in (low, high)]
    return np.where(low > 0, np.maximum(wide[0], near[0]), wide[0]), np.where(
        high < 0, np.minimum(wide[1], near[1]), wide[1]
    )


def _limit(magnitude: float) -> float:
    fraction, exponent = np.frexp(2 * magnitude)
    return max(LIMIT_MIN, float(np.ldexp(1.0, int(exponent) - (1 if fraction == 0.5 else 0))))


def _exposing(proto: onnx.ModelProto, source: Source, names: Sequence[str]) -> bytes:
    """The model with the shapes that were asked for and the named tensors as its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for node in copy.graph.node:
        if node.op_type == "ZipMap":
            node.op_type, node.domain = "Identity", ""
            del node.attribute[:]
    if not any(entry.domain in ("", "ai.onnx") for entry in copy.opset_import):
        copy.opset_import.append(onnx.helper.make_opsetid("", OPSETS[""][1]))
    del copy.graph.value_info[:]  # may state shapes for another batch
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    shapes = {port.name: port.shape or () for port in source.inputs}
    for value in copy.graph.input:
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        if source.fixed_rows:
            shape.dim.add().dim_value = source.fixed_rows
        elif not source.whole:
            shape.dim.add().dim_param = "N"
        for size in shapes[value.name]:
            shape.dim.add().dim_value = size
    return bytes(copy.SerializeToString())


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
