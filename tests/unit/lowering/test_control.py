"""Control flow whose course is known beforehand lowers as the nodes that it runs; any other is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tools.lowering import Lowered, LoweringError, lower

Call = Callable[..., Any]
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
ROWS = np.random.default_rng(0).uniform(-2, 2, (9, 4)).astype(np.float32)
SEEN = np.random.default_rng(1).uniform(-2, 2, (6, 4)).astype(np.float32)


def _value(name: str, shape: Sequence[int | str] | None = None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _graph(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[str], **stored: np.ndarray
) -> onnx.GraphProto:
    constants = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    return helper.make_graph(nodes, "body", inputs, [_value(name) for name in outputs], constants)


def _first(lowered: Lowered) -> str:
    return lowered.report.layers[0].where.partition(" ")[0]


def _if(condition: str, outputs: Sequence[str] = ("y",)) -> onnx.NodeProto:
    branches: dict[str, Any] = {
        "then_branch": _graph([helper.make_node("Relu", ["x"], ["inner"])], [], ["inner"]),
        "else_branch": _graph([helper.make_node("Neg", ["x"], ["inner"])], [], ["inner"]),
    }
    return helper.make_node("If", [condition], outputs, **branches)


@pytest.mark.parametrize("condition", [True, False])
def test_a_constant_condition_takes_its_branch(condition: bool, model_of: Call, close: Call) -> None:
    model = model_of([_if("c")], {"x": ["N", 4]}, ["y"], {"c": np.array(condition)})
    assert _first(close(model, {"x": ROWS})) == ("Relu" if condition else "Neg")


@pytest.mark.parametrize(("size", "op"), [(4, "Relu"), (3, "Neg")])
def test_a_condition_on_a_known_dimension_takes_its_branch(size: int, op: str, model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["width"]),
        helper.make_node("Equal", ["width", "size"], ["c"]),
        _if("c"),
    ]
    model = model_of(nodes, {"x": ["N", 4]}, ["y"], {"one": np.array(1), "size": np.array(size)})
    assert _first(close(model, {"x": ROWS})) == op


def test_a_condition_on_a_size_that_follows_from_sizes_takes_its_branch(model_of: Call, close: Call) -> None:
    """As torch.squeeze is exported behind F.interpolate: the file does not say what Resize makes."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "two"], ["front"]),
        helper.make_node("Concat", ["front", "eight"], ["sizes"], axis=0),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["r"], mode="linear"),
        helper.make_node("Shape", ["r"], ["t"]),
        helper.make_node("Gather", ["t", "one"], ["size"]),
        helper.make_node("Equal", ["size", "one"], ["c"]),
        helper.make_node(
            "If",
            ["c"],
            ["y"],
            then_branch=_graph([helper.make_node("Squeeze", ["r", "one"], ["less"])], [], ["less"]),
            else_branch=_graph([helper.make_node("Identity", ["r"], ["same"])], [], ["same"]),
        ),
    ]
    constants = {name: np.array([value]) for name, value in {"zero": 0, "one": 1, "two": 2, "eight": 8}.items()}
    lowered = close(model_of(nodes, {"x": ["N", 1, 4]}, ["y"], constants), {"x": ROWS[:, np.newaxis]})
    assert lowered.graph.outputs[0].spec.shape == (8,)


@pytest.mark.parametrize("node", [["Shape", "Gather", "Equal"], ["ReduceMax", "Greater"]])
def test_invalid_conditions_on_the_batch_or_on_values(node: list[str], model_of: Call) -> None:
    nodes = {
        "Shape": [
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["rows"]),
            helper.make_node("Equal", ["rows", "one"], ["c"]),
        ],
        "ReduceMax": [
            helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
            helper.make_node("Greater", ["m", "half"], ["c"]),
        ],
    }[node[0]]
    constants = {"zero": np.array(0), "one": np.array(1), "half": np.array(0.5, np.float32)}
    with pytest.raises(LoweringError, match=r"subgraph|rows influence each other"):
        lower(model_of([*nodes, _if("c")], {"x": ["N", 4]}, ["y"], constants).SerializeToString())


def _loop(count: str, *, outer: bool = True) -> onnx.NodeProto:
    """h becomes h * 0.5 + x + round, so often; the values on the way are an output too."""
    nodes = [
        helper.make_node("Cast", ["i"], ["number"], to=FLOAT),
        helper.make_node("Mul", ["h", "half"], ["less"]),
        helper.make_node("Add", ["less", "x"], ["more"]),
        helper.make_node("Add", ["more", "number"], ["next"]),
        helper.make_node("Identity", ["go"], ["goes"]),
    ]
    inputs = [_value("i", [], INT64), _value("go", [], BOOL), _value("h")]
    body = _graph(nodes, inputs, ["goes", "next", "next"][: 3 if outer else 2], half=np.array(0.5, np.float32))
    body.output[0].type.tensor_type.elem_type = BOOL
    return helper.make_node("Loop", [count, "", "x"], ["y", "way"][: 2 if outer else 1], body=body)


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_loop_of_a_known_number_of_rounds_is_unrolled(rounds: int, model_of: Call, close: Call) -> None:
    nodes = [_loop("n"), helper.make_node("Transpose", ["way"], ["z"], perm=[1, 0, 2])]
    close(model_of(nodes, {"x": ["N", 4]}, ["y", "z"], {"n": np.array(rounds)}), {"x": ROWS})


@pytest.mark.parametrize("rounds", [-1, 0, 1 << 40])
def test_invalid_numbers_of_rounds(rounds: int, model_of: Call) -> None:
    model = model_of([_loop("n")], {"x": ["N", 4]}, ["y"], {"n": np.array(rounds)})
    with pytest.raises(LoweringError):
        lower(model.SerializeToString())


def _scan(body: onnx.GraphProto, **attributes: Any) -> list[onnx.NodeProto]:
    scan = helper.make_node("Scan", ["x", "seen"], ["last", "found"], body=body, num_scan_inputs=1, **attributes)
    return [scan, helper.make_node("Transpose", ["found"], ["y"], perm=[1, 0])]


def _distance(*middle: onnx.NodeProto) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Identity", ["state"], ["kept"]),
        helper.make_node("Sub", ["state", "each"], ["d"]),
        *middle,
    ]
    return _graph(nodes, [_value("state"), _value("each")], ["kept", "out"])


SQUARED = _distance(helper.make_node("ReduceSumSquare", ["d"], ["out"], axes=[1], keepdims=0))
CITY = _distance(
    helper.make_node("Abs", ["d"], ["a"]), helper.make_node("ReduceMax", ["a"], ["out"], axes=[-1], keepdims=0)
)


@pytest.mark.parametrize("body", [SQUARED, CITY])
def test_distances_to_constant_rows_are_found_at_once(body: onnx.GraphProto, model_of: Call, close: Call) -> None:
    lowered = close(model_of(_scan(body), {"x": ["N", 4]}, ["y"], {"seen": SEEN}), {"x": ROWS})
    assert len(lowered.graph.nodes) < 13


@pytest.mark.parametrize("reverse", [0, 1])
def test_a_scan_whose_rounds_build_on_each_other_is_unrolled(reverse: int, model_of: Call, close: Call) -> None:
    nodes = [
        helper.make_node("Mul", ["state", "each"], ["scaled"]),
        helper.make_node("Tanh", ["scaled"], ["next"]),
        helper.make_node("ReduceSum", ["next", "axis"], ["out"], keepdims=0),
    ]
    body = _graph(nodes, [_value("state"), _value("each")], ["next", "out"], axis=np.array([1]))
    model = model_of(_scan(body, scan_input_directions=[reverse]), {"x": ["N", 4]}, ["y", "last"], {"seen": SEEN[:3]})
    close(model, {"x": ROWS})


_AROUND = [helper.make_node("Identity", [one], [other]) for one, other in (("a", "b"), ("b", "a"))]
_HOSTILE = {
    "no operands": helper.make_node("If", [], ["y"], then_branch=_graph([], [], []), else_branch=_graph([], [], [])),
    "no body": helper.make_node("If", ["c"], ["y"]),
    "a condition that is a number": _if("n"),
    "a count of text": _loop("t"),
    "identities in a circle": helper.make_node(
        "Loop",
        ["n", "", "x"],
        ["y"],
        body=_graph(_AROUND, [_value("i", [], INT64), _value("g", [], BOOL), _value("h")], ["a", "b"]),
    ),
    "a circle of what is scanned": _scan(_graph([*_AROUND], [_value("state"), _value("each")], ["a", "b"]))[0],
}


@pytest.mark.parametrize("what", _HOSTILE)
def test_invalid_control_flow_is_refused(what: str, model_of: Call) -> None:
    constants = {"n": np.array(3), "c": np.array(True), "t": np.array(["a"], object), "seen": SEEN}
    made = _HOSTILE[what].output[0]
    nodes = [_HOSTILE[what], helper.make_node("Relu", [made], ["z"])]
    with pytest.raises(LoweringError):
        lower(model_of(nodes, {"x": ["N", 4]}, ["z"], constants).SerializeToString())


def test_invalid_loops_in_loops_end_in_a_refusal(model_of: Call) -> None:
    body = _graph([_loop("n", outer=False)], [_value("j", [], INT64), _value("on", [], BOOL), _value("g")], ["on", "y"])
    body.output[0].type.tensor_type.elem_type = BOOL
    nodes = [helper.make_node("Loop", ["n", "", "x"], ["z"], body=body)]
    with pytest.raises(LoweringError, match="more than"):
        lower(model_of(nodes, {"x": ["N", 4]}, ["z"], {"n": np.array(900)}).SerializeToString())
