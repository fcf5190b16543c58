"""A registered model in words: what the query registry.model answers, a line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modules.registry.protocol import Approval, Standing
from tools.certificates import shown


def describe_model(name: str, found: dict[str, Any]) -> Iterator[str]:
    """found: the answer's JSON. What owners and models say may be anything: no line of it reaches beyond its own."""
    record, info = found["record"], found["info"]
    card, change = record["card"], record["next_price"]
    is_announced = change is not None and change["price"] != found["price"]  # else it holds already
    yield f"model      {name}  ({info['size_bytes']:,} bytes, since height {record['height']})"
    yield f"title      {shown([card['title'], 'version ' + card['version'], card['licence']])}"
    yield f"owner      {record['owner']}" + (f", offered to {record['offered_to']}" if record["offered_to"] else "")
    yield f"standing   {_standing(found['standing'], record)}"
    yield f"price      {_price(found['price'])} a row" + (
        f"; {_price(change['price'])} from height {change['starts']} on" if is_announced else ""
    )
    for title, specs in (("input", info["inputs"]), ("output", info["outputs"])):
        for spec in specs:
            shape = " x ".join(["N", *map(str, spec["shape"])])
            low, high = (int(spec[bound]) * 2.0 ** -spec["frac_bits"] for bound in ("low", "high"))
            yield f"{title:<10} {spec['name']}: {shape}, {spec['frac_bits']} fractional bits, {low:g} to {high:g}"
    if info["labels"]:
        yield f"labels     {shown(info['labels'])}"
    yield f"gas        load {info['gas_load']:,}, fixed {info['gas_fixed']:,}, per row {info['gas_per_row']:,}"
    yield from (f"parent     {parent}" for parent in card["parents"])
    yield from (f"remark     {remark['name']}: {shown([remark['text']])}" for remark in card["remarks"])


def _standing(standing: int, record: dict[str, Any]) -> str:
    if standing == Standing.RETIRED:
        return f"retired at height {record['retired']}: it runs no more"
    if standing == Standing.RUNS:
        return "runs, approved" if record["approval"] == Approval.APPROVED else "runs"
    return "revoked: it does not run" if record["approval"] == Approval.REVOKED else "waits for approval"


def _price(price: dict[str, Any]) -> str:
    return f"{price['amount']} {price['denom']}"
