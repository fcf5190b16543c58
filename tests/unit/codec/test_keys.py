"""Storage keys: the order of the bytes is the order of the values; a prefix is a range."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.codec import key_codec
from runtime.errors import CodecError, DefinitionError
from runtime.testing.strategies import from_type
from runtime.types import I64, U8, U32, U128, AccountId, Denom, MaxLen, Struct


class Kind(IntEnum):
    LOW = 1
    HIGH = 255


Text = Annotated[str, MaxLen(20)]
Blob = Annotated[bytes, MaxLen(20)]
PARTS: list[Any] = [U8, U32, I64, U128, bool, Kind, Text, Blob, AccountId, Denom]
KEYS: list[Any] = [*PARTS, tuple[()], tuple[Text, Blob], tuple[I64, Text, bool], tuple[Blob, U128, Kind, Denom]]


def any_key(count: int) -> Any:
    def values(declared: Any) -> Any:
        return st.tuples(st.just(declared), st.lists(from_type(declared), min_size=count, max_size=count))

    return st.sampled_from(KEYS).flatmap(values)


@given(any_key(2))
def test_bytes_are_ordered_as_their_values(case: tuple[Any, list[Any]]) -> None:
    declared, (left, right) = case
    keys = key_codec(declared)
    assert (keys.encode(left) < keys.encode(right)) == (left < right)
    assert (keys.encode(left) == keys.encode(right)) == (left == right)


@given(any_key(1))
def test_decode_is_the_inverse(case: tuple[Any, list[Any]]) -> None:
    declared, (value,) = case
    back = key_codec(declared).decode(key_codec(declared).encode(value))
    assert back == value
    assert type(back) is type(value)


@given(any_key(1), st.binary(max_size=30), st.integers(0, 60), st.integers(0, 3))
def test_decode_accepts_only_what_encode_makes(case: tuple[Any, list[Any]], more: bytes, at: int, cut: int) -> None:
    declared, (value,) = case
    data = key_codec(declared).encode(value)
    mutated = data[:at] + more + data[at + cut :]
    try:
        back = key_codec(declared).decode(mutated)
    except CodecError:
        return
    assert key_codec(declared).encode(back) == mutated


@given(any_key(2), st.integers(0, 4))
def test_a_prefix_is_the_range_of_the_keys_that_begin_with_it(case: tuple[Any, list[Any]], length: int) -> None:
    declared, (left, right) = case
    if not isinstance(left, tuple):
        left, right = (left,), (right,)
    keys = key_codec(declared)
    length = min(length, len(left))
    whole = right if key_codec(declared)._is_tuple else right[0]
    assert keys.encode(whole).startswith(keys.prefix(left[:length])) == (right[:length] == left[:length])


@pytest.mark.parametrize(
    ("declared", "parts"),
    [
        (tuple[U8, U8], (1, 2, 3)),
        (tuple[U8, U8], (256,)),
        (tuple[U8, U8], (-1,)),
        (tuple[U8, U8], (1.5,)),
        (tuple[U8, U8], (True,)),
        (tuple[U8, U8], ("a",)),
        (tuple[bool, U8], ("x",)),
        (tuple[bool, U8], (1,)),
        (tuple[Blob, U8], (5,)),
        (tuple[Blob, U8], ("a",)),
        (tuple[Text, U8], (b"a",)),
        (tuple[Text, U8], ("\ud800",)),
        (tuple[AccountId, U8], (bytes(31),)),
        (tuple[Kind, U8], (1,)),
        (U8, (None,)),
    ],
)
def test_invalid_prefix(declared: Any, parts: tuple[Any, ...]) -> None:
    with pytest.raises(CodecError):
        key_codec(declared).prefix(parts)


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        (U32, b"\0\0\0"),
        (U32, bytes(5)),
        (bool, b"\x02"),
        (Kind, b"\x02"),
        (Blob, b"a"),
        (Blob, b"a\0"),
        (Blob, b"a\0\x01\0\0"),
        (Blob, b"a\0\0b"),
        (Text, b"\xff\0\0"),
        (Denom, b"Arm\0\0"),
        (Blob, bytes(0) + b"a" * 21 + b"\0\0"),
    ],
)
def test_invalid_key_bytes(declared: Any, data: bytes) -> None:
    with pytest.raises(CodecError):
        key_codec(declared).decode(data)


class Point(Struct):
    x: U8


@pytest.mark.parametrize("declared", [Point, tuple[U8, Point], U8 | None, Annotated[tuple[U8, ...], MaxLen(2)]])
def test_invalid_declarations(declared: Any) -> None:
    with pytest.raises(DefinitionError):
        key_codec(declared)


def test_invalid_longer_than_a_key_may_be() -> None:
    long = Annotated[bytes, MaxLen(2000)]
    with pytest.raises(CodecError):
        key_codec(long).encode(bytes(1000))
