"""Tables of functions: what they claim to be wrong by is true, at every kind of interval, grid and corner."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper
from scipy import special

from runtime.inference.engine import Engine
from runtime.inference.interpreter import interpret
from tools.lowering import OpRefused, functions, lower
from tools.lowering.cells import Curve, amplified, plan_lines, plan_numbers, plan_parts
from tools.lowering.ops import curves

Call = Callable[..., Any]
EXAMPLES = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, np.expm1(np.minimum(x, 0)), x)


def winitzki(x: np.ndarray) -> np.ndarray:
    """sqrt(2) times the inverse of the error function, about."""
    log = np.log(1 - x.astype(np.longdouble) ** 2)
    u = 2 / (np.longdouble(3.14159) * np.longdouble(0.147)) + log / 2
    return (np.sign(x) * np.sqrt(2 * (np.sqrt(u * u - log / np.longdouble(0.147)) - u))).astype(np.float64)


CURVES: dict[str, tuple[Curve, Call, float, float]] = {
    "acos": (curves.ACOS, np.arccos, -1.0, 1.0),
    "acosh": (curves.ACOSH, np.arccosh, 1.0, 500.0),
    "asin": (curves.ASIN, np.arcsin, -1.0, 1.0),
    "asinh": (curves.ASINH, np.arcsinh, -500.0, 500.0),
    "atan": (curves.ATAN, np.arctan, -500.0, 500.0),
    "atanh": (curves.ATANH, np.arctanh, -0.999, 0.999),
    "celu": (curves.celu(0.5), lambda x: np.where(x < 0, 0.5 * np.expm1(np.minimum(x, 0) / 0.5), x), -60.0, 60.0),
    "cos": (curves.COS, np.cos, -8.0, 8.0),
    "cosh": (curves.COSH, np.cosh, -6.0, 6.0),
    "elu": (curves.elu(-1.5), lambda x: np.where(x < 0, -1.5 * elu(x), x), -60.0, 60.0),
    "erf": (curves.ERF, special.erf, -60.0, 60.0),
    "exp": (curves.EXP, np.exp, -60.0, 8.0),
    "gelu": (curves.GELU, lambda x: x * special.ndtr(x), -60.0, 60.0),
    "gelu_tanh": (
        curves.GELU_TANH,
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        -60.0,
        60.0,
    ),
    "log": (curves.LOG, np.log, 2.0**-16, 500.0),
    "mish": (curves.MISH, lambda x: x * np.tanh(np.logaddexp(0, x)), -60.0, 60.0),
    "power 0.3": (curves.power(0.3), lambda x: x**0.3, 0.0, 60.0),
    "power -1.7": (curves.power(-1.7), lambda x: x**-1.7, 0.25, 60.0),
    "power 2.7": (curves.power(2.7), lambda x: x**2.7, 0.0, 8.0),
    "probit": (curves.PROBIT, winitzki, -0.9999, 0.9999),
    "selu": (curves.elu(1.6732632, 1.0507010), lambda x: 1.0507010 * np.where(x < 0, 1.6732632 * elu(x), x), -60, 60),
    "sigmoid": (curves.SIGMOID, special.expit, -60.0, 60.0),
    "sin": (curves.SIN, np.sin, -8.0, 8.0),
    "sinh": (curves.SINH, np.sinh, -6.0, 6.0),
    "softplus": (curves.SOFTPLUS, lambda x: np.logaddexp(0, x), -60.0, 60.0),
    "swish": (curves.swish(-1.7), lambda x: x * special.expit(-1.7 * x), -60.0, 60.0),
    "tan": (curves.TAN, np.tan, -1.5, 1.5),
    "tanh": (curves.TANH, np.tanh, -60.0, 60.0),
}


@pytest.mark.parametrize("name", CURVES)
def test_what_tables_are_made_of_is_the_function_and_bends_no_more_than_is_said(name: str) -> None:
    """Against numpy and scipy, and against second differences over small and large steps."""
    curve, function, low, high = CURVES[name]
    rng = np.random.default_rng(3)
    a = rng.uniform(low, high, 4000)
    np.testing.assert_allclose(curve.of(a), function(a), rtol=2e-13, atol=2e-13)
    for width in (2.0**-10, 2.0**-6, 2.0**-3):
        b = np.minimum(a + width, high)
        middle = (a + b) / 2
        second = np.abs(curve.of(a) - 2 * curve.of(middle) + curve.of(b))
        has_corner = (a < 0) & (b > 0) & (name in ("celu", "elu", "selu"))
        bound = curve.bend(a, b) * ((b - a) / 2) ** 2 + 1e-13 * (1 + np.abs(curve.of(a)))
        assert (has_corner | (second <= bound)).all()


def test_the_functions_have_the_same_bits_on_every_machine() -> None:
    """Their last bits, over many operands: a machine whose arithmetic differed would give another hash."""
    x = np.ldexp(np.arange(-4096, 4096, dtype=np.float64), -8)
    inside = np.ldexp(np.arange(-4096, 4097, dtype=np.float64), -12)
    found = [
        function(values)
        for function, values in [
            (functions.exp, x), (functions.log, np.abs(x) + 2.0**-9), (functions.sin, x), (functions.cos, x),
            (functions.atan, x), (functions.asin, inside), (functions.acos, inside), (functions.erf, x / 4),
            (functions.tanh, x), (functions.sigmoid, x), (functions.softplus, x), (functions.asinh, x),
        ]
    ]  # fmt: skip
    digest = hashlib.sha256(b"".join(array.astype("<f8").tobytes() for array in found)).hexdigest()
    assert digest == "e65d76e25b4b2054e7f8179aec40cb2207a1b3bb2f4f49ae85c24f76472a2000"


@EXAMPLES
@given(data=st.data(), seed=SEEDS, name=st.sampled_from(sorted(CURVES)), grid=st.integers(4, 22))
def test_a_plan_is_within_its_error_everywhere(data: st.DataObject, seed: int, name: str, grid: int) -> None:
    """At the ends of cells, in between, beyond them where a line takes over, and for operands that are wrong."""
    curve, function, low, high = CURVES[name]
    ends = sorted(data.draw(st.floats(low, high)) for _ in range(2))
    first, last = int(np.ceil(np.ldexp(ends[0], grid))), int(np.floor(np.ldexp(ends[1], grid)))
    assume(first <= last)
    wanted = data.draw(st.integers(8, 20))
    numbers = data.draw(st.booleans())
    if numbers:
        plan = plan_numbers(curve, first, last, grid, wanted, 1 << 12)
        parts = [] if plan is None else [(curve, plan)]
    else:
        parts = plan_parts(curve, first, last, grid, wanted)
        assert parts
    rng = np.random.default_rng(seed)
    n = np.unique(
        np.concatenate([rng.integers(first, last, 2000, endpoint=True), [first, last, min(max(0, first), last)]])
    )
    for _, plan in parts:
        n = np.unique(np.concatenate([n, np.clip(np.rint(np.ldexp(plan.first, grid)).astype(np.int64), first, last)]))
    x = np.ldexp(n.astype(np.float64), -grid)
    found = np.zeros(len(n))
    bound = 0.0
    wrong = 2.0**-grid / 2
    moved = 0.0
    for part, plan in parts:
        found += evaluated(plan, np.clip(n, plan.low, plan.high), grid)
        bound += plan.error
        moved += amplified(part, plan, wrong)
    if parts:
        assert (np.abs(found - function(x)) <= bound * (1 + 1e-9) + 1e-12).all()
        if len(parts) == 1 and isfinite(moved):
            for sign in (-1, 1):
                near = np.clip(x + sign * wrong, *curve.domain)
                assert (np.abs(found - function(near)) <= (bound + moved) * (1 + 1e-9) + 1e-12).all()


def evaluated(plan: Any, n: np.ndarray, grid: int) -> np.ndarray:
    """What a plan makes of integers, in plain numpy."""
    n = np.rint(np.ldexp(n.astype(np.float64), -plan.drop)).astype(np.int64)
    ends = [np.rint(np.ldexp(array, grid - plan.drop)).astype(np.int64) for array in (plan.first, plan.last)]
    low = n.min() if plan.has_below else ends[0][0]
    n = np.clip(n, low, n.max() if plan.has_above else ends[1][-1])
    cell = np.zeros(len(n), np.int64)
    for place, segment in enumerate(plan.segments):
        counted = place > 0 or plan.has_below
        most = segment.count - (not counted) + (plan.has_above and place == len(plan.segments) - 1)
        half = (1 << segment.shift) // 2
        bias = -segment.start - half + (counted << segment.shift)
        cell += np.clip(np.rint(np.ldexp((n + bias).astype(np.float64), -segment.shift)), 0, most).astype(np.int64)
    y = plan.values[cell] + (0 if plan.slopes is None else plan.slopes[cell] * n)
    found = np.rint(np.ldexp(y.astype(np.float64), plan.frac_bits - plan.grid))
    found = np.ldexp(np.clip(found, plan.least, plan.most), -plan.frac_bits)
    if plan.plus_relu:
        above = np.maximum(np.ldexp(n.astype(np.float64), plan.drop - grid), 0)
        found = found + np.ldexp(np.rint(np.ldexp(above, plan.frac_bits)), -plan.frac_bits)
    return np.asarray(found)


def test_a_large_tensor_gets_numbers_and_a_small_one_lines(model_of: Call) -> None:
    """Of Gelu between +-8: 2**16 elements are worth a table of 80,000 numbers, 8 are not."""
    for size, slopes in ((1 << 17, False), (8, True)):
        model = model_of([helper.make_node("Gelu", ["x"], ["y"])], {"x": ["N", size]}, ["y"], opset=20)
        rows = np.linspace(-3.9, 3.9, 2 * size, dtype=np.float32).reshape(2, size)
        lowered = lower(model.SerializeToString(), calibration={"x": rows})
        assert ("Mul" in {type(node).__name__ for node in lowered.graph.nodes}) == slopes
        assert (lowered.report.outputs[0].error_max or 0) <= (2.0**-13 if size > 8 else 2.0**-15)
        assert (len(lowered.model) > 1 << 17) != slopes


OPS: dict[str, tuple[Call, float, float]] = {
    "Acos": (np.arccos, -0.99, 0.99), "Acosh": (np.arccosh, 1.1, 60), "Asin": (np.arcsin, -0.99, 0.99),
    "Asinh": (np.arcsinh, -60, 60), "Atan": (np.arctan, -60, 60), "Atanh": (np.arctanh, -0.95, 0.95),
    "Cos": (np.cos, -100, 100), "Cosh": (np.cosh, -5, 5), "Elu": (elu, -20, 20), "Erf": (special.erf, -8, 8),
    "Exp": (np.exp, -9, 3), "Log": (np.log, 0.05, 60), "Sigmoid": (special.expit, -30, 30), "Sin": (np.sin, -100, 100),
    "Sinh": (np.sinh, -5, 5), "Softplus": (lambda x: np.logaddexp(0, x), -30, 30), "Tan": (np.tan, -1.3, 1.3),
    "Tanh": (np.tanh, -9, 9), "Softsign": (lambda x: x / (1 + np.abs(x)), -30, 30),
    "Mish": (lambda x: x * np.tanh(np.logaddexp(0, x)), -20, 20), "Celu": (elu, -20, 20),
}  # fmt: skip


@EXAMPLES
@given(
    seed=SEEDS, op=st.sampled_from(sorted(OPS)), shape=st.lists(st.integers(1, 5), max_size=3), scale=st.floats(0.1, 1)
)
def test_the_graph_is_within_the_bound_that_the_report_tells(
    seed: int, op: str, shape: list[int], scale: float, model_of: Call
) -> None:
    function, low, high = OPS[op]
    low = max(low, high * scale - high) if low > 0 else low * scale
    rows = np.random.default_rng(seed).uniform(low, high * scale if high * scale > low else high, (5, *shape))
    rows = rows.astype(np.float32)
    model = model_of([helper.make_node(op, ["x"], ["y"])], {"x": ["N", *shape]}, ["y"], opset=22)
    lowered = lower(model.SerializeToString(), calibration={"x": rows})
    inputs = lowered.quantize({"x": rows})
    exact = Engine().run(lowered.model, inputs)
    np.testing.assert_array_equal(exact["y"], interpret(lowered.model, inputs)["y"])
    found = np.ldexp(exact["y"].astype(np.float64), -lowered.graph.outputs[0].spec.frac_bits)
    expected = function(rows.astype(np.float64))
    error, bound = np.abs(found - expected).max(), lowered.report.outputs[0].error_bound
    assert error <= 1e-3 * np.abs(expected).max() + 2.0**-12
    assert bound is None or error <= bound * (1 + 1e-9)


@pytest.mark.parametrize(
    ("node", "part"),
    [
        (helper.make_node("Exp", ["x"], ["y"], "p"), "anything from -1024 to 1024"),
        (helper.make_node("Elu", ["x"], ["y"], "p", alpha=1e30), "alpha 1e"),
        (helper.make_node("Selu", ["x"], ["y"], "p", gamma=-1e30), "gamma -1e"),
    ],
)
def test_invalid_functions_name_op_node_and_reason(node: Any, part: str, model_of: Call) -> None:
    with pytest.raises(OpRefused, match=part) as found:
        lower(model_of([node], {"x": ["N", 3]}, ["y"], opset=20).SerializeToString())
    assert found.value.where == f'{node.op_type} "p"'


def test_a_curve_that_no_table_can_hold_has_no_plan() -> None:
    assert plan_lines(curves.EXP, 0, 1000 << 16, 16, 16) is None
