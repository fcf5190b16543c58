"""Canonical bytes: what is accepted re-encodes to itself; everything else is refused with a CodecError."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from runtime.codec import codec
from runtime.errors import CodecError, DefinitionError
from runtime.testing.strategies import from_type, near_encodings
from runtime.types import I64, U8, U16, U32, U64, U128, AccountId, Denom, IntWidth, MaxLen, Name, Struct

Text = Annotated[str, MaxLen(12)]
Blob = Annotated[bytes, MaxLen(20)]


class Colour(IntEnum):
    RED = 0
    GREEN = 7


class Point(Struct):
    x: I64
    y: U128


class Circle(Struct, tag=0):
    centre: Point
    radius: U8


class Polygon(Struct, tag=1):
    corners: Annotated[tuple[Point, ...], MaxLen(4)]


class Record(Struct):
    account: AccountId
    name: Name
    text: Text
    colour: Colour
    maybe: U16 | None
    shape: Circle | Polygon
    pairs: Annotated[tuple[tuple[Denom, U128], ...], MaxLen(3)]


class Spec(BaseModel):
    balances: dict[AccountId, dict[Denom, U128]]
    sizes: dict[U64, Blob]
    even: U8

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


TYPES: list[Any] = [
    *(U8, U16, U32, U64, U128, I64, bool, Text, Blob, AccountId, Name, Denom, Colour, U8 | None, U128 | None),
    *(tuple[U8, U128], tuple[bool, Text], Annotated[tuple[U16, ...], MaxLen(5)]),
    Annotated[tuple[U128, ...], MaxLen(5)],
    *(Point, Circle, Circle | Polygon, Circle | Polygon | None, Record, Spec, Annotated[tuple[Record, ...], MaxLen(2)]),
]


def any_type(strategy: Any) -> Any:
    """A type of TYPES with a value of `strategy(type)`."""
    return st.sampled_from(TYPES).flatmap(lambda declared: st.tuples(st.just(declared), strategy(declared)))


@given(any_type(from_type))
def test_every_value_comes_back_from_its_bytes(case: tuple[Any, Any]) -> None:
    declared, value = case
    back = codec(declared).decode(codec(declared).encode(value))
    assert back == value
    assert type(back) is type(value)


@given(any_type(near_encodings))
def test_accepted_bytes_reencode_to_themselves_and_all_others_are_refused(case: tuple[Any, bytes]) -> None:
    declared, data = case
    try:
        value = codec(declared).decode(data)
    except CodecError as refused:
        error = refused
    else:
        assert codec(declared).encode(value) == data
        return
    assert error.path.startswith("$")
    assert error.reason


@given(any_type(lambda declared: st.tuples(from_type(declared).map(codec(declared).encode), st.binary(min_size=1))))
def test_invalid_truncated_or_extended_bytes(case: tuple[Any, tuple[bytes, bytes]]) -> None:
    declared, (data, more) = case
    for wrong in (data[:-1], data + more):
        with pytest.raises(CodecError):
            codec(declared).decode(wrong)


@given(any_type(lambda declared: st.sampled_from(TYPES).flatmap(from_type)))
def test_a_value_of_another_type_encodes_to_canonical_bytes_or_is_refused(case: tuple[Any, Any]) -> None:
    declared, value = case
    try:
        data = codec(declared).encode(value)
    except CodecError:
        return
    assert codec(declared).encode(codec(declared).decode(data)) == data


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        (U64, b"\xcc\x05"),  # 5 in two bytes
        (U64, b"\xcd\x00\x05"),
        (U64, b"\xd3" + bytes(7) + b"\x05"),  # signed where unsigned is shorter
        (I64, b"\xd0\xff"),  # -1 in two bytes
        (U64, b"\xca" + bytes(4)),  # a float of an integer's value
        (U64, b"\xcb\x3f\xf0" + bytes(6)),
        (U64, b"\xc3"),  # true is not 1
        (bool, b"\x01"),
        (Text, b"\xd9\x01a"),  # a long form of a short text
        (Text, b"\xc4\x01a"),  # bytes are not text
        (Text, b"\xa1\xff"),  # not UTF-8
        (Blob, b"\xa1a"),
        (Blob, b"\xc5\x00\x01a"),
        (Annotated[tuple[U16, ...], MaxLen(5)], b"\xdc\x00\x01\x05"),
        (Annotated[tuple[U16, ...], MaxLen(5)], b"\x96" + bytes(6)),  # one more than the bound
        (Annotated[tuple[U16, ...], MaxLen(5)], b"\xdd\xff\xff\xff\xff"),
        (Annotated[tuple[U16, ...], MaxLen(5)], b"\x81\x00\x00"),  # a map
        (U128, b"\x05"),  # wide integers are 16 bytes, always
        (U128, b"\xc4\x01\x05"),
        (Point, b"\x91\x00"),  # a field too few
        (Point, b"\x93\x00\xc4\x10" + bytes(16) + b"\x00"),  # a field too many
        (Point, b"\x81\xa1x\x00"),
        (Circle | Polygon, b"\x92\x02\x90"),  # an unknown tag
        (Circle | Polygon, b"\x92\xcc\x01\x90"),  # a tag in two bytes
        (Circle | Polygon, b"\x90"),
        (Colour, b"\x01"),  # no such member
        (U8 | None, b"\xc1"),  # never used in msgpack
        (U8, b"\xd4\x01\x00"),  # an extension
        (U8, b""),
    ],
)
def test_invalid_spellings(declared: Any, data: bytes) -> None:
    with pytest.raises(CodecError):
        codec(declared).decode(data)


def pairs(*items: tuple[int, bytes]) -> bytes:
    """A Spec whose `sizes` are spelled as given."""
    return b"\x93\x90" + msgspec.msgpack.encode([list(item) for item in items]) + b"\x00"


def test_maps_are_pairs_sorted_by_key() -> None:
    value = codec(Spec).decode(pairs((1, b"a"), (2, b"b")))
    assert value == Spec(balances={}, sizes={2: b"b", 1: b"a"}, even=0)
    assert codec(Spec).encode(Spec(balances={}, sizes={2: b"b", 1: b"a"}, even=0)) == pairs((1, b"a"), (2, b"b"))


@pytest.mark.parametrize("items", [[(2, b""), (1, b"")], [(1, b""), (1, b"")], [(1, b"a"), (1, b"b")]])
def test_invalid_unsorted_or_repeated_pairs(items: list[tuple[int, bytes]]) -> None:
    with pytest.raises(CodecError):
        codec(Spec).decode(pairs(*items))


def test_invalid_by_a_models_own_rule() -> None:
    with pytest.raises(CodecError) as caught:
        codec(Spec).decode(b"\x93\x90\x90\x01")
    assert caught.value.path == "$.even"
    assert "must be even" in caught.value.reason


def test_errors_name_the_field() -> None:
    good = codec(Circle).encode(Circle(centre=Point(x=1, y=2), radius=3))
    with pytest.raises(CodecError) as caught:
        codec(Circle).decode(good[:-1] + b"\xcd\x01\x00")
    assert caught.value.path == "$.radius"


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (U8, 256),
        (U8, -1),
        (U8, True),
        (U8, 1.0),
        (U8, "1"),
        (U64, 1 << 64),
        (I64, 1 << 63),
        (I64, -(1 << 63) - 1),
        (U128, 1 << 128),
        (U128, -1),
        (U128, True),
        (bool, 1),
        (Text, "a" * 13),
        (Text, b"a"),
        (Text, "\ud800"),
        (Blob, bytes(21)),
        (AccountId, bytes(31)),
        (Denom, "Arm"),
        (Denom, "arm\n"),
        (Name, ""),
        (Name, "a" * 49),
        (Colour, 0),
        (Colour, 1),
        (tuple[U8, U128], (1,)),
        (tuple[U8, U8], (1, 2, 3)),
        (Annotated[tuple[U8, ...], MaxLen(2)], (1, 2, 3)),
        (Annotated[tuple[U8, ...], MaxLen(2)], {1, 2}),  # its order would be the machine's
        (Annotated[tuple[U8, ...], MaxLen(2)], [1, 2]),
        (tuple[U8, U128], {1, 2}),
        (Point, Circle(centre=Point(x=0, y=0), radius=0)),
        (Circle | Polygon, Point(x=0, y=0)),
        (Circle, Circle(centre=Point(x=0, y=-1), radius=0)),
    ],
)
def test_invalid_values_are_never_encoded(declared: Any, value: Any) -> None:
    with pytest.raises(CodecError):
        codec(declared).encode(value)


class Loose(msgspec.Struct):
    x: U8


class Defaulted(Struct):
    x: U8 = 0


class Tree(Struct):
    children: Annotated[tuple[Tree, ...], MaxLen(2)]


class Tagless(Struct):
    x: U8


@pytest.mark.parametrize(
    "declared",
    [
        *(int, str, bytes, float, set[U8], frozenset, list[U8], dict, complex, object, Any, Loose, Defaulted, Tree),
        *(tuple[U8, ...], U8 | U16, Tagless | Circle, U8 | U16 | None),
        *(Annotated[int, IntWidth(12)], Annotated[int, IntWidth(128, signed=True)], Annotated[int, IntWidth(0)]),
    ],
)
def test_invalid_declarations(declared: Any) -> None:
    with pytest.raises(DefinitionError):
        codec(declared)


def test_of_two_bounds_the_tighter_counts() -> None:
    short = Annotated[Blob, MaxLen(3)]
    assert codec(short).decode(codec(short).encode(bytes(3))) == bytes(3)
    with pytest.raises(CodecError):
        codec(short).encode(bytes(4))


def test_the_formats_bytes_are_fixed() -> None:
    """Bytes that chains and files depend on: a change here forks them."""
    record = Record(
        account=AccountId(bytes(range(32))),
        name=Name("ab"),
        text="é",
        colour=Colour.GREEN,
        maybe=None,
        shape=Circle(centre=Point(x=-1, y=1 << 64), radius=200),
        pairs=(("arm", 300),),
    )
    assert codec(Record).encode(record).hex() == (
        "97c420" + bytes(range(32)).hex() + "a26162a2c3a907c09300"
        "92ffc410" + (1 << 64).to_bytes(16, "big").hex() + "ccc8"
        "9192a361726dc410" + (300).to_bytes(16, "big").hex()
    )
