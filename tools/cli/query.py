"""armillary query MODULE QUERY: the modules' queries as commands, with help from their docstrings."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic import TypeAdapter

from runtime.module import QueryInfo
from tools.cli.arguments import gather, typed
from tools.cli.modules import ModulesGroup, verb_command
from tools.cli.tx import ARGS, JSON, NODE
from tools.client import NodeClient

HEIGHT = click.Option(
    ["--height"], type=click.IntRange(0, (1 << 63) - 1), help="Of the state; the newest if not given."
)


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

    return verb_command(info.name, info.docs, info.fields, [ARGS, HEIGHT, NODE, JSON], run)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


query = ModulesGroup(
    name="query",
    help="Ask a module at the newest height, or another: armillary query MODULE QUERY --argument value.",
    verbs=lambda metadata: metadata.queries,
    make=_command,
)
