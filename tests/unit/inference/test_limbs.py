"""Products by bytes: the same integers as in float64, at the bounds of bytes, limbs and 32 bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.inference import Engine, Graph, TensorSpec, encode_graph, interpret, limbs, verify
from runtime.inference import graph as ops
from runtime.inference.constants import pack
from runtime.inference.emit import emit
from runtime.inference.graph import Constant, ConvForm, Node, Output
from runtime.inference.limbs import WEIGHT_MAX, Limbs, limbs_of_weights, limbs_sum_max, weights_of
from runtime.inference.limits import DOUBLE_EXACT_MAX
from runtime.types import ZERO_HASH

weight = st.sampled_from([-WEIGHT_MAX, -64, 64, WEIGHT_MAX]) | st.integers(-WEIGHT_MAX, WEIGHT_MAX)


@given(st.lists(weight, min_size=1, max_size=50))
def test_limbs_make_the_weights_and_never_saturate_a_pair(values: list[int]) -> None:
    found = limbs_of_weights(np.array(values, np.int16), Limbs(0, 2, 2))
    assert (sum(limb.astype(int) << 7 * place for place, limb in enumerate(found)) == np.array(values)).all()
    assert max(np.abs(limb.astype(int)).max() for limb in found) <= 64
    assert 2 * 255 * 64 < 1 << 15  # what kernels add in 16 bits, with saturation


@contextmanager
def by_bytes_wherever_possible() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limbs, "DOUBLE_MAC_PS", 1 << 60)
        yield


def kernels(graph: Graph) -> Counter[str]:
    model = onnx.load_model_from_string(emit(verify(encode_graph(graph))).model)
    return Counter(node.op_type for node in model.graph.node)


def graph_of(node: Node, spec: TensorSpec, constants: list[Constant], shape: tuple[int, ...]) -> Graph:
    output = Output(1, TensorSpec("y", shape, 0, -DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX))
    return Graph(ops.GRAPH_VERSION, "test", ZERO_HASH, (), (spec,), (output,), tuple(constants), (node,))


@st.composite
def intervals(draw: Any) -> tuple[int, int]:
    """Of at most 16 bits with 0."""
    width = draw(st.sampled_from([1, 200, 255, 256, 40_000, 65_535]))
    low = draw(st.sampled_from([0, -width, -width // 2, -width // 3]))
    return low, low + width


def drawn(draw: Any, low: int, high: int, *shape: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Ends half of the time."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    ends = random.choice([low, high], shape)
    found: np.ndarray[Any, np.dtype[np.int64]] = np.where(
        random.random(shape) < 0.5, ends, random.integers(low, high + 1, shape)
    )
    return found


@settings(max_examples=60, deadline=None)
@given(st.data(), intervals(), st.booleans(), st.booleans())
def test_a_product_by_bytes_is_the_interpreters(data: Any, ends: tuple[int, int], biased: bool, wide: bool) -> None:
    width, outputs = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 9))
    top = WEIGHT_MAX if wide else 64
    constants = [pack(drawn(data.draw, -top, top, outputs, width)), pack(np.arange(outputs) % 30)]
    bias = None
    if biased:
        bias = 2
        constants.append(pack(drawn(data.draw, -(1 << 40), 1 << 40, outputs)))
    graph = graph_of(ops.Gemm(0, 0, bias, 1), TensorSpec("x", (width,), 0, *ends), constants, (outputs,))
    inputs = {"x": drawn(data.draw, *ends, 3, width)}
    with by_bytes_wherever_possible():
        products = kernels(graph)["MatMulInteger"]
        found = Engine().run(encode_graph(graph), inputs)
    weights = weights_of(constants[0])
    assert weights is not None
    assert products == (1 if ends[1] - ends[0] <= 255 else 2) * (1 if max(-weights.low, weights.high) <= 64 else 2)
    assert np.array_equal(found["y"], interpret(encode_graph(graph), inputs)["y"])


@settings(max_examples=40, deadline=None)
@given(st.data(), intervals(), st.integers(1, 2), st.integers(0, 1))
def test_a_convolution_by_bytes_is_the_interpreters(data: Any, ends: tuple[int, int], stride: int, pad: int) -> None:
    channels, outputs, kernel = (data.draw(st.integers(1, most)) for most in (4, 5, 3))
    height, width = data.draw(st.integers(3, 5)), data.draw(st.integers(3, 5))
    constants = [pack(drawn(data.draw, -WEIGHT_MAX, WEIGHT_MAX, outputs, channels, kernel, kernel))]
    node = ops.Conv(0, 0, None, None, (stride, 1), (pad, 0), (0, pad), (1, 1), 1, ConvForm.DOUBLE)
    shape = (outputs, (height + pad - kernel) // stride + 1, width + pad - kernel + 1)
    graph = graph_of(node, TensorSpec("x", (channels, height, width), 0, *ends), constants, shape)
    inputs = {"x": drawn(data.draw, *ends, 2, channels, height, width)}
    with by_bytes_wherever_possible():
        assert kernels(graph)["MatMulInteger"] > 0
        found = Engine().run(encode_graph(graph), inputs)
    assert np.array_equal(found["y"], interpret(encode_graph(graph), inputs)["y"])


def columns_at_the_bound(width: int, outputs: int, over: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Mixed signs; the magnitudes of column 0 sum up to what 32 bits hold."""
    weights = np.full((outputs, width), 1000) * (1 - 2 * (np.arange(width) % 3 == 1))
    budget = limbs_sum_max(width)
    weights[0] = budget // width
    weights[0, : budget - int(weights[0].sum()) + over] += 1
    return weights


def test_sums_at_the_bound_of_32_bits_are_exact() -> None:
    """No forcing: a product of this size is cheaper by bytes."""
    width, outputs = 1100, 96
    weights = columns_at_the_bound(width, outputs)
    weights[1] = -weights[0]
    graph = graph_of(ops.Gemm(0, 0, None, None), TensorSpec("x", (width,), 0, 0, 65_535), [pack(weights)], (outputs,))
    assert kernels(graph)["MatMulInteger"] == 4
    rows = np.full((3, width), 65_535)
    rows[1, ::2] = 255
    rows[2] -= np.arange(width)
    assert np.array_equal(Engine().run(encode_graph(graph), {"x": rows})["y"], rows @ weights.T)


def test_one_more_than_32_bits_hold_is_computed_in_float64() -> None:
    assert weights_of(pack(columns_at_the_bound(1100, 3))) is not None
    assert weights_of(pack(columns_at_the_bound(1100, 3, over=1))) is None


@pytest.mark.parametrize("value", [WEIGHT_MAX + 1, -WEIGHT_MAX - 1, 1 << 20, 1 << 40])
def test_a_weight_that_two_limbs_do_not_hold_is_computed_in_float64(value: int) -> None:
    assert weights_of(pack(np.array([[1, value]]))) is None


def test_an_interval_of_more_than_16_bits_is_computed_in_float64() -> None:
    weights = weights_of(pack(np.full((512, 512), 1000)))
    assert limbs.limbs_of(-32_768, 32_767, weights, 512, 512) == Limbs(-32_768, 2, 2)
    assert limbs.limbs_of(-32_768, 32_768, weights, 512, 512) is None


def test_one_x_is_split_once_for_all_its_readers() -> None:
    weights = [pack(np.full((256, 256), 1000 + step)) for step in range(3)]
    nodes = (*(ops.Gemm(0, step, None, None) for step in range(3)), ops.Add(1, 2), ops.Add(3, 4))
    spec = TensorSpec("x", (256,), 0, 0, 65_535)
    output = Output(5, TensorSpec("y", (256,), 0, 0, DOUBLE_EXACT_MAX))
    graph = Graph(ops.GRAPH_VERSION, "test", ZERO_HASH, (), (spec,), (output,), tuple(weights), nodes)
    model = onnx.load_model_from_string(emit(verify(encode_graph(graph))).model)
    read = {node.input[0] for node in model.graph.node if node.op_type == "MatMulInteger"}
    assert len(read) == 2
