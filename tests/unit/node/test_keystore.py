"""The keystore opens with its password and with nothing else, and says what is wrong."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.bech32m import decode_address
from runtime.crypto import SigningKey
from runtime.node import keystore
from runtime.node.errors import KeystoreCorrupted, KeystoreError, WrongPassword
from runtime.node.keystore import (
    SCRYPT_N_MIN,
    decrypt_key,
    encrypt_key,
    open_keystore,
    read_keystore,
    write_keystore,
)

PASSWORDS = st.text(min_size=1, max_size=20)


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=32, max_size=32), PASSWORDS, PASSWORDS)
def test_only_the_password_opens_it(seed: bytes, password: str, other: str) -> None:
    store = encrypt_key(SigningKey.from_seed(seed), password, scrypt_n=SCRYPT_N_MIN)
    assert decrypt_key(store, password).seed == seed
    if keystore._derive(store.kdf, password) != keystore._derive(store.kdf, other):
        with pytest.raises(WrongPassword):
            decrypt_key(store, other)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    write_keystore(path, SigningKey.from_seed(b"\7" * 32), "correct horse", scrypt_n=SCRYPT_N_MIN)
    return path


def test_a_file_is_private_names_its_account_and_opens_again(written: Path) -> None:
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert [path.name for path in written.parent.iterdir()] == ["key.json"]
    key = open_keystore(written, "correct horse")
    assert key.seed == b"\7" * 32
    assert decode_address(read_keystore(written).address, "arm") == key.public_key


def test_invalid_change_of_any_byte_never_opens(written: Path) -> None:
    whole = written.read_bytes()
    for offset in range(len(whole)):
        changed = bytearray(whole)
        changed[offset] ^= 0x01
        written.write_bytes(changed)
        try:
            store = read_keystore(written)
        except KeystoreCorrupted:
            continue
        pytest.fail(f"byte {offset} changed unnoticed: {store}")


def test_invalid_password_and_damaged_file_are_told_apart(written: Path) -> None:
    with pytest.raises(WrongPassword, match="password"):
        open_keystore(written, "wrong")
    values = json.loads(written.read_text())
    values["cipher"]["ciphertext"] = "00" * 32
    written.write_text(json.dumps(values))
    with pytest.raises(KeystoreCorrupted, match="checksum"):
        open_keystore(written, "correct horse")


def test_invalid_address_with_a_mended_checksum_does_not_open() -> None:
    store = encrypt_key(SigningKey.from_seed(b"\1" * 32), "p", scrypt_n=SCRYPT_N_MIN)
    other = encrypt_key(SigningKey.from_seed(b"\2" * 32), "p", scrypt_n=SCRYPT_N_MIN)
    forged = store.model_copy(update={"address": other.address})
    forged = forged.model_copy(update={"checksum": keystore._checksum(forged)})
    with pytest.raises(WrongPassword):
        decrypt_key(forged, "p")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version"),
        ({"kdf": {"name": "scrypt", "n": 2**40, "r": 8, "p": 1, "salt": "00" * 32}}, "kdf.n"),
        ({"kdf": {"name": "scrypt", "n": 2**14, "r": 8, "p": 10**9, "salt": "00" * 32}}, "kdf.p"),
        ({"kdf": {"name": "pbkdf2", "n": 2**14, "r": 8, "p": 1, "salt": "00" * 32}}, "kdf.name"),
        ({"extra": 1}, "extra"),
        ({"checksum": "zz"}, "checksum"),
    ],
)
def test_invalid_fields_are_named(written: Path, change: dict[str, object], words: str) -> None:
    written.write_text(json.dumps({**json.loads(written.read_text()), **change}))
    with pytest.raises(KeystoreCorrupted, match=words):
        read_keystore(written)


@pytest.mark.parametrize(("n", "r"), [(SCRYPT_N_MIN + 1, 8), (2**20, 8)])
def test_invalid_cost_is_refused_before_it_is_spent(n: int, r: int) -> None:
    store = encrypt_key(SigningKey.from_seed(b"\1" * 32), "p", scrypt_n=SCRYPT_N_MIN)
    hostile = store.model_copy(update={"kdf": store.kdf.model_copy(update={"n": n, "r": r})})
    with pytest.raises(KeystoreCorrupted, match="MiB"):
        decrypt_key(hostile, "p")


def test_invalid_uses(written: Path, tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="never overwritten"):
        write_keystore(written, SigningKey.from_seed(b"\1" * 32), "p")
    with pytest.raises(KeystoreError, match="password"):
        encrypt_key(SigningKey.from_seed(b"\1" * 32), "", scrypt_n=SCRYPT_N_MIN)
    with pytest.raises(KeystoreError, match="No such file"):
        read_keystore(tmp_path / "none.json")
    written.write_bytes(b"[" * 10_000)
    with pytest.raises(KeystoreCorrupted):
        read_keystore(written)
    written.write_bytes(b" " * 20_000)
    with pytest.raises(KeystoreCorrupted, match="larger"):
        read_keystore(written)


def test_the_shipped_cost_is_the_stated_one() -> None:
    store = encrypt_key(SigningKey.from_seed(b"\1" * 32), "p")
    assert (store.kdf.n, store.kdf.r, store.kdf.p) == (2**17, 8, 1)
    assert decrypt_key(store, "p").seed == b"\1" * 32
