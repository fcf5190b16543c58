"""Amounts as people write them: `1.5ARM` beside the denomination arm, whose exponent is 9, is 1500000000 base units.

Lives here: from an amount with a symbol to base units and back, by integers alone. A bare whole number is base units,
as everywhere. Must not: guess. The symbol must be that of the denomination that stands beside the amount, in the same
call or record; where none does, base units are the only way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from runtime.codec.schema import Schema, schema_of
from runtime.errors import UsageError
from runtime.module import QueryInfo
from runtime.types import Struct
from tools.cli.arguments import option_name
from tools.cli.forms import denom_beside, is_wide
from tools.cli.options import AMOUNT_MAX
from tools.client import NodeClient, NodeError

EXPONENT_MAX = 18
_WRITTEN = re.compile(r"([0-9]{1,40})(?:\.([0-9]{1,40}))?([A-Z][A-Z0-9]{0,11})", re.ASCII)
_WHOLE = re.compile(r"[0-9]+", re.ASCII)


@dataclass(frozen=True)
class Unit:
    """How people see a denomination: one `symbol` is 10^exponent base units."""

    symbol: str
    exponent: int


UnitOf = Callable[[str], Unit | None]
"""How people see the denomination of this name; None where the chain does not say."""


def base_units(text: str, denom: str, unit: Unit, where: str) -> int:
    """`1.5ARM` as base units, exactly. Raises UsageError naming `where`."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise UsageError(f"{where}: {text[:60]!r} is no amount: write base units, or like 1.5{unit.symbol}")
    whole, fraction, symbol = written[1], written[2] or "", written[3]
    if symbol != unit.symbol:
        raise UsageError(f"{where}: {symbol} is not the symbol of {denom}, which is {unit.symbol}")
    if len(fraction) > unit.exponent:
        raise UsageError(f"{where}: {symbol} has at most {unit.exponent} decimals, {text[:60]} has {len(fraction)}")
    return int(whole + fraction.ljust(unit.exponent, "0"))


def for_people(amount: int, unit: Unit) -> str:
    """Base units as `base_units` reads them, without zeros that say nothing: 1500000000 of ARM is 1.5ARM."""
    whole, rest = divmod(amount, 10**unit.exponent)
    fraction = f"{rest:0{unit.exponent}}".rstrip("0") if rest else ""
    return f"{whole}{'.' if fraction else ''}{fraction}{unit.symbol}"


def in_base_units(record: type[Struct], values: dict[str, Any], unit_of: UnitOf, where: str = "") -> dict[str, Any]:
    """A call's arguments with every amount in base units, however deep it stands. Raises UsageError naming it. where:
    the JSON path of the arguments; "": they are the command's own.

    What was written with a symbol is said again on standard error, in base units: that is what will be signed.
    """
    found = _convert(schema_of(record), values, where, None, unit_of)
    result: dict[str, Any] = found
    return result


def fee_in_base_units(amount: int | str, where: str, fee_denom: Callable[[], str], unit_of: UnitOf) -> int:
    """What the option `where` offers for a transaction: base units as they are, or with the symbol of what fees are
    paid in. Raises UsageError."""
    if isinstance(amount, int):
        return amount
    found = _amount(amount, fee_denom(), where, unit_of)
    if found > AMOUNT_MAX:
        raise UsageError(f"{where}: {amount[:60]} is more than any account can hold")
    return found


def answer_for_people(query: QueryInfo, arguments: Mapping[str, Any], answer: Any, unit_of: UnitOf) -> str | None:
    """The answer of a query with a symbol, where it is an amount and the arguments say of which denomination; None
    otherwise, and where the chain does not say."""
    schema = schema_of(query.arguments)
    denom = denom_beside(schema.names, schema.items, arguments)
    if denom is None or not is_wide(schema_of(query.result)) or not _WHOLE.fullmatch(str(answer)):
        return None
    try:
        unit = unit_of(denom)
    except NodeError:  # the answer stands without it
        return None
    return None if unit is None else for_people(int(answer), unit)


def units_of(client: NodeClient) -> UnitOf:
    """Units as the chain has them (module tokens), each asked for once."""
    known: dict[str, Unit | None] = {}

    def unit_of(denom: str) -> Unit | None:
        if denom not in known:
            known[denom] = _unit(client, denom)
        return known[denom]

    return unit_of


def _unit(client: NodeClient, denom: str) -> Unit | None:
    answer = client.get("/query/tokens/metadata_of", denom=denom)
    try:
        shown = answer["result"]
        if shown is None:
            return None
        symbol, exponent = shown["symbol"], shown["exponent"]
    except (KeyError, TypeError):
        symbol, exponent = None, None
    if not isinstance(symbol, str) or type(exponent) is not int or not 0 <= exponent <= EXPONENT_MAX:
        raise NodeError(f"{client.url} answers, but not as an Armillary node does")
    return Unit(symbol, exponent)


def _convert(schema: Schema, value: Any, where: str, denom: str | None, unit_of: UnitOf) -> Any:
    """The value with its amounts converted. denom: what stands beside it, if anything. What is not of its type stays as
    it is: the types say so, in their own words."""
    if schema.kind == "optional":
        return None if value is None else _convert(schema.items[0], value, where, denom, unit_of)
    if is_wide(schema) and isinstance(value, str) and not _WHOLE.fullmatch(value):
        return str(_amount(value, denom, where, unit_of))
    if schema.kind == "struct" and isinstance(value, dict):
        beside = denom_beside(schema.names, schema.items, value)
        parts = dict(zip(schema.names, schema.items, strict=True))
        return {
            name: _convert(parts[name], part, _inside(where, name), beside, unit_of) if name in parts else part
            for name, part in value.items()
        }
    if schema.kind == "union" and isinstance(value, dict):
        member = next((item for item in schema.items if item.name == value.get("type")), None)
        return value if member is None else _convert(member, value, where, None, unit_of)
    if schema.kind == "array" and isinstance(value, list):
        return [_convert(schema.items[0], part, f"{where}.{n}", denom, unit_of) for n, part in enumerate(value)]
    return value


def _amount(text: str, denom: str | None, where: str, unit_of: UnitOf) -> int:
    if denom is None:
        raise UsageError(
            f"{where}: {text[:60]!r} is no whole number; no denomination stands beside it: base units only"
        )
    unit = unit_of(denom)
    if unit is None:
        raise UsageError(
            f"{where}: {text[:60]!r} is no whole number; {denom} has no symbol on this chain: base units only"
        )
    amount = base_units(text, denom, unit, where)
    click.echo(f"{where}: {text} is {amount} base units of {denom}", err=True)
    return amount


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else option_name(name)
