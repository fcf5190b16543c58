"""armillary init, node: the home of a node, and the node."""

from __future__ import annotations

from pathlib import Path

import click

from chain_spec import ChainSpec, ResolvedChain, plugins, read_spec, resolve
from runtime.bech32m import DEFAULT_PREFIX
from runtime.node.config import HttpConfig, NetworkConfig, NodeConfig, read_config
from runtime.node.run import NodeHome, run_node
from tools.cli.home import make_home
from tools.cli.keyring import password
from tools.cli.output import progress

HOME = click.option(
    "--home", required=True, type=click.Path(path_type=Path, file_okay=False), help="The node's folder."
)


@click.command()
@HOME
@click.option("--name", default="node", show_default=True, help="Shown in logs and in /status.")
@click.option("--listen", default="127.0.0.1:7400", show_default=True, help="Where peers reach this node.")
@click.option("--http", default="127.0.0.1:8400", show_default=True, help="Where HTTP is served.")
@click.option("--prefix", default=DEFAULT_PREFIX, show_default=True, help="The chain's address prefix.")
def init(home: Path, name: str, listen: str, http: str, prefix: str) -> None:
    """Make the home of a node: a validator key, its operator's account key, a network key, and config.toml.

    Keys are encrypted with one password: from a prompt, or the first line of the file in ARMILLARY_PASSWORD_FILE.
    Then put the chain's spec.json into the folder and run armillary node --home HOME.
    """
    config = NodeConfig(name=name, network=NetworkConfig(listen=listen), http=HttpConfig(listen=http))
    secret = password(confirm=True)
    with progress("making keys"):
        made = make_home(home, config, secret, prefix=prefix)
    click.echo(f"validator key  {made['validator']}")
    click.echo(f"operator       {made['operator']}")
    click.echo(f"peer address   /ip4/{listen.rpartition(':')[0]}/tcp/{listen.rpartition(':')[2]}/p2p/{made['peer']}")
    click.echo(f"next: put the chain's spec at {home / 'spec.json'}, then armillary node --home {home}")


@click.command()
@HOME
def node(home: Path) -> None:
    """Run the node in HOME until Ctrl-C or SIGTERM. Its log goes to standard error.

    The validator key's password comes from a prompt, or from the file named in ARMILLARY_PASSWORD_FILE.
    """
    config = read_config(home)
    spec = read_spec(home / config.spec)
    chain = resolve(spec)
    for sentence in changed_modules(spec, chain):
        click.echo(f"{sentence}; this node will not sign", err=True)
        config = config.model_copy(update={"keys": config.keys.model_copy(update={"validator": ""})})
    run_node(NodeHome(home, config), chain.genesis, chain.modules, password=password)


def changed_modules(spec: ChainSpec, chain: ResolvedChain) -> list[str]:
    """A sentence for each module whose installed sources are not those that the spec pins."""
    return [
        f"module {chosen.name}: the spec pins sources {chosen.digest.hex()}, not {plugins.digest(module).hex()}"
        for chosen, module in zip(spec.modules, chain.modules, strict=True)
        if chosen.digest is not None and chosen.digest != plugins.digest(module)
    ]
