"""armillary keys: account keys as encrypted keystores. How they leave and come back is in `keys_backup.py`."""

from __future__ import annotations

from pathlib import Path

import click

from runtime.bech32m import DEFAULT_PREFIX
from runtime.node.errors import KeystoreError
from tools.cli.groups import Listed
from tools.cli.keyring import Keyring
from tools.cli.keys_backup import export_key, import_key, new_with_words
from tools.cli.options import HOME_OF_KEYS, Prefix


@click.group(cls=Listed)
def keys() -> None:
    """Make, list, show, import and export account keys.

    They are encrypted (scrypt, AES-256-GCM) in HOME/keys/NAME.json. The password comes from a prompt, or from the
    first line of the file named in ARMILLARY_PASSWORD_FILE.
    """


@keys.command()
@click.argument("name")
@click.option("--mnemonic", is_flag=True, help="Make it from 24 words, printed this once: its backup on paper.")
@click.option("--prefix", type=Prefix(), default=DEFAULT_PREFIX, show_default=True, help="Of the chain's addresses.")
@HOME_OF_KEYS
def new(name: str, mnemonic: bool, prefix: str, home: Path) -> None:
    """Make a new key NAME and print its address."""
    ring = Keyring(home)
    if mnemonic:
        new_with_words(ring, name, prefix)
    else:
        click.echo(ring.create(name, prefix))


@keys.command()
@click.argument("name")
@HOME_OF_KEYS
def show(name: str, home: Path) -> None:
    """Print the address of key NAME. Needs no password."""
    click.echo(Keyring(home).address(name))


@keys.command(name="list")
@HOME_OF_KEYS
def list_keys(home: Path) -> int:
    """List the keys and their addresses. Exits 1 when a keystore is damaged."""
    ring = Keyring(home)
    names, damaged = ring.names(), False
    for name in names:
        try:
            click.echo(f"{name:<{max(map(len, names))}}  {ring.address(name)}")
        except KeystoreError as error:
            click.echo(f"error: {error}", err=True)
            damaged = True
    if not names:
        click.echo(f"no keys in {ring.folder}; armillary keys new NAME makes one", err=True)
    return int(damaged)


keys.add_command(import_key)
keys.add_command(export_key)
