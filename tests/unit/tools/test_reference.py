"""One source makes the command line's help, the OpenAPI document and the module reference: they say the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import click
import httpx
import pytest
import trio

from chain_spec import plugins
from chain_spec.presets import STANDARD_MODULES
from runtime.module import Field, ModuleMetadata
from runtime.rpc.module_schemas import EXTENSION
from runtime.rpc.routes import build_app
from tools import reference
from tools.cli.arguments import option_name
from tools.cli.query import query
from tools.cli.tx import tx

MODULES: dict[str, ModuleMetadata] = {name: plugins.load(name, name).metadata() for name in STANDARD_MODULES}


@pytest.fixture(scope="module")
def page() -> str:
    return reference.standard()


@pytest.fixture(scope="module")
def document() -> Any:
    node = cast(Any, SimpleNamespace(modules=MODULES))
    app = build_app(node, request_bytes_max=1024, on_fault=[].append, version="1").asgi

    async def fetch() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://node") as http:
            return (await http.get("/openapi.json")).json()

    return trio.run(fetch)


def test_the_committed_reference_is_what_the_modules_declare(page: str) -> None:
    assert reference.FILE.read_text(encoding="utf-8") == page, "make reference"


def command(group: click.Group, module: str, verb: str) -> click.Command:
    context = click.Context(group)
    found = group.get_command(context, module)
    assert isinstance(found, click.Group)
    made = found.get_command(context, verb)
    assert made is not None
    return made


def arguments_of(made: click.Command) -> list[str]:
    names = [parameter.name or "" for parameter in made.params]
    return [name.removeprefix("argument_") for name in names if name.startswith("argument_")]


def words(text: str) -> str:
    return " ".join(text.split())


def section(page: str, title: str) -> str:
    return page.partition(f"#### {title}\n")[2].partition("\n#")[0]


def names_of(fields: tuple[Field, ...]) -> list[str]:
    return [field.name for field in fields]


def test_every_call_is_the_same_everywhere(page: str, document: Any) -> None:
    for name, metadata in MODULES.items():
        for call in metadata.calls.values():
            made, shown = command(tx, name, call.name), section(page, call.full_name)
            declared = document[EXTENSION][name]["calls"][call.name]
            assert words(made.help or "") == words(declared["description"]) == words(call.docs)
            assert words(call.docs) in shown
            assert arguments_of(made) == list(declared["fields"]["properties"]) == names_of(call.fields)
            assert all(f"| `{field.name}` |" in shown and option_name(field.name) in shown for field in call.fields)
            assert declared["gas"] == call.gas
            assert f"Gas: {call.gas:,}" in shown


def test_every_query_is_the_same_everywhere(page: str, document: Any) -> None:
    for name, metadata in MODULES.items():
        for info in metadata.queries.values():
            made, shown = command(query, name, info.name), section(page, info.full_name)
            operation = document["paths"][f"/query/{name}/{info.name}"]["get"]
            assert words(made.help or "") == words(operation["description"]) == words(info.docs)
            assert words(info.docs) in shown
            parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
            names = names_of(info.fields)
            assert arguments_of(made) == names == list(parameters)[: len(names)]
            assert set(parameters) - set(names) == {"height", "prove"}
            assert all(parameters[field.name]["required"] is not field.is_optional for field in info.fields)
            assert all(f"| `{field.name}` |" in shown for field in info.fields)


def test_every_event_and_error_is_the_same_everywhere(page: str, document: Any) -> None:
    for name, metadata in MODULES.items():
        for kind, declared in (("events", metadata.events), ("errors", metadata.errors)):
            for info in declared.values():
                found = document[EXTENSION][name][kind][info.name]
                assert words(found["description"]) == words(info.docs)
                assert list(found["fields"]["properties"]) == names_of(info.fields)
                assert f"| `{info.name}` |" in page


def test_the_document_has_no_dangling_references(document: Any) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for part in value.values() for found in references(part)]
        return [found for part in value for found in references(part)] if isinstance(value, list) else []

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known
    assert {"#/components/schemas/Problem", "#/components/schemas/EventMessage"} <= known


def test_one_module_can_be_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    reference.main(["tokens"])
    shown = capsys.readouterr().out
    assert "## tokens" in shown
    assert "## oracle" not in shown
