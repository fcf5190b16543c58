"""armillary bench: how fast things are on this machine, beside references that are measured in the same run."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from runtime.errors import UsageError
from runtime.node.files import write_atomically
from tools.cli.groups import Listed
from tools.cli.options import FILE, Whole
from tools.cli.output import progress

if TYPE_CHECKING:
    from tools.bench.inference import Measured, Refused

WIDTH = 120


@click.group(cls=Listed)
def bench() -> None:
    """How fast things are on this machine, each beside a reference that is measured in the same run."""


@bench.command()
@click.option("--model", "names", multiple=True, metavar="NAME", help="Only this one; may be repeated.")
@click.option("--seconds", type=Whole(1, 3600), default=3, show_default=True, help="How long each pair is measured.")
@click.option("--json", "file", type=FILE, help="Write what was measured here.")
def inference(names: tuple[str, ...], seconds: int, file: Path | None) -> int:
    """Exact inference beside stock float32 onnxruntime, one thread each: time, and the gas that is charged for it."""
    from tools.bench.inference import measure  # imports onnxruntime
    from tools.bench.models import GOLDEN

    unknown = [name for name in names if name not in GOLDEN]
    if unknown:
        raise UsageError(f"--model {unknown[0]}: there is no such model; there are {', '.join(GOLDEN)}")
    if file and not file.absolute().parent.is_dir():
        raise UsageError(f"--json {file}: there is no folder {file.parent}")
    found = []
    for name in names or GOLDEN:
        with progress(f"measuring {name}"):
            found.append(measure(GOLDEN[name](), seconds))
    _show(found)
    if file:
        document = {"machine": _machine(), "models": [one.as_json() for one in found]}
        write_atomically(file, json.dumps(document, indent=2).encode() + b"\n")
    return 0


def _machine() -> dict[str, Any]:
    from runtime.inference import self_test
    from tools.bench.pairs import timed

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "self_test_ms": round(1000 * timed(self_test), 1),
    }


def _show(found: list[Measured | Refused]) -> None:
    from tools.bench.inference import Refused

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("model", "rows", "exact ms", "float ms", "exact/float", "gas/time", "where the time goes"):
        table.add_column(heading, justify="left" if heading in ("model", "where the time goes") else "right")
    for one in found:
        if isinstance(one, Refused):
            table.add_row(one.name, "", "", "", "", "", f"refused: {one.refused}")
            continue
        profile = ", ".join(f"{kernel} {share:.0%}" for kernel, share in list(one.profile.items())[:4])
        for number, batch in enumerate(one.batches):
            table.add_row(
                "" if number else one.name,
                str(batch.rows),
                f"{batch.exact_ms:,.3f}",
                f"{batch.float_ms:,.3f}",
                f"{batch.ratio:.2f}",
                f"{batch.gas_share:.2f}",
                profile if batch is one.batches[-1] else "",
            )
        table.add_row(
            "", "cold", f"{one.cold_ms:,.3f}", "", "", f"{one.cold_gas_share:.2f}", "verified, loaded, run with one row"
        )
        requests = f"{one.requests} requests of one row together, over one batch of them"
        table.add_row("", "", "", "", f"{one.requests_ratio:.2f}", "", requests)
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    console.print(table)
