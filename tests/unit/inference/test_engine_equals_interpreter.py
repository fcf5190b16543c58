"""The property that inference rests on: the engine's bits are the interpreter's integers, on graphs at their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.inference import Engine, Graph, encode_graph, engine, limbs, model_hash, verify
from runtime.inference import graph as ops
from runtime.inference.interpreter import trace
from runtime.testing.graphs import PROPOSALS, graphs, inputs_of

slow = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("op", PROPOSALS, ids=lambda op: op.__name__)
@settings(slow, max_examples=40)
@given(st.data())
def test_each_op_at_its_bounds_runs_equal(op: type, data: Any) -> None:
    check_graph(data, data.draw(graphs(nodes_max=1, only=op)))


@settings(slow, max_examples=200)
@given(st.data())
def test_convolutions_of_both_forms_run_equal_at_their_bounds(data: Any) -> None:
    check_graph(data, data.draw(graphs(nodes_max=1, only=ops.Conv)))


@slow
@given(st.data())
def test_random_graphs_run_equal_and_stay_in_their_intervals(data: Any) -> None:
    check_graph(data, data.draw(graphs()))


@settings(slow, max_examples=60)
@given(st.data(), st.booleans())
def test_graphs_of_sizes_at_which_the_way_changes_run_equal(data: Any, by_bytes: bool) -> None:
    check_together(data, by_bytes)


@pytest.mark.soak
@settings(slow, max_examples=20_000)
@given(st.data(), st.booleans())
def test_graphs_of_sizes_at_which_the_way_changes_run_equal_at_length(data: Any, by_bytes: bool) -> None:
    check_together(data, by_bytes)


def check_together(data: Any, by_bytes: bool) -> None:
    """Wide graphs, several requests joined, in pieces that do not divide their rows, by one thread and by two; by bytes
    wherever that can be, if so asked."""
    with pytest.MonkeyPatch.context() as patch:
        if by_bytes:
            patch.setattr(limbs, "DOUBLE_MAC_PS", 1 << 60)
        first = data.draw(st.sampled_from([ops.Gemm, ops.Conv] if by_bytes else [None, *PROPOSALS]))
        graph = data.draw(graphs(only=first, wide=True))
        model = encode_graph(graph)
        cost, identity = verify(model).cost, model_hash(model)
        requests = [data.draw(inputs_of(graph)) for _ in range(data.draw(st.integers(1, 3)))]
        tensors = trace(graph, {name: np.concatenate([each[name] for each in requests]) for name in requests[0]})
        patch.setattr(engine, "PIECE_GAS_MIN", 1)
        patch.setattr(engine, "PIECE_FIXED", 0)
        patch.setattr(engine, "PIECE_BYTES", data.draw(st.integers(1, 4)) * cost.memory_bytes_per_row)
        for threads in (1, 2):
            found = Engine(threads=threads).run_many_by_hash(identity, lambda: model, requests)
            for output in graph.outputs:
                values = np.concatenate([each[output.spec.name] for each in found if each is not None])
                assert np.array_equal(values, tensors[output.tensor].astype(np.int64)), output


def check_graph(data: Any, graph: Graph) -> None:
    model = encode_graph(graph)
    verified = verify(model)
    inputs = data.draw(inputs_of(graph))
    tensors = trace(graph, inputs)
    for tensor, fact in zip(tensors, verified.facts, strict=True):
        assert tensor.shape[1:] == fact.shape
        assert {type(value) for value in tensor.flat} == {int}
        assert fact.low <= tensor.min()
        assert tensor.max() <= fact.high
    found = Engine().run(model, inputs)
    for output in graph.outputs:
        assert found[output.spec.name].dtype == np.int64
        assert np.array_equal(found[output.spec.name], tensors[output.tensor].astype(np.int64)), output


@slow
@given(st.data())
def test_rows_do_not_influence_each_other(data: Any) -> None:
    graph = data.draw(graphs(nodes_max=4))
    inputs = data.draw(inputs_of(graph, rows_max=4))
    model, engine = encode_graph(graph), Engine()
    together = engine.run(model, inputs)
    rows = len(next(iter(inputs.values())))
    alone = [engine.run(model, {name: values[row : row + 1] for name, values in inputs.items()}) for row in range(rows)]
    for name, values in together.items():
        assert np.array_equal(values, np.concatenate([part[name] for part in alone]))
