"""Outcomes as JSON, as lines for a terminal, and as the page docs/onnx-ops.md. No running here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

import onnx

from tools.conformance.cases import SUITES
from tools.conformance.judge import RELATIVE_MAX, Outcome, Status, kind_of_reason

_HEAD: Final = """# ONNX operators and what becomes of them

Written by `make onnx-table`; do not edit. What the test cases of the ONNX standard (onnx {version}) become: each is
lowered with its own inputs as calibration, proven by the verifier, run in the engine, and compared with the outputs
that the standard declares. passed: floats within {relative:g} of the output's largest magnitude + 2^-12; integers,
booleans and texts equal; shapes and types equal. refused: lowering says why there is no exact form. failed: anything
else; the tests hold that there is none.

Cases give as inputs what models hold as constants: weights, shapes, axes, indices. Where an operator needs such an
input beforehand, it is fixed at the case's value; "fixed" counts the passed cases in which that was so.
"""


def as_dict(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """For JSON, as docs/json.md says."""
    return {
        "onnx": onnx.__version__,
        **_counts(outcomes),
        "suites": {suite: _counts(found) for suite, found in _by(outcomes, "suite").items()},
        "ops": {op: _counts(found) for op, found in sorted(_by(_nodes(outcomes), "op").items())},
        "cases": [{**asdict(each), "status": str(each.status), "seconds": round(each.seconds, 3)} for each in outcomes],
    }


def _counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    found = Counter(each.status for each in outcomes)
    return {"total": found.total(), **{str(status): found[status] for status in Status}}


def _by(outcomes: Iterable[Outcome], field: str) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = {}
    for each in outcomes:
        groups.setdefault(getattr(each, field), []).append(each)
    return groups


def _nodes(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [each for each in outcomes if each.suite == "node"]


def summary_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Counts by suite, then every failure in full."""
    yield f"{'suite':<18} {'cases':>6} {'passed':>7} {'refused':>8} {'failed':>7}"
    for suite, found in [*_by(outcomes, "suite").items(), ("all", list(outcomes))]:
        counts = _counts(found)
        yield f"{suite:<18} {counts['total']:>6} {counts['passed']:>7} {counts['refused']:>8} {counts['failed']:>7}"
    for each in outcomes:
        if each.status is Status.FAILED:
            yield f"FAILED {each.op} {each.name}: {each.reason}"


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The whole page."""
    lines = [_HEAD.format(version=onnx.__version__, relative=RELATIVE_MAX)]
    lines += ["| suite | cases | passed | refused | failed |", "|---|---:|---:|---:|---:|"]
    suites = _by(outcomes, "suite")
    lines += [_row(suite, suites[suite]) for suite in SUITES if suite in suites]
    lines += [
        "",
        "## By operator",
        "",
        "| operator | cases | passed | fixed | refused | why |",
        "|---|---:|---:|---:|---:|---|",
    ]
    lines += [_op_row(op, found) for op, found in sorted(_by(_nodes(outcomes), "op").items())]
    graphs = [each for each in outcomes if each.suite != "node" and each.status is not Status.PASSED]
    lines += ["", "## Graphs that are refused", "", "| suite | graph | why |", "|---|---|---|"]
    lines += [f"| {each.suite} | {each.name} | {_cell(each.reason)} |" for each in graphs]
    return "\n".join(lines) + "\n"


def _row(title: str, outcomes: Sequence[Outcome]) -> str:
    counts = _counts(outcomes)
    return f"| {title} | {counts['total']:,} | {counts['passed']:,} | {counts['refused']:,} | {counts['failed']} |"


def _op_row(op: str, outcomes: Sequence[Outcome]) -> str:
    counts = _counts(outcomes)
    fixed = sum(bool(each.fixed) for each in outcomes if each.status is Status.PASSED)
    reasons = Counter(kind_of_reason(each.reason) for each in outcomes if each.status is not Status.PASSED)
    why = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    return (
        f"| {op} | {counts['total']} | {counts['passed']} | {fixed or ''} | {counts['refused'] or ''} | {_cell(why)} |"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
