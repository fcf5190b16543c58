"""Hostile models: any bytes are refused or proven, in the time that was paid for; and what is proven runs."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.inference import Engine, Graph, Output, Refused, TensorSpec, encode_graph, verification_gas, verify
from runtime.inference import graph as ops
from runtime.inference.constants import pack
from runtime.inference.graph import GRAPH_VERSION, Constant, ConvForm, Node, count_parts
from runtime.inference.interpreter import interpret
from runtime.inference.limits import CONSTANTS_MAX, DOUBLE_EXACT_MAX, NODES_MAX
from runtime.testing.graphs import graphs
from runtime.types import ZERO_HASH

EDGES = [0, 1, 2, 3, 7, 63, 64, 127, 128, 255, 1 << 16, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 53]
EDGES += [(1 << 53) + 1, 1 << 62, (1 << 63) - 1, -1, -2, -128, -(1 << 53), -(1 << 63)]
ENGINE = Engine()


def graph_of(nodes: list[Node], constants: list[Constant], shape: tuple[int, ...], *labels: str) -> bytes:
    spec = TensorSpec("x", shape, 0, 0, 1)
    wide = TensorSpec("y", shape, 0, -DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX)
    outputs = (Output(len(nodes), wide),)
    return encode_graph(Graph(GRAPH_VERSION, "", ZERO_HASH, labels, (spec,), outputs, tuple(constants), tuple(nodes)))


# --- mutated graphs --------------------------------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A proven graph with a few of its numbers replaced by others, parts dropped or doubled."""
    fields: list[Any] = msgspec.msgpack.decode(encode_graph(draw(graphs())))
    for _ in range(draw(st.integers(1, 3))):
        places = [(at, part) for at, part in _parts(fields[4:]) if part]
        at, part = draw(st.sampled_from(places))
        match draw(st.integers(0, 5)):
            case 0:
                part.pop(at)
            case 1:
                part.append(part[at])
            case _ if isinstance(part[at], int | None):
                part[at] = draw(st.sampled_from([*EDGES, None]) | st.integers(-9, 9))
    return msgspec.msgpack.encode(fields)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A proven graph's bytes with up to three of them replaced, and mostly cut off somewhere."""
    model = bytearray(encode_graph(draw(graphs(nodes_max=5))))
    for _ in range(draw(st.integers(0, 3))):
        model[draw(st.integers(0, len(model) - 1))] = draw(st.integers(0, 255))
    return bytes(model[: draw(st.just(len(model)) | st.integers(0, len(model)))])


def _parts(found: list[Any]) -> list[tuple[int, list[Any]]]:
    own = [(at, found) for at in range(len(found))]
    return own + [each for part in found if isinstance(part, list) for each in _parts(part)]


def refused_or_runs(model: bytes, seed: int, counted: dict[str, int]) -> None:
    try:
        proven = verify(model)
    except Refused:
        counted["refused"] += 1
        return
    counted["proven"] += 1
    if proven.cost.memory_bytes > 1 << 26 or proven.cost.gas_per_row > 10**8:
        return
    random = np.random.default_rng(seed)
    inputs = {
        spec.name: random.integers(spec.low, spec.high, size=(2, *spec.shape), endpoint=True) for spec in proven.inputs
    }
    found = ENGINE.run(model, inputs)
    if max(fact.elements for fact in proven.facts) <= 4096:
        for name, values in interpret(model, inputs).items():
            assert np.array_equal(found[name], values)


def attack(models: st.SearchStrategy[bytes], examples: int) -> None:
    counted = {"refused": 0, "proven": 0}

    @settings(max_examples=examples, deadline=None, database=None)
    @given(model=models, seed=st.integers(0, 1 << 32))
    def run(model: bytes, seed: int) -> None:
        refused_or_runs(model, seed, counted)

    run()
    assert min(counted.values()) >= examples // 20, f"one side is hardly reached: {counted}"


def test_a_mutated_model_is_refused_or_runs_as_it_says() -> None:
    attack(mutated(), 150)


@pytest.mark.soak
def test_a_mutated_model_is_refused_or_runs_as_it_says_at_length() -> None:
    attack(mutated(), 100_000)


@pytest.mark.soak
def test_damaged_bytes_are_refused_or_run_as_they_say_at_length() -> None:
    attack(damaged(), 100_000)


@given(graph=graphs())
def test_parts_are_counted_as_they_are(graph: Graph) -> None:
    assert count_parts(encode_graph(graph)) == (len(graph.constants), len(graph.nodes))


@given(data=st.binary(max_size=60))
def test_counting_the_parts_of_any_bytes_raises_nothing(data: bytes) -> None:
    constants, nodes = count_parts(data)
    assert 0 <= constants <= len(data)
    assert 0 <= nodes <= len(data)


# --- time ------------------------------------------------------------------------------------------------------------

ONE = pack([1])
RELUS: list[Node] = [ops.Relu(number) for number in range(NODES_MAX)]
FEW = 1_500
SPATIAL = (1, 1, 1)


def chain_of(node: Any, per_node: int, count: int = FEW) -> list[Node]:
    return [node(number, *(per_node * number + each for each in range(per_node))) for number in range(count)]


MODELS: dict[str, tuple[bytes, int]] = {
    "nodes that nobody pays for": (graph_of(RELUS, [], (1,)), 1),
    "constants that nobody pays for": (graph_of([ops.Relu(0)], [ONE] * CONSTANTS_MAX, (1,)), 1),
    "labels": (graph_of([ops.Relu(0)], [], (1,), *[""] * 65_536), 1),
    "the shortest nodes": (graph_of(RELUS[:FEW], [], (1,)), FEW),
    "nodes of three constants": (graph_of(chain_of(ops.Affine, 3), [ONE] * (3 * FEW), (1,)), FEW),
    "nodes of many operands": (
        graph_of(
            [
                node
                for at in range(0, FEW, 2)
                for node in (ops.Concat((at,) * 64, 0), ops.Slice(at + 1, (0,), (1,), (1,)))
            ],
            [],
            (1,),
        ),
        FEW,
    ),
    "convolutions": (
        graph_of(
            [
                ops.Conv(at, 3 * at, 3 * at + 1, 3 * at + 2, SPATIAL, (0, 0, 0), (0, 0, 0), SPATIAL, 1, ConvForm.SINGLE)
                for at in range(FEW)
            ],
            [pack(np.ones((1, 1, 1, 1, 1), np.int64)), pack([0]), pack([0])] * FEW,
            (1, 1, 1, 1),
        ),
        FEW,
    ),
    "columns": (graph_of([ops.Gemm(0, 0, None, None)], [pack(np.ones((300_000, 1), np.int64))], (1,)), 1),
    "bytes that are no graph": (b"\x91" * (1 << 20), 1),
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_no_verification_takes_longer_than_its_gas(name: str) -> None:
    """On a current core it should take a third of that. The verdict does not matter here."""
    model, nodes = MODELS[name]
    times = []
    for _ in range(3):
        start = time.thread_time_ns()
        with suppress(Refused):
            verify(model, nodes_max=nodes)
        times.append(time.thread_time_ns() - start)
    assert min(times) < verification_gas(len(model), nodes)


def test_invalid_what_was_not_paid_for_is_refused_by_name() -> None:
    for name, rule in (
        ("nodes that nobody pays for", "nodes are within what was paid for"),
        ("constants that nobody pays for", "no more constants than nodes can name"),
    ):
        with pytest.raises(Refused) as refused:
            verify(MODELS[name][0], nodes_max=1)
        assert refused.value.rule == rule
