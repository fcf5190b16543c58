"""armillary keys: account keys as encrypted keystores."""

from __future__ import annotations

from pathlib import Path

import click

from runtime.bech32m import DEFAULT_PREFIX
from tools.cli.keyring import Keyring, default_home

HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_home,
    help="Folder of keys (~/.armillary).",
)


@click.group()
def keys() -> None:
    """Make and show account keys. They are stored encrypted (scrypt, AES-256-GCM) in HOME/keys/NAME.json.

    The password comes from a prompt, or from the first line of the file named in ARMILLARY_PASSWORD_FILE.
    """


@keys.command()
@click.argument("name")
@click.option("--prefix", default=DEFAULT_PREFIX, show_default=True, help="The chain's address prefix.")
@HOME
def new(name: str, prefix: str, home: Path) -> None:
    """Make a new key NAME and print its address."""
    click.echo(Keyring(home).create(name, prefix))


@keys.command()
@click.argument("name")
@HOME
def show(name: str, home: Path) -> None:
    """Print the address of key NAME. Needs no password."""
    click.echo(Keyring(home).address(name))


@keys.command(name="list")
@HOME
def list_keys(home: Path) -> None:
    """List the keys and their addresses."""
    ring = Keyring(home)
    for name in ring.names():
        click.echo(f"{name:<20} {ring.address(name)}")
    if not ring.names():
        click.echo(f"no keys in {ring.folder}; armillary keys new NAME makes one", err=True)
