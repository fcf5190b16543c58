"""The bound on a value's work holds for every value, and is near for those that are as dense as can be."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from runtime.codec import codec
from runtime.codec.schema import Schema, schema_of
from runtime.codec.work import CHOICE, FIELD, LEAF, PAIR, PATTERN, RECORD, WIDE, work_of
from runtime.testing.strategies import from_type
from runtime.types import I64, U8, U16, U32, U64, U128, AccountId, Denom, MaxLen, Struct


class Colour(IntEnum):
    RED = 0


class Pair(Struct):
    small: U8
    flag: bool


class Left(Struct, tag=0):
    amount: U128


class Right(Struct, tag=1):
    pairs: Annotated[tuple[Pair, ...], MaxLen(6)]


class Nothing(Struct):
    pass


class Deep(Struct):
    account: AccountId
    denom: Denom
    colour: Colour | None
    either: Left | Right | None
    many: Annotated[tuple[Left | Right, ...], MaxLen(5)]
    names: Annotated[tuple[Denom, ...], MaxLen(5)]


class Spec(BaseModel):
    balances: dict[Denom, U128]
    sizes: dict[U64, Pair]


TYPES: list[Any] = [
    *(U8, U64, I64, U128, bool, AccountId, Denom, Colour, Annotated[bytes, MaxLen(40)], Annotated[str, MaxLen(40)]),
    *(U8 | None, U128 | None, Pair | None, tuple[U8, U128], Pair, Left | Right, Nothing, Deep, Spec),
    *(Annotated[tuple[each, ...], MaxLen(8)] for each in (U8, U128, Pair, Nothing, Deep, Left | Right)),  # type: ignore[valid-type] # made at run time
]


def units(schema: Schema, value: Any) -> int:
    """What a value is, by its definition: each part as often as it is there."""
    if schema.kind in ("struct", "model"):
        return RECORD + sum(
            FIELD + units(item, getattr(value, name)) for item, name in zip(schema.items, schema.names, strict=True)
        )
    if schema.kind == "tuple":
        return RECORD + sum(FIELD + units(item, each) for item, each in zip(schema.items, value, strict=True))
    if schema.kind == "array":
        own = 0 if work_of(schema.items[0]).most == LEAF else CHOICE
        return CHOICE + sum(own + units(schema.items[0], each) for each in value)
    if schema.kind == "map":
        return CHOICE + sum(PAIR + units(schema.items[0], k) + units(schema.items[1], v) for k, v in value.items())
    if schema.kind == "optional":
        return CHOICE + (0 if value is None else units(schema.items[0], value))
    if schema.kind == "union":
        return CHOICE + next(units(item, value) for item in schema.items if item.python is type(value))
    if schema.kind == "enum" or schema.bits > 64:
        return WIDE
    return PATTERN if schema.regex else LEAF


@pytest.mark.parametrize("declared", TYPES, ids=str)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_value_is_more_work_than_its_bytes_say(declared: Any, data: st.DataObject) -> None:
    value = data.draw(from_type(declared))
    size = len(codec(declared).encode(value))
    assert units(schema_of(declared), value) <= codec(declared).work(size)
    assert work_of(schema_of(declared)).least_bytes <= size


@given(size=st.integers(0, 1000), more=st.integers(0, 1000))
def test_more_bytes_are_never_less_work(size: int, more: int) -> None:
    for declared in TYPES:
        assert codec(declared).work(size) <= codec(declared).work(size + more)


@pytest.mark.parametrize(
    ("element", "value"), [(Pair, Pair(1, True)), (U128, 1), (U8, 1), (tuple[U8, U8], (1, 2)), (U16 | None, 3)]
)
def test_the_densest_values_are_charged_what_they_are(element: Any, value: Any) -> None:
    """Within a quarter: the bound is no more than honest."""
    declared = Annotated[tuple[element, ...], MaxLen(10_000)]
    found = units(schema_of(declared), (value,) * 1000)
    assert found <= codec(declared).work(len(codec(declared).encode((value,) * 1000))) <= found * 5 // 4


def test_bytes_are_one_piece_however_long() -> None:
    assert codec(Annotated[bytes, MaxLen(1 << 20)]).work(1 << 20) == LEAF
    assert codec(Annotated[tuple[U32, ...], MaxLen(3)]).work(1 << 20) == CHOICE + 3 * LEAF
