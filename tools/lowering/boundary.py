"""Real numbers <-> the integers of a graph's inputs and outputs, by its TensorSpecs alone. Rounds half to even."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from runtime.inference.graph import TensorSpec
from tools.lowering.errors import DataRefused
from tools.lowering.source import Array


def quantize(specs: Sequence[TensorSpec], inputs: Mapping[str, Array]) -> dict[str, npt.NDArray[np.int64]]:
    """Integers for each input, by its name in the graph. DataRefused names the tensor that does not fit and why."""
    unknown = sorted(set(inputs) - {spec.name for spec in specs})
    if unknown:
        names = ", ".join(repr(spec.name) for spec in specs)
        raise DataRefused(f"input {unknown[0]!r}", f"the model has no such input; it has {names}")
    return {spec.name: _quantize(spec, inputs) for spec in specs}


def _quantize(spec: TensorSpec, inputs: Mapping[str, Array]) -> npt.NDArray[np.int64]:
    where = f"input {spec.name!r}"
    if spec.name not in inputs:
        raise DataRefused(where, "missing")
    array = np.asarray(inputs[spec.name])
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise DataRefused(where, f"{array.size} elements of type {array.dtype}; numbers are needed")
    if array.shape[1:] != spec.shape or array.ndim != len(spec.shape) + 1:
        wanted = ", ".join(["rows", *map(str, spec.shape)])
        raise DataRefused(where, f"shape {list(array.shape)}, expected [{wanted}]")
    if not np.isfinite(array).all():
        raise DataRefused(where, "it holds NaN or infinity")
    scaled = np.rint(np.ldexp(array.astype(np.float64), spec.frac_bits))
    if scaled.min() < spec.low or scaled.max() > spec.high:
        low, high = (float(np.ldexp(float(end), -spec.frac_bits)) for end in (spec.low, spec.high))
        reason = f"values lie in [{array.min():g}, {array.max():g}], the model takes [{low:g}, {high:g}]"
        raise DataRefused(where, reason, "scale the input, or lower again with calibration rows that reach so far")
    return scaled.astype(np.int64)


def dequantize(specs: Sequence[TensorSpec], outputs: Mapping[str, Array]) -> dict[str, Array]:
    """float64 for each output on a fractional grid, the integers themselves for the others (labels, indices). Raises
    DataRefused for an output that is missing or holds no integers."""
    missing = sorted({spec.name for spec in specs} - set(outputs))
    if missing:
        raise DataRefused(f"output {missing[0]!r}", "missing")
    return {spec.name: _dequantize(spec, np.asarray(outputs[spec.name])) for spec in specs}


def _dequantize(spec: TensorSpec, array: Array) -> Array:
    if array.dtype.kind not in "iu":
        raise DataRefused(f"output {spec.name!r}", f"elements of type {array.dtype}; integers are needed")
    if spec.frac_bits == 0:
        return array
    return np.ldexp(array.astype(np.float64), -spec.frac_bits)
