"""armillary lint: what reading a module's source finds."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import click

from runtime.errors import UsageError
from runtime.module.lint import RULES, Finding, check_file, python_files

PATH = click.Path(path_type=Path, exists=True)
OUT = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, type=PATH)
@click.option("--rules", is_flag=True, help="Print every rule with its reason and its mend.")
@click.option("--json", "json_file", type=OUT, help="Write the findings as JSON, also where there are none.")
def lint(paths: tuple[Path, ...], rules: bool, json_file: Path | None) -> int:
    """Read module code and print what would fork or stop a chain. PATH is a file, or a folder and all below it.

    Tests (test_*.py, conftest.py, folders named tests) are no module code and are left out of folders. A line is
    suppressed by `# arm: allow[ARM003] reason`. Exits 0 where nothing is found, 1 with findings.
    """
    if rules:
        click.echo("\n\n".join(_described(code) for code in RULES))
        return 0
    if not paths:
        raise UsageError("name a file or a folder with module code, or --rules")
    files: dict[Path, None] = {}
    for path in paths:
        found = python_files(path)
        if not found:
            raise UsageError(f"{path}: no Python file of module code in this folder")
        files.update(dict.fromkeys(found))
    findings = [each for file in files for each in check_file(file)]
    if json_file:
        made = {"files": len(files), "findings": [_row(each) for each in findings]}
        json_file.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    for each in findings:
        click.echo(str(each))
    click.echo(_summary(len(findings)))
    return int(bool(findings))


def _summary(count: int) -> str:
    return f"Found {count:,} error{'s' if count > 1 else ''}." if count else "All checks passed!"


def _described(code: str) -> str:
    rule = RULES[code]
    said = textwrap.wrap(f"{rule.reason[:1].upper()}{rule.reason[1:]}. Mend: {rule.mend}.", width=106)
    return "\n".join([f"{code} {rule.title}", *(f"  {line}" for line in said)])


def _row(each: Finding) -> dict[str, str | int]:
    return {
        "path": each.path,
        "line": each.line,
        "column": each.column,
        "code": each.code,
        "message": each.message,
    }
