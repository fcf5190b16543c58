"""Keys by name: made once, found by name, opened by their password alone; what is wrong is one sentence."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.crypto import SigningKey
from runtime.errors import ArmillaryError, CallerError, UsageError
from runtime.node import keystore
from runtime.node.errors import KeystoreCorrupted, KeystoreError, WrongPassword
from runtime.node.keystore import SCRYPT_N_MIN, write_keystore
from tools.cli import keyring
from tools.cli.app import run
from tools.cli.keyring import Keyring, password

KEY = SigningKey.from_seed(b"\7" * 32)
VARIABLE = keyring.PASSWORD_FILE_VARIABLE


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keyring:
    """A home with the key `alice`, and the password of it in the file that the environment names."""
    (tmp_path / "keys").mkdir()
    write_keystore(tmp_path / "keys" / "alice.json", KEY, "secret", scrypt_n=SCRYPT_N_MIN)
    (tmp_path / "password").write_text("secret\nanother line\n")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "password"))
    return Keyring(tmp_path)


def test_a_key_is_found_by_its_name_and_opened_by_the_password_file(ring: Keyring) -> None:
    assert ring.open("alice").seed == KEY.seed
    assert ring.public_key("alice") == KEY.public_key
    assert ring.names() == ["alice"]


def test_a_new_key_is_private_and_opens_again(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cheap: Callable[..., keystore.Keystore] = lambda *a, **k: write_keystore(*a, **k, scrypt_n=SCRYPT_N_MIN)  # noqa: E731 # a one-line stand-in
    monkeypatch.setattr(keyring, "write_keystore", cheap)
    home = tmp_path / "new"
    assert run(["keys", "new", "bob", "--home", str(home), "--prefix", "xyz"]) == 0
    address = capsys.readouterr().out.strip()
    assert address.startswith("xyz1")
    made = Keyring(home)
    assert made.address("bob") == address
    assert made.open("bob").public_key == made.public_key("bob")
    assert stat.S_IMODE(made.path("bob").stat().st_mode) == 0o600
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert run(["keys", "show", "bob", "--home", str(home)]) == 0
    assert capsys.readouterr().out.strip() == address


def test_the_list_is_aligned_and_goes_on_past_a_damaged_keystore(
    ring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bob", "a_long_name"):
        write_keystore(ring.path(name), KEY, "secret", scrypt_n=SCRYPT_N_MIN)
    ring.path("alice").write_text("{}")
    assert run(["keys", "list", "--home", str(ring.folder.parent)]) == 1
    shown = capsys.readouterr()
    address = ring.address("bob")
    assert shown.out.splitlines() == [f"a_long_name  {address}", f"bob          {address}"]
    assert shown.err.startswith("error: ")
    assert "alice.json" in shown.err


def test_an_empty_home_lists_nothing_and_says_what_makes_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keys", "list", "--home", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert (shown.out, "armillary keys new" in shown.err) == ("", True)


def test_the_folder_of_keys_is_the_environments_else_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMILLARY_HOME", "/somewhere")
    assert keyring.default_home() == Path("/somewhere")
    monkeypatch.delenv("ARMILLARY_HOME")
    monkeypatch.setenv("HOME", "/people/alice")
    assert keyring.default_home() == Path("/people/alice/.armillary")


def test_invalid_name_of_no_key_says_which_there_are(ring: Keyring) -> None:
    with pytest.raises(UsageError, match=r"no key 'bob' in .*keys \(there: alice\); armillary keys new") as caught:
        ring.open("bob")
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="there: none"):
        Keyring(ring.folder / "nowhere").address("alice")


@pytest.mark.parametrize("name", ["", "Alice", "a/b", "../alice", ".alice", "a b", "-a", "é", "a" * 49, "a\n"])
def test_invalid_names_never_leave_the_folder(ring: Keyring, name: str) -> None:
    with pytest.raises(UsageError, match="is no key name"):
        ring.open(name)


def test_invalid_second_key_of_a_name_is_refused_and_the_first_kept(
    ring: Keyring, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ring.path("alice").read_bytes()
    assert run(["keys", "new", "alice", "--home", str(ring.folder.parent)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert ring.path("alice").read_bytes() == before


def test_invalid_password_is_told_from_a_damaged_file(ring: Keyring, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong\n")
    with pytest.raises(WrongPassword, match=r"alice\.json: the password does not open this keystore") as caught:
        ring.open("alice")
    assert caught.value.exit_code == 1
    data = bytearray(ring.path("alice").read_bytes())
    data[len(data) // 2] ^= 1
    ring.path("alice").write_bytes(data)
    with pytest.raises(KeystoreCorrupted, match=r"alice\.json"):
        ring.open("alice")


def test_invalid_keystore_that_cannot_be_read(ring: Keyring) -> None:
    ring.path("alice").unlink()
    ring.path("alice").mkdir()
    with pytest.raises(KeystoreError, match="cannot be read"):
        ring.open("alice")


def test_invalid_address_in_a_keystore_is_named(ring: Keyring) -> None:
    store = keystore.read_keystore(ring.path("alice")).model_copy(update={"address": "nobody"})
    whole = store.model_copy(update={"checksum": keystore._checksum(store)})
    ring.path("alice").write_text(json.dumps(whole.model_dump()))
    with pytest.raises(UsageError, match=r"alice\.json: address"):
        ring.public_key("alice")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"\nsecret\n", "is empty"), (b"\xff\xfe", "no text in UTF-8"), (None, "No such file")],
)
def test_invalid_password_files_are_named(
    content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(file))
    with pytest.raises(UsageError, match=words) as caught:
        password()
    assert VARIABLE in str(caught.value)
    assert str(file) in str(caught.value)


def test_invalid_no_password_without_a_terminal_says_where_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UsageError, match=VARIABLE):
        password()


def test_the_errors_are_the_callers(ring: Keyring) -> None:
    for name in ("bob", "A"):
        with pytest.raises(ArmillaryError) as caught:
            ring.open(name)
        assert isinstance(caught.value, CallerError)
