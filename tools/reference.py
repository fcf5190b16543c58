"""The module reference: what modules declare, as Markdown pages for people. `make reference` writes docs/reference.md.

Made from the same metadata as the command line's help and the OpenAPI document. What must not live here: words of its
own about any module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from chain_spec import plugins
from chain_spec.presets import STANDARD_MODULES
from runtime.codec.schema import schema_of
from runtime.module import Field, Module, ModuleMetadata
from runtime.module.storage import NO_DEFAULT
from tools.cli.arguments import option_name
from tools.cli.forms import describe, metavar, shape

FILE: Final = Path(__file__).parent.parent / "docs" / "reference.md"
HEAD: Final = """# The modules of a standard chain

Made by `make reference` from what the modules declare; the same declarations make `armillary tx MODULE --help`,
`armillary query MODULE --help` and the paths of a node's `/openapi.json`. Values are written as in JSON: numbers above
64 bits and amounts as decimal text, bytes in lower-case hex, accounts as addresses. On the command line each argument
is an option; whatever has parts is JSON.
"""


def render(modules: Iterable[type[Module]]) -> str:
    """The reference of these modules, in their order."""
    pages = [module.metadata() for module in modules]
    contents = "\n".join(f"- [{page.name}](#{page.name}): {_sentence(page.docs)}" for page in pages)
    return "\n".join([HEAD, contents, "", *(line for page in pages for line in _page(page))]).rstrip() + "\n"


def standard() -> str:
    """The reference of a standard chain's modules."""
    return render(plugins.load(name, name) for name in STANDARD_MODULES)


def _page(page: ModuleMetadata) -> Iterator[str]:
    yield from (f"## {page.name}", "", f"Version {page.version}. {_text(page.docs)}", "")
    yield from _calls(page)
    yield from _queries(page)
    events = [(f"`{event.name}`", _text(event.docs), event.fields) for event in page.events.values()]
    yield from _records("Events", events)
    errors = [(f"`{error.name}`", _text(error.docs), error.fields) for error in page.errors.values()]
    yield from _records("Errors", errors)
    yield from _storage(page)
    yield from _settings("Parameters", page.params)
    yield from _settings("Genesis", page.genesis)
    hooks = [(f"`{name}`", f"{gas:,}") for name, gas in page.hooks.items()]
    yield from _table("Hooks", ("in each block", "gas at most"), hooks)
    invariants = [(f"`{each.name}`", _text(each.docs)) for each in page.invariants.values()]
    yield from _table("Invariants", ("name", "what always holds"), invariants)


def _calls(page: ModuleMetadata) -> Iterator[str]:
    if page.calls:
        yield from ("### Calls", "")
    for call in page.calls.values():
        origins = " or ".join(origin.__name__ for origin in call.origins)
        yield from (f"#### {call.full_name}", "", _text(call.docs), "")
        yield from _fence(f"armillary tx {page.name} {call.name}", call.fields)
        yield from (f"Origin: {origins}. Gas: {call.gas:,} and what it stores, emits and asks for.", "")
        yield from _fields(call.fields)


def _queries(page: ModuleMetadata) -> Iterator[str]:
    if page.queries:
        yield from ("### Queries", "")
    for query in page.queries.values():
        yield from (f"#### {query.full_name}", "", _text(query.docs), "")
        yield from _fence(f"armillary query {page.name} {query.name}", query.fields)
        given = "&".join(f"{field.name}=" for field in query.fields)
        yield from (f"HTTP: `GET /query/{page.name}/{query.name}{'?' if given else ''}{given}`", "")
        yield from _fields(query.fields)
        yield from ("Answer: `" + shape(schema_of(query.result)) + "`", "")


def _fence(command: str, fields: Sequence[Field]) -> Iterator[str]:
    words = [f"{option_name(field.name)} {metavar(schema_of(field.type))}" for field in fields]
    yield from ("```sh", " ".join([command, *words]), "```", "")


def _fields(fields: Sequence[Field]) -> Iterator[str]:
    rows = [(f"`{field.name}`", f"`{field.shown}`", describe(schema_of(field.type))) for field in fields]
    yield from _rows(("argument", "type", "what may stand there"), rows)


def _records(title: str, records: Sequence[tuple[str, str, Sequence[Field]]]) -> Iterator[str]:
    rows = [
        (name, ", ".join(f"`{field.name}`: `{field.shown}`" for field in fields), docs)
        for name, docs, fields in records
    ]
    yield from _table(title, ("name", "fields", "meaning"), rows)


def _storage(page: ModuleMetadata) -> Iterator[str]:
    rows = []
    for each in page.storage.values():
        key = "" if each.key is None else f"`{shape(schema_of(each.key))}`"
        default = "" if each.default is NO_DEFAULT else f"`{each.default!r}`"
        rows.append((f"`{each.name}`", key, f"`{shape(schema_of(each.value))}`", default))
    yield from _table("Storage", ("name", "key", "value", "default"), rows)


def _settings(title: str, model: type[BaseModel] | None) -> Iterator[str]:
    if model is None:
        return
    rows = [
        (f"`{name}`", f"`{_value_shape(field.annotation, field.metadata)}`", _default(field))
        for name, field in model.model_fields.items()
    ]
    yield from _table(title, ("name", "value", "default"), rows)
    if rows and "__doc__" in vars(model) and model.__doc__:
        yield from (_text(model.__doc__), "")


def _value_shape(annotation: Any, metadata: Sequence[Any]) -> str:
    declared = Annotated[(annotation, *metadata)] if metadata else annotation
    return shape(schema_of(declared))


def _default(field: Any) -> str:
    return "" if field.default is PydanticUndefined else f"`{field.default!r}`"


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield from (f"### {title}", "")
        yield from _rows(names, rows)


def _rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(names)} |"
        yield "|" + "---|" * len(names)
        for row in rows:
            yield "| " + " | ".join(_cell(cell) for cell in row) + " |"
        yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _text(docs: str) -> str:
    """A docstring as one paragraph."""
    return " ".join(docs.split())


def _sentence(docs: str) -> str:
    return _text(docs).partition(". ")[0].rstrip(".")


def main(arguments: Sequence[str]) -> None:
    """Writes docs/reference.md, or prints the reference of the installed modules that are named."""
    if arguments:
        sys.stdout.write(render(plugins.load(name, name) for name in arguments))
    else:
        FILE.write_text(standard(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
