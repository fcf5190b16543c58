"""The reference interpreter: what every op means, computed with Python's integers. Slow, obvious, independent of the
engine. numpy only moves elements about: its arrays here hold Python ints (dtype object).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.inference import graph as ops
from runtime.inference.arithmetic import Double, Int64Array, add, divide, multiply, rhe_shift, square_root, to_integer
from runtime.inference.constants import unpack
from runtime.inference.graph import Graph
from runtime.inference.tensors import check_inputs
from runtime.inference.verifier import verify

Ints = npt.NDArray[np.object_]


def interpret(model: bytes, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Int64Array]:
    """The outputs of a verified model by its definition. Refused and InvalidInput as the engine raises them."""
    graph = verify(model).graph
    check_inputs(graph.inputs, inputs)
    tensors = trace(graph, inputs)
    return {output.spec.name: tensors[output.tensor].astype(np.int64) for output in graph.outputs}


def trace(graph: Graph, inputs: Mapping[str, npt.NDArray[Any]]) -> list[Ints]:
    """Every tensor of a run of a verified graph on checked inputs, in order."""
    run = _Run([inputs[spec.name].astype(object) for spec in graph.inputs], graph)
    for node in graph.nodes:
        run.tensors.append(_OPS[type(node)](node, run))
    return run.tensors


class _Run:
    def __init__(self, tensors: list[Ints], graph: Graph) -> None:
        self.tensors = tensors
        self._constants = graph.constants

    def constant(self, index: int) -> Ints:
        return unpack(self._constants[index]).astype(object)

    def finish(self, sums: Ints, bias: int | None, shifts: int | None, shape: tuple[int, ...]) -> Ints:
        """rhe((sums + bias) * 2**-shifts), constants reshaped to `shape`."""
        if bias is not None:
            sums = sums + self.constant(bias).reshape(shape)
        return sums if shifts is None else _shift(sums, self.constant(shifts).reshape(shape))


def _shift(values: Ints, shifts: Any) -> Ints:
    result: Ints = np.frompyfunc(rhe_shift, 2, 1)(values, shifts)
    return result


def _gemm(node: ops.Gemm, run: _Run) -> Ints:
    sums = run.tensors[node.x] @ run.constant(node.weights).T
    return run.finish(sums, node.bias, node.shifts, (-1,))


def _windows(
    x: Ints, kernel: tuple[int, ...], node: ops.Conv | ops.MaxPool, fill: int
) -> Iterator[tuple[tuple[int, ...], Ints]]:
    """For each offset k of the kernel: x[:, :, p * strides + k * dilations - pads_begin], `fill` outside x."""
    none = (0, 0)
    padded = _padded(x, (*none, *node.pads_begin), (*none, *node.pads_end), fill)
    for offset in product(*map(range, kernel)):
        places: tuple[Any, ...] = (slice(None), slice(None))
        for axis, k in enumerate(offset):
            start, step = k * node.dilations[axis], node.strides[axis]
            room = padded.shape[axis + 2] - node.dilations[axis] * (kernel[axis] - 1) - 1
            places = (*places, slice(start, start + room + 1, step))
        yield offset, padded[places]


def _padded(x: Ints, before: tuple[int, ...], after: tuple[int, ...], fill: int) -> Ints:
    """np.pad would put its own 64-bit integers among Python's."""
    sizes = [b + size + a for b, size, a in zip(before, x.shape, after, strict=True)]
    padded: Ints = np.full(sizes, fill, object)
    padded[tuple(slice(b, b + size) for b, size in zip(before, x.shape, strict=True))] = x
    return padded


def _conv(node: ops.Conv, run: _Run) -> Ints:
    weights, x = run.constant(node.weights), run.tensors[node.x]
    outputs, inputs = weights.shape[0] // node.groups, weights.shape[1]
    sums: list[Any] = [0] * node.groups
    for offset, window in _windows(x, weights.shape[2:], node, 0):
        for group in range(node.groups):
            places: Any = (slice(group * outputs, (group + 1) * outputs), slice(None), *offset)
            taps = weights[places]
            part = window[:, group * inputs : (group + 1) * inputs]
            sums[group] = sums[group] + np.moveaxis(np.tensordot(taps, part, axes=(1, 1)), 0, 1)
    spatial = (1,) * (len(weights.shape) - 2)
    return run.finish(np.concatenate(sums, axis=1), node.bias, node.shifts, (1, -1, *spatial))


def _affine(node: ops.Affine, run: _Run) -> Ints:
    x = run.tensors[node.x]
    if node.weights is not None:
        x = x * run.constant(node.weights)[np.newaxis]
    if node.bias is not None:
        x = x + run.constant(node.bias)[np.newaxis]
    return x if node.shifts is None else _shift(x, run.constant(node.shifts)[np.newaxis])


def _max_pool(node: ops.MaxPool, run: _Run) -> Ints:
    x = run.tensors[node.x]
    below = x.min() - 1
    result = np.full((1,), below, object)
    for _, window in _windows(x, node.kernel, node, below):
        result = np.maximum(result, window)
    return result


def _slice(node: ops.Slice, run: _Run) -> Ints:
    x = run.tensors[node.x]
    for axis, (start, count, step) in enumerate(zip(node.starts, node.counts, node.steps, strict=True)):
        x = x.take([start + i * step for i in range(count)], axis=axis + 1)
    return x


def _softmax(node: ops.Softmax, run: _Run) -> Ints:
    x = run.tensors[node.x]
    axis = node.axis + 1
    distance = x.max(axis=axis, keepdims=True) - x
    exponentials: Ints = np.frompyfunc(lambda d: scaled_exp(d, node.frac_bits_in), 1, 1)(distance)
    total = exponentials.sum(axis=axis, keepdims=True)
    result: Ints = np.frompyfunc(lambda e, s: to_integer(divide(e, s), -node.frac_bits_out), 2, 1)(exponentials, total)
    return result


@lru_cache(maxsize=1 << 16)
def scaled_exp(distance: int, frac_bits: int) -> int:
    """rhe(2**30 * exp(-distance * 2**-frac_bits)) as graph.Softmax's steps compute it."""
    cut = 24 << frac_bits
    t: Double = (-min(distance, cut), -frac_bits - 8)
    y = add(multiply(t, divide(1, 24)), divide(1, 6))
    for term in ((1, -1), (1, 0), (1, 0)):  # 1/2, 1, 1
        y = add(multiply(y, t), term)
    for _ in range(8):
        y = multiply(y, y)
    return to_integer((y[0], y[1] + 30))


def _div(node: ops.Div, run: _Run) -> Ints:
    quotient: Ints = np.frompyfunc(lambda a, b: to_integer(divide(a, b), node.shift), 2, 1)(
        run.tensors[node.a], run.tensors[node.b]
    )
    return quotient


def _sqrt(node: ops.Sqrt, run: _Run) -> Ints:
    root: Ints = np.frompyfunc(lambda x: to_integer(square_root(x), node.shift), 1, 1)(run.tensors[node.x])
    return root


def _axes(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def _arg_max(node: ops.ArgMax, run: _Run) -> Ints:
    x = run.tensors[node.x]
    first: Ints = x.argmax(axis=node.axis + 1, keepdims=True).astype(object)
    return first


def _pad(node: ops.Pad, run: _Run) -> Ints:
    return _padded(run.tensors[node.x], (0, *node.before), (0, *node.after), node.value)


def _trees(node: ops.Trees, run: _Run) -> Ints:
    features, leaves = run.constant(node.features).tolist(), run.constant(node.leaves)
    thresholds = run.constant(node.thresholds).tolist()
    branches_before = [0]
    for feature in features:
        branches_before.append(branches_before[-1] + (feature >= 0))

    def end_of(place: int) -> int:
        """Where the subtree that begins at `place` ends: every branch asks for one more node than it is."""
        wanted = 1
        while wanted:
            wanted += 1 if features[place] >= 0 else -1
            place += 1
        return place

    def decide(row: Ints) -> Ints:
        total: Ints = leaves[0] * 0
        root = 0
        while root < len(features):
            place = root
            while features[place] >= 0:
                left = row[features[place]] <= thresholds[branches_before[place]]
                place = place + 1 if left else end_of(place + 1)
            total = total + leaves[place - branches_before[place]]
            root = end_of(root)
        return total

    return np.stack([decide(row) for row in run.tensors[node.x]])


def _lookup(node: ops.Lookup, run: _Run) -> Ints:
    x = run.tensors[node.x]
    rows: Ints = run.constant(node.table)[x.astype(np.int64)]
    return rows


def _take(node: ops.Take, run: _Run) -> Ints:
    x, axis = run.tensors[node.x], node.axis + 1
    index = run.tensors[node.index].astype(np.int64)
    shape = (*x.shape[:axis], index.shape[axis], *x.shape[axis + 1 :])
    taken: Ints = np.take_along_axis(x, np.broadcast_to(index, shape), axis=axis)
    return taken


def _top_k(node: ops.TopK, run: _Run) -> Ints:
    x, axis = run.tensors[node.x], node.axis + 1
    order = (-x if node.largest else x).argsort(axis=axis, kind="stable")
    first: Ints = order.take(range(node.k), axis=axis).astype(object)
    return first


_OPS: Final[dict[type, Callable[[Any, _Run], Ints]]] = {
    ops.Gemm: _gemm,
    ops.Conv: _conv,
    ops.Affine: _affine,
    ops.Rescale: lambda node, run: _shift(run.tensors[node.x], node.shift),
    ops.Add: lambda node, run: run.tensors[node.a] + run.tensors[node.b],
    ops.Sub: lambda node, run: run.tensors[node.a] - run.tensors[node.b],
    ops.Mul: lambda node, run: _shift(run.tensors[node.a] * run.tensors[node.b], node.shift),
    ops.Clip: lambda node, run: np.minimum(np.maximum(run.tensors[node.x], node.low), node.high),
    ops.Relu: lambda node, run: np.maximum(run.tensors[node.x], 0),
    ops.MaxPool: _max_pool,
    ops.Reshape: lambda node, run: run.tensors[node.x].reshape(-1, *node.shape),
    ops.Transpose: lambda node, run: run.tensors[node.x].transpose(0, *_axes(node.permutation)),
    ops.Concat: lambda node, run: np.concatenate([run.tensors[index] for index in node.tensors], axis=node.axis + 1),
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.ReduceSum: lambda node, run: run.tensors[node.x].sum(axis=_axes(node.axes), keepdims=True),
    ops.ReduceMax: lambda node, run: run.tensors[node.x].max(axis=_axes(node.axes), keepdims=True),
    ops.ArgMax: _arg_max,
    ops.Softmax: _softmax,
    ops.Div: _div,
    ops.Sqrt: _sqrt,
    ops.Trees: _trees,
    ops.Lookup: _lookup,
    ops.MatMul: lambda node, run: _shift(run.tensors[node.a] @ run.tensors[node.b], node.shift),
    ops.Take: _take,
    ops.TopK: _top_k,
}
