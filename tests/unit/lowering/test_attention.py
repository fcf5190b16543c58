"""Attention as one operator and as exporters write it out, against the formula in float64 and onnxruntime's float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference.engine import Engine
from runtime.inference.interpreter import interpret
from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=25, deadline=None)
ROWS = 4
Call = Callable[..., Any]


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def softmax(x: np.ndarray) -> np.ndarray:
    most = x.max(axis=-1, keepdims=True)
    powers = np.exp(x - np.where(np.isinf(most), 0, most))
    total = powers.sum(axis=-1, keepdims=True)
    return np.asarray(powers / np.where(total == 0, 1, total))


def attended(q: Any, k: Any, v: Any, mask: Any, scale: float) -> np.ndarray:
    """The definition, heads of keys repeated for the queries that share them."""
    q, k, v = (array.astype(np.float64) for array in (q, k, v))
    k, v = (np.repeat(array, q.shape[1] // k.shape[1], axis=1) for array in (k, v))
    return np.asarray(softmax(q @ k.swapaxes(-1, -2) * scale + mask) @ v)


def check(model: Any, rows: dict[str, np.ndarray], expected: np.ndarray) -> None:
    """The engine equals the interpreter, and is within 2e-4 of the formula."""
    lowered = lower(model.SerializeToString(), calibration=rows)
    inputs = lowered.quantize(rows)
    exact = Engine().run(lowered.model, inputs)
    np.testing.assert_array_equal(exact["y"], interpret(lowered.model, inputs)["y"])
    found = lowered.dequantize(exact)["y"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2e-4 * (1 + np.abs(expected).max())


def operands(seed: int, heads: int, shared: int, queries: int, keys: int, size: int) -> dict[str, np.ndarray]:
    return {
        "q": normal(seed, ROWS, heads, queries, size), "k": normal(seed + 1, ROWS, heads // shared, keys, size),
        "v": normal(seed + 2, ROWS, heads // shared, keys, 3),
    }  # fmt: skip


def shapes_of(rows: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: ["N", *array.shape[1:]] for name, array in rows.items()}


@EXAMPLES
@given(data=st.data(), seed=st.integers(0, 2**32 - 9))
def test_one_operator(model_of: Call, data: Any, seed: int) -> None:
    shared, groups, queries, keys, size = (data.draw(st.integers(1, 4)) for _ in range(5))
    rows = operands(seed, shared * groups, shared, queries, keys, size)
    attributes: dict[str, Any] = {"is_causal": int(data.draw(st.booleans()))}
    scale = data.draw(st.sampled_from([None, 0.25, 0.3]))
    if scale is not None:
        attributes["scale"] = scale
    apart = np.arange(queries)[:, None] - np.arange(keys)
    mask = np.where((apart < 0) & bool(attributes["is_causal"]), -np.inf, 0.0)
    names, constants = ["q", "k", "v"], {}
    kind = data.draw(st.sampled_from(["none", "seen", "added"]))
    if kind != "none":
        names.append("mask")
        added = normal(seed + 3, queries, keys)
        constants["mask"] = added > -0.5 if kind == "seen" else added
        mask = mask + (np.where(added > -0.5, 0.0, -np.inf) if kind == "seen" else added)
    expected = attended(rows["q"], rows["k"], rows["v"], mask, size**-0.5 if scale is None else scale)
    packed = data.draw(st.booleans())
    if packed:
        flat = {name: array.swapaxes(1, 2).reshape(ROWS, array.shape[2], -1) for name, array in rows.items()}
        attributes |= {"q_num_heads": shared * groups, "kv_num_heads": groups}
        rows, expected = flat, expected.swapaxes(1, 2).reshape(ROWS, queries, -1)
    node = helper.make_node("Attention", names, ["y"], **attributes)
    check(model_of([node], shapes_of(rows), ["y"], constants, opset=23), rows, expected)


@pytest.mark.parametrize("causal", [0, 1])
def test_a_computed_mask_hides_by_row(model_of: Call, causal: int) -> None:
    """A query to which every key is hidden gets 0."""
    rows = operands(5, 2, 1, 3, 4, 8)
    rows["m"] = (np.random.default_rng(1).random((ROWS, 1, 3, 4)) > 0.6).astype(np.float32)
    rows["m"][1, 0, 1] = 0
    hidden = np.where(rows["m"] > 0.5, 0.0, -np.inf) + np.where(
        np.arange(3)[:, None] < np.arange(4) * causal, -np.inf, 0
    )
    nodes = [
        helper.make_node("Greater", ["m", "half"], ["mask"]),
        helper.make_node("Attention", ["q", "k", "v", "mask"], ["y"], is_causal=causal),
    ]
    model = model_of(nodes, shapes_of(rows), ["y"], {"half": np.float32(0.5)}, opset=23)
    expected = attended(rows["q"], rows["k"], rows["v"], hidden, 8**-0.5)
    assert not expected[1, :, 1].any()
    check(model, rows, expected)


@pytest.mark.parametrize("heads", [1, 4])
def test_an_encoder_layer_written_out(model_of: Call, heads: int) -> None:
    """As exporters write it: linear layers, heads apart, a mask by row, Softmax, normalisation, two more layers."""
    length, width = 6, 16
    size = width // heads
    constants: dict[str, np.ndarray] = {}
    nodes: list[Any] = []

    def op(kind: str, *inputs: Any, **attributes: Any) -> str:
        names = []
        for operand in inputs:
            if not isinstance(operand, str):
                constants[f"c{len(constants)}"] = np.asarray(operand)
                operand = f"c{len(constants) - 1}"
            names.append(operand)
        nodes.append(helper.make_node(kind, names, [f"t{len(nodes)}"], **attributes))
        return f"t{len(nodes) - 1}"

    def linear(x: str, seed: int, out: int = width, inner: int = width) -> str:
        return op(
            "Add", op("MatMul", x, normal(seed, inner, out, scale=inner**-0.5)), normal(seed + 50, out, scale=0.1)
        )

    def apart(x: str, order: list[int]) -> str:
        return op("Transpose", op("Reshape", x, np.array([0, length, heads, size])), perm=order)

    def norm(x: str, seed: int) -> str:
        return op("LayerNormalization", x, 1 + normal(seed, width, scale=0.1), normal(seed + 1, width), axis=-1)

    q, k, v = (linear("x", seed) for seed in (1, 2, 3))
    scores = op("MatMul", apart(q, [0, 2, 1, 3]), apart(k, [0, 2, 3, 1]))
    scores = op("Div", scores, np.float32(size**0.5))
    wide = op("Unsqueeze", "mask", np.array([1, 2]))
    hidden = op("Mul", op("Sub", np.float32(1), wide), np.float32(-10000.0))
    shares = op("Softmax", op("Add", scores, hidden), axis=-1)
    heads_out = op("Transpose", op("MatMul", shares, apart(v, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    first = norm(op("Add", linear(op("Reshape", heads_out, np.array([0, length, width])), 4), "x"), 20)
    inner = op("Relu", linear(first, 5, 4 * width))
    last = norm(op("Add", linear(inner, 6, inner=4 * width), first), 30)
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    rows = {"x": normal(9, ROWS, length, width), "mask": np.ones((ROWS, length), np.float32)}
    rows["mask"][1, 2:] = rows["mask"][3, 5:] = 0
    model = model_of(nodes, shapes_of(rows), ["y"], constants)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    check(model, rows, session.run(None, rows)[0])


@pytest.mark.parametrize(
    ("shapes", "attributes"),
    [
        (((2, 3, 4), (2, 5, 3), (2, 5, 4)), {}),
        (((3, 3, 4), (2, 5, 4), (2, 5, 4)), {}),
        (((3, 8), (5, 8), (5, 8)), {"q_num_heads": 3, "kv_num_heads": 2}),
        (((3, 8), (5, 8), (5, 8)), {}),
    ],
)
def test_invalid_heads(model_of: Call, shapes: Any, attributes: dict[str, Any]) -> None:
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], **attributes)
    inputs = {name: ["N", *shape] for name, shape in zip("qkv", shapes, strict=True)}
    with pytest.raises(OpRefused):
        lower(model_of([node], inputs, ["y"], opset=23).SerializeToString())
