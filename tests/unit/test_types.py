"""What people read and write: the JSON forms of the wire's types, through pydantic."""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from runtime.bech32m import encode_address
from runtime.testing.strategies import from_type
from runtime.types import I64, U8, U16, U32, U64, U128, AccountId, Denom, Hash, MaxLen, Name, PublicKey, Struct


class Kind(IntEnum):
    A = 0
    B = 3


class Point(Struct):
    x: I64
    y: U128


class Left(Struct, tag=0):
    size: U8


class Right(Struct, tag=1):
    size: U8


class Record(Struct):
    account: AccountId
    point: Point
    side: Left | Right
    key: PublicKey | None


class Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    balances: dict[AccountId, dict[Denom, U128]]
    record: Record


TYPES: list[Any] = [
    *(U8, U16, U32, U64, U128, I64, bool, Kind, AccountId, Hash, Name, Denom, U64 | None, Point, Left | Right, Record),
    Left | Right | None,
    *(Annotated[bytes, MaxLen(9)], Annotated[str, MaxLen(9)], Annotated[tuple[Record, ...], MaxLen(3)], Model),
    *(tuple[U8, U128], Annotated[tuple[U128, ...], MaxLen(3)]),
]
typed_values = st.sampled_from(TYPES).flatmap(lambda declared: st.tuples(st.just(declared), from_type(declared)))


@given(typed_values)
def test_every_value_comes_back_from_its_json(case: tuple[Any, Any]) -> None:
    declared, value = case
    adapter = TypeAdapter(declared)
    text = adapter.dump_json(value)
    back = adapter.validate_json(text)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("declared", TYPES)
def test_every_type_has_a_json_schema(declared: Any) -> None:
    assert json.dumps(TypeAdapter(declared).json_schema(mode="serialization"))
    assert json.dumps(TypeAdapter(declared).json_schema(mode="validation"))


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (U128, 5, '"5"'),  # a JSON number above 2^53 is not safe in other programs: always a string
        (U64, 1 << 63, str(1 << 63)),
        (Hash, bytes(32), '"' + "00" * 32 + '"'),
        (Annotated[bytes, MaxLen(9)], b"\xab", '"ab"'),
        (AccountId, bytes(32), f'"{encode_address(bytes(32))}"'),
        (Point, Point(x=-1, y=2), '{"x":-1,"y":"2"}'),
        (Left | Right, Right(size=3), '{"type":"Right","size":3}'),
    ],
)
def test_the_forms(declared: Any, value: Any, text: str) -> None:
    assert TypeAdapter(declared).dump_json(value).decode() == text
    assert TypeAdapter(declared).validate_json(text) == value


def test_integers_may_be_written_as_strings_too() -> None:
    assert TypeAdapter(U8).validate_json('"7"') == 7
    assert TypeAdapter(U128).validate_json("7") == 7


def test_accounts_take_the_chains_prefix_from_the_context() -> None:
    adapter, context = TypeAdapter(AccountId), {"prefix": "dev"}
    text = adapter.dump_json(AccountId(bytes(32)), context=context)
    assert text.startswith(b'"dev1')
    assert adapter.validate_json(text, context=context) == bytes(32)
    with pytest.raises(ValidationError, match="prefix"):
        adapter.validate_json(text)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (U8, "256"),
        (U8, "-1"),
        (U8, "1.0"),
        (U8, "true"),
        (U8, '"0x1"'),
        (U8, '"01"'),
        (U8, '"-0"'),
        (U8, '"1_0"'),
        (U8, '" 1"'),
        (U8, '"\u0661"'),  # another alphabet's digit
        (U8, "null"),
        (U128, '"' + "9" * 81 + '"'),
        (U128, '"' + str(1 << 128) + '"'),
        (I64, str(1 << 63)),
        (Hash, '"' + "00" * 31 + '"'),
        (Hash, '"' + "0G" * 32 + '"'),
        (Hash, '"' + "AB" * 32 + '"'),
        (AccountId, '"' + "00" * 32 + '"'),  # people write addresses, which have a checksum
        (AccountId, '"arm1qqqq"'),
        (Annotated[bytes, MaxLen(2)], '"abc"'),
        (Annotated[bytes, MaxLen(2)], '"ababab"'),
        (Annotated[bytes, MaxLen(2)], '"ab\\n"'),
        (Annotated[str, MaxLen(2)], '"abc"'),
        (Annotated[tuple[U8, ...], MaxLen(2)], "[1, 2, 3]"),
        (Name, '"A"'),
        (Name, '"a\\n"'),
        (Name, '"' + "a" * 49 + '"'),
        (Denom, '""'),
        (Point, '{"x": 1}'),
        (Point, '{"x": 1, "y": 2, "z": 3}'),
        (Point, "[1, 2]"),
        (Left | Right, '{"size": 3}'),
        (Left | Right, '{"type": "Up", "size": 3}'),
        (Left, '{"type": "Right", "size": 3}'),
    ],
)
def test_invalid_json(declared: Any, text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(declared).validate_json(text)


def test_invalid_tagged_record_with_a_field_called_type() -> None:
    with pytest.raises(ValueError, match="type"):
        type("Clash", (Struct,), {"__annotations__": {"type": U8}, "__module__": __name__}, tag=0)


@pytest.mark.parametrize("kind", [U64, U128])
@pytest.mark.parametrize("value", [1, "1", 10, "10"])
def test_invalid_integer_outside_what_its_field_says(kind: Any, value: Any) -> None:
    fields: dict[str, Any] = {"share": (kind, Field(default=3, ge=2, le=9))}
    model = create_model("Narrow", __config__=ConfigDict(strict=True), **fields)
    with pytest.raises(ValidationError, match=r"2|9"):
        model.model_validate({"share": value})
    assert model.model_validate({"share": "5"}).model_dump() == {"share": 5}
