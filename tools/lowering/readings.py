"""The ways to read one file, tried in order: which dimension N is, and which of its inputs are rather constants.

Files of one operator, and models that were exported with fixed shapes, give as inputs what most models hold: weights,
target shapes, indices. Where an operator needs such an input beforehand, and the caller's calibration gives the whole
of it (the very shape that the file declares), it is fixed at that value: no input of the graph any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import onnx
from onnx import numpy_helper

from tools.lowering.errors import ConstantNeeded, LoweringError
from tools.lowering.parse import DeclaredShapes, readings
from tools.lowering.source import Array, Port, Source

T = TypeVar("T")
Attempt = Callable[[onnx.ModelProto, Source, Mapping[str, Array]], T]


def first_that_works(
    proto: onnx.ModelProto, shapes: DeclaredShapes, given: Mapping[str, Array], attempt: Attempt[T]
) -> T:
    """`attempt(proto, source, fixed)` of the first reading that it does not refuse, with as few inputs fixed as that
    takes. Raises the refusal of the first reading where it refuses all."""
    fixed: dict[str, Array] = {}
    while True:
        refusals: list[LoweringError] = []
        for source in readings(proto, shapes):
            try:
                return attempt(proto, source, fixed)
            except LoweringError as refused:
                refusals.append(refused)
        wanted = [name for refused in refusals for name in _fixable(proto, refused, given)]
        if not wanted:
            raise refusals[0]
        fixed[wanted[0]] = given[wanted[0]]
        proto = _with_constant(proto, wanted[0], given[wanted[0]])
        shapes = {name: shape for name, shape in shapes.items() if name != wanted[0]}


def _fixable(proto: onnx.ModelProto, refused: LoweringError, given: Mapping[str, Array]) -> list[str]:
    """The inputs that the tensor which has to be constant is computed from, if all of them are given and not all inputs
    there are."""
    if not isinstance(refused, ConstantNeeded):
        return []
    ports = {value.name: value for value in proto.graph.input}
    makers = {name: node for node in proto.graph.node for name in node.output}
    found, seen, waiting = [], set(), [refused.tensor]
    while waiting:
        name = waiting.pop()
        if name in ports and name not in found:
            found.append(name)
        elif name in makers and name not in seen:
            waiting.extend(makers[name].input)
        seen.add(name)
    given_whole = all(name in given and _is_whole(ports[name], given[name]) for name in found)
    return found if given_whole and len(found) < len(ports) else []


def _is_whole(value: onnx.ValueInfoProto, array: Array) -> bool:
    dims = value.type.tensor_type.shape.dim
    declared = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
    return value.type.HasField("tensor_type") and np.shape(array) == declared


def _with_constant(proto: onnx.ModelProto, name: str, array: Array) -> onnx.ModelProto:
    """The model with an initializer in the input's place."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    kept = [value for value in copy.graph.input if value.name != name]
    (value,) = (value for value in copy.graph.input if value.name == name)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    copy.graph.initializer.append(numpy_helper.from_array(np.asarray(array).astype(dtype), name))
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    return copy


def as_rows(ports: tuple[Port, ...], arrays: Mapping[str, Array], *, whole: bool) -> dict[str, Array]:
    """The arrays with N in front. `whole`: one run's are taken as they are, as one row."""
    shapes = {port.name: port.shape for port in ports} if whole else {}
    found = {name: np.asarray(array) for name, array in arrays.items()}
    return {name: array[np.newaxis] if array.shape == shapes.get(name, ...) else array for name, array in found.items()}
