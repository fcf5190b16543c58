"""Amounts with a symbol: exactly so many base units, or an error that names the option and what is wrong."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Annotated, Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.tokens import Tokens
from runtime.errors import UsageError
from runtime.module import Field
from runtime.types import U64, U128, Denom, IntWidth, MaxLen, Struct
from tools.cli.amounts import (
    EXPONENT_MAX,
    Unit,
    answer_for_people,
    base_units,
    fee_in_base_units,
    for_people,
    in_base_units,
    units_of,
)
from tools.cli.arguments import gather, options, typed
from tools.client import NodeClient, NodeError

ARM = Unit("ARM", 9)
UNITS = {"arm": ARM, "cent": Unit("CENT", 0), "raw": None}


class Price(Struct):
    """An amount inside of a record."""

    denom: Denom
    amount: Annotated[int, IntWidth(96)]


class Swap(Struct):
    """Two denominations: whose is the amount?"""

    denom: Denom
    other: Denom
    amount: U128


class Both(Struct):
    """Everything at once."""

    denom: Denom
    amount: U128
    limit: U128 | None
    count: U64
    price: Price
    prices: Annotated[tuple[Price, ...], MaxLen(4)]


class Alone(Struct):
    """No denomination."""

    amount: U128


def converted(record: type[Struct], **values: Any) -> dict[str, Any]:
    return in_base_units(record, values, lambda denom: UNITS[denom])


@given(
    amount=st.integers(0, (1 << 128) - 1) | st.integers(0, 2_000_000_000),
    exponent=st.integers(0, EXPONENT_MAX),
)
def test_what_people_are_shown_is_read_back_exactly(amount: int, exponent: int) -> None:
    unit = Unit("X1", exponent)
    shown = for_people(amount, unit)
    assert base_units(shown, "x", unit, "--amount") == amount
    with localcontext() as context:
        context.prec = 80
        assert Decimal(shown.removesuffix("X1")) * 10**exponent == amount
    assert not (shown.removesuffix("X1").endswith("0") and "." in shown)


@given(whole=st.integers(0, 10**38), fraction=st.text("0123456789", max_size=20), exponent=st.integers(0, EXPONENT_MAX))
def test_any_decimal_is_exact_or_refused(whole: int, fraction: str, exponent: int) -> None:
    text = f"{whole}{'.' if fraction else ''}{fraction}ARM"
    if len(fraction) > exponent:
        with pytest.raises(UsageError, match=f"ARM has at most {exponent} decimals"):
            base_units(text, "arm", Unit("ARM", exponent), "--amount")
        return
    with localcontext() as context:
        context.prec = 80
        expected = Decimal(text.removesuffix("ARM")) * 10**exponent
    assert base_units(text, "arm", Unit("ARM", exponent), "--amount") == expected


def test_amounts_are_converted_wherever_they_stand_beside_a_denomination(capsys: pytest.CaptureFixture[str]) -> None:
    values = {
        "denom": "arm",
        "amount": "1.5ARM",
        "limit": "0.000000001ARM",
        "count": "7",
        "price": {"denom": "cent", "amount": "3CENT"},
        "prices": [{"denom": "arm", "amount": "12"}, {"denom": "arm", "amount": "2ARM"}],
    }
    assert converted(Both, **values) == values | {
        "amount": "1500000000",
        "limit": "1",
        "price": {"denom": "cent", "amount": "3"},
        "prices": [{"denom": "arm", "amount": "12"}, {"denom": "arm", "amount": "2000000000"}],
    }
    assert capsys.readouterr().err.splitlines() == [
        "--amount: 1.5ARM is 1500000000 base units of arm",
        "--limit: 0.000000001ARM is 1 base units of arm",
        "--price.amount: 3CENT is 3 base units of cent",
        "--prices.1.amount: 2ARM is 2000000000 base units of arm",
    ]


@given(amount=st.integers(0, (1 << 128) - 1))
def test_a_whole_number_is_base_units_and_no_node_is_asked(amount: int) -> None:
    def nobody(denom: str) -> Unit | None:
        raise AssertionError(f"asked for {denom}")

    for given_amount in (str(amount), amount):
        values = {"to": "x", "denom": "arm", "amount": given_amount}
        assert in_base_units(Tokens.metadata().calls["transfer"].arguments, values, nobody) == values


def test_help_says_how_an_amount_may_be_written() -> None:
    call = Tokens.metadata().calls["approve"]
    helps = {option.opts[0]: getattr(option, "help", None) or "" for option in options(call.fields)}
    assert "like 1.5ARM" in helps["--amount"]
    assert "like 1.5ARM; none if left out" in helps["--expected"]
    alone = (Field("amount", U128, "U128"),)
    assert getattr(options(alone)[0], "help", "") == "0 to 2^128 - 1"


@pytest.mark.parametrize(
    ("record", "values", "words"),
    [
        (Price, {"amount": "1.5ARM"}, "--amount: '1.5ARM' is no whole number; no denomination stands beside it"),
        (Price, {"denom": "arm", "amount": "1.5GLD"}, "--amount: GLD is not the symbol of arm, which is ARM"),
        (Price, {"denom": "arm", "amount": "1.5"}, "--amount: '1.5' is no amount: write base units, or like 1.5ARM"),
        (Price, {"denom": "arm", "amount": "1.5arm"}, "write base units, or like 1.5ARM"),
        (Price, {"denom": "arm", "amount": "1,5ARM"}, "write base units, or like 1.5ARM"),
        (Price, {"denom": "arm", "amount": ".5ARM"}, "write base units"),
        (Price, {"denom": "arm", "amount": "5.ARM"}, "write base units"),
        (Price, {"denom": "arm", "amount": "-5ARM"}, "write base units"),
        (Price, {"denom": "arm", "amount": "1e3ARM"}, "write base units"),
        (Price, {"denom": "arm", "amount": "1 ARM"}, "write base units"),
        (Price, {"denom": "arm", "amount": "\u0661ARM"}, "write base units"),
        (Price, {"denom": "arm", "amount": ""}, "write base units"),
        (Price, {"denom": "arm", "amount": "9" * 41 + "ARM"}, "write base units"),
        (Price, {"denom": "arm", "amount": "1.0000000001ARM"}, "--amount: ARM has at most 9 decimals, .* has 10"),
        (Price, {"denom": "cent", "amount": "1.0CENT"}, "CENT has at most 0 decimals"),
        (Price, {"denom": "raw", "amount": "1.5RAW"}, "raw has no symbol on this chain: base units only"),
        (Price, {"denom": 5, "amount": "1.5ARM"}, "no denomination stands beside it"),
        (Alone, {"amount": "1.5ARM"}, "no denomination stands beside it"),
        (Swap, {"denom": "arm", "other": "cent", "amount": "1.5ARM"}, "no denomination stands beside it"),
        (Both, {"denom": "arm", "price": {"amount": "2ARM"}}, "--price.amount: '2ARM' .* no denomination stands"),
    ],
)
def test_invalid_amount_is_named_with_its_option(record: type[Struct], values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        converted(record, **values)
    assert "\n" not in str(caught.value)


def test_invalid_amount_beyond_its_bound_is_refused_as_any_number() -> None:
    values = converted(Price, denom="arm", amount="9" * 30 + "ARM")
    with pytest.raises(UsageError, match=r"--amount: .* is outside 0 to"):
        typed(Price, values, "arm")


@pytest.mark.parametrize(
    "values", [{"denom": "arm", "amount": None}, {"denom": "arm", "amount": []}, {"denom": "arm", "none": 1}]
)
def test_invalid_values_of_other_kinds_are_left_to_the_types(values: dict[str, Any]) -> None:
    assert converted(Price, **values) == values
    with pytest.raises(UsageError):
        typed(Price, values, "arm")


class Answers:
    """In place of a client: one answer, and how often it was asked for."""

    url = "http://node"

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, 0

    def get(self, path: str, **parameters: Any) -> Any:
        assert (path, parameters) == ("/query/tokens/metadata_of", {"denom": "arm"})
        self.asked += 1
        return self.answer


@given(st.integers(0, (1 << 128) - 1))
def test_a_fee_is_in_base_units_or_with_the_symbol_of_what_fees_are_paid_in(amount: int) -> None:
    assert fee_in_base_units(amount, "--tip", lambda: "nobody asks", UNITS.__getitem__) == amount
    assert fee_in_base_units(for_people(amount, ARM), "--tip", lambda: "arm", UNITS.__getitem__) == amount


@pytest.mark.parametrize(
    ("text", "denom", "words"),
    [
        ("1.5CENT", "arm", "--tip: CENT is not the symbol of arm, which is ARM"),
        ("0.0000000001ARM", "arm", "--tip: ARM has at most 9 decimals"),
        ("1.5RAW", "raw", "raw has no symbol on this chain"),
        (f"{1 << 128}CENT", "cent", "more than any account can hold"),
    ],
)
def test_invalid_fees_with_a_symbol(text: str, denom: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fee_in_base_units(text, "--tip", lambda: denom, UNITS.__getitem__)


def test_a_unit_is_asked_of_the_node_once() -> None:
    shown = {"name": "", "symbol": "ARM", "exponent": 9, "description": ""}
    node = Answers({"height": 1, "result": shown})
    unit_of = units_of(cast("NodeClient", node))
    assert (unit_of("arm"), unit_of("arm"), node.asked) == (ARM, ARM, 1)
    assert units_of(cast("NodeClient", Answers({"result": None})))("arm") is None


def test_an_answer_that_is_an_amount_is_told_with_its_symbol() -> None:
    queries = Tokens.metadata().queries

    def told(name: str, answer: Any, denom: str = "arm", unit_of: Any = UNITS.__getitem__) -> str | None:
        return answer_for_people(queries[name], {"account": "x", "denom": denom}, answer, unit_of)

    def no_tokens(denom: str) -> Unit | None:
        raise NodeError("there is no module tokens")

    assert told("balance_of", "1500000007") == "1.500000007ARM"
    assert told("total_supply", "0", "cent") == "0CENT"
    assert told("balance_of", "5", "raw") is None
    assert told("balance_of", "5", unit_of=no_tokens) is None
    assert told("balance_of", None) is None
    assert told("denomination", {"supply": "5"}) is None
    assert answer_for_people(queries["denom_of"], {"symbol": "ARM"}, "arm", UNITS.__getitem__) is None


@pytest.mark.parametrize(
    "answer",
    [[], {}, None, {"result": 5}, {"result": {"symbol": "ARM"}}]
    + [{"result": {"symbol": "ARM", "exponent": each}} for each in (-1, 19, 10**9, "9", True, None, 1.5)]
    + [{"result": {"symbol": 5, "exponent": 9}}],
)
def test_invalid_answers_of_a_node_are_no_units(answer: Any) -> None:
    with pytest.raises(NodeError, match="not as an Armillary node"):
        units_of(cast("NodeClient", Answers(answer)))("arm")


def test_a_file_of_arguments_may_hold_amounts_with_symbols(tmp_path: Any) -> None:
    file = tmp_path / "arguments.json"
    file.write_bytes(msgspec.json.encode({"denom": "arm", "amount": "2.25ARM"}))
    fields = (Field("denom", Denom, "Denom"), Field("amount", U128, "U128"))
    assert converted(Price, **gather(fields, {}, file))["amount"] == "2250000000"
