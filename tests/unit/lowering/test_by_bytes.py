"""Large layers are rounded so that the engine multiplies by bytes, but never where it would be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runtime.inference import Engine, verify
from runtime.inference.constants import pack
from runtime.inference.limbs import limbs_sum_max, weights_of
from runtime.inference.verifier import Verified
from tools.lowering import lower
from tools.lowering.grids import limb_exponents, quantised

WIDTH, OUTPUTS = 512, 256
RNG = np.random.default_rng(5)
SMALL = (RNG.standard_normal((WIDTH, OUTPUTS)) / WIDTH**0.5).astype(np.float32)
ROWS = RNG.standard_normal((64, WIDTH)).astype(np.float32)


def dense(weights: npt.NDArray[np.float32]) -> bytes:
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in zip("xy", weights.shape, strict=True)
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    made: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return made


def lowered(weights: npt.NDArray[np.float32], rows: npt.NDArray[np.float32], **options: Any) -> tuple[Verified, float]:
    """The proven graph, and its largest error on the rows as a share of the largest result."""
    made = lower(dense(weights), calibration={"x": rows}, **options)
    found = made.dequantize(Engine().run(made.model, made.quantize({"x": rows})))["y"]
    expected = rows.astype(np.float64) @ weights.astype(np.float64)
    return verify(made.model), float(np.abs(found - expected).max() / np.abs(expected).max())


def test_a_large_layer_is_multiplied_by_bytes_and_nobody_sees_it() -> None:
    verified, error = lowered(SMALL, ROWS)
    assert verified.work.macs_byte == 4 * WIDTH * OUTPUTS
    assert error < 2.0**-10


def test_all_bits_are_kept_on_request() -> None:
    verified, error = lowered(SMALL, ROWS, precise=True)
    assert verified.work.macs_byte == 0
    assert error < 2.0**-15


@pytest.mark.parametrize("wanted", [False, True])
def test_what_would_show_is_not_rounded(wanted: bool) -> None:
    """Features a thousand times larger than the others, of which weights a thousand times smaller make as much."""
    scale = np.where(np.arange(WIDTH) % 2, 1000.0, 1.0).astype(np.float32)
    cancelled = SMALL / scale[:, None] if wanted else SMALL
    rows = ROWS * scale if wanted else ROWS
    verified, error = lowered(cancelled, rows)
    assert (verified.work.macs_byte == 0) == wanted
    assert error < 2.0**-10


def test_a_layer_that_is_too_small_to_gain_keeps_all_bits() -> None:
    verified, error = lowered(SMALL[:32, :16], ROWS[:, :32])
    assert verified.work.macs_byte == 0
    assert error < 2.0**-15


def test_without_calibration_nothing_is_known_of_what_a_layer_reads() -> None:
    assert verify(lower(dense(SMALL)).model).work.macs_byte == 0


@pytest.mark.parametrize("read_twice", [False, True])
def test_what_is_made_for_a_layer_alone_is_made_as_coarse_as_the_layer_reads_it(read_twice: bool) -> None:
    """Two dense layers: the first one's own rounding is to 16 bits, where nothing else wants more of it."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    sizes = {"x": WIDTH, "y": WIDTH, "r": OUTPUTS}
    made = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in sizes.items()}
    weights = [numpy_helper.from_array(array, name) for name, array in {"w": SMALL, "v": SMALL.T.copy()}.items()]
    outputs = [made["y"], made["r"]] if read_twice else [made["y"]]
    graph = helper.make_graph(nodes, "g", [made["x"]], outputs, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    found = lower(proto, calibration={"x": ROWS})
    exact = found.dequantize(Engine().run(found.model, found.quantize({"x": ROWS})))["y"]
    expected = np.maximum(ROWS.astype(np.float64) @ SMALL, 0) @ SMALL.T
    assert np.abs(exact - expected).max() < 2.0**-10 * np.abs(expected).max()
    verified = verify(found.model)
    assert verified.work.macs_byte == 8 * WIDTH * OUTPUTS
    kinds = [type(node).__name__ for node in found.graph.nodes]
    assert kinds.count("Rescale") == 1 + read_twice, kinds


@given(st.integers(1, 3000), st.floats(1e-6, 1e6), st.booleans())
def test_weights_always_have_two_limbs_and_sums_32_bits(width: int, scale: float, flat: bool) -> None:
    columns = np.full((2, width), scale)
    if not flat:
        columns[0] *= np.linspace(-1, 1, width)
    found = quantised(columns, limb_exponents(columns))
    assert weights_of(pack(found)) is not None
    assert np.abs(found).sum(axis=1).max() <= limbs_sum_max(width)
    assert np.abs(found[1]).max() >= min(4096, limbs_sum_max(width) // width // 2)
