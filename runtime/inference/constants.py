"""Constants of a graph as arrays. One array, one encoding: the smallest width that holds every element."""

from __future__ import annotations

from math import prod
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from runtime.inference.graph import Constant, IntKind

_DTYPES: Final[dict[IntKind, np.dtype[np.signedinteger]]] = {
    IntKind.I8: np.dtype("<i1"),
    IntKind.I16: np.dtype("<i2"),
    IntKind.I32: np.dtype("<i4"),
    IntKind.I64: np.dtype("<i8"),
}


def pack(values: npt.ArrayLike) -> Constant:
    """The constant of an array of integers. ValueError for other types or an empty array."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.size == 0:
        raise ValueError(f"a constant holds one or more integers, found {array.dtype} of shape {array.shape}")
    low, high = int(array.min()), int(array.max())
    kind = smallest_kind(low, high)
    data = np.ascontiguousarray(array).astype(_DTYPES[kind]).tobytes()
    return Constant(shape=tuple(int(size) for size in array.shape), kind=kind, data=data)


def smallest_kind(low: int, high: int) -> IntKind:
    """The narrowest kind whose range holds [low, high]; ValueError beyond 64 bits."""
    for kind, dtype in _DTYPES.items():
        bits = 8 * dtype.itemsize - 1
        if -(1 << bits) <= low and high < 1 << bits:
            return kind
    raise ValueError(f"[{low}, {high}] does not fit into 64 bits")


def byte_size(constant: Constant) -> int:
    """How many bytes `data` must have for the declared shape and kind."""
    return prod(constant.shape) * _DTYPES[constant.kind].itemsize


def unpack(constant: Constant) -> npt.NDArray[np.signedinteger]:
    """The array, read-only and in its stored width. The caller knows that the size fits (`byte_size`)."""
    flat = np.frombuffer(constant.data, dtype=_DTYPES[constant.kind])
    return cast("npt.NDArray[np.signedinteger]", flat.reshape(constant.shape))
