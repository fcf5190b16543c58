"""Rounding by integers is rounding by definition, and is what a conforming machine's float64 does."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.inference.arithmetic import (
    Double,
    add,
    divide,
    multiply,
    rhe_shift,
    rhe_shift_array,
    round_double,
    square_root,
    to_integer,
)

wide = st.integers(-(1 << 120), 1 << 120)
doubles = st.integers(-(1 << 53), 1 << 53)
exponents = st.integers(-60, 60)


def value(double: Double) -> Fraction:
    return Fraction(double[0]) * Fraction(2) ** double[1]


@given(wide, st.integers(-5, 130))
def test_a_shift_rounds_to_the_nearest_and_ties_to_even(number: int, shift: int) -> None:
    assert rhe_shift(number, shift) == round(Fraction(number) / Fraction(2) ** shift)


@given(st.lists(st.tuples(st.integers(-(1 << 60) + 1, (1 << 60) - 1), st.integers(0, 127)), min_size=1))
def test_the_array_form_is_the_scalar_form(cases: list[tuple[int, int]]) -> None:
    values, shifts = (np.array(column, np.int64) for column in zip(*cases, strict=True))
    assert rhe_shift_array(values, shifts).tolist() == [rhe_shift(value, shift) for value, shift in cases]


@given(wide, exponents)
def test_a_double_is_the_nearest(mantissa: int, exponent: int) -> None:
    found = round_double(mantissa, exponent)
    assert abs(found[0]) <= 1 << 53
    assert value(found) == Fraction(float(Fraction(mantissa) * Fraction(2) ** exponent))


@given(doubles, doubles, exponents, exponents)
def test_sum_and_product_are_the_machine_s(a: int, b: int, e: int, f: int) -> None:
    x, y = math.ldexp(a, e), math.ldexp(b, f)
    assert value(add((a, e), (b, f))) == Fraction(x + y)
    assert value(multiply((a, e), (b, f))) == Fraction(x * y)


@given(st.one_of(st.integers(0, 1 << 53), st.integers(0, 94_906_265).map(lambda root: root * root)), st.integers(-1, 1))
def test_a_root_is_the_machine_s(square: int, beside: int) -> None:
    number = max(0, square + beside)
    assert value(square_root(number)) == Fraction(math.sqrt(number))


@given(doubles, st.integers(1, 1 << 53))
def test_a_quotient_is_the_machine_s(a: int, b: int) -> None:
    assert value(divide(a, b)) == Fraction(a / b)


@given(doubles, exponents, st.integers(-10, 70))
def test_a_double_rounds_to_an_integer(a: int, e: int, shift: int) -> None:
    assert to_integer((a, e), shift) == round(Fraction(a) * Fraction(2) ** (e - shift))
