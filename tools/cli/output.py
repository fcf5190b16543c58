"""What the terminal shows while something takes long. To standard error, so that results can be piped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console

SHOWN_CHARACTERS_MAX = 72

console = Console(stderr=True, highlight=False)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """A spinner with `what` while the block runs; on no terminal nothing is written."""
    with console.status(what + " ...") if console.is_terminal else _silence():
        yield


@contextmanager
def _silence() -> Iterator[None]:
    yield


def show_outcome(outcome: dict[str, Any], *, as_json: bool) -> int:
    """A transaction's outcome, or a dry run's, for people or as the node gave it. Returns the exit code."""
    failed = bool(outcome.get("error"))
    if as_json:
        click.echo(json.dumps(outcome, indent=2))
        return 1 if failed else 0
    where = f"in block {outcome['height']}" if "status" in outcome else "in a dry run, nothing sent"
    click.echo(f"{'failed' if failed else 'ok'} {where}: gas {outcome['gas_used']:,}, fee {int(outcome['fee']):,}")
    if "status" in outcome:
        click.echo(f"hash    {outcome['hash']}")
    for event in outcome["events"] or ():
        fields = ", ".join(f"{name}={_short(value)}" for name, value in event["fields"].items())
        click.echo(f"event   {event['module']}.{event['name']}  {fields}")
    if failed:
        click.echo(click.style("error: ", fg="red") + outcome["error"]["message"], err=True)
    return 1 if failed else 0


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "..."
