"""The property that inference rests on: the engine's bits are the interpreter's integers, on graphs at their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.inference import Engine, Graph, encode_graph, verify
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
