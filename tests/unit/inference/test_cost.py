"""Gas is integers, grows with rows, weights and nodes, and charges what the verifier proved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from runtime.inference import TensorSpec, encode_graph, verification_gas, verify
from runtime.inference import graph as ops
from runtime.inference.cost import LOAD_VISIT_PS, LOAD_WEIGHT_PS, MAC_BYTE_PS, MAC_DOUBLE_PS, REFERENCE_SLOWDOWN
from runtime.inference.facts import ENDS_AT_ONCE, FAR_UNITS, NEAR_ELEMENTS, PRODUCT_UNITS, span
from runtime.inference.limits import ROWS_MAX
from runtime.testing.graphs import graphs, wrap


@given(graphs())
def test_every_proven_graph_has_a_positive_integer_cost(graph: Any) -> None:
    cost = verify(encode_graph(graph)).cost
    for value in (cost.gas_load, cost.gas_fixed, cost.gas_per_row, cost.memory_bytes, cost.memory_bytes_per_row):
        assert type(value) is int
        assert value > 0
    assert cost.gas(3) == cost.gas_load + cost.gas_fixed + 3 * cost.gas_per_row
    assert cost.gas(3, loads=False) == cost.gas(3) - cost.gas_load


def test_a_matrix_product_is_charged_by_its_multiplications() -> None:
    def gas(outputs: int, high: int) -> int:
        weights = np.ones((outputs, 1000), np.int64)
        spec = TensorSpec("x", (1000,), 0, 0, high)
        return verify(encode_graph(wrap([spec], [weights], [ops.Gemm(0, 0, None, None)], (outputs,)))).cost.gas_per_row

    macs = 1000 * 900
    assert gas(1000, 9) - gas(100, 9) >= macs * MAC_BYTE_PS * REFERENCE_SLOWDOWN // 1000
    assert gas(1000, 65_536) - gas(100, 65_536) >= macs * MAC_DOUBLE_PS * REFERENCE_SLOWDOWN // 1000


def work_of(shape: Any, node: Any, made: Any, *constants: Any, high: int = 1) -> Any:
    return verify(encode_graph(wrap([TensorSpec("x", shape, 0, 0, high)], list(constants), [node], made))).work


@pytest.mark.parametrize("largest", [100, 30_000, 1 << 30])
def test_a_table_of_rows_is_charged_by_its_bytes(largest: int) -> None:
    """Kept as narrow as it is stored: an embedding does not become float64 when it is loaded."""

    def cost(rows: int) -> Any:
        table = np.arange(rows * 64).reshape(rows, 64) % largest
        table[0, 0] = largest - 1
        spec = TensorSpec("x", (4,), 0, 0, 9)
        return verify(encode_graph(wrap([spec], [table], [ops.Lookup(0, 0)], (4, 64)))).cost

    few, many = cost(100), cost(4100)
    elements = 4000 * 64
    held = elements * np.min_scalar_type(-largest).itemsize
    words, looked_at = held // 8, elements // ENDS_AT_ONCE
    ps = words * LOAD_WEIGHT_PS + looked_at * LOAD_VISIT_PS
    assert abs(many.gas_load - few.gas_load - ps * REFERENCE_SLOWDOWN // 1000) <= 1
    assert 2 * held <= many.memory_bytes - few.memory_bytes <= 4 * held + 12 * words


@pytest.mark.parametrize(
    ("shape", "axes", "products"),
    [((5,), (0,), 0), ((3, 5), (1,), 0), ((5, 1), (0,), 1), ((3, 5, 2), (1,), 3), ((3, 4, 5, 2), (1, 2), 3)],
)
def test_a_sum_that_keeps_the_last_dimension_is_charged_as_products(shape: Any, axes: Any, products: int) -> None:
    """The kernel multiplies by ones, anew for each index of the dimensions before: 0.2 us, whatever their size."""
    made = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    found, plain = work_of(shape, ops.ReduceSum(0, axes), made), work_of(shape, ops.ReduceMax(0, axes), made)
    assert found.strided - plain.strided == PRODUCT_UNITS * products


def test_a_softmax_is_charged_for_each_repetition_of_its_maximum_and_sum() -> None:
    long, short = (work_of(shape, ops.Softmax(0, 1, 0, 9), shape) for shape in ((2, 64), (64, 2)))
    assert short.strided - long.strided >= 20 * (64 - 2)


def test_places_beyond_the_caches_are_charged_more() -> None:
    def strided(rows: int) -> int:
        table = np.ones((rows, 2), np.int64)
        return int(work_of((8,), ops.Lookup(0, 0), (8, 2), table, high=rows - 1).strided)

    assert strided(NEAR_ELEMENTS) - strided(NEAR_ELEMENTS // 2) >= 8 * (FAR_UNITS - 2)
    far, near = (work_of(shape, ops.Transpose(0, (2, 1, 0)), shape) for shape in ((128, 128, 128), (32, 32, 32)))
    assert far.strided // 128**3 == FAR_UNITS + 2 > near.strided // 32**3


def test_many_operands_count_as_several_kernels() -> None:
    assert work_of((1,), ops.Concat((0,) * 64, 0), (64,)).kernels - work_of((1,), ops.Relu(0), (1,)).kernels == 8


def test_loading_is_charged_by_constants_and_more_for_each_the_more_there_are() -> None:
    """The engine looks for each initializer among all of them."""

    def loading(count: int, *, own: bool) -> int:
        nodes: list[Any] = [ops.Clip(number, -1 - number * own, 9) for number in range(count)]
        return verify(encode_graph(wrap([TensorSpec("x", (1,), 0, 0, 1)], [], nodes, (1,)))).cost.gas_load

    few, many = (loading(count, own=True) - loading(count, own=False) for count in (100, 10_000))
    assert few > 0
    assert many > 2 * 100 * few


def test_what_a_model_is_stored_as_counts_as_memory() -> None:
    def memory(bits: int) -> int:
        table = np.arange(1000, dtype=np.int64) + (1 << bits)
        graph = wrap([TensorSpec("x", (1,), 0, 0, 9)], [table], [ops.Lookup(0, 0)], (1,))
        return verify(encode_graph(graph)).cost.memory_bytes

    assert memory(40) - memory(20) == 2 * 4 * 1000


@pytest.mark.parametrize("rows", [0, -1, ROWS_MAX + 1])
def test_invalid_number_of_rows(rows: int) -> None:
    cost = verify(encode_graph(wrap([TensorSpec("x", (1,), 0, 0, 1)], [], [ops.Relu(0)], (1,)))).cost
    with pytest.raises(ValueError, match="rows"):
        cost.gas(rows)


def test_verification_is_charged_by_bytes_and_nodes() -> None:
    base = verification_gas(1000, 10)
    assert verification_gas(2000, 10) > base
    assert verification_gas(1000, 11) > base


@pytest.mark.parametrize(
    ("shape", "other", "expected"),
    [((5, 4), (5, 4), 20), ((5, 4), (1, 4), 4), ((5, 4), (5, 1), 4), ((5, 4), (1, 1), 20), ((3, 1, 4), (1, 5, 4), 4),
     ((5, 1), (1, 1), 1), ((), (), 1), ((2, 1, 3, 4), (2, 1, 1, 1), 12)],
)  # fmt: skip
def test_span_is_what_a_kernel_handles_in_a_row(shape: Any, other: Any, expected: int) -> None:
    assert span(shape, other) == expected
