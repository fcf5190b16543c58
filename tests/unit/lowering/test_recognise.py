"""Activations that exporters write as many nodes become one table; what only looks like one does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tools.lowering import Lowered

Call = Callable[..., Any]
CONSTANTS = {
    name: np.array(value, np.float32)
    for name, value in {
        "root": 2**0.5, "inverse": 2**-0.5, "half": 0.5, "one": 1.0, "three": 3.0, "cubic": 0.044715,
        "scale": (2 / np.pi) ** 0.5, "quick": 1.702,
    }.items()
}  # fmt: skip


def nodes(text: str) -> list[onnx.NodeProto]:
    """ "y = Mul(a, b); ..." as nodes."""
    found = []
    for part in text.split(";"):
        out, call = (side.strip() for side in part.split("="))
        op, operands = call.rstrip(")").split("(")
        found.append(helper.make_node(op, [name.strip() for name in operands.split(",")], [out]))
    return found


SPELLINGS = {
    "torch gelu": "d = Div(x, root); e = Erf(d); a = Add(e, one); m = Mul(x, a); y = Mul(m, half)",
    "half first": "h = Mul(half, x); d = Mul(x, inverse); e = Erf(d); a = Add(one, e); y = Mul(h, a)",
    "tanh gelu": "p = Pow(x, three); c = Mul(cubic, p); s = Add(x, c); t = Mul(scale, s); e = Tanh(t); a = Add(one, e);"
    "h = Mul(half, x); y = Mul(h, a)",
    "cube as products": "q = Mul(x, x); p = Mul(q, x); c = Mul(cubic, p); s = Add(x, c); t = Mul(s, scale); "
    "e = Tanh(t); a = Add(e, one); h = Mul(x, half); y = Mul(a, h)",
    "silu": "s = Sigmoid(x); y = Mul(x, s)",
    "quick gelu": "q = Mul(x, quick); s = Sigmoid(q); y = Mul(s, x)",
    "sigmoid as a reciprocal": "n = Neg(x); e = Exp(n); a = Add(e, one); y = Reciprocal(a)",
    "sigmoid as a quotient": "n = Neg(x); e = Exp(n); a = Add(one, e); y = Div(one, a)",
    "mish": "s = Softplus(x); t = Tanh(s); y = Mul(x, t)",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_one_operator(name: str, model_of: Call, close: Call) -> None:
    lowered = spelled(SPELLINGS[name], model_of, close)
    assert len(lowered.report.layers) == 2
    assert (lowered.report.outputs[0].error_max or 0) <= 2.0**-15


def spelled(text: str, model_of: Call, close: Call) -> Lowered:
    """Behind an Add of two inputs, which is no part of it."""
    every = [helper.make_node("Add", ["u", "v"], ["x"]), *nodes(text)]
    used = {name for node in every for name in node.input}
    model = model_of(every, {"u": ["N", 6], "v": ["N", 6]}, ["y"], {n: a for n, a in CONSTANTS.items() if n in used})
    rows = np.random.default_rng(5).standard_normal((2, 40, 6)).astype(np.float32)
    lowered: Lowered = close(model, {"u": rows[0], "v": rows[1]})
    return lowered


@pytest.mark.parametrize(
    "text",
    [
        "d = Div(x, root); e = Erf(d); a = Add(e, one); m = Mul(x, a); y = Mul(m, one)",
        "s = Sigmoid(x); t = Mul(s, half); y = Mul(x, t)",
        "q = Mul(x, half); s = Sigmoid(q); y = Mul(s, x)",
        "s = Sigmoid(u); y = Mul(s, x)",
    ],
)
def test_what_only_looks_like_one_stays_as_it_is(text: str, model_of: Call, close: Call) -> None:
    assert len(spelled(text, model_of, close).report.layers) > 2


def test_a_node_in_between_that_others_read_stays(model_of: Call, close: Call) -> None:
    every = nodes("s = Sigmoid(x); y = Mul(x, s)")
    model = model_of(every, {"x": ["N", 6]}, ["y", "s"])
    lowered = close(model, {"x": np.random.default_rng(6).standard_normal((9, 6)).astype(np.float32)})
    assert [layer.tensor for layer in lowered.report.layers] == ["s", "y"]
    assert "part of" not in next(
        node.became for node in lowered.report.source_nodes if node.where.startswith("Sigmoid")
    )
