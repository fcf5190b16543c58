"""armillary conformance: the ONNX standard's own test cases, by operator."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from runtime.errors import UsageError
from tools.cli.output import progress

OUT = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--json", "json_file", type=OUT, help="Write the outcome of every case as JSON.")
@click.option("--markdown", "page", type=OUT, help="Write the table by operator; docs/onnx-ops.md is made so.")
@click.option("--op", "ops", multiple=True, metavar="NAME", help="Only cases of this operator (or graph suite).")
def conformance(json_file: Path | None, page: Path | None, ops: tuple[str, ...]) -> None:
    """Lower, prove, run and compare the test cases of the ONNX standard.

    They ship in the onnx package: one case per use of an operator, and graphs of several suites. Exit code 1 where one
    failed; a case that is refused with a reason has not.
    """
    from tools.conformance import Status, as_dict, collect, known_ops, markdown, run_all, summary_lines

    unknown = sorted(set(ops) - known_ops())
    if unknown:
        raise UsageError(f"--op {unknown[0]}: the standard has no such operator, and no suite of graphs is called so")
    with progress("collecting the cases"):
        cases = [case for case in collect() if not ops or case.op in ops]
    if not cases:
        raise UsageError(f"--op {', '.join(ops)}: no case is about it")
    with progress(f"running {len(cases):,} cases"):
        outcomes = list(run_all(cases))
    for line in summary_lines(outcomes):
        click.echo(line)
    if ops:
        for each in outcomes:
            if each.status is Status.REFUSED:
                click.echo(f"refused {each.name}: {each.reason}")
    if json_file:
        json_file.write_text(json.dumps(as_dict(outcomes), indent=1) + "\n", encoding="utf-8")
    if page:
        page.write_text(markdown(outcomes), encoding="utf-8")
    if any(each.status is Status.FAILED for each in outcomes):
        sys.exit(1)
