"""In which layout kernels run is decided once: emission writes it, and the rules charge for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given

from runtime.inference import Engine, TensorSpec, Verified, encode_graph, interpret, verify
from runtime.inference import graph as ops
from runtime.inference.cost import ARENA_SLACK, WEIGHT_COPIES
from runtime.inference.emit import emit
from runtime.inference.graph import ConvForm, Graph, Node
from runtime.testing.graphs import graphs, wrap

ONE = np.ones((1, 1, 1, 1), np.int64)
CONV = ops.Conv(0, 0, None, None, (1, 1), (0, 0), (0, 0), (1, 1), 1, ConvForm.DOUBLE)
PICTURE = TensorSpec("x", (1, 32, 32), 0, 0, 1)


def after_a_conv(*nodes: Node, shape: tuple[int, ...] = (1, 32, 32), spec: TensorSpec = PICTURE) -> Verified:
    channels = spec.shape[0]
    weights = ONE if channels == 1 else np.eye(channels, dtype=np.int64).reshape(channels, channels, 1, 1)
    return verify(encode_graph(wrap([spec], [weights], [CONV, *nodes], shape)))


def emitted(verified: Verified) -> list[Any]:
    return list(onnx.load_model_from_string(emit(verified).model).graph.node)


@given(graphs())
def test_each_turn_that_is_emitted_is_charged(graph: Graph) -> None:
    """Beside the Transposes of the graph itself."""
    verified = verify(encode_graph(graph))
    turns = sum(node.op_type == "Transpose" for node in emitted(verified))
    own = sum(isinstance(node, ops.Transpose) for node in graph.nodes)
    assert verified.work.turned == turns - own


def test_a_kernel_over_one_channel_last_is_charged_as_it_steps() -> None:
    """[32, 32, 1] times a number: element by element, five times as slow."""
    two, one = (after_a_conv(*(ops.Rescale(number, 1) for number in range(1, count + 1))) for count in (2, 1))
    assert two.work.strided - one.work.strided == 5 * 32 * 32
    ahead = [verify(encode_graph(wrap([PICTURE], [], [ops.Rescale(n, 1) for n in range(count)], (1, 32, 32))))
             for count in (2, 1)]  # fmt: skip
    assert ahead[0].work.strided == ahead[1].work.strided


def test_channels_are_put_together_run_by_run_where_they_are_last() -> None:
    def work(*nodes: Node) -> int:
        return after_a_conv(*nodes, shape=(8, 32, 32)).work.strided

    elements = 8 * 32 * 32  # and as many runs, of one channel each
    assert work(ops.Concat((1,) * 8, 0)) - after_a_conv().work.strided >= 2 * elements


def test_a_tensor_that_is_stored_twice_counts_twice() -> None:
    """The Conv's result is turned for the Reshape while the Concat still needs it. Alive in the end: the input, this
    result twice, what was reshaped, what was put together, and that as an output, twice."""
    spec = TensorSpec("x", (4, 8, 8), 0, 0, 1)
    nodes: list[Node] = [ops.Reshape(1, (256,)), ops.Reshape(2, (4, 8, 8)), ops.Concat((1, 3) * 8, 0)]
    found = after_a_conv(*nodes, shape=(64, 8, 8), spec=spec)
    assert found.work.turned == 2
    assert found.cost.memory_bytes_per_row == ARENA_SLACK * 8 * 256 * (1 + 2 + 1 + 16 + 2 * 16)


def test_a_constant_that_both_layouts_read_is_kept_twice() -> None:
    spec = TensorSpec("x", (4, 64, 64), 0, 0, 1)
    constants = [np.eye(4)[..., None, None], np.ones((4, 64, 64))]

    def kept(other: int) -> int:
        nodes: list[Node] = [CONV, ops.Affine(1, 1, None, None), ops.Affine(other, 1, None, None), ops.Sub(2, 3)]
        graph = wrap([spec], [constant.astype(np.int64) for constant in constants], nodes, spec.shape)
        cost = verify(encode_graph(graph)).cost
        return cost.memory_bytes - cost.memory_bytes_per_row

    assert kept(0) - kept(1) >= WEIGHT_COPIES * 8 * 4 * 64 * 64


@pytest.mark.parametrize("mixed", [ops.Add(1, 0), ops.Sub(0, 1), ops.Concat((0, 1), 0), ops.Concat((1, 0), 2)])
def test_operands_of_both_layouts_meet_in_one(mixed: Node) -> None:
    spec, shape = TensorSpec("x", (4, 8, 8), 0, -9, 9), [4, 8, 8]
    if isinstance(mixed, ops.Concat):
        shape[mixed.axis] *= 2
    graph = wrap([spec], [np.arange(16).reshape(4, 4, 1, 1)], [CONV, mixed], tuple(shape))
    inputs = {"x": np.random.default_rng(0).integers(-9, 9, (3, 4, 8, 8))}
    model = encode_graph(graph)
    assert np.array_equal(Engine().run(model, inputs)["y"], interpret(model, inputs)["y"])
