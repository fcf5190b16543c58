"""armillary fuzz: attack a module, the planted bugs, or the composed chain of a spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from runtime.errors import UsageError
from runtime.node.files import write_atomically
from tools.cli.options import FILE, Whole
from tools.cli.output import progress
from tools.fuzzing.modules import Fuzzed

SEED = Whole(0, (1 << 64) - 1)
WIDTH = 120


@click.command()
@click.argument("module", required=False)
@click.option("--spec", type=FILE, help="Drive the composed chain of this spec instead of one module.")
@click.option("--planted", is_flag=True, help="Look for bugs that were planted in copies of a small module.")
@click.option("--steps", type=Whole(1, 100_000_000), help="How many; 1,000 if left out.")
@click.option("--seed", type=SEED, help="Of all choices; 0 if left out.")
@click.option("--json", "file", type=FILE, help="Write what was found and measured here.")
def fuzz(
    module: str | None, spec: Path | None, planted: bool, steps: int | None, seed: int | None, file: Path | None
) -> int:
    """Attack MODULE, an installed one or PACKAGE:CLASS, with calls made from its types; after each step every rule of
    docs/testing.md is checked. Exits 1 where one breaks, with a short program that breaks it.
    """
    if (module is not None) + (spec is not None) + planted != 1:
        raise UsageError("name one thing to attack: MODULE, --spec FILE, or --planted")
    if file and not file.absolute().parent.is_dir():
        raise UsageError(f"--json {file}: there is no folder {file.parent}")
    if planted:
        return _planted(steps, seed, file)
    fuzzed = _module(module, steps, seed) if module is not None else _spec(spec, steps, seed)
    _show(fuzzed)
    _write(file, fuzzed.as_json())
    return 0 if fuzzed.failed is None else 1


def _module(name: str, steps: int | None, seed: int | None) -> Fuzzed:
    from tools.fuzzing.modules import find, fuzz_module  # imports hypothesis

    found = find(name)
    with progress(f"attacking {found.name}"):
        return fuzz_module(found, steps, seed)


def _spec(spec: Path | None, steps: int | None, seed: int | None) -> Fuzzed:
    from tools.fuzzing.composed import fuzz_spec

    assert spec is not None, "one of three was given"
    with progress("driving the chain"):
        return fuzz_spec(spec, steps, seed)


def _planted(steps: int | None, seed: int | None, file: Path | None) -> int:
    from tools.fuzzing.planted import look

    if steps is not None:
        raise UsageError("--planted: each bug is looked for within the default number of steps; leave out --steps")
    table = _table("bug", "what it does", "found by", "steps", "seconds")
    rows = []
    with progress("looking for planted bugs"):
        for row in look(seed):
            rows.append(row)
            found = row.found_by or "NOT FOUND"
            if not row.is_found and row.found_by:
                found += f" (should be: {row.expected})"
            table.add_row(row.bug, row.says, found, str(row.steps or ""), f"{row.seconds:.1f}")
    _print(table)
    missed = [row.bug for row in rows if row.found_by is None]
    click.echo(f"{len(rows) - len(missed)} of {len(rows)} found")
    _write(file, {"planted": [row.as_json() for row in rows], "found": len(rows) - len(missed), "missed": missed})
    return 1 if missed else 0


def _show(fuzzed: Fuzzed) -> None:
    if fuzzed.failed is not None:
        click.echo(fuzzed.failed["detail"] + "\n\nA test that fails the same way:\n\n" + fuzzed.failed["program"])
    if fuzzed.outcomes:
        table = _table("call", "succeeded", "ended otherwise")
        for name, ends in sorted(fuzzed.outcomes.items()):
            others = ", ".join(f"{end} {count}" for end, count in sorted(ends.items()) if end != "ok")
            table.add_row(name, str(ends.get("ok", 0)), others)
        _print(table)
    if fuzzed.events:
        table = _table("event", "emitted")
        for name, count in sorted(fuzzed.events.items()):
            table.add_row(name, str(count))
        _print(table)
    if fuzzed.errors:
        table = _table("error", "raised")
        for name, count in sorted(fuzzed.errors.items()):
            table.add_row(name, str(count))
        _print(table)
    for end in ("never succeeded", "was never emitted", "was never raised"):
        names = [line.removesuffix(end).strip() for line in fuzzed.unreached if line.endswith(f" {end}")]
        if names:
            click.echo(f"{end.removeprefix('was ')}: {', '.join(names)}\n")
    verdict = "nothing broke" if fuzzed.failed is None else f"broken: {fuzzed.failed['rule']}"
    click.echo(
        f"{verdict}: {fuzzed.steps:,} steps in {fuzzed.seconds:.1f} s ({fuzzed.steps_per_second:.0f} a second), "
        f"seed {fuzzed.seed}"
    )


def _table(*headings: str) -> Table:
    """Names are folded where there is no room, never cut."""
    table = Table(box=box.SIMPLE)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print(table: Table) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=WIDTH)).print(table)


def _write(file: Path | None, found: dict[str, Any]) -> None:
    if file:
        write_atomically(file, (json.dumps(found, indent=2) + "\n").encode())
