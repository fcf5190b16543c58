"""Reads tensors and attributes out of protobuf, trusting nothing. The structure of the graph is parse.py's."""

from __future__ import annotations

from math import prod
from typing import Any, Final

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from runtime.inference.limits import ELEMENTS_MAX
from tools.lowering.errors import AloneNeeded, ModelRefused
from tools.lowering.source import Array, Attribute

RANK_MAX: Final = 8
DTYPES: Final[dict[int, np.dtype[Any]]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.DOUBLE: np.dtype(np.float64),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.INT8: np.dtype(np.int8),
    TensorProto.INT16: np.dtype(np.int16),
    TensorProto.INT32: np.dtype(np.int32),
    TensorProto.INT64: np.dtype(np.int64),
    TensorProto.UINT8: np.dtype(np.uint8),
    TensorProto.UINT16: np.dtype(np.uint16),
    TensorProto.UINT32: np.dtype(np.uint32),
    TensorProto.UINT64: np.dtype(np.uint64),
    TensorProto.BOOL: np.dtype(np.bool_),
}
TEXT: Final = np.dtype(np.object_)
"""The element type of strings: names of classes, or categories of an input."""
TEXT_BYTES_MAX: Final = 1 << 24


def dtype_of(kind: int, where: str, *, text: bool = False) -> np.dtype[Any]:
    """numpy's element type, or a refusal that names the protobuf one. `text`: strings will do."""
    if text and kind == TensorProto.STRING:
        return TEXT
    if kind not in DTYPES:
        known = {number: name for name, number in TensorProto.DataType.items()}
        name = known.get(kind, f"number {kind}")
        raise ModelRefused(where, f"element type {name} is not supported", "export with float32 tensors")
    return DTYPES[kind]


def read_tensor(tensor: TensorProto, where: str) -> Array:
    """The constant, read-only. Refused: external data, empty, too large, NaN or infinity (minus infinity may be a
    mask), data that does not fit."""
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        mend = "save the model as one file (onnx.save_model with save_as_external_data=False)"
        raise ModelRefused(where, "its data lies in another file", mend)
    if tensor.HasField("segment"):
        raise ModelRefused(where, "segmented tensors are not supported")
    dtype = dtype_of(tensor.data_type, where, text=True)
    shape = tuple(tensor.dims)
    if len(shape) > RANK_MAX or any(size < 0 for size in shape):
        raise ModelRefused(where, f"shape {list(shape)} is out of bounds (rank at most {RANK_MAX})")
    if prod(shape) > ELEMENTS_MAX:
        raise ModelRefused(where, f"{prod(shape)} elements, at most {ELEMENTS_MAX} are supported")
    if dtype == TEXT:
        return _read_text(tensor, where)
    stored = len(tensor.raw_data) // dtype.itemsize if tensor.HasField("raw_data") else _typed_count(tensor)
    if stored != prod(shape) or len(tensor.raw_data) % dtype.itemsize:
        raise ModelRefused(where, f"shape {list(shape)} does not fit the {stored} elements stored")
    try:
        array: Array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ModelRefused(where, f"its data cannot be read ({error})") from error
    if array.dtype.kind == "f" and not (np.isfinite(array) | np.isneginf(array)).all():
        raise ModelRefused(where, "it holds NaN or infinity", "train or export again: such weights have no exact form")
    array = np.array(array)
    array.flags.writeable = False
    return array


def _read_text(tensor: TensorProto, where: str) -> Array:
    if len(tensor.string_data) != prod(tensor.dims):
        stored = len(tensor.string_data)
        raise ModelRefused(where, f"shape {list(tensor.dims)} does not fit the {stored} texts stored")
    if sum(map(len, tensor.string_data)) > TEXT_BYTES_MAX:
        raise ModelRefused(where, f"its texts have more than {TEXT_BYTES_MAX} bytes")
    array: Array = np.empty(len(tensor.string_data), TEXT)
    array[:] = [_text(item, where) for item in tensor.string_data]
    array.flags.writeable = False
    return array.reshape(tuple(tensor.dims))


def _typed_count(tensor: TensorProto) -> int:
    fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    return max(len(values) for values in fields)


_INSTEAD: Final = {
    "If": "; in PyTorch, x[:, 0] for x.squeeze(1) where the file does not know the size",
    "Loop": "; in PyTorch, nn.Embedding and a mean over dimension 1 for nn.EmbeddingBag",
}
"""What often is exported as such an operator, and what to write."""


def read_attributes(node: onnx.NodeProto, where: str) -> dict[str, Attribute]:
    """All attributes by name. Refused: subgraphs, references, sparse tensors, types, two of one name."""
    found: dict[str, Attribute] = {}
    for attribute in node.attribute:
        if attribute.name in found:
            raise ModelRefused(where, f"two attributes are named {attribute.name!r}")
        found[attribute.name] = _read_attribute(attribute, where)
    return found


def _read_attribute(attribute: AttributeProto, where: str) -> Attribute:
    if attribute.ref_attr_name:
        raise ModelRefused(where, f"attribute {attribute.name!r} refers to a function's attribute")
    match attribute.type:
        case AttributeProto.INT:
            return int(attribute.i)
        case AttributeProto.FLOAT:
            return float(attribute.f)
        case AttributeProto.STRING:
            return _text(attribute.s, where)
        case AttributeProto.INTS:
            return tuple(int(item) for item in attribute.ints)
        case AttributeProto.FLOATS:
            return tuple(float(item) for item in attribute.floats)
        case AttributeProto.STRINGS:
            return tuple(_text(item, where) for item in attribute.strings)
        case AttributeProto.TENSOR:
            return read_tensor(attribute.t, f"{where}, attribute {attribute.name!r}")
        case AttributeProto.GRAPH | AttributeProto.GRAPHS:
            op = where.partition(" ")[0]
            mend = f"control flow has no exact form: export without If, Loop and Scan{_INSTEAD.get(op, '')}"
            raise AloneNeeded(op, where, f"attribute {attribute.name!r} holds a subgraph", mend)
        case _:
            kinds = {number: name for name, number in AttributeProto.AttributeType.items()}
            kind = kinds.get(attribute.type, str(attribute.type))
            raise ModelRefused(where, f"attribute {attribute.name!r} is of kind {kind}, which is not supported")


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ModelRefused(where, "it holds text that is not UTF-8") from error
