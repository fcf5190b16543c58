"""What calibration rows decide: limits, what reaches onnxruntime, and errors that add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tools.lowering import OpRefused, lower
from tools.lowering.builder import Builder
from tools.lowering.source import Port, Source

Call = Callable[..., Any]


@settings(max_examples=50, deadline=None)
@given(largest=st.floats(2.0**-18, 2.0**24, width=32))
def test_an_input_may_be_twice_what_was_seen_and_a_power_of_two(largest: float, model_of: Call) -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ["N", 2]}, ["y"]).SerializeToString()
    lowered = lower(model, calibration={"x": np.array([[0, -largest], [largest / 2, 0]], np.float32)})
    (accepted,) = lowered.report.inputs
    assert (accepted.low, np.frexp(accepted.high)[0]) == (-accepted.high, 0.5)
    assert 2 * largest <= accepted.high < 4 * largest
    assert lowered.report.outputs[0].error_max <= lowered.report.outputs[0].error_bound


def test_invalid_nodes_are_refused_before_onnxruntime_sees_them(
    model_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: object) -> None:
        raise AssertionError("an unchecked model was run")

    monkeypatch.setattr("tools.lowering.pipeline.observe", unreachable)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    model = model_of([node], {"x": ["N", 4]}, ["y"], {"w": np.ones((4, 3), np.float32)})
    with pytest.raises(OpRefused, match="do not fit"):
        lower(model.SerializeToString(), calibration={"x": np.ones((1, 4))})


def test_a_coarser_grid_adds_half_a_step_to_the_error_and_a_finer_one_nothing() -> None:
    port = Port("x", np.dtype(np.float32), (3,))
    builder = Builder(Source(17, None, False, (port,), (port,), {}, ()), {})
    x = builder.finished("x")
    assert builder.regrid(x, 8).error == x.error + 2.0**-9
    assert builder.regrid(x, 20).error == x.error
    assert builder.regrid(x, 20).magnitude == x.magnitude
    assert builder.regrid(x, x.frac_bits) is x


@pytest.mark.parametrize("rows", [1, 33, 70])
def test_any_number_of_rows_will_do(rows: int, model_of: Call, close: Call) -> None:
    data = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
    model = model_of([helper.make_node("Softmax", ["x"], ["y"])], {"x": ["N", 4]}, ["y"])
    assert close(model, {"x": data}).report.calibration_rows == rows


def test_many_layers_are_compared_in_parts(model_of: Call, close: Call) -> None:
    """More tensors than one probe graph has outputs."""
    rng = np.random.default_rng(2)
    nodes, constants, last = [], {}, "x"
    for depth in range(70):
        constants[f"c{depth}"] = rng.standard_normal(3).astype(np.float32)
        nodes.append(helper.make_node("Add", [last, f"c{depth}"], [f"a{depth}"]))
        last = f"a{depth}"
    data = rng.standard_normal((4, 3)).astype(np.float32)
    lowered = close(model_of(nodes, {"x": ["N", 3]}, [last], constants), {"x": data})
    assert len(lowered.report.layers) == 70
    assert all(layer.error_max is not None and layer.error_max > 0 for layer in lowered.report.layers)
