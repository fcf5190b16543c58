"""armillary new: a module's package, or a chain's folder, to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tools.cli.groups import Listed
from tools.cli.options import FOLDER

INTO = click.option("--dir", "into", type=FOLDER, default=Path(), metavar="DIR", help="Where to make the folder NAME.")


@click.group(cls=Listed)
def new() -> None:
    """Write a new module, or a new chain, to begin with."""


@new.command()
@click.argument("name")
@INTO
def module(name: str, into: Path) -> None:
    """Write the package of a module NAME: code, tests, README. Its tests pass as it stands.

    NAME is lower case letters, digits and _; it names the folder, the Python package and the module.
    """
    from tools.scaffolding import check_module_name, class_name, render, write

    check_module_name(name)
    write(into / name, render("module", {"name": name, "Class": class_name(name)}))
    click.echo(f"wrote {into / name}: {class_name(name)} in {into / name / name / 'module.py'}")
    click.echo(f"next: cd {shlex.quote(str(into / name))} && pip install --editable . && pytest")


@new.command()
@click.argument("name")
@INTO
@click.option(
    "--module", "modules", multiple=True, metavar="NAME", help="Also compose this module. Repeat for several."
)
def chain(name: str, into: Path, modules: tuple[str, ...]) -> None:
    """Write a folder NAME with the draft of a chain's spec, and how to found it."""
    from chain_spec import make_spec, render_spec, resolve
    from chain_spec.presets import STANDARD_MODULES, check_modules
    from tools.scaffolding import check_name, render, write

    check_name(name)
    check_modules(modules, "--module")
    draft = make_spec(name, [], {}, modules=(*STANDARD_MODULES, *modules))
    resolve(draft)
    others = "".join(f", `{each}`" for each in modules)
    files = render("chain", {"name": name, "with": others})
    write(into / name, {Path("draft.json"): render_spec(draft), **files})
    click.echo(f"wrote {into / name}: a draft of the chain's spec; its README.md says how to found the chain")
