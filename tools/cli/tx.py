"""armillary tx MODULE CALL: the modules' calls as commands, with help from their docstrings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from runtime.errors import UsageError
from runtime.module import Call, CallInfo
from tools.cli.arguments import gather, typed
from tools.cli.keyring import Keyring, default_home
from tools.cli.modules import ModulesGroup, verb_command
from tools.cli.output import progress, show_outcome
from tools.client import NodeClient
from tools.transactions import Sender, with_margin

DEFAULT_NODE = "http://127.0.0.1:8400"
NODE = click.Option(
    ["--node"], default=DEFAULT_NODE, envvar="ARMILLARY_NODE", show_default=True, help="The node's URL."
)
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print the node's answer as JSON.")
ARGS = click.Option(["--args", "file"], type=click.Path(path_type=Path, dir_okay=False), help="Arguments as JSON.")
SHARED: list[click.Parameter] = [
    ARGS,
    click.Option(["--key"], required=True, help="The name of the key that signs."),
    click.Option(["--home"], type=click.Path(path_type=Path, file_okay=False), default=default_home, help="Of keys."),
    NODE,
    click.Option(["--dry-run"], is_flag=True, help="Say what it would do: gas, fee, events, errors. Send nothing."),
    click.Option(["--gas-limit"], type=click.IntRange(1, 1 << 63), help="If not given: a dry run's gas and a tenth."),
    click.Option(["--max-fee"], type=click.IntRange(0), help="If not given: what the gas limit costs, and the tip."),
    click.Option(["--tip"], type=click.IntRange(0), default=0, help="For coming first; base units."),
    click.Option(["--no-wait"], is_flag=True, help="Print the hash and leave; do not wait for the block."),
    JSON,
]


def _command(module: str, info: CallInfo) -> click.Command:
    def run(**given: Any) -> int:
        return _run(info, given)

    return verb_command(info.name, info.docs, info.fields, SHARED, run)


tx = ModulesGroup(
    name="tx",
    help="Send a transaction with one call: armillary tx MODULE CALL --argument value --key NAME.",
    verbs=lambda metadata: metadata.calls,
    make=_command,
)


def _run(info: CallInfo, given: dict[str, Any]) -> int:
    values = gather(info.fields, given, given["file"])
    with NodeClient(given["node"]) as client:
        key = Keyring(given["home"]).open(given["key"])
        sender = Sender(client, key)
        call = Call(info.full_name, info.codec.encode(typed(info.arguments, values, sender.chain.prefix)))
        if given["dry_run"]:
            outcome = sender.dry_run([call], gas_limit=given["gas_limit"], tip=given["tip"])
            return show_outcome(outcome, as_json=given["as_json"])
        limit = given["gas_limit"]
        if limit is None:
            outcome = sender.dry_run([call], tip=given["tip"])
            if outcome["error"]:
                raise UsageError(
                    f"not sent, it would fail: {outcome['error']['message']} (--gas-limit sends it anyway)"
                )
            limit = with_margin(outcome["gas_used"])
        sent = sender.send([call], gas_limit=limit, max_fee=given["max_fee"], tip=given["tip"])
        if given["no_wait"]:
            click.echo(json.dumps({"hash": sent}) if given["as_json"] else sent)
            return 0
        with progress(f"waiting for {sent[:16]}... to be in a block"):
            outcome = client.wait(sent)
        return show_outcome(outcome, as_json=given["as_json"])
