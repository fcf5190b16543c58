"""armillary query MODULE QUERY: the modules' queries as commands, with help from their docstrings."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic import TypeAdapter

from runtime.limits import HEIGHT_MAX
from runtime.module import QueryInfo
from tools.cli.arguments import gather, typed
from tools.cli.modules import Decorator, ModulesGroup, verb_command
from tools.cli.options import ARGUMENTS, AS_JSON, NODE, Whole
from tools.client import NodeClient

SHARED: list[Decorator] = [
    ARGUMENTS,
    click.option("--height", type=Whole(0, HEIGHT_MAX), help="The state after this block; the newest if left out."),
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
            texts = {name: _text(value) for name, value in arguments.items() if value is not None}
            answer = client.get(f"/query/{module}/{info.name}", height=given["height"], **texts)
        click.echo(json.dumps(answer if given["as_json"] else answer["result"], indent=2))
        return 0

    return verb_command(info.name, info.docs, info.fields, SHARED, run)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


query = ModulesGroup(
    name="query",
    help="Ask a module about the chain's state: armillary query MODULE QUERY --argument value.",
    verbs=lambda metadata: metadata.queries,
    make=_command,
)
