"""Source -> Source: what is constant is computed once, what nobody reads is dropped. No grids here.

Folding is bounded: a result larger than a tensor may be is refused before it is made. To fold another op, add a
function to FOLDERS; an op that is not there stays in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np

from runtime.inference.limits import ELEMENTS_MAX, WEIGHTS_MAX
from tools.lowering.errors import ModelRefused
from tools.lowering.fold_numeric import NUMERIC
from tools.lowering.fold_quantized import QUANTIZED
from tools.lowering.protobuf import TEXT, dtype_of
from tools.lowering.source import Array, Node, Source

Folder = Callable[[Node, list[Array]], Array]

_CONSTANT_KINDS: Final[dict[str, type[Any] | None]] = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


_MOVERS: Final = ("Constant", "Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Concat")
"""What may be done with texts: nothing else of numpy's is bounded on them."""


def fold(source: Source) -> Source:
    """The same function with fewer nodes. ModelRefused where a constant part overflows or divides by zero."""
    constants = dict(source.constants)
    kept: list[Node] = []
    wild: dict[str, Node] = {}
    elements = 0
    for node in source.nodes:
        inputs = [constants[name] for name in node.inputs if name in constants]
        if node.op in FOLDERS and len(inputs) == len(node.inputs):
            for one in each_output(node):
                result = evaluate(one, inputs)
                elements += result.size
                if elements > WEIGHTS_MAX:
                    raise node.refuse(f"constant parts of the model have more than {WEIGHTS_MAX} elements")
                constants[one.outputs[0]] = result
                if is_wild(one, inputs, result):
                    wild[one.outputs[0]] = one
        else:
            kept.append(node)
    for port in source.outputs:
        if port.name in constants and not source.whole:
            raise ModelRefused(f"output {port.name!r}", "it does not depend on any input", "drop it from the outputs")
    folded = without_dead(replace(source, constants=constants, nodes=tuple(kept)))
    check_wild(folded.constants, wild)
    return folded


def check_wild(names: Iterable[str], wild: Mapping[str, Node]) -> None:
    """Raises OpRefused where one of these, which is still read, is wild: `wild` says which node made it."""
    for name in names:
        if name in wild:
            raise wild[name].refuse("its constant value holds NaN or infinity")


def each_output(node: Node) -> list[Node]:
    """A Split as one node for each of its outputs; any other as it is."""
    if node.op != "Split":
        return [node]
    count = len(node.outputs)
    parts = [replace(node, attributes={**node.attributes, "part": part, "parts": count}) for part in range(count)]
    return [replace(part, outputs=(name,)) for part, name in zip(parts, node.outputs, strict=True)]


def without_dead(source: Source) -> Source:
    """Only the nodes and constants that some output needs."""
    needed = {port.name for port in source.outputs}
    kept: list[Node] = []
    for node in reversed(source.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    constants = {name: array for name, array in source.constants.items() if name in needed}
    return replace(source, nodes=tuple(reversed(kept)), constants=constants)


def evaluate(node: Node, inputs: list[Array]) -> Array:
    """The node's result, read-only; refused where it cannot be computed. It may hold NaN or infinity (`is_wild`), which
    another constant node may choose not to look at."""
    if node.op not in _MOVERS and any(array.dtype == TEXT for array in inputs):
        raise node.refuse("it computes with constant texts")
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(FOLDERS[node.op](node, inputs))
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise node.refuse(f"its constant value cannot be computed ({error})") from error
    result = np.array(result)
    result.flags.writeable = False
    return result


def is_wild(node: Node, inputs: list[Array], result: Array) -> bool:
    """Whether a result holds NaN or infinity, and is no mask."""
    return result.dtype.kind == "f" and not np.isfinite(result).all() and not _is_mask(node, inputs, result)


def _is_mask(node: Node, inputs: list[Array], result: Array) -> bool:
    """Whether it holds minus infinity, because what it is made of does; masks.py judges those."""
    made_of = [
        *inputs,
        *(np.asarray(value) for value in node.attributes.values() if not isinstance(value, str | tuple)),
    ]
    given = any(array.dtype.kind == "f" and bool(np.isneginf(array).any()) for array in made_of)
    return given and bool((np.isfinite(result) | np.isneginf(result)).all())


def _constant(node: Node, inputs: list[Array]) -> Array:
    if len(node.attributes) != 1:
        raise node.refuse(f"it has {len(node.attributes)} attributes, exactly one is its value")
    ((name, value),) = node.attributes.items()
    if name not in _CONSTANT_KINDS:
        raise node.refuse(f"attribute {name} is not supported")
    return np.asarray(value, _CONSTANT_KINDS[name])


def _elementwise(function: Callable[[Array, Array], Array]) -> Folder:
    """Of two operands; a third one is an Add's, from `fuse`."""

    def folder(node: Node, inputs: list[Array]) -> Array:
        if prod(np.broadcast_shapes(*(array.shape for array in inputs))) > ELEMENTS_MAX:
            raise node.refuse("its constant value is too large")
        a, b, *added = inputs
        found = np.asarray(function(a, b)).astype(a.dtype)
        return np.asarray(sum(added, found)).astype(a.dtype)

    return folder


def _divide(a: Array, b: Array) -> Array:
    """Integers divide towards zero, as ONNX says."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not np.all(b):
        raise ValueError("division by zero")
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))


def _cast(node: Node, inputs: list[Array]) -> Array:
    return inputs[0].astype(dtype_of(node.integer("to", 0), node.where))


def _reshape(node: Node, inputs: list[Array]) -> Array:
    sizes = [int(size) for size in inputs[1]]
    if not node.flag("allowzero"):
        sizes = [inputs[0].shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return inputs[0].reshape(sizes)


def _flatten(node: Node, inputs: list[Array]) -> Array:
    axis = node.integer("axis", 1)
    return inputs[0].reshape(prod(inputs[0].shape[:axis]), -1)


def _transpose(node: Node, inputs: list[Array]) -> Array:
    return inputs[0].transpose(node.integers("perm"))


def _axes(node: Node, inputs: list[Array]) -> tuple[int, ...] | None:
    """An attribute before opset 13, an input since."""
    return tuple(int(axis) for axis in inputs[1]) if len(inputs) > 1 else node.integers("axes")


def _squeeze(node: Node, inputs: list[Array]) -> Array:
    return inputs[0].squeeze(_axes(node, inputs))


def _unsqueeze(node: Node, inputs: list[Array]) -> Array:
    return np.expand_dims(inputs[0], _axes(node, inputs) or ())


def _concat(node: Node, inputs: list[Array]) -> Array:
    if sum(array.size for array in inputs) > ELEMENTS_MAX:
        raise node.refuse("its constant value is too large")
    return np.concatenate(inputs, axis=node.integer("axis", 0))


def _bounded(node: Node, elements: int) -> None:
    if elements > ELEMENTS_MAX:
        raise node.refuse("its constant value is too large")


def _shape(node: Node, inputs: list[Array]) -> Array:
    return np.array(inputs[0].shape, np.int64)[node.integer("start", 0) : node.integer("end", 1 << 31)]


def _split(node: Node, inputs: list[Array]) -> Array:
    """The part that `each_output` says."""
    axis, parts, x = node.integer("axis", 0), node.integer("parts", 1), inputs[0]
    sizes = [int(size) for size in inputs[1]] if len(inputs) > 1 else list(node.integers("split") or ())
    step = -(-x.shape[axis] // parts)
    ends = np.cumsum(sizes)[:-1] if sizes else np.arange(1, parts) * step
    return np.split(x, ends.tolist(), axis)[node.integer("part", 0)]


def _gemm(node: Node, inputs: list[Array]) -> Array:
    a, b = (x.T if node.flag(name) else x for x, name in zip(inputs, ("transA", "transB"), strict=False))
    product = NUMERIC["MatMul"](node, [a, b]) * np.asarray(node.number("alpha", 1.0), a.dtype)
    added = inputs[2] * np.asarray(node.number("beta", 1.0), a.dtype) if len(inputs) > 2 else 0
    return np.asarray(product + added).astype(a.dtype)


def _gather(node: Node, inputs: list[Array]) -> Array:
    axis = node.integer("axis", 0)
    _bounded(node, inputs[1].size * inputs[0].size)
    return np.take(inputs[0], inputs[1].astype(np.int64), axis=axis)


def _gather_elements(node: Node, inputs: list[Array]) -> Array:
    axis, (x, index) = node.integer("axis", 0), inputs
    if x.ndim != index.ndim or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"shapes {x.shape} and {index.shape} do not fit each other")
    within = [slice(None) if place == axis % x.ndim else slice(size) for place, size in enumerate(index.shape)]
    return np.take_along_axis(x[tuple(within)], index.astype(np.int64), axis)


def _scatter_nd(node: Node, inputs: list[Array]) -> Array:
    if node.text("reduction", "none") != "none":
        raise ValueError("reductions are not supported")
    result = inputs[0].copy()
    result[tuple(np.moveaxis(inputs[1], -1, 0))] = inputs[2]
    return result


def _slice(node: Node, inputs: list[Array]) -> Array:
    named = [node.integers(name) for name in ("starts", "ends", "axes")]
    numbers = named if len(inputs) == 1 else [tuple(int(n) for n in array.reshape(-1)) for array in inputs[1:]]
    starts, ends = numbers[0] or (), numbers[1] or ()
    axes = numbers[2] if len(numbers) > 2 and numbers[2] is not None else tuple(range(len(starts)))
    steps = numbers[3] if len(numbers) > 3 and numbers[3] is not None else (1,) * len(starts)
    result = inputs[0]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        places: list[slice] = [slice(None)] * result.ndim
        places[axis] = slice(start, end, step)
        result = result[tuple(places)]
    return result


def _range(node: Node, inputs: list[Array]) -> Array:
    start, limit, delta = (array.reshape(-1)[0] for array in inputs)
    _bounded(node, int(abs(float(limit) - float(start)) / max(abs(float(delta)), 1e-300)))
    return np.arange(start, limit, delta, dtype=inputs[0].dtype)


def _constant_of_shape(node: Node, inputs: list[Array]) -> Array:
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    sizes = [int(size) for size in inputs[0]]
    _bounded(node, prod(sizes))
    return np.full(sizes, value.reshape(-1)[0], value.dtype)


def _expand(node: Node, inputs: list[Array]) -> Array:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(int(size) for size in inputs[1]))
    _bounded(node, prod(shape))
    return np.broadcast_to(inputs[0], shape)


def _where(node: Node, inputs: list[Array]) -> Array:
    _bounded(node, prod(np.broadcast_shapes(*(array.shape for array in inputs))))
    return np.where(inputs[0], inputs[1], inputs[2])


def _equal(node: Node, inputs: list[Array]) -> Array:
    _bounded(node, prod(np.broadcast_shapes(*(array.shape for array in inputs))))
    return np.asarray(np.equal(inputs[0], inputs[1]))


FOLDERS: Final[dict[str, Folder]] = {
    **QUANTIZED,
    **NUMERIC,
    "Constant": _constant,
    "Identity": lambda node, inputs: inputs[0],
    "Cast": _cast,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(_divide),
    "Neg": lambda node, inputs: np.negative(inputs[0]),
    "Shape": _shape,
    "Size": lambda node, inputs: np.array(inputs[0].size, np.int64),
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Gemm": _gemm,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "Split": _split,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Where": _where,
    "Equal": _equal,
    "Sqrt": lambda node, inputs: np.sqrt(inputs[0]),
}
