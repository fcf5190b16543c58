"""x[torch.arange(x.size(0)), last]: one place of each row, as exporters write it in two ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from runtime.inference import Engine
from tools.lowering import LoweringError, lower

Call = Callable[..., Any]
node = helper.make_node
LENGTH, WIDTH = 5, 3

OWN = [
    node("Shape", ["x"], ["shape"]),
    node("Gather", ["shape", "zero"], ["rows"]),
    node("Range", ["zero", "rows", "one"], ["own"]),
]
FIRST = [
    *OWN,
    node("Unsqueeze", ["own", "behind"], ["own_column"]),
    node("Unsqueeze", ["last", "behind"], ["last_column"]),
    node("Concat", ["own_column", "last_column"], ["index"], axis=-1),
]
WAYS = {
    "as the first coordinate": [*FIRST, node("GatherND", ["x", "index"], ["y"])],
    "times the length of a row": [
        *OWN,
        node("Gather", ["shape", "one"], ["length"]),
        node("Mul", ["own", "length"], ["begin"]),
        node("Add", ["last", "begin"], ["place"]),
        node("Flatten", ["x"], ["flat"], axis=2),
        node("Gather", ["flat", "place"], ["y"], axis=0),
    ],
}
SAME = {
    "as the first coordinate": [
        *OWN,
        node("Unsqueeze", ["own", "behind"], ["own_column"]),
        node("Max", ["own_column", "some"], ["both"]),
        node("Shape", ["both"], ["both_shape"]),
        node("Expand", ["own_column", "both_shape"], ["first"]),
        node("Expand", ["some", "both_shape"], ["second"]),
        node("Unsqueeze", ["first", "behind"], ["first_column"]),
        node("Unsqueeze", ["second", "behind"], ["second_column"]),
        node("Concat", ["first_column", "second_column"], ["index"], axis=-1),
        node("GatherND", ["x", "index"], ["y"]),
    ],
    "times the length of a row": [
        *OWN,
        node("Gather", ["shape", "one"], ["length"]),
        node("Mul", ["own", "length"], ["begin"]),
        node("Unsqueeze", ["begin", "behind"], ["begin_column"]),
        node("Add", ["begin_column", "some"], ["place"]),
        node("Flatten", ["x"], ["flat"], axis=2),
        node("Gather", ["flat", "place"], ["y"], axis=0),
    ],
}
"""x[torch.arange(n)[:, None], some]: the masks of Hugging Face's models, from 5 on."""


def model_of(nodes: list[NodeProto]) -> bytes:
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", LENGTH, WIDTH]),
        helper.make_tensor_value_info("last", TensorProto.INT64, ["N"]),
    ]
    constants = {"zero": np.array(0), "one": np.array(1), "behind": np.array([-1]), "some": np.array([[0, 3, 4, 3]])}
    graph = helper.make_graph(
        nodes, "g", ports, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def rows() -> dict[str, np.ndarray]:
    x = np.random.default_rng(4).standard_normal((7, LENGTH, WIDTH)).astype(np.float32)
    return {"x": x, "last": np.array([0, 4, 2, 3, 1, 4, 0])}


@pytest.mark.parametrize("nodes", [*WAYS.values(), *SAME.values()], ids=[*WAYS, *(f"{way}, constant" for way in SAME)])
def test_places_of_each_row_are_taken_as_the_float_model_takes_them(nodes: list[NodeProto]) -> None:
    model, given = model_of(nodes), rows()
    (expected,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, given)
    lowered = lower(model, calibration=given)
    found = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(given)))["y"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4


def test_invalid_a_row_number_that_is_computed_with_is_refused_by_node_and_mend() -> None:
    nodes = [*FIRST, node("Mul", ["index", "index"], ["square"]), node("GatherND", ["x", "square"], ["y"])]
    with pytest.raises(LoweringError, match=r"Mul \(node 6\): it computes with the row's own number.*arange"):
        lower(model_of(nodes), calibration=rows())
