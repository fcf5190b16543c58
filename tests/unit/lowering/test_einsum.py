"""Einsum against numpy's, in the forms that exporters write and in random ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.inference.engine import Engine
from runtime.inference.interpreter import interpret
from tools.lowering import OpRefused, lower

EXAMPLES = settings(max_examples=50, deadline=None)
SIZES = {"n": 3, "h": 2, "i": 4, "j": 3, "k": 5, "d": 6}
Call = Callable[..., Any]


def values(seed: int, term: str) -> np.ndarray:
    shape = [SIZES[label] for label in term]
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(model_of: Call, equation: str, constant: set[int], seed: int = 1, **options: Any) -> None:
    """The operands are x0, x1, ...; those whose places are in `constant` are constants."""
    terms = equation.partition("->")[0].replace("...", "").split(",")
    arrays = {f"x{place}": values(seed + place, options.get("full", terms)[place]) for place in range(len(terms))}
    constants = {name: array for name, array in arrays.items() if int(name[1:]) in constant}
    rows = {name: array for name, array in arrays.items() if name not in constants}
    shapes = {name: ["N", *array.shape[1:]] for name, array in rows.items()}
    node = helper.make_node("Einsum", list(arrays), ["y"], equation=equation)
    lowered = lower(model_of([node], shapes, ["y"], constants).SerializeToString(), calibration=rows)
    inputs = lowered.quantize(rows)
    exact = Engine().run(lowered.model, inputs)
    np.testing.assert_array_equal(exact["y"], interpret(lowered.model, inputs)["y"])
    real = np.einsum(equation, *(array.astype(np.float64) for array in arrays.values()))
    found = lowered.dequantize(exact)["y"]
    assert found.shape == real.shape
    assert np.abs(found - real).max() <= 2e-4 * (1 + np.abs(real).max())


@pytest.mark.parametrize(
    ("equation", "constant"),
    [
        ("nhid,nhjd->nhij", set()), ("nhij,nhjd->nhid", set()), ("nid,dk->nik", {1}), ("nid,hdk->nhik", {1}),
        ("nhid,hdk->nihk", {1}), ("nij->nji", set()), ("nijk->nj", set()), ("nij,nij->n", set()), ("ni,nj->nij", set()),
        ("ni,i->ni", {1}), ("ni,i->n", {1}), ("ni,j->nij", {1}), ("hd,nid->nhi", {0}), ("nij,njk,nkd->nid", set()),
        ("nij,jk,kd->nid", {1, 2}), ("nhij,h->nij", {1}), ("nid,nd->ni", set()), ("nijk,nj->nik", set()),
        ("nhi,hi->nih", {1}), ("nij,nk->nj", set()),
    ],
)  # fmt: skip
def test_common_forms(model_of: Call, equation: str, constant: set[int]) -> None:
    check(model_of, equation, constant)


@pytest.mark.parametrize(
    ("equation", "full"),
    [
        ("...ij,...jk->...ik", ["nhij", "nhjk"]), ("n...i->n...", ["nhji"]), ("...ih,...hd->...id", ["nih", "nhd"]),
    ],
)  # fmt: skip
def test_dimensions_without_a_label(model_of: Call, equation: str, full: list[str]) -> None:
    check(model_of, equation, set(), full=full)


@EXAMPLES
@given(data=st.data(), seed=st.integers(0, 2**32 - 4))
def test_any_form(model_of: Call, data: Any, seed: int) -> None:
    count = data.draw(st.integers(1, 3))
    constant = {place for place in range(1, count) if data.draw(st.booleans())}
    labels = st.lists(st.sampled_from("hijkd"), max_size=3, unique=True).map("".join)
    terms = [("" if place in constant else "n") + data.draw(labels) for place in range(count)]
    seen = sorted(set("".join(terms)) - {"n"})
    kept = data.draw(st.permutations(seen)) if seen else []
    result = "n" + "".join(kept)[: data.draw(st.integers(0, len(kept)))]
    check(model_of, f"{','.join(terms)}->{result}", constant, seed)


@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        ("nii->ni", "a diagonal"), ("nij->ijn", "the batch is not the first label of its result"),
        ("nij->ij", "the batch is not the first label of its result"), ("nij->nk", "does not fit"),
        ("nij,nj->ni", "does not fit 1 operands"), ("ni->ni", "does not fit operands of"), ("n.j->n", "does not fit"),
        ("", "does not fit"), ("nij->nii", "does not fit"),
    ],
)  # fmt: skip
def test_invalid_equation(model_of: Call, equation: str, reason: str) -> None:
    node = helper.make_node("Einsum", ["x"], ["y"], equation=equation)
    with pytest.raises(OpRefused, match=reason):
        lower(model_of([node], {"x": ["N", 4, 4]}, ["y"]).SerializeToString())


def test_invalid_sizes_of_a_label(model_of: Call) -> None:
    node = helper.make_node("Einsum", ["x", "z"], ["y"], equation="nij,nij->ni")
    with pytest.raises(OpRefused, match="has sizes 4 and 5"):
        lower(model_of([node], {"x": ["N", 4, 4], "z": ["N", 4, 5]}, ["y"]).SerializeToString())
