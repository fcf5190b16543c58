"""armillary governance: what the chain decides about itself, as people write, read and vote on it.

The same as armillary tx governance and armillary query governance, with typed calls, tallies and present values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from runtime.codec.schema import schema_of
from runtime.errors import CallerError, UsageError
from runtime.module import ModuleMetadata, QueryInfo
from tools.cli.amounts import units_of
from tools.cli.arguments import parse, read_arguments
from tools.cli.calls import FORM, SET_PARAMS, NestedCalls, Params, metadata_of
from tools.cli.groups import Listed
from tools.cli.options import AS_JSON, FILE, NODE, Whole
from tools.cli.tx import SHARED, send_call
from tools.client import NodeClient

NAME: Final = "governance"
PAGE: Final = 64
CHOICES: Final = ("yes", "no", "abstain", "veto")
U64_MAX: Final = (1 << 64) - 1

PROPOSAL = click.argument("proposal", type=Whole(0, U64_MAX), metavar="ID")
SIGNED: Final = SHARED[1:]  # without --args: these commands have their own


def signed(command: Any) -> Any:
    """The options of every transaction."""
    for decorate in reversed(SIGNED):
        command = decorate(command)
    return command


@click.group(cls=Listed)
def governance() -> None:
    """Propose, vote on and read what the chain decides about itself."""


@governance.command()
@click.option("--title", help="Of the proposal, for people.")
@click.option("--text", help="Why, in as many words as it takes.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="MODULE.PARAMETER=VALUE",
    help="Change a parameter; `runtime` has prices and bounds. Repeat for several.",
)
@click.option(
    "--call",
    "calls",
    nargs=2,
    multiple=True,
    metavar="MODULE.CALL JSON",
    help="A call that the chain shall make, with its arguments as a JSON object. Repeat for several.",
)
@click.option("--enact-at", type=Whole(0, U64_MAX), metavar="HEIGHT", help="When; as early as possible if left out.")
@click.option("--file", "file", type=FILE, help="{title, text, calls, enact_at} as JSON; options are added to it.")
@signed
def propose(
    title: str | None,
    text: str | None,
    changes: tuple[str, ...],
    calls: tuple[tuple[str, str], ...],
    enact_at: int | None,
    file: Path | None,
    **given: Any,
) -> int:
    """Propose that the chain changes parameters or makes calls, all of them or none; or words alone.

    Everything is checked here first, then by a dry run on the node. It takes a deposit.

    armillary governance propose --title "Cheaper inference" --set runtime.inference_gas_percent=50 --key operator
    """
    info = _metadata().calls["propose"]
    values: dict[str, Any] = {"text": "", "calls": [], "enact_at": None}
    values |= read_arguments(file, info.fields) if file else {}
    options = {"title": title, "text": text, "enact_at": enact_at}
    values |= {name: value for name, value in options.items() if value is not None}
    if not values.get("title"):
        raise UsageError("missing --title; a proposal has one")
    if isinstance(values["calls"], list):
        values["calls"] = [*values["calls"], *_changes(changes), *(_call(*each) for each in calls)]
    return send_call(info, values, given)


@governance.command()
@PROPOSAL
@click.argument("choice", type=click.Choice(CHOICES))
@signed
def vote(proposal: int, choice: str, **given: Any) -> int:
    """Vote on proposal ID for the validator that the key answers for, or change its vote."""
    return send_call(_metadata().calls["vote"], {"proposal": proposal, "choice": CHOICES.index(choice)}, given)


@governance.command()
@PROPOSAL
@signed
def cancel(proposal: int, **given: Any) -> int:
    """Take proposal ID back, for its proposer, while it is voted on. A part of the deposit is burned."""
    return send_call(_metadata().calls["cancel"], {"proposal": proposal}, given)


@governance.command(name="list")
@NODE
@AS_JSON
def list_(node: str, as_json: bool) -> None:
    """List the proposals, the oldest first."""
    with NodeClient(node) as client:
        found = list(_all_proposals(client))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    statuses = _names_of(_metadata().queries["proposal"], "status")
    for each in found:
        made = each["proposal"]
        status = statuses[made["status"]]
        click.echo(f"{each['id']:>6}  {status:<10}  ends {made['voting_ends']:<10}  {_line(made['title'])}")
    if not found:
        click.echo("no proposals", err=True)


@governance.command()
@PROPOSAL
@NODE
@AS_JSON
def show(proposal: int, node: str, as_json: bool) -> None:
    """Show proposal ID: what it would do, how the votes stand, what became of it."""
    with NodeClient(node) as client:
        made = _ask(client, "proposal", id=proposal)
        if made is None:
            raise UsageError(f"there is no proposal {proposal} on this chain")
        content, tally = _ask(client, "content", id=proposal), _ask(client, "tally", id=proposal)
        prefix = client.status()["address_prefix"]
        nested = NestedCalls(client, prefix, units_of(client))
        content = nested.decoded(schema_of(_metadata().queries["content"].result), content)
        effects = [_effect(call, Params(client, prefix)) for call in content["calls"]]
    if as_json:
        click.echo(json.dumps({"id": proposal, "proposal": made, "content": content, "tally": tally}, indent=2))
        return
    for name, value in _shown(proposal, made, content["text"], tally):
        click.echo(f"{name:<10} {value}")
    for place, lines in enumerate(effects):
        for number, line in enumerate(lines):
            click.echo(f"{'' if number else f'call {place}':<10} {line}")


@governance.command()
@click.argument("module", required=False)
@NODE
@AS_JSON
def params(module: str | None, node: str, as_json: bool) -> None:
    """Print the parameters that governance can change: of MODULE, or of every module of the chain."""
    with NodeClient(node) as client:
        status = client.status()
        present = Params(client, status["address_prefix"])
        names = [module] if module else present.modules()
        found = {name: present.for_people(present.now(name, "MODULE")) for name in names}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, fields in found.items():
        for field, value in fields.items():
            click.echo(f"{name}.{field} = {_line(value)}")


def _metadata() -> ModuleMetadata:
    return metadata_of(NAME, NAME)


def _changes(changes: Sequence[str]) -> list[dict[str, Any]]:
    """`oracle.price=5` and its like as calls of set_params, one for each module, in the order of their first change."""
    found: dict[str, dict[str, Any]] = {}
    for text in changes:
        name, equals, value = text.partition("=")
        module, dot, field = name.partition(".")
        if not equals or not dot:
            raise UsageError(f"--set {text!r}: write MODULE.PARAMETER=VALUE")
        kind = metadata_of(module, f"--set {name}").params
        if kind is None or field not in kind.model_fields:
            known = ", ".join(kind.model_fields) if kind else "none"
            raise UsageError(f"--set {name}: module {module} has no parameter {field!r}; it has {known}")
        if field in found.setdefault(module, {}):
            raise UsageError(f"--set {name}: is given twice; write it once")
        schema = schema_of(kind)
        form = schema.items[schema.names.index(field)]
        is_nothing = form.kind == "optional" and value == "null"
        found[module][field] = None if is_nothing else parse(form, value, f"--set {name}")
    return [{"call": SET_PARAMS, "arguments": {"module": module, "params": fields}} for module, fields in found.items()]


def _call(name: str, text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--call {name}: its arguments are not JSON: {error}; a call is {FORM}") from None
    return {"call": name, "arguments": arguments}


def _ask(client: NodeClient, query: str, **arguments: Any) -> Any:
    return client.get(f"/query/{NAME}/{query}", **arguments)["result"]


def _all_proposals(client: NodeClient) -> Iterator[dict[str, Any]]:
    after: int | None = None
    while True:
        page = _ask(client, "page", after=after, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]["id"]


def _effect(call: dict[str, Any], present: Params) -> list[str]:
    """What a call would do, in lines; of parameters those that are not as they stand now."""
    name, arguments = call.get("call", call.get("name")), call["arguments"]
    if name != SET_PARAMS or not isinstance(arguments["params"], dict):
        return [f"{name} {json.dumps(arguments)}"]
    try:
        now = present.for_people(present.now(arguments["module"], "$"))
    except CallerError:  # the chain has other modules than this machine: all of it, then
        return [f"{name} {json.dumps(arguments)}"]
    changes = {field: value for field, value in arguments["params"].items() if value != now.get(field)}
    lines = [f"  {field}: {_line(now.get(field))} becomes {_line(value)}" for field, value in changes.items()]
    return [f"{name} of {arguments['module']}", *(lines or ["  all of them as they stand now"])]


def _shown(number: int, made: dict[str, Any], text: str, tally: Any) -> Iterator[tuple[str, Any]]:
    status = _names_of(_metadata().queries["proposal"], "status")[made["status"]]
    yield f"{number}", f"{status}: {_line(made['title'])}"
    yield "proposer", made["proposer"]
    yield "deposit", f"{made['deposit']} base units of {made['deposit_denom']}"
    yield "voting", f"from block {made['submitted']} to the end of block {made['voting_ends']}"
    if tally is not None:
        counts = ", ".join(f"{choice} {tally[choice]}" for choice in CHOICES)
        yield "votes", f"{counts}, of {tally['total']}"
    yield "enactment", f"at the end of block {made['enact_at']}"
    if made["failure"]:
        yield "failure", f"call {made['failure']['call']}: {made['failure']['error']}"
    if text:
        yield "text", _line(text)


def _names_of(query: QueryInfo, field: str) -> list[str]:
    """The members of an enumeration in a query's answer, in words."""
    schema = schema_of(query.result).items[0]
    kind = schema.items[schema.names.index(field)].python
    return [member.name.lower().replace("_", " ") for member in kind]


def _line(value: Any) -> str:
    """On one line, without what moves a terminal's cursor."""
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(character if character.isprintable() else " " for character in text)
