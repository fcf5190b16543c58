"""Does this machine compute as the proof assumes? Run when a node starts and after plugins load; under a second.

The proof's assumptions, each probed where it would break first:
1. float64 rounds to nearest, ties to even, in Add, Sub, Mul, Div, Sqrt and Round, also after a library changed the
   mode.
2. Subnormal numbers are neither flushed to zero nor read as zero, in this process and on the engine's threads.
3. Dot products are sums of full-width products: exact while every partial sum is within 2**53 (2**24 in single
   precision, 2**31 of bytes and limbs of -64..64), at every size where a kernel changes its blocking.
4. ArgMax takes the first of equal maxima, TopK all of them in order; Max, Clip, casts and moves keep exact integers.
5. Trees compare and add in float64, and go left at a threshold.
Expected values come from integer arithmetic, never from this machine's floats. What is probed is the engine itself; a
caller may pass other kernels to see that a fault would be caught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.inference import graph as ops
from runtime.inference.arithmetic import Double, Int64Array, add, divide, multiply, square_root, to_integer
from runtime.inference.constants import pack
from runtime.inference.engine import Engine, run_kernel
from runtime.inference.errors import SelfTestFailed
from runtime.inference.graph import GRAPH_VERSION, Constant, ConvForm, Graph, Node, Output, TensorSpec, encode_graph
from runtime.inference.interpreter import interpret
from runtime.inference.limbs import WEIGHT_MAX
from runtime.inference.limits import DOUBLE_EXACT_MAX, SINGLE_EXACT_MAX
from runtime.types import ZERO_HASH

Kernel = Callable[..., npt.NDArray[Any]]
Run = Callable[[bytes, dict[str, Int64Array]], dict[str, Int64Array]]
_SMALLEST: Final = 2.0**-1074


def self_test(kernel: Kernel = run_kernel, run: Run | None = None) -> None:
    """Raises SelfTestFailed naming the first case that does not hold."""
    _probe_subnormals(kernel)
    _probe_rounding(kernel)
    _probe_roots(kernel)
    _probe_ties(kernel)
    engine = Engine(memory_bytes=1 << 28).run if run is None else run
    for case, graph, inputs in _graphs():
        model = encode_graph(graph)
        found, expected = engine(model, inputs), interpret(model, inputs)
        for name, values in expected.items():
            _equal(f"{case} {name}", values, found[name])


def _equal(case: str, expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> None:
    different = np.flatnonzero(expected != found)
    if different.size:
        raise SelfTestFailed(case, expected.flat[different[0]], found.flat[different[0]])


def _doubles(*values: float) -> npt.NDArray[np.float64]:
    return np.array(values, np.float64)


def _probe_subnormals(kernel: Kernel) -> None:
    """In this process by numpy and in the engine: 2**-1022 / 2 and 2**-1074 + 2**-1074 are not zero."""
    least, half, smallest = _doubles(2.0**-1022), _doubles(0.5), _doubles(_SMALLEST)
    for case, found in (
        ("a subnormal result, numpy", least * half),
        ("a subnormal operand, numpy", smallest + smallest),
        ("a subnormal result, engine", kernel("Mul", least, half)),
        ("a subnormal operand, engine", kernel("Add", smallest, smallest)),
    ):
        # compared as bits: a machine that reads subnormals as zero finds all of them equal
        expected = 1 << 51 if "result" in case else 2
        if int(found.view(np.int64)[0]) != expected:
            raise SelfTestFailed(case, hex(expected), hex(int(found.view(np.int64)[0])))


def _hard_operands() -> tuple[list[int], list[int]]:
    """Integers of up to 53 bits whose products, sums and quotients fall on or next to a tie, or have long carries."""
    state, left, right = 0x9E3779B97F4A7C15, [], []
    for bits in range(2, 54):
        for _ in range(3):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            left.append((1 << (bits - 1)) | (state >> (65 - bits)) | 1)
            right.append((1 << 52) | (state >> 12) | 1)
    left += [(1 << 53) - 1, (1 << 53) - 1, (1 << 52) + 1, 1, 1, 3]
    right += [(1 << 53) - 1, (1 << 53) - 2, (1 << 52) + 1, 3, (1 << 53) - 1, (1 << 53) - 1]
    return left, right


def _as_float(value: Double) -> float:
    """Exact: the mantissa has at most 53 bits."""
    return float(Fraction(value[0]) * Fraction(2) ** value[1])


def _probe_rounding(kernel: Kernel) -> None:
    left, right = _hard_operands()
    a, b = np.array(left, np.float64), np.array(right, np.float64)
    for op, exact in (
        ("Mul", lambda x, y: multiply((x, 0), (y, 0))),
        ("Div", divide),
        ("Add", lambda x, y: add((x, -1), (y, 0))),
        ("Sub", lambda x, y: add((x, -1), (-y, 0))),
    ):
        scaled = a / 2 if op in ("Add", "Sub") else a
        expected = np.array([_as_float(exact(x, y)) for x, y in zip(left, right, strict=True)])
        _equal(f"{op} is correctly rounded", expected, kernel(op, scaled, b))


def _probe_roots(kernel: Kernel) -> None:
    """Integers around squares, whose roots lie next to a number with 53 bits, and those of the other probes."""
    left, right = _hard_operands()
    roots = [(1 << 26) + 1, (1 << 26) - 1, 94_906_265, 67_108_865, 3, 1]
    values = [*left, *right, 0, 1, 2, *(root * root + step for root in roots for step in (-1, 0, 1))]
    expected = np.array([_as_float(square_root(value)) for value in values])
    _equal("Sqrt is correctly rounded", expected, kernel("Sqrt", np.array(values, np.float64)))


def _probe_ties(kernel: Kernel) -> None:
    halves = [*range(-9, 10), (1 << 53) - 1, (1 << 53) - 3, 1 - (1 << 53)]
    expected = np.array([to_integer((half, -1)) for half in halves], np.float64)
    _equal("Round takes ties to even", expected, kernel("Round", np.array(halves, np.float64) / 2))
    tied = np.array([[0.0, 7.0, -0.0, 7.0, 7.0], [-0.0, 0.0, -0.0, 0.0, -1.0]])
    _equal(
        "ArgMax takes the first", np.array([[1], [0]]), kernel("ArgMax", tied, axis=1, keepdims=1, select_last_index=0)
    )


def _graphs() -> Iterator[tuple[str, Graph, dict[str, Int64Array]]]:
    """Each form of dot product at its bound, at sizes around those where kernels change their blocking."""
    for width, outputs in ((1, 1), (3, 5), (16, 16), (67, 33), (257, 17)):
        weights = _tight(outputs, width, DOUBLE_EXACT_MAX >> 16)
        spec = TensorSpec("x", (width,), 16, -(1 << 16), 1 << 16)
        shifts = pack(np.arange(outputs) % 40)
        yield (
            f"Gemm {width}x{outputs}",
            _graph((spec,), (ops.Gemm(0, 0, None, 1),), (pack(weights), shifts), (outputs,)),
            {"x": _extremes(weights, spec)},
        )
    for width, outputs, high in ((60, 49, 255), (61, 130, 255), (700, 130, 65_535)):
        yield f"Gemm by bytes {width}x{outputs}", *_product_by_bytes(width, outputs, high)
    for height, width, columns in ((1, 5, 3), (2, 67, 33), (9, 130, 17)):
        yield f"MatMul {height}x{width}x{columns}", *_product(height, width, columns)
    for form, limit, bits in ((ConvForm.DOUBLE, DOUBLE_EXACT_MAX, 16), (ConvForm.SINGLE, SINGLE_EXACT_MAX, 8)):
        for channels, outputs in ((1, 3), (5, 9)):
            weights = _tight(outputs, channels * 9, limit >> bits).reshape(outputs, channels, 3, 3)
            spec = TensorSpec("x", (channels, 3, 3), bits, -(1 << bits), 1 << bits)
            node = ops.Conv(0, 0, None, None, (1, 1), (1, 1), (1, 1), (1, 1), 1, form)
            inputs = _extremes(weights.reshape(outputs, -1), spec)
            yield (
                f"Conv {form.name} {channels}x{outputs}",
                _graph((spec,), (node,), (pack(weights),), (outputs, 3, 3)),
                {"x": inputs},
            )
    spec = TensorSpec("x", (37,), 16, -(1 << 20), 1 << 20)
    rows = np.array([np.arange(37) ** 3 * 17 - 300_000, np.arange(37) * 5 - 90, np.zeros(37)], np.int64)
    yield "Softmax", _graph((spec,), (ops.Softmax(0, 0, 16, 30),), (), (37,)), {"x": rows}
    for k, largest in ((1, True), (3, True), (3, False), (40, True)):
        spec = TensorSpec("x", (40, 2), 0, -DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX)
        ties = (np.arange(160).reshape(2, 40, 2) * 7 // 3 % 4 - 2) * (DOUBLE_EXACT_MAX // 2) + np.arange(2)
        tied: Int64Array = np.minimum(ties, DOUBLE_EXACT_MAX).astype(np.int64)
        yield f"TopK {k}", _graph((spec,), (ops.TopK(0, 0, k, largest),), (), (k, 2)), {"x": tied}
    yield "Take", *_taking()
    spec = TensorSpec("x", (64,), 0, 0, DOUBLE_EXACT_MAX >> 6)
    total = np.full((2, 64), DOUBLE_EXACT_MAX >> 6)
    total[1, ::2] -= 1
    yield "Trees", *_forest()
    yield "ReduceSum", _graph((spec,), (ops.ReduceSum(0, (0,)),), (), (1,)), {"x": total}


def _forest() -> tuple[Graph, dict[str, Int64Array]]:
    """Comparisons of neighbours at 2**53, and sums over trees that end there; rows on both sides of every threshold."""
    top = DOUBLE_EXACT_MAX
    features = np.array([0, 1, -1, -1, -1, 1, -1, 0, -1, -1, -1])
    thresholds, leaves = np.array([top - 1, 2 - top, 1, -top]), np.arange(7)[:, np.newaxis] * 2 + 1
    leaves[-1] = top - int(leaves[2, 0]) - int(leaves[5, 0])
    values = [-top, 1 - top, 2 - top, 3 - top, 0, 1, 2, top - 1, top]
    rows = np.array([[x, y] for x in values for y in values], np.int64)
    spec = TensorSpec("x", (2,), 0, -top, top)
    node = ops.Trees(0, 0, 1, 2)
    return _graph((spec,), (node,), (pack(features), pack(thresholds), pack(leaves)), (1,)), {"x": rows}


def _product_by_bytes(width: int, outputs: int, high: int) -> tuple[Graph, dict[str, Int64Array]]:
    """Pairs of bytes of 255 with limbs of 64 on either side, sums as near to 2**31 as weights of two limbs come; large
    enough to be computed so (limbs.py)."""
    top = 64 if high == 255 else WEIGHT_MAX
    signs = 1 - 2 * ((np.arange(outputs)[:, None] + np.arange(width)[None, :] // 2) % 2)
    weights = signs * (top - np.arange(width) // 9 % 2)
    spec = TensorSpec("x", (width,), 0, 0, high)
    rows = np.where(np.stack([weights[0], weights[1], weights[0] * 0, weights[1] * 0 + 1]) > 0, high, 0)
    rows[2] = high - np.arange(width)
    node = ops.Gemm(0, 0, None, None)
    return _graph((spec,), (node,), (pack(weights),), (outputs,)), {"x": rows.astype(np.int64)}


def _product(rows: int, width: int, columns: int) -> tuple[Graph, dict[str, Int64Array]]:
    """Two computed operands, several products of a row: each sum ends at the bound or one step below."""
    high = (DOUBLE_EXACT_MAX >> 16) // width
    a, b = TensorSpec("a", (3, rows, width), 0, -high, high), TensorSpec("b", (1, width, columns), 0, -65536, 65536)
    weights = np.full((2, 1, width, columns), 65536) * (1 - 2 * (np.arange(columns) % 2))
    weights[1, 0, 0] -= np.sign(weights[1, 0, 0])
    values = np.full((2, 3, rows, width), high) * (1 - 2 * (np.arange(3) % 2)).reshape(3, 1, 1)
    values[:, :, :, -1] -= np.sign(values[:, :, :, -1]) * (np.arange(rows) % 2)
    return _graph((a, b), (ops.MatMul(0, 1, 1),), (), (3, rows, columns)), {"a": values, "b": weights}


def _taking() -> tuple[Graph, dict[str, Int64Array]]:
    """Every place along an axis, backwards and mixed, of numbers next to 2**53."""
    x = TensorSpec("x", (2, 7, 3), 0, -DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX)
    index = TensorSpec("index", (1, 9, 3), 0, 0, 6)
    values = DOUBLE_EXACT_MAX - np.arange(84).reshape(2, 2, 7, 3)
    places = (np.arange(54).reshape(2, 1, 9, 3) * 5 + 6) % 7
    return _graph((x, index), (ops.Take(0, 1, 1),), (), (2, 9, 3)), {"x": values, "index": places}


def _tight(outputs: int, width: int, budget: int) -> npt.NDArray[np.int64]:
    """Odd weights of mixed signs whose magnitudes sum to the budget in each column: every bit of a sum matters."""
    share = budget // width
    weights = np.full((outputs, width), share - 1 + share % 2, np.int64)
    weights[:, 0] += budget - weights.sum(axis=1)
    signs = 1 - 2 * ((np.arange(outputs)[:, None] * 7 + np.arange(width)[None, :] * 3) // 2 % 2)
    return weights * signs


def _extremes(weights: npt.NDArray[np.int64], spec: TensorSpec) -> Int64Array:
    """For each column the row that drives its sum to the bound, and one that ends one step below."""
    at_bound = np.where(weights > 0, spec.high, spec.low)
    below = at_bound.copy()
    below[:, -1] -= np.sign(below[:, -1])
    rows = np.concatenate([at_bound, below]).astype(np.int64)
    return rows.reshape(-1, *spec.shape)


def _graph(
    specs: tuple[TensorSpec, ...], nodes: tuple[Node, ...], constants: tuple[Constant, ...], shape: tuple[int, ...]
) -> Graph:
    output = TensorSpec("y", shape, 0, -DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX)
    return Graph(
        version=GRAPH_VERSION,
        lowering_version="self-test",
        source_hash=ZERO_HASH,
        labels=(),
        inputs=specs,
        outputs=(Output(len(specs), output),),
        constants=constants,
        nodes=nodes,
    )
