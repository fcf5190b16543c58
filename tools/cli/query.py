"""armillary query MODULE QUERY: the modules' queries as commands, with help from their docstrings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter

from runtime.codec.schema import schema_of
from runtime.limits import HEIGHT_MAX
from runtime.module import QueryInfo
from runtime.node.files import write_atomically
from tools.cli.amounts import answer_for_people, units_of
from tools.cli.arguments import gather, typed
from tools.cli.calls import NestedCalls, holds_calls, text_of
from tools.cli.modules import Decorator, ModulesGroup, verb_command
from tools.cli.options import ARGUMENTS, AS_JSON, FILE, NODE, Whole
from tools.cli.output import console
from tools.client import NodeClient, NodeError

SHARED: list[Decorator] = [
    ARGUMENTS,
    click.option("--height", type=Whole(0, HEIGHT_MAX), help="The state after this block; the newest if left out."),
    click.option("--prove", type=FILE, help="Write a proof of the answer here: see armillary verify-certificate."),
    NODE,
    AS_JSON,
]


def _command(module: str, info: QueryInfo) -> click.Command:
    def run(**given: Any) -> int:
        values = gather(info.fields, given, given["file"])
        with NodeClient(given["node"]) as client:
            prefix = client.status()["address_prefix"]
            record = typed(info.arguments, values, prefix)
            arguments = TypeAdapter(info.arguments).dump_python(record, mode="json", context={"prefix": prefix})
            texts = {name: text_of(value) for name, value in arguments.items() if value is not None}
            asked = {"height": given["height"], "prove": "true" if given["prove"] else None}
            answer = client.get(f"/query/{module}/{info.name}", **asked, **texts)
            schema, unit_of = schema_of(info.result), units_of(client)
            is_watched = console.is_terminal and not given["as_json"]
            shown = answer_for_people(info, texts, answer["result"], unit_of) if is_watched else None
            if holds_calls(schema) and not given["as_json"]:
                answer["result"] = NestedCalls(client, prefix, unit_of).decoded(schema, answer["result"])
        if given["prove"]:
            _write(given["prove"], answer)
        click.echo(json.dumps(answer if given["as_json"] else answer["result"], indent=2))
        if shown:
            console.print(shown)
        return 0

    return verb_command(info.name, info.docs, info.fields, SHARED, run)


def _write(file: Path, answer: dict[str, Any]) -> None:
    try:
        data = bytes.fromhex(answer.pop("proof"))
    except (KeyError, TypeError, ValueError):
        raise NodeError("the node answered without a proof") from None
    write_atomically(file, data)
    click.echo(f"wrote {file}: proven at height {answer['height']}, {len(data):,} bytes", err=True)


query = ModulesGroup(
    name="query",
    help="Ask a module about the chain's state: armillary query MODULE QUERY --argument value.",
    verbs=lambda metadata: metadata.queries,
    make=_command,
)
