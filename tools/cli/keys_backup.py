"""armillary keys import and export: account keys as words on paper and as files elsewhere. Keyring: the keys in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from runtime.bech32m import DEFAULT_PREFIX, Bech32mError, decode_address
from runtime.crypto import SigningKey
from runtime.errors import UsageError
from runtime.node.derivation import DEFAULT_PATH, derive_key, parse_path
from runtime.node.errors import DerivationError, KeystoreCorrupted, MnemonicError, WrongPassword
from runtime.node.keystore import FILE_BYTES_MAX, decrypt_key, parse_keystore, write_keystore
from runtime.node.mnemonic import generate_mnemonic, mnemonic_to_seed
from tools.cli.keyring import Keyring, ask_password, ask_words, read_password
from tools.cli.options import FILE, HOME_OF_KEYS, Prefix

PASSWORD_OPTION = "--password-file"  # noqa: S105 # the name of an option, not a password
WARNING = "write these words down and keep them secret: they are shown this once, and whoever has them has the key"


class KeyPath(click.ParamType[str]):
    """A path that SLIP-10 has an Ed25519 key at."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The path as given. A usage error where SLIP-10 has no Ed25519 key at it."""
        try:
            parse_path(str(value))
        except DerivationError as error:
            self.fail(str(error), param, ctx)
        return str(value)


_FILE_PASSWORD = click.option(
    PASSWORD_OPTION, "password_file", type=FILE, help="Its first line is the exported file's password; else a prompt."
)


def new_with_words(ring: Keyring, name: str, prefix: str) -> None:
    """Make the key `name` from 24 new words; print its address and, the only time, the words."""
    mnemonic = generate_mnemonic()
    address = ring.create(name, prefix, _key_of_words(mnemonic, DEFAULT_PATH))
    click.echo(address)
    click.echo(click.style("warning: ", fg="yellow") + WARNING, err=True)
    click.echo(mnemonic)


@click.command(name="import")
@click.argument("name")
@click.option("--file", type=FILE, help="Holds the words or an exported key; without it, a prompt for the words.")
@click.option("--path", type=KeyPath(), help=f"Of the key under its words (SLIP-10).  [default: {DEFAULT_PATH}]")
@_FILE_PASSWORD
@click.option("--prefix", type=Prefix(), help=f"Of the address; else the exported key's own, or {DEFAULT_PREFIX}.")
@HOME_OF_KEYS
def import_key(
    name: str, file: Path | None, path: str | None, password_file: Path | None, prefix: str | None, home: Path
) -> None:
    """Take in a key as NAME, from its words (BIP-39, English) or from a file of armillary keys export.

    It is encrypted anew, with the password of this home's keys. Prints its address.
    """
    ring = Keyring(home)
    ring.vacant(name)
    if file is None:
        key, own = _key_of_words(ask_words("name a file that holds them with --file"), path), None
    else:
        key, own = _read_key(file, path, password_file)
    click.echo(ring.create(name, prefix or own or DEFAULT_PREFIX, key))


@click.command(name="export")
@click.argument("name")
@click.option("--out", required=True, type=FILE, help="The file to write; never overwritten.")
@_FILE_PASSWORD
@HOME_OF_KEYS
def export_key(name: str, out: Path, password_file: Path | None, home: Path) -> None:
    """Write key NAME to a file, encrypted with a new password of its own. Prints its address."""
    ring = Keyring(home)
    address = ring.address(name)
    if out.exists():
        raise UsageError(f"--out: {out} exists already; it is not overwritten")
    if not out.parent.is_dir():
        raise UsageError(f"--out: there is no folder {out.parent}")
    key = ring.open(name)
    password = _file_password(out, password_file, confirm=True)
    click.echo(write_keystore(out, key, password, prefix=_prefix(address, key, str(ring.path(name)))).address)


def _key_of_words(mnemonic: str, path: str | None) -> SigningKey:
    return derive_key(mnemonic_to_seed(mnemonic), path or DEFAULT_PATH).signing_key()


def _read_key(file: Path, path: str | None, password_file: Path | None) -> tuple[SigningKey, str | None]:
    """The key in a file, of whichever form, and the prefix that the file gives it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"--file: {file} cannot be read: {error.strerror}") from None
    if b"{" in data or b":" in data:  # a keystore, damaged perhaps: no words have these
        if path is not None:
            raise UsageError(f"--path: {file} is an exported key; a path is for words")
        return _open_exported(file, data, password_file)
    if password_file is not None:
        raise UsageError(f"{PASSWORD_OPTION}: {file} is no exported key; words have no password")
    try:
        return _key_of_words(data.decode("utf-8-sig"), path), None
    except UnicodeDecodeError:
        raise UsageError(f"--file: {file} is no text in UTF-8") from None
    except MnemonicError as error:
        raise MnemonicError(f"{file}: {error}") from None


def _open_exported(file: Path, data: bytes, password_file: Path | None) -> tuple[SigningKey, str]:
    store = parse_keystore(data, str(file))
    try:
        key = decrypt_key(store, _file_password(file, password_file))
    except WrongPassword as error:
        raise WrongPassword(f"{file}: {error}") from None
    except KeystoreCorrupted as error:
        raise KeystoreCorrupted(f"{file}: {error}") from None
    return key, _prefix(store.address, key, str(file))


def _prefix(address: str, key: SigningKey, source: str) -> str:
    """The prefix of `address`. Raises KeystoreCorrupted when it is not the address of `key`."""
    prefix = address.rpartition("1")[0]
    try:
        account: bytes = decode_address(address, prefix)
    except Bech32mError as error:
        raise KeystoreCorrupted(f"{source}: address: {error}") from None
    if account != key.public_key:
        raise KeystoreCorrupted(f"{source}: address: it is not the address of the key in the file")
    return prefix


def _file_password(file: Path, password_file: Path | None, *, confirm: bool = False) -> str:
    if password_file is not None:
        return read_password(password_file, PASSWORD_OPTION)
    return ask_password(
        f"Password of {file.name}", f"name a file that holds the one of {file} with {PASSWORD_OPTION}", confirm=confirm
    )
