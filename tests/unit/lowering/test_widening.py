"""A constant beside rows that are as wide or narrower: each of the two is repeated where it has size 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tools.lowering import OpRefused, lower

Call = Callable[..., Any]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    op=st.sampled_from(["Add", "Sub", "Mul", "Div"]),
    first=st.booleans(),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    narrow=st.tuples(*[st.booleans()] * 6),
)
def test_a_constant_may_widen_the_rows(
    seed: int, op: str, first: bool, shape: list[int], narrow: tuple[bool, ...], model_of: Call, close: Call
) -> None:
    rng = np.random.default_rng(seed)
    row, own = ([1 if n else s for n, s in zip(narrow[k:], shape, strict=False)] for k in (0, 3))
    constant = (rng.uniform(0.5, 4, (1, *own)) * rng.choice([-1, 1])).astype(np.float32)
    rows = rng.uniform(-3, 3, (4, *row)).astype(np.float32)
    order = ["c", "x"] if first and op != "Div" else ["x", "c"]
    close(model_of([helper.make_node(op, order, ["y"])], {"x": ["N", *row]}, ["y"], {"c": constant}), {"x": rows})


@pytest.mark.parametrize("shape", [(1, 3, 2), (2, 1, 4), (2, 1, 2, 3, 4)])
def test_invalid_constants_that_do_not_fit_or_meet_the_batch(shape: tuple[int, ...], model_of: Call) -> None:
    model = model_of(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": ["N", 1, 4]}, ["y"], {"c": np.ones(shape, np.float32)}
    )
    with pytest.raises(OpRefused):
        lower(model.SerializeToString())
