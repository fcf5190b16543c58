"""armillary dev: a chain for whoever writes a module."""

from __future__ import annotations

import shlex
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from chain_spec.presets import FOUNDER_BALANCE
from runtime.errors import UsageError
from tools.cli.keyring import HOME_VARIABLE, PASSWORD_FILE_VARIABLE
from tools.cli.options import FILE, FOLDER, Whole
from tools.cli.output import progress
from tools.localnet.ports import first_busy, free_base_port
from tools.localnet.signals import stop_on_signals

PORT = 8400
"""Where the other commands look for a node."""


@click.command()
@click.option(
    "--module",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Also compose this one, and reload it on save: FILE.py:CLASS, PACKAGE:CLASS or an installed one's NAME.",
)
@click.option("--port", type=Whole(1024, 65_535), help=f"Where it serves HTTP; {PORT}, or the next free one.")
@click.option(
    "--home", type=FOLDER, metavar="HOME", help="Keep the chain here; a folder that ends with it if left out."
)
@click.option(
    "--spec", "spec_file", type=FILE, help="The chain of this spec, with a validator and accounts made for it."
)
def dev(modules: tuple[str, ...], port: int | None, home: Path | None, spec_file: Path | None) -> int:
    """Run a chain of one validator, which makes a block as soon as a transaction is there, until Ctrl-C.

    When the source of a MODULE is saved, its new code runs on the same state; from a fresh genesis where it declares
    its state in another way. The accounts alice, bob and carol have tokens and are in the keyring of the home. A module
    whose genesis asks for something takes it from --spec; what --module names besides is added to that.
    """
    started_s = time.monotonic()
    stop_on_signals()
    if port is not None and first_busy(port, 1) is not None:
        raise UsageError(f"--port {port}: it is in use")
    with ExitStack() as opened:
        if home is None:
            home = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="armillary-dev-")))
        with progress("starting"):
            from tools.dev import DevChain  # the node: only when one runs
            from tools.dev.home import DevHome, read_base
            from tools.dev.sources import choose

            chosen = [choose(text) for text in modules]
            found = free_base_port(1, start=PORT) if port is None else port
            base = None if spec_file is None else read_base(spec_file)
            made = DevHome(home, base)
            chain = DevChain(made, chosen, found, click.echo)
        known = {
            "ARMILLARY_NODE": f"http://127.0.0.1:{found}",
            HOME_VARIABLE: str(home.resolve()),
            PASSWORD_FILE_VARIABLE: str(made.password_file.resolve()),
            **chain.environment,
        }

        def say_ready() -> None:
            click.echo(f"the dev chain runs after {time.monotonic() - started_s:.1f} s; Ctrl-C stops it")
            for name, address in made.addresses.items():
                click.echo(f"{name:<6} {address}  {FOUNDER_BALANCE:,} base units of arm")
            click.echo("anybody can make these accounts' keys: never use them on another chain")
            click.echo("export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in known.items()))

        chain.run(say_ready)
    return 0
