"""armillary demo: see it happen."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from pathlib import Path
from types import FrameType

import click

from runtime.node.files import write_atomically
from tools.demo.scenario import play
from tools.demo.screen import Screen


@click.command()
@click.option("--validators", default=4, show_default=True, type=click.IntRange(1, 16))
@click.option("--transactions", default=100, show_default=True, type=click.IntRange(1, 360), help="One image each.")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write what was measured here.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep everything in this new folder.")
def demo(validators: int, transactions: int, file: Path | None, keep: Path | None) -> int:
    """Four validators classify images of digits with one ONNX model, inside transactions, the same bits on each.

    One of them is killed and comes back; one decision is proven offline. Exits 0 only if all of it held. With --keep,
    the folder holds spec.json, decision.certificate, digits.graph, input.npz and the validators' homes.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    home = keep or Path(tempfile.mkdtemp(prefix="armillary-demo-"))
    screen = Screen()
    try:
        result = play(home, validators, transactions, screen)
    finally:
        if keep is None:
            shutil.rmtree(home, ignore_errors=True)
    screen.summary(result)
    if file:
        write_atomically(file, (json.dumps(result.as_json(), indent=2) + "\n").encode())
    return 1 if result.failures() else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
