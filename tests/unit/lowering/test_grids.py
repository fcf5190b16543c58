"""The integers of a linear op stay within the bound that the verifier proves, and within the error that is told."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime.inference.arithmetic import rhe_shift
from tools.lowering.errors import LoweringError
from tools.lowering.grids import SUM_BITS, WEIGHT_BITS, bits_to_drop, choose, is_tight

SETTINGS = settings(max_examples=150, deadline=None)


@st.composite
def columns(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights [O, K] over many scales, some columns zero, and a bias or none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 5)))
    scales = draw(st.lists(st.integers(-40, 12), min_size=shape[0], max_size=shape[0]))
    weights = np.ldexp(rng.standard_normal(shape), np.array(scales)[:, None])
    weights[rng.random(shape[0]) < 0.1] = 0
    bias = np.ldexp(rng.standard_normal(shape[0]), draw(st.integers(-20, 6))) if draw(st.booleans()) else None
    return weights, bias


@SETTINGS
@given(
    parts=columns(), bits=st.integers(0, 44), x_frac_bits=st.integers(0, 30), wanted=st.integers(0, 24), data=st.data()
)
def test_integers_stay_within_the_bound_and_the_error(
    parts: tuple[np.ndarray, np.ndarray | None], bits: int, x_frac_bits: int, wanted: int, data: st.DataObject
) -> None:
    weights, bias = parts
    magnitude = 1 << bits
    try:
        grid = choose(weights, bias, magnitude, x_frac_bits, wanted)
    except LoweringError:
        assume(False)
    error = Fraction(grid.error(float(np.ldexp(1.0, bits - x_frac_bits)), 0.0))
    shifts = [0] * len(weights) if grid.shifts is None else grid.shifts.tolist()
    biases = [0] * len(weights) if grid.bias is None else grid.bias.tolist()
    assert grid.frac_bits <= wanted
    x = data.draw(st.lists(st.integers(-magnitude, magnitude), min_size=weights.shape[1], max_size=weights.shape[1]))
    for column, shift in enumerate(shifts):
        integers = [int(value) for value in grid.weights[column]]
        assert magnitude * sum(map(abs, integers)) + abs(biases[column]) <= 1 << SUM_BITS
        assert max(map(abs, integers)) <= 1 << WEIGHT_BITS
        assert 0 <= shift <= 127
        total = sum(w * n for w, n in zip(integers, x, strict=True)) + biases[column]
        exact = Fraction(rhe_shift(total, shift), 1 << grid.frac_bits)
        real = sum((Fraction(w) * n for w, n in zip(weights[column].tolist(), x, strict=True)), Fraction(0)) / (
            1 << x_frac_bits
        )
        real += Fraction(0 if bias is None else float(bias[column]))
        assert abs(exact - real) <= error * (1 + Fraction(1, 1 << 40))


@SETTINGS
@given(parts=columns(), bits=st.integers(0, 50), frac_bits=st.integers(0, 30))
def test_bits_are_dropped_only_where_the_bound_is_tight_and_never_more_than_there_are(
    parts: tuple[np.ndarray, np.ndarray | None], bits: int, frac_bits: int
) -> None:
    dropped = bits_to_drop(parts[0], 1 << bits, frac_bits)
    assert 0 <= dropped <= frac_bits
    assert not dropped or is_tight(parts[0], 1 << bits, frac_bits)


def test_invalid_magnitudes_that_leave_no_precision() -> None:
    with pytest.raises(LoweringError, match="no precision"):
        choose(np.full((1, 8), 1.5), None, 1 << 50, 0, 16)


def test_invalid_constants_beyond_single_precision() -> None:
    with pytest.raises(LoweringError, match="constants reach"):
        choose(np.full((1, 1), 1e300), None, 1, 0, 16)
