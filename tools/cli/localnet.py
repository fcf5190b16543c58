"""armillary localnet: a network of validators on this machine."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from runtime.errors import UsageError
from runtime.node.files import write_atomically
from tools.cli.options import FILE, FOLDER, Whole
from tools.cli.output import progress
from tools.localnet import Localnet
from tools.localnet.homes import VALIDATORS_MAX
from tools.localnet.signals import stop_on_signals
from tools.localnet.specs import read_for_network


@click.command()
@click.option("--validators", default=4, show_default=True, type=Whole(1, VALIDATORS_MAX), help="How many there are.")
@click.option("--home", required=True, type=FOLDER, metavar="HOME", help="A new folder for it all.")
@click.option(
    "--base-port",
    type=Whole(1024, 65_000),
    metavar="PORT",
    help="Node i listens on PORT + 2i for peers, on PORT + 2i + 1 for HTTP; free ports if left out.",
)
@click.option(
    "--json",
    "file",
    type=FILE,
    help="Once all nodes answer, write {spec, nodes: [{name, pid, home, http, p2p, account}]} here.",
)
@click.option(
    "--module", "modules", multiple=True, metavar="NAME", help="Also compose this module. Repeat for several."
)
@click.option("--spec", "spec_file", type=FILE, help="The chain of this spec, with validators made for it.")
def localnet(
    validators: int, home: Path, base_port: int | None, file: Path | None, modules: tuple[str, ...],
    spec_file: Path | None,
) -> int:  # fmt: skip
    """Run a network of validators on this machine, in the foreground, until Ctrl-C.

    HOME gets a folder for each node, spec.json, and the password of their keys in the file `password`.
    Each node's operator has tokens: armillary tx ... --home HOME/node0 --key operator. With --spec the chain has that
    spec's modules, parameters and state at height 0; only who validates is another, and the operators have tokens.
    """
    if spec_file and modules:
        raise UsageError("--module: the spec of --spec says which modules there are; add it there")
    stop_on_signals()
    spec = None if spec_file is None else read_for_network(spec_file)
    with Localnet(home, validators, base_port=base_port, modules=modules, spec=spec) as network:
        with progress(f"starting {validators} validators"):
            network.start()
        if file:
            write_atomically(file, (json.dumps(network.describe(), indent=2) + "\n").encode())
        click.echo(f"{validators} validators run; the spec is {network.spec_path}; Ctrl-C stops them")
        for node in network.nodes:
            click.echo(f"{node.name}  {node.http_url}  operator {node.account}  log {node.home / 'node.log'}")
        click.echo(f"export ARMILLARY_NODE={network.nodes[0].http_url} ARMILLARY_PASSWORD_FILE={home / 'password'}")
        try:
            while True:
                time.sleep(0.5)
                for node in network.nodes:
                    node.check_running()
        except KeyboardInterrupt:
            with progress("stopping"):
                network.stop()
    return 0
