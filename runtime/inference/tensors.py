"""Tensors at the boundary: the wire form in transactions and records, and the check of inputs against a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from runtime.codec import codec
from runtime.crypto import hash_bytes
from runtime.inference.arithmetic import Int64Array
from runtime.inference.errors import InvalidInput
from runtime.inference.graph import TensorName, TensorSpec
from runtime.inference.limits import INPUTS_MAX, RANK_MAX, ROWS_MAX
from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.types import U32, Hash, MaxLen, Struct


class Tensor(Struct):
    """Named int64 integers on the wire. `shape` begins with N, the rows; `data`: row major, little endian, 8 bytes
    each. Of the right length by `to_array` only: decoding alone does not compare shape and data."""

    name: TensorName
    shape: Annotated[tuple[U32, ...], MaxLen(RANK_MAX + 1)]
    data: Annotated[bytes, MaxLen(TRANSACTION_BYTES_MAX)]


Tensors = Annotated[tuple[Tensor, ...], MaxLen(INPUTS_MAX)]


def from_array(name: str, values: npt.NDArray[Any]) -> Tensor:
    """The wire form of an array of integers. InvalidInput for another dtype, or integers beyond int64."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or (array.dtype == np.uint64 and array.size and int(array.max()) >= 1 << 63):
        raise InvalidInput(name, f"expected integers of at most 64 bits with sign, found {array.dtype}")
    data = np.ascontiguousarray(array).astype("<i8").tobytes()
    return Tensor(name=name, shape=tuple(int(size) for size in array.shape), data=data)


def to_array(tensor: Tensor) -> Int64Array:
    """The array, its own copy. InvalidInput where data is not of shape's size, or shape has a 0: an empty tensor may
    have other dimensions of any size, which numpy refuses in its own words."""
    if 0 in tensor.shape:
        raise InvalidInput(tensor.name, f"shape {tensor.shape} holds nothing: every dimension is at least 1")
    if len(tensor.data) != 8 * prod(tensor.shape):
        raise InvalidInput(
            tensor.name, f"shape {tensor.shape} needs {8 * prod(tensor.shape)} bytes of int64, found {len(tensor.data)}"
        )
    return np.frombuffer(tensor.data, dtype="<i8").reshape(tensor.shape).astype(np.int64)


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[Tensor, ...]:
    """The wire form of several tensors, sorted by name: one mapping, one encoding."""
    return tuple(from_array(name, arrays[name]) for name in sorted(arrays))


def to_arrays(tensors: Sequence[Tensor]) -> dict[str, Int64Array]:
    """The mapping. InvalidInput unless names ascend strictly and each tensor is whole."""
    for before, after in pairwise(tensors):
        if before.name >= after.name:
            raise InvalidInput(after.name, "tensors are sorted by name, each once")
    return {tensor.name: to_array(tensor) for tensor in tensors}


def tensors_hash(tensors: Sequence[Tensor]) -> Hash:
    """The hash that records commit to. CodecError where a field is out of its type."""
    return hash_bytes("armillary/tensors", codec(Tensors).encode(tuple(tensors)))


def check_inputs(graph_inputs: Sequence[TensorSpec], inputs: Mapping[str, npt.NDArray[Any]]) -> int:
    """Raises InvalidInput unless `inputs` has exactly the graph's inputs, each an int64 array of shape (N, *shape) with
    one N of 1 to ROWS_MAX, each element in [low, high]. Returns N. Pure; the interval is what the proof rests on."""
    rows = _check_form(graph_inputs, inputs)
    check_values(graph_inputs, inputs)
    return rows


def _check_form(graph_inputs: Sequence[TensorSpec], inputs: Mapping[str, npt.NDArray[Any]]) -> int:
    """As `check_inputs`, all but the values."""
    expected = {spec.name for spec in graph_inputs}
    for name in sorted(inputs.keys() - expected):
        raise InvalidInput(name, f"the model has no such input; it has {sorted(expected)}")
    rows: int | None = None
    for spec in graph_inputs:
        if spec.name not in inputs:
            raise InvalidInput(spec.name, "missing")
        found = _check_shape(spec, inputs[spec.name])
        if rows is not None and found != rows:
            raise InvalidInput(spec.name, f"expected {rows} rows as in {graph_inputs[0].name!r}, found {found}")
        rows = found
    if rows is None:
        raise InvalidInput("", "the model has no inputs")
    return rows


def check_values(graph_inputs: Sequence[TensorSpec], inputs: Mapping[str, npt.NDArray[Any]]) -> None:
    """As `check_inputs`, of inputs that have the right form: each element in [low, high]."""
    for spec in graph_inputs:
        array = inputs[spec.name]
        low, high = int(array.min()), int(array.max())
        if low < spec.low or high > spec.high:
            raise InvalidInput(spec.name, f"values lie in [{low}, {high}], the model takes [{spec.low}, {spec.high}]")


def _check_shape(spec: TensorSpec, array: npt.NDArray[Any]) -> int:
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(np.int64):
        raise InvalidInput(spec.name, f"expected an int64 array, found {getattr(array, 'dtype', type(array).__name__)}")
    if array.ndim != len(spec.shape) + 1 or array.shape[1:] != spec.shape:
        raise InvalidInput(spec.name, f"expected shape (rows, {', '.join(map(str, spec.shape))}), found {array.shape}")
    rows = int(array.shape[0])
    if not 1 <= rows <= ROWS_MAX:
        raise InvalidInput(spec.name, f"expected 1 to {ROWS_MAX} rows, found {rows}")
    return rows
