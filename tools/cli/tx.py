"""armillary tx MODULE CALL: the modules' calls as commands, with help from their docstrings."""

from __future__ import annotations

import json
from typing import Any

import click

from runtime.errors import CallerError
from runtime.limits import HEIGHT_MAX
from runtime.module import Call, CallInfo
from tools.cli.amounts import UnitOf, fee_in_base_units, in_base_units, units_of
from tools.cli.arguments import gather, typed
from tools.cli.calls import NestedCalls, Params
from tools.cli.keyring import Keyring
from tools.cli.modules import Decorator, ModulesGroup, verb_command
from tools.cli.options import ARGUMENTS, AS_JSON, HOME_OF_KEYS, KEY, NODE, Amount, Whole
from tools.cli.output import progress, show_outcome
from tools.client import NodeClient
from tools.transactions import Sender, with_margin

U64_MAX = (1 << 64) - 1

SHARED: list[Decorator] = [
    ARGUMENTS,
    KEY,
    HOME_OF_KEYS,
    NODE,
    click.option("--dry-run", is_flag=True, help="Say what it would do: gas, fee, events, error. Send nothing."),
    click.option("--gas-limit", type=Whole(1, U64_MAX), help="The most gas; a dry run's and a tenth if left out."),
    click.option(
        "--max-fee",
        type=Amount(),
        help="The most it may cost, in base units or like 1.5ARM; gas limit and tip if left out.",
    ),
    click.option(
        "--tip", type=Amount(), default=0, help="On top of the fee, for coming first; in base units or like 1.5ARM."
    ),
    click.option("--nonce", type=Whole(0, U64_MAX), help="The account's next nonce if left out."),
    click.option(
        "--last-valid-height", type=Whole(0, HEIGHT_MAX), help="The last block that may hold it; any if left out."
    ),
    click.option("--no-wait", is_flag=True, help="Print the hash and leave; do not wait for the block."),
    AS_JSON,
]


class WouldFail(CallerError):
    """Not sent: a dry run says that the call would fail, and the signer pays for failing too."""


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
    return send_call(info, gather(info.fields, given, given["file"]), given)


def send_call(info: CallInfo, values: dict[str, Any], given: dict[str, Any]) -> int:
    """One call with these arguments, as people write them, in a transaction; given: the options of SHARED. Says what
    came of it; returns the exit code."""
    with NodeClient(given["node"]) as client:
        key = Keyring(given["home"]).open(given["key"])
        sender, unit_of = Sender(client, key), units_of(client)
        values = NestedCalls(client, sender.chain.prefix, unit_of).encoded(info.arguments, values)
        values = in_base_units(info.arguments, values, unit_of)
        call = Call(info.full_name, info.codec.encode(typed(info.arguments, values, sender.chain.prefix)))
        terms = _terms(given, Params(client, sender.chain.prefix), unit_of)
        if given["dry_run"]:
            outcome = sender.dry_run([call], gas_limit=given["gas_limit"], nonce=given["nonce"], **terms)
            return show_outcome(outcome, as_json=given["as_json"])
        limit = given["gas_limit"] or _gas_limit(sender, call, terms)
        if given["nonce"] is not None:
            sender.nonce = given["nonce"]
        sent = sender.send([call], gas_limit=limit, **terms)
        if given["no_wait"]:
            click.echo(json.dumps({"hash": sent}) if given["as_json"] else sent)
            return 0
        with progress(f"waiting for {sent[:16]}... to be in a block"):
            outcome = client.wait(sent)
        return show_outcome(outcome, as_json=given["as_json"])


def _terms(given: dict[str, Any], params: Params, unit_of: UnitOf) -> dict[str, int]:
    """Of the transaction's terms those that are given, in base units."""

    def fee_denom() -> str:
        found: str = getattr(params.now("tokens", "a symbol"), "fee_denom")  # noqa: B009 # of a plugin's class
        return found

    terms = {"last_valid_height": given["last_valid_height"]}
    for name, option in (("tip", "--tip"), ("max_fee", "--max-fee")):
        if given[name] is not None:
            terms[name] = fee_in_base_units(given[name], option, fee_denom, unit_of)
    return {name: value for name, value in terms.items() if value is not None}


def _gas_limit(sender: Sender, call: Call, terms: dict[str, Any]) -> int:
    outcome = sender.dry_run([call], **terms)
    if outcome["error"]:
        raise WouldFail(f"not sent, it would fail: {outcome['error']['message']} (--gas-limit sends it anyway)")
    return with_margin(outcome["gas_used"])
