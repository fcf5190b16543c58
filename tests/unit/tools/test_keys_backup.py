"""A key comes back from its words or from its exported file, and from nothing else; each fault is one line."""

from __future__ import annotations

import functools
import io
import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.bech32m import encode_address
from runtime.crypto import SigningKey
from runtime.node import keystore
from runtime.node.derivation import derive_key
from runtime.node.keystore import SCRYPT_N_MIN, encrypt_key, open_keystore, write_keystore
from runtime.node.mnemonic import mnemonic_to_seed
from runtime.types import AccountId
from tools.cli import keyring, keys_backup
from tools.cli.app import run

WORDS = "abandon " * 11 + "about"
SECRET = "what opens this home"
OTHER = "what opens the exported file"


class Done(NamedTuple):
    code: int
    out: str
    error: str


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Desk(NamedTuple):
    """A folder with a home of keys, and the command line that works in it."""

    folder: Path
    command: Callable[..., Done]

    @property
    def keys(self) -> Path:
        return self.folder / "home" / "keys"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    cheap = functools.partial(write_keystore, scrypt_n=SCRYPT_N_MIN)
    monkeypatch.setattr(keyring, "write_keystore", cheap)
    monkeypatch.setattr(keys_backup, "write_keystore", cheap)
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "other").write_text(OTHER + "\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("ARMILLARY_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("ARMILLARY_HOME", str(tmp_path / "home"))

    def command(*arguments: str | Path) -> Done:
        code = run(["keys", *map(str, arguments)])
        out, error = capfd.readouterr()
        assert "Traceback" not in error
        return Done(code, out, error)

    return Desk(tmp_path, command)


def refused(done: Done, *texts: str, code: int = 1) -> None:
    """One line, that holds the texts, and nothing on standard output."""
    assert (done.code, done.out, done.error.count("\n")) == (code, "", 1), done
    for text in texts:
        assert text in done.error


# --- words -----------------------------------------------------------------------------------------------------------


def test_a_new_keys_words_bring_it_back(desk: Desk) -> None:
    made = desk.command("new", "first", "--mnemonic")
    address, words = made.out.splitlines()
    assert len(words.split()) == 24
    assert made.error.count("\n") == 1
    assert "warning: write these words down" in made.error
    back = desk.command("import", "second", "--file", desk.write("words", f"\n  {words.upper()} \n"))
    assert back == Done(0, address + "\n", "")
    opened = [open_keystore(desk.keys / f"{name}.json", SECRET).seed for name in ("first", "second")]
    assert opened[0] == opened[1] == derive_key(mnemonic_to_seed(words)).secret


def test_the_words_are_in_no_file(desk: Desk) -> None:
    words = desk.command("new", "first", "--mnemonic").out.splitlines()[1].split()
    everything = b"".join(path.read_bytes() for path in desk.folder.rglob("*") if path.is_file())
    assert not any(f" {word} ".encode() in everything for word in words)
    assert desk.command("new", "next", "--mnemonic").out.splitlines()[1].split() != words


def test_path_and_prefix_choose_the_key_and_its_address(desk: Desk) -> None:
    file = desk.write("words", WORDS)
    path = "m/44'/501'/0'/0'"
    done = desk.command("import", "other_wallet", "--file", file, "--path", path, "--prefix", "test")
    key = derive_key(mnemonic_to_seed(WORDS), path).signing_key()
    assert done.out == encode_address(AccountId(key.public_key), "test") + "\n"
    assert desk.command("import", "ours", "--file", file).out.startswith("arm1")


def test_words_are_asked_for_hidden(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def prompt(label: str, **options: bool) -> str:
        asked.append((label, options["hide_input"]))
        return WORDS

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert desk.command("import", "typed").code == 0
    assert asked == [("Words", True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abandon " * 12, "checksum: all 12 words are in the word list"),
        ("abandon " * 11 + "abuot", "word 12, 'abuot', is not in the word list; did you mean about"),
        ("abandon " * 11, "11 words; a mnemonic has 12, 15, 18, 21 or 24"),
        ("", "0 words"),
        ("a" * 5000, "characters"),
    ],
)
def test_invalid_words_in_a_file_are_named(desk: Desk, text: str, words: str) -> None:
    file = desk.write("words", text)
    refused(desk.command("import", "new", "--file", file), str(file), words)
    assert not desk.keys.exists()


def test_invalid_uses_of_import(desk: Desk) -> None:
    file = desk.write("words", WORDS)
    (desk.folder / "latin").write_bytes(b"\xe9t\xe9 " * 12)
    refused(desk.command("import", "new", "--file", desk.folder / "latin"), "--file", "UTF-8", code=2)
    refused(desk.command("import", "new", "--file", desk.folder / "none"), "--file", "No such file", code=2)
    refused(desk.command("import", "New", "--file", file), "is no key name", code=2)
    refused(desk.command("import", "new"), "the words are needed", "--file", code=2)
    refused(desk.command("import", "new", "--file", file, "--path", "m/44'/0"), "step 2, 0, is not hardened", code=2)
    refused(
        desk.command("import", "new", "--file", file, "--password-file", desk.folder / "other"),
        "--password-file",
        "words have no password",
        code=2,
    )
    assert desk.command("import", "new", "--file", file).code == 0
    refused(desk.command("import", "new", "--file", file), "exists already", code=2)
    refused(desk.command("new", "new", "--mnemonic"), "exists already", code=2)


# --- exported files --------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(desk: Desk) -> Path:
    """The key `first`, whose addresses have the prefix test, exported."""
    assert desk.command("new", "first", "--prefix", "test").code == 0
    out = desk.folder / "first.backup"
    done = desk.command("export", "first", "--out", out, "--password-file", desk.folder / "other")
    assert done == Done(0, desk.command("show", "first").out, "")
    return out


def test_an_exported_key_comes_back_under_this_homes_password(desk: Desk, exported: Path) -> None:
    done = desk.command("import", "again", "--file", exported, "--password-file", desk.folder / "other")
    assert done == Done(0, desk.command("show", "first").out, "")
    assert done.out.startswith("test1")
    first, again = (open_keystore(desk.keys / f"{name}.json", SECRET) for name in ("first", "again"))
    assert first.seed == again.seed == open_keystore(exported, OTHER).seed
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600


def test_the_exported_file_shares_no_salt_nonce_or_password_with_the_keystore(desk: Desk, exported: Path) -> None:
    inside, outside = json.loads((desk.keys / "first.json").read_text()), json.loads(exported.read_text())
    assert inside["address"] == outside["address"]
    assert inside["kdf"]["salt"] != outside["kdf"]["salt"]
    assert inside["cipher"]["nonce"] != outside["cipher"]["nonce"]
    assert inside["cipher"]["ciphertext"] != outside["cipher"]["ciphertext"]


def test_another_prefix_may_be_asked_for(desk: Desk, exported: Path) -> None:
    done = desk.command(
        "import", "again", "--file", exported, "--password-file", desk.folder / "other", "--prefix", "main"
    )
    assert done.out.startswith("main1")


def test_invalid_password_of_an_exported_key(desk: Desk, exported: Path) -> None:
    asked = ("import", "again", "--file", exported)
    refused(
        desk.command(*asked, "--password-file", desk.folder / "secret"),
        f"{exported}: the password does not open this keystore",
    )
    refused(desk.command(*asked), "a password is needed", "--password-file", code=2)
    refused(desk.command(*asked, "--password-file", desk.folder / "none"), "--password-file", "No such file", code=2)
    refused(desk.command(*asked, "--password-file", desk.write("empty", "")), "is empty", code=2)
    assert not (desk.keys / "again.json").exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_invalid_change_or_cut_of_an_exported_file_is_refused_in_one_line(
    desk: Desk, exported: Path, data: st.DataObject
) -> None:
    whole = exported.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 2))
    damaged = desk.folder / "damaged"
    if data.draw(st.booleans()):
        damaged.write_bytes(whole[:place])
    else:
        changed = bytes([whole[place] ^ data.draw(st.integers(1, 255))])
        damaged.write_bytes(whole[:place] + changed + whole[place + 1 :])
    done = desk.command("import", "again", "--file", damaged, "--password-file", desk.folder / "other")
    assert (done.code in (1, 2), done.out, done.error.count("\n")) == (True, "", 1), done
    assert "damaged" in done.error
    assert not (desk.keys / "again.json").exists()


def test_invalid_parts_of_an_exported_file_are_named(desk: Desk, exported: Path) -> None:
    values = json.loads(exported.read_text())
    values["cipher"]["tag"] = "00" * 16
    damaged = desk.write("damaged", json.dumps(values))
    password = ("--password-file", desk.folder / "other")
    refused(desk.command("import", "again", "--file", damaged, *password), f"{damaged}: checksum")
    desk.write("damaged", json.dumps({**values, "version": 2}))
    refused(desk.command("import", "again", "--file", damaged, *password), f"{damaged}: version")
    desk.write("damaged", "{" + " " * 20_000)
    refused(desk.command("import", "again", "--file", damaged, *password), f"{damaged}: larger than")


@pytest.mark.parametrize("address", ["test1nonsense", encode_address(AccountId(bytes(32)), "test"), ""])
def test_invalid_address_in_an_exported_file_is_not_taken_on_trust(desk: Desk, address: str) -> None:
    """Whoever knows the password can write any address into a file that otherwise fits."""
    key = SigningKey.from_seed(b"\7" * 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keystore, "encode_address", lambda *_: address)
        store = encrypt_key(key, OTHER, scrypt_n=SCRYPT_N_MIN)
    file = desk.write("forged", store.model_dump_json())
    done = desk.command("import", "again", "--file", file, "--password-file", desk.folder / "other")
    refused(done, f"{file}: address: ")


def test_invalid_uses_of_export(desk: Desk, exported: Path) -> None:
    password = ("--password-file", desk.folder / "other")
    before = exported.read_bytes()
    refused(desk.command("export", "first", "--out", exported, *password), "--out", "exists already", code=2)
    assert exported.read_bytes() == before
    nowhere = desk.folder / "no" / "file"
    refused(desk.command("export", "first", "--out", nowhere, *password), "--out", "no folder", code=2)
    out = desk.folder / "out"
    refused(desk.command("export", "second", "--out", out, *password), "no key 'second'", "there: first", code=2)
    refused(desk.command("export", "first", "--out", out), "a password is needed", code=2)
    refused(desk.command("import", "x", "--file", exported, "--path", "m/0'", *password), "--path", code=2)
    desk.write("secret", "not what opens this home")
    refused(desk.command("export", "first", "--out", out, *password), "first.json: the password does not open")
    assert not out.exists()
