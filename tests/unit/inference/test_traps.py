"""Each trap that was met on the way to exact inference, as far as this version's ops can fall into it."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from onnx import TensorProto, helper

from runtime.inference import Engine, Refused, TensorSpec, encode_graph, interpret, rules_linear, verify
from runtime.inference import engine as engine_module
from runtime.inference import graph as ops
from runtime.inference.emit import emit
from runtime.inference.graph import Graph
from runtime.inference.interpreter import scaled_exp
from runtime.testing.graphs import graphs, wrap


def run_both(graph: Graph, **inputs: Any) -> Any:
    """The engine's y, after the interpreter agreed."""
    model = encode_graph(graph)
    arrays = {name: np.array(values, np.int64) for name, values in inputs.items()}
    found = Engine().run(model, arrays)["y"]
    assert np.array_equal(found, interpret(model, arrays)["y"])
    return found.tolist()


def x(*shape: int, low: int = -1000, high: int = 1000) -> TensorSpec:
    return TensorSpec("x", shape, 0, low, high)


def stock() -> bytes:
    """A float model as an exporter writes it."""
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    return bytes(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:])).SerializeToString())


def test_invalid_onnx_bytes_never_reach_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("reached onnxruntime"))
    with pytest.raises(Refused, match="canonical encoding"):
        Engine().run(stock(), {"x": np.zeros((1, 1), np.int64)})


def test_the_sign_of_zero_is_never_observable() -> None:
    """Kernels differ in the sign of a zero that they return. 0 * -1 and rhe(-1/4) are -0; what follows cannot tell."""
    weights, shift = np.array([[-1], [1]]), np.array([2, 2])
    nodes: list[Any] = [ops.Gemm(0, 0, None, 1), ops.Relu(1), ops.Clip(2, 0, 5), ops.ArgMax(3, 0)]
    assert run_both(wrap([x(1)], [weights, shift], nodes, (1,)), x=[[0], [1], [-1]]) == [[0], [0], [0]]
    nodes[3] = ops.Softmax(3, 0, 4, 8)
    assert run_both(wrap([x(1)], [weights, shift], nodes, (2,)), x=[[0], [1], [-1]]) == [[128, 128]] * 3
    nodes[2:] = []
    assert run_both(wrap([x(1)], [weights, shift], nodes, (2,)), x=[[0], [1], [-1]]) == [[0, 0]] * 3


def test_ties_round_to_even_below_zero_too() -> None:
    graph = wrap([x(1)], [], [ops.Rescale(0, 1)], (1,))
    assert run_both(graph, x=[[-5], [-3], [-1], [1], [3], [5]]) == [[-2], [-2], [0], [0], [2], [2]]


def test_the_first_of_equal_maxima_wins() -> None:
    graph = wrap([x(4)], [], [ops.ArgMax(0, 0)], (1,))
    assert run_both(graph, x=[[1, 7, 7, 7], [0, 0, 0, 0], [-3, -2, -9, -2]]) == [[1], [0], [1]]


def test_no_product_comes_near_the_subnormals() -> None:
    """The largest shift on the smallest and on the largest weights: 2**-127, and sums of 2**53 * 2**-127."""
    for weight, high in ((1, 1), (1, 1 << 53), (1 << 53, 1)):
        graph = wrap(
            [x(2, low=-high, high=high)], [np.array([[weight, 0]]), np.array([127])], [ops.Gemm(0, 0, None, 1)], (1,)
        )
        assert run_both(graph, x=[[high, -high], [0, 1]]) == [[0], [0]]


def test_a_softmax_never_divides_by_zero_and_its_maximum_is_whole() -> None:
    """All others underflow to 0: the maximum itself keeps the sum at 2**30 or more."""
    spec = x(3, low=0, high=1 << 53)
    graph = wrap([spec], [], [ops.Softmax(0, 0, 0, 30)], (3,))
    top = 1 << 53
    assert run_both(graph, x=[[0, top, 0], [top, top, 0], [0, 0, 0]])[:2] == [[0, 1 << 30, 0], [1 << 29, 1 << 29, 0]]
    assert run_both(wrap([x(1)], [], [ops.Softmax(0, 0, 5, 16)], (1,)), x=[[-7]]) == [[65536]]
    assert scaled_exp(0, 0) == scaled_exp(0, 62) == 1 << 30
    assert scaled_exp(1 << 53, 0) == scaled_exp(24, 0) >= 0


def test_a_softmax_is_close_to_the_real_one() -> None:
    values = np.random.default_rng(3).integers(-20 << 16, 20 << 16, size=(50, 10))
    spec = x(10, low=-(20 << 16), high=20 << 16)
    found = np.array(run_both(wrap([spec], [], [ops.Softmax(0, 0, 16, 30)], (10,)), x=values)) / 2.0**30
    real = np.exp(values / 65536 - (values / 65536).max(axis=1, keepdims=True))
    assert np.abs(found - real / real.sum(axis=1, keepdims=True)).max() < 3e-9
    worst = max(abs(scaled_exp(d, 10) / 2**30 - math.exp(-d / 1024)) for d in range(0, 25 << 10, 7))
    assert worst < 6e-10


def test_a_caller_cannot_override_a_constant() -> None:
    """An initializer that is also an input can be replaced by the caller: none is."""
    model = onnx.load_model_from_string(emit(verify(encode_graph(GEMM))).model)
    assert [value.name for value in model.graph.input] == ["i0"]
    assert not {value.name for value in model.graph.input} & {tensor.name for tensor in model.graph.initializer}


GEMM = wrap([x(2)], [np.array([[1, 2]]), np.array([3])], [ops.Gemm(0, 0, 1, None)], (1,))


def test_nothing_is_folded_or_fused_at_load() -> None:
    """A small model could fold its constants for seconds and gigabytes; and only the proven kernels may run."""
    options = engine_module._options()
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.intra_op_num_threads == 1


def test_loading_is_charged_apart_from_running() -> None:
    """A thousand small layers run in a millisecond and load in forty."""
    spec = x(4, low=-1, high=1)
    deep = verify(encode_graph(wrap([spec], [], [ops.Relu(number) for number in range(1000)], (4,)))).cost
    assert deep.gas_load > 10 * (deep.gas_fixed + deep.gas_per_row)
    wide = verify(encode_graph(wrap([x(1000)], [np.full((500, 1000), 3)], [ops.Gemm(0, 0, None, None)], (500,)))).cost
    assert wide.gas_load > 500_000 * 20


def test_weights_are_stored_in_the_narrowest_type() -> None:
    narrow = encode_graph(wrap([x(100)], [np.full((100, 100), 127)], [ops.Gemm(0, 0, None, None)], (100,)))
    wide = encode_graph(wrap([x(100)], [np.full((100, 100), 128)], [ops.Gemm(0, 0, None, None)], (100,)))
    assert 10_000 < len(narrow) < 10_300
    assert 20_000 < len(wide) < 20_300


def test_padding_of_a_pool_is_never_the_maximum() -> None:
    """All elements negative: a zero from the padding would win."""
    pool = ops.MaxPool(0, (3,), (1,), (2,), (2,), (1,))
    assert run_both(wrap([x(1, 3)], [], [pool], (1, 5)), x=[[[-5, -7, -900]]]) == [[[-5, -5, -5, -7, -900]]]


def test_a_backward_slice_reaches_the_first_element() -> None:
    """In the engine's format an end before the first element is not -1, which would mean the last."""
    graph = wrap([x(4)], [], [ops.Slice(0, (3,), (4,), (-1,))], (4,))
    assert run_both(graph, x=[[1, 2, 3, 4]]) == [[4, 3, 2, 1]]


KERNELS = {
    *("Add", "ArgMax", "Cast", "Clip", "Concat", "Conv", "Div", "Gather", "GatherElements", "Gemm", "Identity"),
    *("Expand", "MatMul", "MatMulInteger", "Max", "MaxPool", "Mul", "Pad", "ReduceMax", "ReduceSum", "Relu", "Reshape"),
    *("Round", "Slice", "Sqrt", "Sub", "TopK", "Transpose", "TreeEnsemble"),
}
"""Moves, choices, and single correctly rounded operations. Not among them, since CPUs differ: Exp, Log, Tanh, Sigmoid,
Softmax, Erf, Pow, Reciprocal, normalisations; nor anything with a graph inside or of an open shape."""


def emitted(graph: Graph) -> onnx.GraphProto:
    """What onnxruntime is given, with the types of all tensors."""
    model = onnx.load_model_from_string(emit(verify(encode_graph(graph))).model)
    return onnx.shape_inference.infer_shapes(model).graph


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_only_kernels_that_give_the_same_bits_on_every_machine_are_emitted(graph: Graph) -> None:
    found = emitted(graph)
    assert {node.op_type for node in found.node} <= KERNELS
    assert not [attribute for node in found.node for attribute in node.attribute if attribute.HasField("g")]


def test_integers_are_never_divided() -> None:
    """The least 64-bit integer by -1 ends the process on x86."""
    inputs = [x(2), TensorSpec("z", (2,), 0, 1, 9)]
    nodes: list[Any] = [ops.Div(0, 1, 2), ops.Softmax(0, 0, 4, 8), ops.Add(2, 3)]
    graph = wrap(inputs, [], nodes, (2,))
    found = emitted(graph)
    kinds = {value.name: value.type.tensor_type.elem_type for value in [*found.value_info, *found.input]}
    kinds |= {tensor.name: tensor.data_type for tensor in found.initializer}
    divided = [name for node in found.node if node.op_type == "Div" for name in node.input]
    assert len(divided) == 4
    assert {kinds[name] for name in divided} == {TensorProto.DOUBLE}
    run_both(graph, x=[[-7, 1000]], z=[[1, 9]])


def test_equal_elements_keep_their_order_in_top_k() -> None:
    for largest in (True, False):
        graph = wrap([x(6)], [], [ops.TopK(0, 0, 6, largest)], (6,))
        run_both(graph, x=[[3, 1, 3, 1, 3, 1], [0, 0, 0, 0, 0, 0], [-2, 5, 5, -2, 5, 9]])


def test_one_step_over_the_bound_a_sum_is_wrong_where_a_verifier_would_let_it_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the bound is for, and that comparing with the interpreter would show it: 2**53 + 1 is no float64."""
    parts = (1 << 52, 1 << 52, 1, -(1 << 52))
    weights = np.array(list(permutations(parts)))
    model = encode_graph(wrap([x(4, low=1, high=1)], [weights], [ops.Gemm(0, 0, None, None)], (len(weights),)))
    with pytest.raises(Refused, match="partial sum"):
        verify(model)
    monkeypatch.setattr(rules_linear, "DOUBLE_EXACT_MAX", 1 << 54)
    ones = {"x": np.ones((1, 4), np.int64)}
    assert set(interpret(model, ones)["y"].flat) == {sum(parts)}
    assert set(Engine().run(model, ones)["y"].flat) != {sum(parts)}
