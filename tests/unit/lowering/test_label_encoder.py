"""LabelEncoder with every sort of keys and values, against onnxruntime; and what follows a number that was decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime.inference.engine import Engine
from tools.lowering import LoweringError, lower

Call = Callable[..., Any]
KINDS = {"int64s": np.int64, "floats": np.float32, "strings": np.str_}
TYPES = {"int64s": TensorProto.INT64, "floats": TensorProto.FLOAT, "strings": TensorProto.STRING}
NUMBERS = st.integers(-40, 40)


def encoder(keys: str, values: str, listed: dict[int, int], default: int | None, opset: int = 3) -> onnx.ModelProto:
    """Quarters where they are floats; texts are the numbers' names."""
    options: dict[str, Any] = {}
    lists = ((f"keys_{keys}", listed.keys()), (f"values_{values}", listed.values()))
    for name, numbers in (*lists, (f"default_{values[:-1]}", [] if default is None else [default])):
        made: list[Any] = [n / 4 for n in numbers] if "float" in name else [str(n) for n in numbers]
        made = [*numbers] if "int64" in name else made
        if made:
            options[name] = made[0] if "default" in name else made
    node = helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", **options)
    ports = [helper.make_tensor_value_info(n, TYPES[k], ["N", 3]) for n, k in zip("xy", (keys, values), strict=True)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", opset)]
    return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]), opset_imports=opsets, ir_version=8)


@settings(max_examples=60, deadline=None)
@given(
    keys=st.sampled_from(["int64s", "floats"]),
    values=st.sampled_from(["int64s", "floats", "strings"]),
    listed=st.dictionaries(NUMBERS, NUMBERS, min_size=1, max_size=12),
    default=st.none() | NUMBERS,
    seed=st.integers(0, 2**32 - 1),
)
def test_numbers_become_what_the_standard_says(
    keys: str, values: str, listed: dict[int, int], default: int | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found = rng.integers(-45, 45, (6, 3))
    rows = (found / 4 if keys == "floats" else found).astype(KINDS[keys])
    rows.flat[: len(listed)] = [n / 4 if keys == "floats" else n for n in list(listed)[:18]]
    model = encoder(keys, values, listed, default)
    lowered = lower(model.SerializeToString(), calibration={"x": rows})
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(exact, session.run(["y"], {"x": rows})[0])


def as_tensors(keys: np.ndarray, values: np.ndarray, default: np.ndarray) -> bytes:
    model = encoder("int64s", "int64s", {0: 0}, None, opset=4)
    node = model.graph.node[0]
    del node.attribute[:]
    for name, array in (("keys", keys), ("values", values), ("default", default)):
        node.attribute.append(helper.make_attribute(f"{name}_tensor", numpy_helper.from_array(array)))
    model.graph.output[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(values.dtype)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_tables_may_be_tensors(dtype: Any) -> None:
    model = as_tensors(np.array([3, -7, 90_000]), np.array([1, 2, 3], dtype), np.array([9], dtype))
    rows = np.array([[3, -7, 90_000], [0, 4, -8]])
    lowered = lower(model)
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize({"x": rows})))["y"]
    assert exact.dtype == dtype
    assert exact.tolist() == [[1, 2, 3], [9, 9, 9]]


@pytest.mark.parametrize(
    ("keys", "values", "default"),
    [
        (np.array(["a"], object), np.array([1]), np.array([2])),  # texts beside integers
        (np.array([1, 1]), np.array([1, 2]), np.array([2])),  # twice
        (np.array([1, 2]), np.array([1]), np.array([2])),  # one too many
        (np.array([1]), np.array([1]), np.array([2.5])),  # of another type
        (np.array([], np.int64), np.array([], np.int64), np.array([2])),  # nothing
    ],
)
def test_invalid_tables(keys: np.ndarray, values: np.ndarray, default: np.ndarray) -> None:
    with pytest.raises(LoweringError):
        lower(as_tensors(keys, values, default))


def test_integers_that_a_rounded_number_decided_about_claim_no_bound(model_of: Call) -> None:
    """Whether x > 0.3 depends on how x was rounded: what is computed of the answer may be another number."""
    nodes = [
        helper.make_node("Greater", ["x", "c"], ["g"]),
        helper.make_node("Cast", ["g"], ["i"], to=TensorProto.INT64),
        helper.make_node("Mul", ["i", "k"], ["y"]),
    ]
    constants = {"c": np.array([0.3], np.float32), "k": np.array([5])}
    model = model_of(nodes, {"x": ["N", 2]}, ["y"], constants, integers=["y"])
    rows = {"x": np.array([[0.25, 0.5], [-1.0, 4.0]], np.float32)}
    lowered = lower(model.SerializeToString(), calibration=rows)
    exact = lowered.dequantize(Engine().run(lowered.model, lowered.quantize(rows)))["y"]
    assert exact.tolist() == [[0, 5], [0, 5]]
    assert lowered.report.outputs[0].error_bound is None
