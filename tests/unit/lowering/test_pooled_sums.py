"""MaxPool before a Conv's bias and rounding: the same integers, and only where nothing else reads the Conv."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference import Engine, interpret
from runtime.inference import graph as ir
from tools.lowering import lower

Call = Callable[..., Any]


def constants(random: np.random.Generator, inputs: int, outputs: int, biased: bool) -> dict[str, np.ndarray]:
    weights = random.standard_normal((outputs, inputs, 3, 3)).astype(np.float32)
    return {"w": weights} | ({"b": random.standard_normal(outputs).astype(np.float32)} if biased else {})


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    between=st.sampled_from(["Relu", "Clip", None]),
    biased=st.booleans(),
    pads=st.sampled_from([0, 1]),
)
def test_maxima_of_sums_are_rounded_to_what_the_maxima_of_rounded_sums_are(
    model_of: Call, seed: int, channels: tuple[int, int], between: str | None, biased: bool, pads: int
) -> None:
    """Beside the same model with the Conv an output too, which forbids the exchange."""
    random = np.random.default_rng(seed)
    given_constants = constants(random, *channels, biased)
    nodes = [helper.make_node("Conv", ["x", *given_constants], ["c"], pads=[1, 1, 1, 1])]
    if between == "Clip":
        given_constants |= {"low": np.array(-1.5, np.float32), "high": np.array(2.5, np.float32)}
        nodes.append(helper.make_node("Clip", ["c", "low", "high"], ["r"]))
    elif between:
        nodes.append(helper.make_node(between, ["c"], ["r"]))
    last = nodes[-1].output[0]
    nodes.append(helper.make_node("MaxPool", [last], ["y"], kernel_shape=[2, 2], strides=[2, 2], pads=[pads] * 4))
    rows = random.standard_normal((3, channels[0], 6, 6)).astype(np.float32)
    found = []
    for outputs in (["y"], ["y", "c"]):
        proto = model_of(nodes, {"x": ["N", *rows.shape[1:]]}, outputs, given_constants)
        lowered = lower(proto.SerializeToString(), calibration={"x": rows})
        integers = lowered.quantize({"x": rows})
        made = Engine().run(lowered.model, integers)
        for name, array in interpret(lowered.model, integers).items():
            np.testing.assert_array_equal(array, made[name])
        found.append(made["y"])
        (conv,) = (node for node in lowered.graph.nodes if isinstance(node, ir.Conv))
        assert (conv.shifts is None and conv.bias is None) == (outputs == ["y"])
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("reader", ["c", "r"])
def test_a_conv_that_others_read_is_computed_once(model_of: Call, reader: str) -> None:
    """As where a U-Net's way across begins."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["a"]),
        helper.make_node("GlobalAveragePool", [reader], ["g"]),
        helper.make_node("Add", ["a", "g"], ["y"]),
    ]
    rows = np.random.default_rng(0).standard_normal((3, 4, 6, 6)).astype(np.float32)
    proto = model_of(nodes, {"x": ["N", 4, 6, 6]}, ["y"], constants(np.random.default_rng(1), 4, 5, biased=False))
    lowered = lower(proto.SerializeToString(), calibration={"x": rows})
    assert sum(isinstance(node, ir.Conv) and node.groups == 1 for node in lowered.graph.nodes) == 1
