"""What holds for every graph: shapes and indices, names, canonical constants, totality over any bytes, bounded work."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.inference import Engine, Refused, TensorSpec, decode_graph, encode_graph, interpret, rules_linear, verify
from runtime.inference import graph as ops
from runtime.inference.graph import Constant, ConvForm, Graph, IntKind, Node, Output
from runtime.inference.limits import COLUMN_VISITS_PER_BYTE, COLUMN_VISITS_PER_NODE
from runtime.testing.graphs import graphs, inputs_of, wrap

X = TensorSpec("x", (2, 4, 4), 0, -100, 100)
FLAT = TensorSpec("x", (4,), 0, -100, 100)
ONES = np.ones((3, 4), np.int64)


def refuse(graph: Graph, node: str, rule: str) -> Refused:
    with pytest.raises(Refused, match=re.escape(rule)) as caught:
        verify(encode_graph(graph))
    assert caught.value.node == node
    return caught.value


def conv(**changes: Any) -> Node:
    node = ops.Conv(0, 0, None, None, (1, 1), (0, 0), (0, 0), (1, 1), 1, ConvForm.DOUBLE)
    return msgspec.structs.replace(node, **changes)


def pool(**changes: Any) -> Node:
    return msgspec.structs.replace(ops.MaxPool(0, (2, 2), (1, 1), (0, 0), (0, 0), (1, 1)), **changes)


KERNEL = np.ones((2, 2, 2, 2), np.int64)
SHAPES: list[tuple[str, list[Any], Node, str]] = [
    ("gemm width", [np.ones((3, 5), np.int64)], ops.Gemm(0, 0, None, None), "last dimension"),
    ("gemm weights rank", [np.ones(4, np.int64)], ops.Gemm(0, 0, None, None), "[outputs, inputs]"),
    ("gemm bias shape", [ONES, np.ones(2, np.int64)], ops.Gemm(0, 0, 1, None), "a bias has one number per column"),
    ("gemm shift shape", [ONES, np.ones(4, np.int64)], ops.Gemm(0, 0, None, 1), "shifts have one number per column"),
    ("an operand that is made later", [], ops.Relu(1), "made before"),
    ("a constant that is not there", [ONES], ops.Gemm(0, 1, None, None), "constant exists"),
    ("conv groups", [KERNEL], conv(groups=2), "groups divide"),
    ("conv no groups", [KERNEL], conv(groups=0), "groups divide"),
    ("conv rank", [np.ones((2, 2, 2), np.int64)], conv(), "weights [outputs"),
    ("conv strides", [KERNEL], conv(strides=(1,)), "strides has one number"),
    ("conv stride 0", [KERNEL], conv(strides=(1, 0)), "at least 1"),
    ("conv dilation", [KERNEL], conv(dilations=(4, 1)), "window fits"),
    ("affine rank", [np.ones(4, np.int64)], ops.Affine(0, 0, None, None), "x's rank"),
    ("affine size", [np.ones((2, 3, 1), np.int64)], ops.Affine(0, 0, None, None), "x's rank"),
    ("affine mixed", [np.ones((1, 1, 1), np.int64), np.ones((1, 1, 4), np.int64)], ops.Affine(0, 0, 1, None), "one sh"),
    ("affine of nothing", [np.ones((1, 1, 1), np.int64)], ops.Affine(0, None, None, 0), "weights or a bias"),
    ("take axis", [], ops.Take(0, 0, 3), "the axis exists"),
    ("top k axis", [], ops.TopK(0, 3, 1, True), "the axis exists"),
    ("clip order", [], ops.Clip(0, 2, 1), "ordered"),
    ("clip range", [], ops.Clip(0, 0, (1 << 53) + 1), "within 2**53"),
    ("pool window in padding before", [], pool(pads_begin=(2, 0)), "every window"),
    ("pool window in padding after", [], pool(pads_end=(0, 3)), "every window"),
    ("pool window astride", [], pool(pads_begin=(5, 0), pads_end=(5, 0), dilations=(5, 1)), "every window"),
    ("reshape size", [], ops.Reshape(0, (31,)), "number of elements"),
    ("transpose twice", [], ops.Transpose(0, (0, 1, 1)), "permutation"),
    ("transpose short", [], ops.Transpose(0, (0, 1)), "permutation"),
    ("concat of nothing", [], ops.Concat((), 0), "an operand"),
    ("concat axis", [], ops.Concat((0, 0), 3), "axis exists"),
    ("slice before", [], ops.Slice(0, (-1, 0, 0), (1, 1, 1), (1, 1, 1)), "inside x"),
    ("slice beyond", [], ops.Slice(0, (0, 0, 1), (1, 1, 3), (1, 1, 2)), "inside x"),
    ("slice backward beyond", [], ops.Slice(0, (0, 0, 1), (1, 1, 3), (1, 1, -1)), "inside x"),
    ("slice of none", [], ops.Slice(0, (0, 0, 0), (1, 1, 0), (1, 1, 1)), "inside x"),
    ("slice step 0", [], ops.Slice(0, (0, 0, 0), (1, 1, 1), (1, 1, 0)), "inside x"),
    ("slice rank", [], ops.Slice(0, (0,), (1,), (1,)), "one number per dimension"),
    ("pad rank", [], ops.Pad(0, (0,), (0,), 0), "one number per dimension"),
    ("pad value", [], ops.Pad(0, (0, 0, 0), (0, 0, 1), -(1 << 53) - 1), "within 2**53"),
    ("reduce nothing", [], ops.ReduceSum(0, ()), "axes exist"),
    ("reduce twice", [], ops.ReduceMax(0, (1, 1)), "axes exist"),
    ("reduce axis", [], ops.ReduceMax(0, (3,)), "axes exist"),
    ("argmax axis", [], ops.ArgMax(0, 3), "axes exist"),
    ("softmax axis", [], ops.Softmax(0, 3, 8, 8), "axis exists"),
    ("too large", [], ops.Pad(0, (0, 0, 0), (0, 0, 1 << 30), 0), "2**27 elements"),
]  # fmt: skip


@pytest.mark.parametrize(("constants", "node", "rule"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_invalid_shape_or_index(constants: list[Any], node: Node, rule: str) -> None:
    refuse(wrap([X], constants, [node]), f"nodes[0] {type(node).__name__}", rule)


def test_invalid_elementwise_operands_of_other_shapes() -> None:
    other = TensorSpec("z", (2, 4), 0, 0, 1)
    third = TensorSpec("z", (2, 4, 3), 0, 0, 1)
    for spec in (other, third):
        refuse(wrap([X, spec], [], [ops.Add(0, 1)]), "nodes[0] Add", "one rank")
        refuse(wrap([X, spec], [], [ops.Concat((0, 1), 0)]), "nodes[0] Concat", "agree")
        refuse(wrap([spec, X], [], [ops.MatMul(0, 1, 0)]), "nodes[0] MatMul", "[..., M, K] and [..., K, N]")
        refuse(wrap([X, spec], [], [ops.Take(0, 1, 0)]), "nodes[0] Take", "x's rank")
    refuse(wrap([FLAT], [], [ops.MatMul(0, 0, 0)]), "nodes[0] MatMul", "[..., M, K] and [..., K, N]")
    three = TensorSpec("z", (3, 4, 4), 0, 0, 1)
    refuse(wrap([X, three], [], [ops.MatMul(0, 1, 0)]), "nodes[0] MatMul", "each dimension is equal or 1")


GOOD = wrap([FLAT], [ONES], [ops.Gemm(0, 0, None, None)], (3,))


def changed(**changes: Any) -> Graph:
    return msgspec.structs.replace(GOOD, **changes)


def respecified(**changes: Any) -> tuple[Output, ...]:
    return (Output(1, msgspec.structs.replace(GOOD.outputs[0].spec, **changes)),)


FRAMES: list[tuple[Graph, str, str]] = [
    (changed(version=0), "graph", "version"),
    (changed(version=2), "graph", "version"),
    (changed(inputs=()), "graph", "has an input"),
    (changed(outputs=()), "graph", "has an output"),
    (changed(inputs=(FLAT, FLAT)), "graph", "names of inputs"),
    (changed(outputs=GOOD.outputs * 2), "graph", "names of outputs"),
    (changed(inputs=(msgspec.structs.replace(FLAT, shape=(0,)),)), "inputs[0] 'x'", "1 to 2**27"),
    (changed(inputs=(msgspec.structs.replace(FLAT, low=101),)), "inputs[0] 'x'", "ordered"),
    (changed(inputs=(msgspec.structs.replace(FLAT, high=(1 << 53) + 1),)), "inputs[0] 'x'", "within 2**53"),
    (changed(inputs=(msgspec.structs.replace(FLAT, frac_bits=63),)), "inputs[0] 'x'", "frac_bits"),
    (changed(outputs=(Output(2, GOOD.outputs[0].spec),)), "outputs[0] 'y'", "made before"),
    (changed(outputs=respecified(shape=(4,))), "outputs[0] 'y'", "shape is its tensor's"),
    (changed(outputs=respecified(low=-399)), "outputs[0] 'y'", "holds all proven values"),
    (changed(outputs=respecified(high=399)), "outputs[0] 'y'", "holds all proven values"),
    (changed(nodes=(*GOOD.nodes, ops.Relu(0))), "nodes[1]", "every node's tensor is used"),
    (changed(constants=GOOD.constants * 2), "constants[1]", "every constant is named"),
    (changed(constants=GOOD.constants * 4), "graph", "no more constants"),
    (changed(constants=(Constant((3, 0), IntKind.I8, b""),)), "constants[0]", "at least 1"),
    (changed(constants=(Constant((3, 4), IntKind.I8, b"1" * 11),)), "constants[0]", "bytes of its shape"),
    (changed(constants=(Constant((3, 4), IntKind.I16, bytes(24)),)), "constants[0]", "smallest kind"),
    (changed(constants=(Constant((1 << 14, 1 << 14), IntKind.I8, b""),)), "constants[0]", "few enough elements"),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "node", "rule"), FRAMES)
def test_invalid_frame(graph: Graph, node: str, rule: str) -> None:
    refuse(graph, node, rule)


def test_an_output_interval_may_be_the_proven_one() -> None:
    assert verify(encode_graph(changed(outputs=respecified(low=-400, high=400)))).outputs[0].high == 400


def test_an_unused_input_is_allowed() -> None:
    graph = changed(inputs=(FLAT, TensorSpec("idle", (), 0, 0, 0)), outputs=(Output(2, GOOD.outputs[0].spec),))
    assert (
        Engine().run(encode_graph(graph), {"x": np.ones((1, 4), np.int64), "idle": np.zeros(1, np.int64)})["y"].sum()
        == 12
    )


def test_invalid_more_nodes_than_were_paid_for() -> None:
    model = encode_graph(GOOD)
    assert verify(model, nodes_max=1).cost.gas_per_row > 0
    with pytest.raises(Refused, match="paid for"):
        verify(model, nodes_max=0)


def test_invalid_bytes_are_refused_with_the_path() -> None:
    for bad in (b"", b"\xc0", encode_graph(GOOD) + b"\x00", encode_graph(GOOD)[:-1]):
        with pytest.raises(Refused, match="canonical encoding") as caught:
            verify(bad)
        assert caught.value.node == "bytes"


fuzz = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@fuzz
@given(st.data())
def test_changed_bytes_are_refused_or_run_equal(data: Any) -> None:
    """Never a crash: and what is accepted after a change is a proven graph like any other."""
    model = bytearray(encode_graph(data.draw(graphs(nodes_max=5))))
    for _ in range(data.draw(st.integers(1, 3))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(model)), st.integers(0, len(model))))
    changed = bytes(model[:cut])
    try:
        verified = verify(changed)
    except Refused:
        return
    if verified.work.streamed + verified.work.strided < 100_000:
        inputs = data.draw(inputs_of(verified.graph))
        found, expected = Engine().run(changed, inputs), interpret(changed, inputs)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


@fuzz
@given(graphs(), st.data())
def test_graphs_with_a_changed_field_are_refused_or_proven(graph: Graph, data: Any) -> None:
    """Well-formed but wrong: fields of one node replaced by other small numbers."""
    number = data.draw(st.integers(0, len(graph.nodes) - 1))
    node = graph.nodes[number]
    name = data.draw(st.sampled_from(type(node).__struct_fields__))
    old = getattr(node, name)
    small = st.integers(0, 5)
    new = tuple(data.draw(small) for _ in old) if isinstance(old, tuple) else data.draw(small)
    if name == "form":
        new = ConvForm(data.draw(st.integers(0, 1)))
    if isinstance(old, bool):
        new = not old
    nodes = (*graph.nodes[:number], msgspec.structs.replace(node, **{name: new}), *graph.nodes[number + 1 :])
    model = encode_graph(msgspec.structs.replace(graph, nodes=nodes))
    try:
        verified = verify(model)
    except Refused:
        return
    inputs = data.draw(inputs_of(verified.graph))
    found, expected = Engine().run(model, inputs), interpret(model, inputs)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        verify(data)


def test_equal_graphs_have_equal_bytes_and_decode_to_themselves() -> None:
    model = encode_graph(GOOD)
    assert encode_graph(decode_graph(model)) == model


def test_invalid_a_constant_shared_by_too_many_nodes_is_refused_before_it_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Work is linear in bytes and nodes: one large bias named by thousands of nodes is over the budget."""
    width = 200_000
    spec = TensorSpec("x", (width,), 0, 0, 1)
    nodes: list[Node] = [ops.Affine(number, None, 0, None) for number in range(4_000)]
    looked_at: list[int] = []
    columns = rules_linear.columns

    def counted(positive: Any, *others: Any) -> Any:
        looked_at.append(positive.size)
        return columns(positive, *others)

    monkeypatch.setattr(rules_linear, "columns", counted)
    graph = wrap([spec], [np.ones(width, np.int64)], nodes, (width,))
    refused = refuse(graph, "nodes[86] Affine", "budget")
    assert refused.values["visits_over"]
    assert 0 < sum(looked_at) <= COLUMN_VISITS_PER_BYTE * len(encode_graph(graph)) + COLUMN_VISITS_PER_NODE * len(nodes)


def test_invalid_a_graph_beyond_memory_or_gas() -> None:
    wide = TensorSpec("x", (1 << 27,), 0, 0, 1)
    nodes: list[Node] = [ops.Rescale(0, -1), ops.Add(0, 1)]
    refuse(wrap([wide], [], nodes, (1 << 27,)), "graph", "memory of one row")
    spec = TensorSpec("x", (1 << 21,), 0, 0, 0)
    many: list[Node] = [ops.Softmax(number, 0, 0, 0) for number in range(600)]
    refuse(wrap([spec], [], many, (1 << 21,)), "graph", "gas per row")
