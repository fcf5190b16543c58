"""Named account keys in a folder of encrypted keystores, and where passwords come from."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click

from runtime.bech32m import Bech32mError, decode_address
from runtime.crypto import SigningKey
from runtime.errors import UsageError
from runtime.node.keystore import open_keystore, read_keystore, write_keystore

PASSWORD_FILE_VARIABLE = "ARMILLARY_PASSWORD_FILE"  # noqa: S105 # the name of a variable, not a password
HOME_VARIABLE = "ARMILLARY_HOME"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}", re.ASCII)


def default_home() -> Path:
    """The folder of keys when none is given: $ARMILLARY_HOME, or ~/.armillary."""
    return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".armillary")


def password(*, confirm: bool = False) -> str:
    """From the file that $ARMILLARY_PASSWORD_FILE names (its first line), else from a prompt. Raises UsageError."""
    named = os.environ.get(PASSWORD_FILE_VARIABLE)
    if named:
        return read_password(Path(named), PASSWORD_FILE_VARIABLE)
    return ask_password("Password", f"name a file that holds it in {PASSWORD_FILE_VARIABLE}", confirm=confirm)


def read_password(file: Path, source: str) -> str:
    """The first line of a file that `source`, a variable or an option, names. Raises UsageError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{source}: {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{source}: {file} is no text in UTF-8") from None
    if not lines or not lines[0]:
        raise UsageError(f"{source}: {file} is empty; its first line is the password")
    return lines[0]


def ask_password(label: str, otherwise: str, *, confirm: bool = False) -> str:
    """From a prompt. Raises UsageError on no terminal; `otherwise` says what to do there."""
    if not sys.stdin.isatty():
        raise UsageError(f"a password is needed: {otherwise}")
    text: str = click.prompt(label, hide_input=True, confirmation_prompt=confirm, err=True)
    return text


def ask_words(otherwise: str) -> str:
    """A mnemonic from a prompt, as hidden as a password. Raises UsageError on no terminal."""
    if not sys.stdin.isatty():
        raise UsageError(f"the words are needed: {otherwise}")
    text: str = click.prompt("Words", hide_input=True, err=True)
    return text


class Keyring:
    """The keystores NAME.json in `home`/keys."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "keys"

    def names(self) -> list[str]:
        """Of the keys that exist, sorted; other files in the folder are left out."""
        return sorted(path.stem for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem))

    def path(self, name: str) -> Path:
        """Where the key of this name is kept, whether it exists or not. Raises UsageError for no key name."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no key name: 1 to 48 of a-z, 0-9, _ and -, a letter or digit first")
        return self.folder / f"{name}.json"

    def vacant(self, name: str) -> Path:
        """The path of a key that is to be. Raises UsageError when it exists already, or `name` is no key name."""
        path = self.path(name)
        if path.exists():
            raise UsageError(f"the key {name!r} exists already: {path}")
        return path

    def create(self, name: str, prefix: str, key: SigningKey | None = None) -> str:
        """Keep `key`, else a new one, as `name`, encrypted with a password that is asked for. Returns its address."""
        path = self.vacant(name)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return write_keystore(path, key or SigningKey.generate(), password(confirm=True), prefix=prefix).address

    def address(self, name: str) -> str:
        """The bech32m address in the keystore; needs no password. Raises UsageError, KeystoreError."""
        return read_keystore(self._existing(name)).address

    def public_key(self, name: str) -> bytes:
        """The public key of `name`: the account that its address spells. Needs no password. Raises UsageError,
        KeystoreError."""
        address = self.address(name)
        try:
            return decode_address(address, address.rpartition("1")[0])
        except Bech32mError as error:
            raise UsageError(f"{self.path(name)}: address: {error}") from None

    def open(self, name: str) -> SigningKey:
        """The secret key, decrypted. Raises UsageError naming the keys that exist, or the keystore's own errors."""
        return open_keystore(self._existing(name), password())

    def _existing(self, name: str) -> Path:
        path = self.path(name)
        if not path.exists():
            there = ", ".join(self.names()) or "none"
            raise UsageError(f"no key {name!r} in {self.folder} (there: {there}); armillary keys new makes one")
        return path
