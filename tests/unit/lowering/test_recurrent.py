"""LSTM, GRU, RNN against onnxruntime: cells, directions, lengths, initial states, and the batch as exporters put it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference import Engine, interpret
from tools.lowering import Lowered, LoweringError, lower

EXAMPLES = settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
SEEDS = st.integers(0, 2**32 - 1)
Call = Callable[..., Any]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}
CURVES = {"LSTM": 3, "GRU": 2, "RNN": 1}
HIDDEN, FEATURES = 3, 2
BOUNDED = ("Sigmoid", "Tanh", "HardSigmoid", "ScaledTanh")
TAKES_BETA = ("HardSigmoid", "ScaledTanh", "Affine")
TAKES_ALPHA = (*TAKES_BETA, "LeakyRelu")


def constants_of(rng: np.random.Generator, op: str, directions: int, *, scale: float = 1.0) -> dict[str, np.ndarray]:
    width = GATES[op] * HIDDEN
    shapes = {"w": (width, FEATURES), "r": (width, HIDDEN), "b": (2 * width,)}
    return {
        name: (scale * rng.standard_normal((directions, *shape))).astype(np.float32) for name, shape in shapes.items()
    }


def exact_and_float(
    model: bytes, rows: np.ndarray, calibration: np.ndarray | None = None
) -> tuple[Lowered, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The exact model's outputs, the interpreter's to the bit, and the float model's."""
    lowered = lower(model, calibration={"x": rows if calibration is None else calibration})
    integers = lowered.quantize({"x": rows})
    outputs = Engine().run(lowered.model, integers)
    some = {name: array[:2] for name, array in integers.items()}
    for name, array in interpret(lowered.model, some).items():
        np.testing.assert_array_equal(array, outputs[name][:2])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lowered, lowered.dequantize(outputs), dict(zip(names, session.run(names, {"x": rows}), strict=True))


def check(lowered: Lowered, exact: dict[str, np.ndarray], expected: dict[str, np.ndarray], room: float = 1e-4) -> None:
    bounds = {output.name: output.error_bound for output in lowered.report.outputs}
    for name, wanted in expected.items():
        assert exact[name].shape == wanted.shape
        error = float(np.abs(exact[name].astype(np.float64) - wanted).max())
        assert error <= room * (1 + float(np.abs(wanted).max()))
        bound = bounds[name]
        assert bound is not None
        assert error <= bound + 1e-5


@EXAMPLES
@given(
    data=st.data(),
    seed=SEEDS,
    op=st.sampled_from(["LSTM", "GRU", "RNN"]),
    direction=st.sampled_from(["forward", "reverse", "bidirectional"]),
    steps=st.integers(1, 4),
)
def test_cells_of_every_form_between_transposes(
    data: st.DataObject, seed: int, op: str, direction: str, steps: int, model_of: Call
) -> None:
    """The whole of what an exporter writes: batch first, transposed, recurrent, transposed back; all outputs."""
    rng = np.random.default_rng(seed)
    directions = 2 if direction == "bidirectional" else 1
    attributes: dict[str, Any] = {"hidden_size": HIDDEN, "direction": direction}
    if data.draw(st.booleans()):
        names = data.draw(st.lists(
            st.sampled_from(BOUNDED if op != "RNN" else (*BOUNDED, "Affine", "LeakyRelu", "Relu")),
            min_size=CURVES[op] * directions, max_size=CURVES[op] * directions,
        ))  # fmt: skip
        attributes["activations"] = names
        for key, takers in (("activation_alpha", TAKES_ALPHA), ("activation_beta", TAKES_BETA)):
            if set(takers) & set(names):
                attributes[key] = [0.25 for name in names if name in takers]
    if op == "GRU":
        attributes["linear_before_reset"] = int(data.draw(st.booleans()))
    constants = constants_of(rng, op, directions, scale=0.5)
    inputs = ["t", "w", "r", "b", "", ""]
    if data.draw(st.booleans()):
        inputs[3] = ""
        del constants["b"]
    if data.draw(st.booleans()):
        constants["h0"] = (0.5 * rng.standard_normal((directions, 1, HIDDEN))).astype(np.float32)
        constants["h0"] = np.repeat(constants["h0"], 4, axis=1)
        inputs[5] = "h0"
    if op == "LSTM" and data.draw(st.booleans()):
        constants["p"] = (0.5 * rng.standard_normal((directions, 3 * HIDDEN))).astype(np.float32)
        inputs += ["", "p"]
    outputs = ["y", *(["h", "c"][: STATES[op]])]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(op, inputs, outputs, **attributes),
        helper.make_node("Transpose", ["y"], ["z"], perm=[2, 0, 1, 3]),
    ]
    model = model_of(nodes, {"x": [4, steps, FEATURES]}, ["z", *outputs[1:]], constants, opset=17)
    rows = rng.standard_normal((4, steps, FEATURES)).astype(np.float32)
    check(*exact_and_float(model.SerializeToString(), rows))


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_sequences_of_several_lengths_end_where_they_end(op: str, direction: str, model_of: Call) -> None:
    """A row of the graph is then a whole run: the file fixes how many sequences there are."""
    rng = np.random.default_rng(5)
    directions = 2 if direction == "bidirectional" else 1
    constants = constants_of(rng, op, directions) | {"n": np.array([4, 1, 3], np.int32)}
    outputs = ["y", *(["h", "c"][: STATES[op]])]
    node = helper.make_node(op, ["x", "w", "r", "b", "n"], outputs, hidden_size=HIDDEN, direction=direction)
    model = model_of([node], {"x": [4, 3, FEATURES]}, outputs, constants)
    rows = rng.standard_normal((4, 3, FEATURES)).astype(np.float32)
    lowered, exact, expected = exact_and_float_run(model.SerializeToString(), rows)
    check(lowered, exact, expected)
    assert (exact["y"][3, :, 1] == 0).all()


def exact_and_float_run(model: bytes, run: np.ndarray) -> tuple[Lowered, dict[str, np.ndarray], dict[str, np.ndarray]]:
    lowered = lower(model, calibration={"x": run})
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": run})))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lowered, exact, dict(zip(names, session.run(names, {"x": run}), strict=True))


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_errors_do_not_grow_with_the_steps(op: str, model_of: Call) -> None:
    """What 20 steps round off stays below what one input's rounding does; two layers, with a dynamic batch, whose
    initial state is made of the number of rows."""
    rng = np.random.default_rng(7)
    constants = constants_of(rng, op, 1) | {"one": np.array([1], np.int64), "width": np.array([HIDDEN], np.int64)}
    deeper = constants_of(rng, op, 1)
    deeper["w"] = rng.standard_normal((1, GATES[op] * HIDDEN, HIDDEN)).astype(np.float32)
    constants |= {f"{name}2": array for name, array in deeper.items()}
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["rows"]),
        helper.make_node("Concat", ["one", "rows", "width"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["h0"]),
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(op, ["t", "w", "r", "b", "", "h0"], ["y"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["y", "one"], ["q"]),
        helper.make_node(op, ["q", "w2", "r2", "b2", "", "h0"], ["y2", "last"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["y2", "one"], ["q2"]),
        helper.make_node("Transpose", ["q2"], ["z"], perm=[1, 0, 2]),
    ]
    constants["zero"] = np.array([0], np.int64)
    model = model_of(nodes, {"x": ["N", 20, FEATURES]}, ["z", "last"], constants)
    rows = rng.standard_normal((5, 20, FEATURES)).astype(np.float32)
    lowered, exact, expected = exact_and_float(model.SerializeToString(), rows)
    for name in ("z", "last"):
        assert exact[name].shape == expected[name].shape
        assert np.abs(exact[name] - expected[name]).max() <= 5e-5
    assert len(lowered.model) < 1_000_000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"direction": "sideways"}, "direction"),
        ({"activations": ["Softmax", "Tanh", "Tanh"]}, "Softmax"),
        ({"activations": ["Tanh"]}, "activations"),
        ({"activations": ["Affine", "Tanh", "Tanh"]}, "activation_alpha"),
    ],
)
def test_invalid_cells_are_refused_by_node(change: dict[str, Any], reason: str, model_of: Call) -> None:
    constants = constants_of(np.random.default_rng(1), "LSTM", 1)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r"], ["", "y"], hidden_size=HIDDEN, **change),
        helper.make_node("Transpose", ["y"], ["z"], perm=[1, 0, 2]),
    ]
    with pytest.raises(LoweringError, match=reason):
        lower(model_of(nodes, {"x": ["N", 4, FEATURES]}, ["z"], constants).SerializeToString())


def test_invalid_batch_in_the_place_of_the_sequence(model_of: Call) -> None:
    constants = constants_of(np.random.default_rng(1), "GRU", 1)
    node = helper.make_node("GRU", ["x", "w", "r"], ["", "y"], hidden_size=HIDDEN)
    with pytest.raises(LoweringError, match="dimension 1 of its input should be the batch"):
        lower(model_of([node], {"x": ["N", 4, FEATURES]}, ["y"], constants).SerializeToString())


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
@pytest.mark.parametrize("sentences", [1, 3])
def test_sentences_of_a_document_are_sequences_of_their_own(op: str, sentences: int, model_of: Call) -> None:
    """As x.view(n * sentences, words, features) is exported: the batch is merged, states of zeros are as many."""
    rng = np.random.default_rng(3)
    constants = {
        **constants_of(rng, op, 2),
        "apart": np.array([-1, 4, FEATURES]),
        "back": np.array([0, 0, 0, -1]),
        "whole": np.array([-1, sentences, 4, 2 * HIDDEN]),
        "many": np.array([1]),
        "first": np.array([0]),
        "two": np.array([2]),
        "hidden": np.array([HIDDEN]),
    }
    nodes = [
        helper.make_node("Reshape", ["x", "apart"], ["sentences"]),
        helper.make_node("Shape", ["sentences"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["count"]),
        helper.make_node("Concat", ["two", "count", "hidden"], ["sizes"], axis=0),
        helper.make_node("ConstantOfShape", ["sizes"], ["zeros"]),
        helper.make_node("Transpose", ["sentences"], ["turned"], perm=[1, 0, 2]),
        helper.make_node(
            op, ["turned", "w", "r", "b", "", "zeros"], ["each", "last"], hidden_size=HIDDEN, direction="bidirectional"
        ),
        helper.make_node("Transpose", ["each"], ["rows"], perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["rows", "whole"], ["y"]),
        helper.make_node("Transpose", ["last"], ["ends"], perm=[1, 0, 2]),
        helper.make_node("Flatten", ["ends"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shaped"], ["z"]),
    ]
    constants["shaped"] = np.array([-1, sentences, 2 * HIDDEN])
    model = model_of(nodes, {"x": ["N", sentences * 4, FEATURES]}, ["y", "z"], constants).SerializeToString()
    rows = rng.standard_normal((5, sentences * 4, FEATURES)).astype(np.float32)
    check(*exact_and_float(model, rows))
