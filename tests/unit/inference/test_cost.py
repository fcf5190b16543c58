"""Gas is integers, grows with rows, weights and nodes, and charges what the verifier proved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from runtime.inference import TensorSpec, encode_graph, verification_gas, verify
from runtime.inference import graph as ops
from runtime.inference.cost import MAC_BYTE_PS, MAC_DOUBLE_PS, REFERENCE_SLOWDOWN
from runtime.inference.facts import span
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
