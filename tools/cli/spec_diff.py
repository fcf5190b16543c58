"""armillary spec diff: what two chain specs say differently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from chain_spec import ChainSpec, ResolvedChain, SpecError, read_chain
from chain_spec.comparison import ABSENT, Difference, differences
from runtime.errors import UsageError
from tools.cli.options import FILE

SHOWN_CHARACTERS_MAX = 100
_MARKS = {"added": "+", "removed": "-", "changed": "~"}


@click.command()
@click.argument("first", metavar="A", type=FILE)
@click.argument("second", metavar="B", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def diff(first: Path, second: Path, as_json: bool) -> int:
    """Print what chain spec B says otherwise than A. Exits 0 where they say the same, 1 where not.

    Compared is what they mean: defaults are written out, modules are compared by name, validators by key; order and
    layout of the JSON do not matter.
    """
    read = [_read(file) for file in (first, second)]
    found = differences(*(spec for spec, _ in read))
    hashes = [chain.genesis_hash.hex() for _, chain in read]
    if as_json:
        made = {"same": not found, "genesis_hashes": hashes, "differences": [_row(each) for each in found]}
        click.echo(json.dumps(made, indent=2))
        return int(bool(found))
    for each in found:
        click.echo(f"{_MARKS[each.kind]} {each.path}: {_words(each)}")
    same = f"same genesis {hashes[0]}"
    click.echo(same if hashes[0] == hashes[1] else f"genesis {hashes[0]} -> {hashes[1]}")
    return int(bool(found))


def _read(file: Path) -> tuple[ChainSpec, ResolvedChain]:
    try:
        return read_chain(file)
    except SpecError as error:
        raise UsageError(f"{file}: {error}") from None


def _row(each: Difference) -> dict[str, Any]:
    values = {"a": each.first, "b": each.second}
    return {
        "path": each.path,
        "change": each.kind,
        **{name: value for name, value in values.items() if value is not ABSENT},
    }


def _words(each: Difference) -> str:
    return " -> ".join(_short(value) for value in (each.first, each.second) if value is not ABSENT)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "..."
