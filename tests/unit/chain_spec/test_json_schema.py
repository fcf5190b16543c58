"""The published JSON Schema agrees with what reads a spec: what is read it takes, what it refuses is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Annotated, Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from chain_spec import SpecError, parse_chain, plugins
from chain_spec.forms import form_of
from chain_spec.json_schema import DIALECT, _of, spec_schema, words
from chain_spec.presets import STANDARD_MODULES
from runtime import Genesis
from runtime.bech32m import encode_address
from runtime.types import I64, U8, U64, U128, AccountId, Denom, Hash, MaxLen, Struct

Document = Callable[[], dict[str, Any]]
MINE = encode_address(AccountId(b"\7" * 32))
WRONG = [
    None,
    True,
    -1,
    1.5,
    1 << 140,
    "",
    "x",
    "-1",
    "01",
    "0x1",
    "1",
    "9" * 60,
    MINE,
    MINE[:-1] + "!",
    [],
    [1],
    {},
    {"x": 1},
]


@pytest.fixture(scope="session")
def validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(spec_schema())


def is_read(made: dict[str, Any]) -> bool:
    try:
        parse_chain(json.dumps(made).encode())
    except SpecError:
        return False
    return True


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value of a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    target: Any = document
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value


def test_the_schema_is_one(validator: jsonschema_rs.Validator) -> None:
    schema = json.loads(json.dumps(spec_schema()))
    jsonschema_rs.meta.validate(schema)
    assert schema["$schema"] == DIALECT


def test_a_made_spec_is_valid(validator: jsonschema_rs.Validator, document: Document) -> None:
    assert [error.message for error in validator.iter_errors(document())] == []


@given(data=st.data())
def test_what_is_read_is_valid(validator: jsonschema_rs.Validator, document: Document, data: st.DataObject) -> None:
    made = document()
    for path in data.draw(st.lists(st.sampled_from([*places(made)][1:]), min_size=1, max_size=2, unique=True)):
        try:
            put(made, path, copy.deepcopy(data.draw(st.sampled_from(WRONG))))
        except (LookupError, TypeError):
            continue  # an earlier change took the place away
    if is_read(made):
        assert validator.is_valid(made)


BROKEN: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda made: made.update(nmae=1), "a field that is not there"),
    (lambda made: made.pop("name"), "a missing field"),
    (lambda made: made.update(name="Upper"), "an identifier"),
    (lambda made: made.update(address_prefix="1a"), "a prefix"),
    (lambda made: made.update(spec_version=2), "a constant"),
    (lambda made: made.update(spec_version=True), "true, which equals the constant in Python"),
    (lambda made: made.update(modules=[]), "a list that is too short"),
    (lambda made: made.update(bootnodes=["x"] * 65), "a list that is too long"),
    (lambda made: made["consensus"].update(timeout_vote_ms=1 << 32), "a number above its bound"),
    (lambda made: made["consensus"].update(timeout_vote_ms="1x"), "digits that are none"),
    (lambda made: made["roles"].update(fees=7), "a name that is a number"),
    (lambda made: made["modules"][0].update(digest="AA" * 32), "hex in capitals"),
    (lambda made: made["modules"][0].update(name="acounts"), "a module that is not installed"),
    (lambda made: made["modules"][1].update(version=99), "a version that is not installed"),
    (lambda made: made["modules"][3].update(params={"x": 1}), "parameters of a module that takes none"),
    (lambda made: made["modules"][1]["params"].update(fee_denom="!"), "a parameter"),
    (lambda made: made["modules"][1]["params"].update(colour=1), "a parameter that is not there"),
    (lambda made: made["modules"][1]["params"].update(fee_collector="arm1x"), "an address"),
    (lambda made: made["modules"][1]["genesis"]["balances"].update({MINE: {"A": "1"}}), "a key of a map"),
    (lambda made: made["modules"][1]["genesis"]["balances"].update({MINE: {"arm": "1.5"}}), "an amount"),
    (lambda made: made["modules"][1]["genesis"]["balances"].update({MINE: {"arm": 1 << 128}}), "a wide number"),
    (lambda made: made["modules"][4]["genesis"]["validators"][0].pop("peer"), "a field of a record"),
    (lambda made: made["modules"][4]["genesis"]["validators"][0].update(peer="x"), "a pattern of a record"),
    (lambda made: made["modules"][0]["genesis"].update(rules={MINE: {"type": "NoKey"}}), "a member of a union"),
]


@pytest.mark.parametrize(("change", "what"), BROKEN, ids=[what for _, what in BROKEN])
def test_invalid_specs_are_refused_by_both(
    validator: jsonschema_rs.Validator, document: Document, change: Callable[[dict[str, Any]], object], what: str
) -> None:
    made = document()
    change(made)
    assert not validator.is_valid(made)
    assert not is_read(made)


def test_every_parameter_of_every_standard_module_is_described() -> None:
    listed = spec_schema()["properties"]["modules"]["items"]["allOf"]
    by_name = {entry["if"]["properties"]["name"]["const"]: entry["then"]["properties"] for entry in listed}
    assert set(STANDARD_MODULES) <= set(by_name)
    for name in STANDARD_MODULES:
        metadata = plugins.load(name).metadata()
        for section, model in (("params", metadata.params), ("genesis", metadata.genesis)):
            fields = {} if model is None else model.model_fields
            described = by_name[name][section].get("properties", {})
            assert set(described) == set(fields)
            for field, form in described.items():
                assert "default" in form or fields[field].is_required(), (name, field)


def test_what_a_person_reads_of_a_value(document: Document) -> None:
    schema = spec_schema()["properties"]
    power = spec_schema()["properties"]["modules"]["items"]["allOf"]
    assert schema["genesis_time_ms"]["description"].startswith("Unix time of the genesis in milliseconds; a whole")
    balances = next(each for each in power if each["if"]["properties"]["name"]["const"] == "tokens")
    form = balances["then"]["properties"]["genesis"]["properties"]["balances"]
    assert form["propertyNames"]["format"] == "bech32m"
    assert form["additionalProperties"]["additionalProperties"]["type"][0] == "string"


class Colour(IntEnum):
    RED = 0
    BLUE = 1


class Point(Struct):
    x: I64
    y: U8


class Every(Genesis):
    """Every kind of value that a module's genesis may hold."""

    flag: bool
    colour: Colour
    data: Annotated[bytes, MaxLen(4)]
    text: Annotated[str, MaxLen(3)]
    points: Annotated[tuple[Point, ...], MaxLen(2)]
    pair: tuple[U8, Hash]
    held: dict[AccountId, dict[Denom, U128]] = {}
    by_number: dict[U64, U8] = {}
    maybe: AccountId | None = None
    some: Annotated[U64, Field(ge=2, le=9)] = 5
    wide: U64 = Field(default=5, ge=2)


GOOD: dict[str, Any] = {
    "flag": True, "colour": 1, "data": "00ff", "text": "abc", "points": [{"x": -5, "y": 255}], "pair": [1, "00" * 32],
    "held": {MINE: {"arm": "1"}}, "by_number": {"12": 3}, "maybe": MINE, "some": 2, "wide": 2,
}  # fmt: skip


@given(path=st.sampled_from([*places(GOOD)][1:]), value=st.sampled_from([*WRONG, 2, 10, "00", "0000000000", "abcd"]))
def test_every_kind_of_value_is_judged_alike(path: tuple[Any, ...], value: Any) -> None:
    """Beyond a schema are only the bounds of numbers in digits. It is stricter in one place: pydantic reads `true`
    where an enum has a member 1."""
    made = json.loads(json.dumps(GOOD))
    put(made, path, value)
    takes = jsonschema_rs.Draft202012Validator(_of(form_of(Every))).is_valid(made)
    try:
        Every.model_validate_json(json.dumps(made), context={"prefix": "arm"})
    except ValueError:
        digits = isinstance(value, str) and value.isdigit()
        assert not takes or digits, (path, value)
    else:
        assert takes or (path, value) == (("colour",), True), (path, value)


def test_words_say_what_to_write() -> None:
    members = form_of(Every).members
    assert {name: words(member.form) for name, member in members.items()} == {
        "flag": "true or false",
        "colour": "0 red, 1 blue",
        "data": "at most 4 bytes in lower-case hex",
        "text": "a text of at most 3 characters",
        "points": "a list [...]",
        "pair": "a list of 2",
        "held": "an object {...}",
        "by_number": "an object {...}",
        "maybe": "an address: bech32m with the chain's prefix, or null",
        "some": "a whole number, 2 to 9",
        "wide": "a whole number, 2 to 18446744073709551615",
    }
