"""armillary demo: see it happen."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import click

from runtime.errors import UsageError
from runtime.node.files import write_atomically
from tools.cli.options import FILE, FOLDER, Whole
from tools.demo.scenario import play
from tools.demo.screen import Screen
from tools.localnet.signals import held_back, stop_on_signals


@click.command()
@click.option("--validators", default=4, show_default=True, type=Whole(1, 16), help="From 4 on, one of them is killed.")
@click.option("--transactions", default=100, show_default=True, type=Whole(1, 360), help="One image each.")
@click.option("--json", "file", type=FILE, help="Write what was measured here.")
@click.option("--keep", type=FOLDER, metavar="FOLDER", help="Keep everything in this new folder.")
def demo(validators: int, transactions: int, file: Path | None, keep: Path | None) -> int:
    """Four validators classify images of digits with one ONNX model, inside transactions, the same bits on each.

    One of them is killed and comes back; one decision is proven offline. Exits 0 only if all of it held. With --keep,
    the folder holds spec.json, decision.certificate, digits.graph, input.npz and the validators' homes.
    """
    if file and not file.absolute().parent.is_dir():
        raise UsageError(f"--json {file}: there is no folder {file.parent}")
    stop_on_signals()
    home = keep or Path(tempfile.mkdtemp(prefix="armillary-demo-"))
    screen = Screen()
    try:
        result = play(home, validators, transactions, screen)
    finally:
        if keep is None:
            with held_back():
                shutil.rmtree(home, ignore_errors=True)
    screen.summary(result)
    if file:
        write_atomically(file, (json.dumps(result.as_json(), indent=2) + "\n").encode())
    return 1 if result.failures() else 0
