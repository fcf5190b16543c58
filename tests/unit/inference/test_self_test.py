"""The self-test passes here, and sees each planted fault: flushed subnormals, another rounding, a wrong kernel."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from runtime.errors import OurError
from runtime.inference import Engine, SelfTestFailed, decode_graph, self_test
from runtime.inference import graph as ops
from runtime.inference.engine import run_kernel

# where glibc's fenv_t keeps the control word, and the bits that flush subnormals to zero or change the rounding
CONTROL = {"x86_64": (28, 1 << 15, 1 << 6, 1 << 13), "aarch64": (0, 1 << 24, 1 << 24, 1 << 22)}[platform.machine()]


@contextmanager
def control_bits(bits: int) -> Iterator[None]:
    """Sets bits of the floating-point control register of this thread, as a careless library does when loaded."""
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    before, changed = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
    libm.fegetenv(before)
    libm.fegetenv(changed)
    word = ctypes.c_uint32.from_buffer(changed, CONTROL[0])
    word.value |= bits
    libm.fesetenv(changed)
    try:
        yield
    finally:
        libm.fesetenv(before)


def test_it_passes_here() -> None:
    self_test()


@pytest.mark.parametrize("bit", [1, 2], ids=["results", "operands"])
def test_flushing_subnormals_is_caught(bit: int) -> None:
    with control_bits(CONTROL[bit]), pytest.raises(SelfTestFailed, match="subnormal"):
        self_test()
    self_test()


def test_another_rounding_mode_is_caught() -> None:
    with control_bits(CONTROL[3]), pytest.raises(SelfTestFailed):
        self_test()
    self_test()


def test_a_failure_is_our_fault_and_names_the_case() -> None:
    def flushing(op: str, *operands: Any, **attributes: Any) -> Any:
        result = run_kernel(op, *operands, **attributes)
        return np.where(np.abs(result) < 2.0**-1022, 0.0, result)

    with pytest.raises(SelfTestFailed) as caught:
        self_test(kernel=flushing)
    assert isinstance(caught.value, OurError)
    assert caught.value.case == "a subnormal result, engine"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("op", ["Mul", "Div", "Add", "Sub", "Sqrt"])
def test_a_kernel_that_misrounds_the_last_bit_is_caught(op: str) -> None:
    """Off by one unit in the last place on one element of many."""

    def wrong(name: str, *operands: Any, **attributes: Any) -> Any:
        result = run_kernel(name, *operands, **attributes)
        if name == op and result.size > 1:
            result = result.copy()
            result[77] = np.nextafter(result[77], np.inf)
        return result

    with pytest.raises(SelfTestFailed, match=f"{op} is correctly rounded"):
        self_test(kernel=wrong)


def test_rounding_ties_away_from_zero_is_caught() -> None:
    def away(name: str, *operands: Any, **attributes: Any) -> Any:
        if name == "Round":
            return np.trunc(operands[0] + np.copysign(0.5, operands[0]))
        return run_kernel(name, *operands, **attributes)

    with pytest.raises(SelfTestFailed, match="ties to even"):
        self_test(kernel=away)


def test_taking_the_last_of_equal_maxima_is_caught() -> None:
    def last(name: str, *operands: Any, **attributes: Any) -> Any:
        if name == "ArgMax":
            attributes["select_last_index"] = 1
        return run_kernel(name, *operands, **attributes)

    with pytest.raises(SelfTestFailed, match="ArgMax"):
        self_test(kernel=last)


@pytest.mark.parametrize(
    "case",
    ["Gemm 257", "Gemm by bytes 700", "MatMul 9", "Conv SINGLE", "Softmax", "Trees", "TopK", "Take", "ReduceSum"],
)
def test_an_engine_that_is_off_by_one_is_caught(case: str) -> None:
    engine = Engine()

    def wrong(model: bytes, inputs: Any) -> Any:
        outputs = engine.run(model, inputs)
        node = type(decode_graph(model).nodes[0]).__name__
        if case.startswith(node):
            outputs = {
                name: values + (np.arange(values.size).reshape(values.shape) == 0) for name, values in outputs.items()
            }
        return outputs

    with pytest.raises(SelfTestFailed, match=case.split()[0]):
        self_test(run=wrong)


def test_taking_the_last_of_equal_elements_is_caught() -> None:
    engine = Engine()

    def backwards(model: bytes, inputs: Any) -> Any:
        node = decode_graph(model).nodes[0]
        if not isinstance(node, ops.TopK):
            return engine.run(model, inputs)
        found = engine.run(model, {name: np.flip(values, node.axis + 1) for name, values in inputs.items()})
        return {name: inputs["x"].shape[node.axis + 1] - 1 - values for name, values in found.items()}

    with pytest.raises(SelfTestFailed, match="TopK"):
        self_test(run=backwards)


def test_an_engine_that_compares_in_single_precision_is_caught() -> None:
    engine = Engine()

    def coarse(model: bytes, inputs: Any) -> Any:
        if type(decode_graph(model).nodes[0]).__name__ == "Trees":
            inputs = {name: values.astype(np.float32).astype(np.int64) for name, values in inputs.items()}
        return engine.run(model, inputs)

    with pytest.raises(SelfTestFailed, match="Trees"):
        self_test(run=coarse)
