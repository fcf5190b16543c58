"""armillary init, node: the home of a node, and the node."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import click
from pydantic import ValidationError

from chain_spec import read_spec, resolve
from chain_spec.pins import other_sources
from runtime.bech32m import DEFAULT_PREFIX
from runtime.errors import UsageError
from runtime.node.config import NodeConfig, parse_host_port
from runtime.node.config_file import read_config
from runtime.node.home import NodeHome
from runtime.node.run import run_node
from tools.cli.home import make_home
from tools.cli.keyring import password
from tools.cli.options import FOLDER, Prefix
from tools.cli.output import progress

HOME = click.option("--home", required=True, type=FOLDER, metavar="HOME", help="The node's folder.")


@click.command()
@HOME
@click.option("--name", default="node", show_default=True, help="What logs and /status call the node.")
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:7400", show_default=True, help="Where it listens for peers."
)
@click.option("--http", metavar="HOST:PORT", default="127.0.0.1:8400", show_default=True, help="Where it serves HTTP.")
@click.option("--prefix", type=Prefix(), default=DEFAULT_PREFIX, show_default=True, help="Of the chain's addresses.")
def init(home: Path, name: str, listen: str, http: str, prefix: str) -> None:
    """Make the home of a node: a validator key, its operator's account key, a network key, and config.toml.

    Keys are encrypted with one password: from a prompt, or the first line of the file in ARMILLARY_PASSWORD_FILE.
    Then put the chain's spec.json into the folder and run armillary node --home HOME.
    """
    config = _config(name, listen, http)
    secret = password(confirm=True)
    with progress("making keys"):
        made = make_home(home, config, secret, prefix=prefix)
    click.echo(f"validator key  {made['validator']}")
    click.echo(f"operator       {made['operator']}")
    click.echo(f"peer address   {_peer_address(listen, made['peer'])}")
    click.echo(f"next: put the chain's spec at {home / 'spec.json'}, then armillary node --home {home}")


@click.command()
@HOME
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Override an option of config.toml for this run, like log.level=debug. May be repeated.",
)
def node(home: Path, overrides: tuple[str, ...]) -> None:
    """Run the node in HOME until Ctrl-C or SIGTERM. Its log goes to standard error.

    The validator key's password comes from a prompt, or from the file named in ARMILLARY_PASSWORD_FILE.
    """
    config = read_config(home, overrides)
    spec = read_spec(home / config.spec)
    chain = resolve(spec)
    for problem in other_sources(spec, chain):
        click.echo(f"{problem.reason}; this node will not sign", err=True)
        config = config.model_copy(update={"keys": config.keys.model_copy(update={"validator": ""})})
    run_node(NodeHome(home, config), chain.genesis, chain.modules, password=password, bootnodes=spec.bootnodes)


def _config(name: str, listen: str, http: str) -> NodeConfig:
    """Raises UsageError naming the option."""
    try:
        return NodeConfig.model_validate({"name": name, "network": {"listen": listen}, "http": {"listen": http}})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = {"name": "--name", "network": "--listen", "http": "--http"}[str(first["loc"][0])]
        wanted = "1 to 64 characters" if option == "--name" else "HOST:PORT, like 127.0.0.1:7400"
        raise UsageError(f"{option} {first['input']!r}: write {wanted}") from None


def _peer_address(listen: str, peer_id: str) -> str:
    """What others write into persistent_peers; HOST where the node listens on all of its machine's addresses."""
    host, port = parse_host_port(listen)
    try:
        address = ip_address(host)
    except ValueError:
        return f"/dns/{host}/tcp/{port}/p2p/{peer_id}"
    shown = "HOST" if address.is_unspecified else host
    return f"/ip{address.version}/{shown}/tcp/{port}/p2p/{peer_id}"
