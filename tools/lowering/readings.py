"""The ways to read one file, tried in order: which dimension N is, and which of its inputs are rather constants.

Where what a file does depends on how many rows there are (a loop over rows, a scale for all of them), it is read again
as a file of one row. Rows together have to give what each gives alone: together.py looks.

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

from runtime.inference.limits import ELEMENTS_MAX
from tools.lowering.errors import AloneNeeded, ConstantNeeded, LoweringError, OpRefused, RowsMixed
from tools.lowering.inline import has_body, inlined
from tools.lowering.parse import DeclaredShapes, parse, readings, told
from tools.lowering.protobuf import DTYPES, RANK_MAX
from tools.lowering.shapes import MEASURES
from tools.lowering.source import Array, Port, Source
from tools.lowering.together import SEVERAL, Together

T = TypeVar("T")
Attempt = Callable[[onnx.ModelProto, Source, Mapping[str, Array], Together | None], T]


def first_that_works(
    proto: onnx.ModelProto,
    shapes: DeclaredShapes,
    given: Mapping[str, Array],
    handled: frozenset[str],
    attempt: Attempt[T],
) -> T:
    """`attempt(proto, source, fixed, together)` of the first reading that it does not refuse, with as few inputs fixed
    as that takes. `handled`: the operators that need no body; one whose form is refused is replaced by its body, if it
    has one. Raises the refusal of the first reading where it refuses all; of the operator itself where its body is
    refused too.
    """
    shapes = {**_shapes_of_rows(proto, given), **shapes}
    try:
        return _first(told(proto, shapes), shapes, given, handled, attempt)
    except LoweringError as refused:
        scaled = any(node.op_type == "DynamicQuantizeLinear" for node in proto.graph.node)
        if not isinstance(refused, AloneNeeded) and not scaled:
            raise
        alone, several = (told(proto, shapes, rows) for rows in (1, SEVERAL))
        if alone is several:
            raise
        try:
            more = inlined(several, handled)
            together = Together(more, parse(more, {}))
        except LoweringError:
            raise refused from None
        return _first(alone, {}, {}, handled, lambda flat, source, fixed, _: attempt(flat, source, fixed, together))


def _first(
    proto: onnx.ModelProto,
    shapes: DeclaredShapes,
    given: Mapping[str, Array],
    handled: frozenset[str],
    attempt: Attempt[T],
) -> T:
    own = {node.op_type for node in proto.graph.node}
    before: LoweringError | None = None
    fixed = _empty_inputs(proto)
    for name, array in fixed.items():
        proto = _with_constant(proto, name, array)
    by_body: set[str] = set()
    while True:
        refusals: list[LoweringError] = []
        flat, found = proto, list[Source]()
        try:
            flat = inlined(proto, handled - by_body)
            found = readings(flat, {name: shape for name, shape in shapes.items() if name not in fixed})
        except ConstantNeeded as needed:
            refusals.append(needed)
        for source in found:
            try:
                return attempt(flat, source, fixed, None)
            except LoweringError as refused:
                refusals.append(refused)
        wanted = [name for refused in refusals for name in _fixable(flat, refused, given)]
        bodies = {refused.op for refused in refusals if isinstance(refused, OpRefused) and has_body(refused.op)}
        if bodies - by_body and not wanted:
            before = before or refusals[0]
            by_body |= bodies
        elif wanted:
            fixed[wanted[0]] = given[wanted[0]]
            proto = _with_constant(proto, wanted[0], given[wanted[0]])
        else:
            last = next((refused for refused in refusals if isinstance(refused, RowsMixed)), refusals[0])
            raise before if before and isinstance(last, OpRefused) and last.op not in own - by_body else last


def _shapes_of_rows(proto: onnx.ModelProto, given: Mapping[str, Array]) -> dict[str, tuple[int | None, ...]]:
    """Of inputs whose shape the file leaves open after the batch: as the given rows have it."""
    found: dict[str, tuple[int | None, ...]] = {}
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        sizes = np.shape(given.get(value.name, 0))
        if len(sizes) == len(dims) and any(not dim.HasField("dim_value") for dim in dims[1:]):
            found[value.name] = (None, *sizes[1:])
    return found


def _empty_inputs(proto: onnx.ModelProto) -> dict[str, Array]:
    """Inputs of no elements have one value only."""
    found = {}
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if len(dims) <= RANK_MAX and any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in dims):
            kind = value.type.tensor_type.elem_type
            if kind in DTYPES and all(0 <= dim.dim_value <= ELEMENTS_MAX for dim in dims):
                found[value.name] = np.zeros([dim.dim_value for dim in dims], DTYPES[kind])
    return found if len(found) < len(proto.graph.input) else {}


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
        elif name in makers and name not in seen and makers[name].op_type not in MEASURES:
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
    """The arrays with N in front. `whole`: one run's are taken as they are, as one row; of runs of one row each, the
    rows."""
    shapes = {port.name: port.shape for port in ports} if whole else {}
    return {name: _with_runs(np.asarray(array), shapes.get(name)) for name, array in arrays.items()}


def _with_runs(array: Array, shape: tuple[int, ...] | None) -> Array:
    if shape is None or array.shape == shape:
        return array if shape is None else array[np.newaxis]
    return array[:, np.newaxis] if shape[:1] == (1,) and array.shape[1:] == shape[1:] else array


def as_written(ports: tuple[Port, ...], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """What whole runs make, [N, ...] each, as the model would write it: one run without N, runs of one row each (in all
    inputs and outputs) as rows."""
    shapes = [port.shape or () for port in ports] + [array.shape[1:] for array in arrays.values()]
    of_rows = all(shape[:1] == (1,) for shape in shapes)
    one = all(len(array) == 1 for array in arrays.values())
    return {name: array[:, 0] if of_rows else array[0] if one else array for name, array in arrays.items()}
