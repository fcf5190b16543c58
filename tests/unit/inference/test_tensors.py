"""Inputs at the boundary: exactly what the graph declares, each fault named; and the wire form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime.codec import codec
from runtime.errors import CallerError, CodecError
from runtime.inference import (
    InvalidInput,
    Tensor,
    Tensors,
    TensorSpec,
    check_inputs,
    from_array,
    from_arrays,
    tensors_hash,
    to_array,
    to_arrays,
)

SPECS = (TensorSpec("a", (2, 3), 8, -5, 7), TensorSpec("b", (), 0, 0, 1))


def good() -> dict[str, Any]:
    return {"a": np.zeros((4, 2, 3), np.int64), "b": np.zeros(4, np.int64)}


def test_good_inputs_give_the_number_of_rows() -> None:
    inputs = good()
    inputs["a"][0, 0, 0], inputs["a"][1, 1, 2] = -5, 7
    assert check_inputs(SPECS, inputs) == 4


BAD: list[tuple[str, Any, str, str]] = [
    ("a", None, "a", "missing"),
    ("c", np.zeros(4, np.int64), "c", "no such input"),
    ("a", np.zeros((4, 2, 3), np.int32), "a", "expected an int64 array, found int32"),
    ("a", np.zeros((4, 2, 3), np.float64), "a", "found float64"),
    ("a", [[1]], "a", "found list"),
    ("a", np.zeros((2, 3), np.int64), "a", "expected shape"),
    ("a", np.zeros((4, 3, 2), np.int64), "a", "expected shape"),
    ("a", np.zeros((0, 2, 3), np.int64), "a", "rows, found 0"),
    ("a", np.zeros((3, 2, 3), np.int64), "b", "expected 3 rows"),
    ("a", np.full((4, 2, 3), 8, np.int64), "a", "[8, 8], the model takes [-5, 7]"),
    ("a", np.full((4, 2, 3), -6, np.int64), "a", "the model takes"),
    ("a", np.full((4, 2, 3), np.iinfo(np.int64).min, np.int64), "a", "the model takes"),
]


@pytest.mark.parametrize(("name", "value", "tensor", "reason"), BAD)
def test_invalid_input_is_named(name: str, value: Any, tensor: str, reason: str) -> None:
    inputs = {**good(), name: value}
    if value is None:
        del inputs[name]
    with pytest.raises(InvalidInput) as caught:
        check_inputs(SPECS, inputs)
    assert caught.value.tensor == tensor
    assert reason in caught.value.reason
    assert isinstance(caught.value, CallerError)


arrays = hnp.arrays(np.int64, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), arrays, max_size=4))
def test_arrays_return_from_the_wire(values: dict[str, Any]) -> None:
    tensors = from_arrays(values)
    data = codec(Tensors).encode(tensors)
    back = to_arrays(codec(Tensors).decode(data))
    assert back.keys() == values.keys()
    assert all(np.array_equal(back[name], values[name]) and back[name].dtype == np.int64 for name in values)


@given(arrays, arrays)
def test_equal_hash_means_equal_tensors(one: Any, other: Any) -> None:
    same = one.shape == other.shape and np.array_equal(one, other)
    assert (tensors_hash([from_array("x", one)]) == tensors_hash([from_array("x", other)])) == same


def test_narrower_and_big_endian_arrays_have_the_same_wire_form() -> None:
    values = np.arange(-6, 6).reshape(3, 4)
    for other in (values.astype(np.int8), values.astype(">i8"), np.asfortranarray(values)):
        assert from_array("x", other) == from_array("x", values)


@pytest.mark.parametrize("values", [np.ones(2), np.array([1 << 63], np.uint64), np.array(["a"])])
def test_invalid_array_for_the_wire(values: Any) -> None:
    with pytest.raises(InvalidInput, match="64 bits"):
        from_array("x", values)


def test_invalid_wire_tensors() -> None:
    with pytest.raises(InvalidInput, match="needs 16 bytes"):
        to_array(Tensor("x", (2,), bytes(8)))
    one, two = Tensor("a", (1,), bytes(8)), Tensor("b", (1,), bytes(8))
    for tensors in ((two, one), (one, one)):
        with pytest.raises(InvalidInput, match="sorted by name"):
            to_arrays(tensors)
    with pytest.raises(CodecError):
        tensors_hash([Tensor("a name with spaces", (1,), bytes(8))])
