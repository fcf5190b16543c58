"""armillary status: how a node is, for people at a glance or as the node says it."""

from __future__ import annotations

import json
import time

import click
from pydantic import ConfigDict, ValidationError
from rich.console import Console
from rich.table import Table

from runtime.node.digest import program_version
from runtime.rpc.views import StatusView
from tools.cli.options import AS_JSON, NODE
from tools.client import NodeClient, NodeError

VALIDATORS_SHOWN_MAX = 20
HEX_SHOWN = 16


class Seen(StatusView):
    """What is shown of a node's answer; a newer node may say more."""

    model_config = ConfigDict(extra="ignore")


@click.command()
@NODE
@AS_JSON
def status(node: str, as_json: bool) -> None:
    """Show how a node is: height, age of its last block, validators, peers, waiting transactions, versions.

    Exits with 1 and one line when the node does not answer, so that it serves as a health check.
    """
    with NodeClient(node) as client:
        answer = client.status()
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    try:
        found = Seen.model_validate_json(json.dumps(answer))
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise NodeError(f"{node} answers, but not as an Armillary node does: its {where} is missing or wrong") from None
    click.echo(_facts(found, now_ms=time.time_ns() // 1_000_000))
    Console(highlight=False).print(_validators(found))


def _facts(found: Seen, *, now_ms: int) -> str:
    """A line for each fact, as plain text."""
    rows = {
        "node": f"{found.name}, {found.version} (this command: {program_version()})",
        "runtime": found.runtime_digest.hex(),
        "chain": f"{found.chain}, genesis {found.genesis_hash.hex()}",
        "height": f"{found.height:,}, {_age(found, now_ms)}",
        "state root": found.state_root.hex(),
        "syncing": f"yes, {found.behind:,} blocks behind" if found.behind else "no",
        "signs": _signing(found),
        "peers": f"{found.peers:,}, this node is {found.peer_id}",
        "mempool": f"{found.mempool_transactions:,} transactions, {found.mempool_bytes:,} bytes",
        "history": f"state from height {found.oldest_height:,} on",
    }
    return "\n".join(f"{name:<11} {_plain(value)}" for name, value in rows.items())


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _age(found: Seen, now_ms: int) -> str:
    if found.height == 0:
        return "no block yet"
    seconds = max(now_ms - found.time_ms, 0) / 1000
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.1f} s ago"


def _signing(found: Seen) -> str:
    if found.validator is None:
        return "no: a full node"
    shown = f"{found.validator.hex()[:HEX_SHOWN]}..."
    if not found.voting:
        return f"no: its key {shown} has no voting power at the next height"
    return f"yes, with {shown}; round {found.round}" if found.round >= 0 else f"yes, with {shown}"


def _validators(found: Seen) -> Table:
    """Who votes at the next height, the powerful first."""
    everyone = sorted(found.validators, key=lambda each: -each.power)
    total = sum(each.power for each in everyone)
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{len(everyone)} validators")
    table.add_column("power", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for each in everyone[:VALIDATORS_SHOWN_MAX]:
        power = each.power
        own = "this node" if each.public_key == found.validator else ""
        table.add_row(f"{each.public_key.hex()[:HEX_SHOWN]}...", f"{power:,}", f"{100 * power / total:.1f} %", own)
    if len(everyone) > VALIDATORS_SHOWN_MAX:
        table.add_row(f"and {len(everyone) - VALIDATORS_SHOWN_MAX} more", "", "", "")
    return table
