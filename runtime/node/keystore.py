"""The encrypted file of one secret key.

JSON: {version, kind, address, kdf: {name, n, r, p, salt}, cipher: {name, nonce, tag, ciphertext}, checksum}.
The key is scrypt of the password (NFKC, UTF-8); the cipher is AES-256-GCM with version, kind, address and kdf
as associated data. The checksum is SHA-256 over everything else: it tells a damaged file from a wrong
password. Cost: n = 2**17, r = 8, p = 1 takes 128 MiB and about half a second (OWASP's minimum for scrypt).
What a file asks for is bounded before any of it is spent.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.bech32m import encode_address
from runtime.crypto import SigningKey
from runtime.node.errors import KeystoreCorrupted, KeystoreError, WrongPassword
from runtime.node.files import write_atomically
from runtime.types import AccountId

SCRYPT_N = 1 << 17
SCRYPT_N_MIN = 1 << 10
SCRYPT_N_MAX = 1 << 20
SCRYPT_MEMORY_BYTES_MAX = 1 << 28  # 256 MiB: 128 * n * r
FILE_BYTES_MAX = 16 * 1024
PASSWORD_CHARACTERS_MAX = 1024


def _hex(size: int) -> str:
    return f"^[0-9a-f]{{{2 * size}}}$"


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Kdf(_Model):
    name: Literal["scrypt"] = "scrypt"
    n: int = Field(ge=SCRYPT_N_MIN, le=SCRYPT_N_MAX)
    r: int = Field(ge=1, le=32)
    p: int = Field(ge=1, le=4)
    salt: str = Field(pattern=_hex(32))


class _Cipher(_Model):
    name: Literal["aes-256-gcm"] = "aes-256-gcm"
    nonce: str = Field(pattern=_hex(12))
    tag: str = Field(pattern=_hex(16))
    ciphertext: str = Field(pattern=_hex(32))


class Keystore(_Model):
    """The file's content. `address` is the key's account in bech32m."""

    version: Literal[1] = 1
    kind: Literal["ed25519"] = "ed25519"
    address: str = Field(max_length=128)
    kdf: _Kdf
    cipher: _Cipher
    checksum: str = Field(pattern=_hex(32))


def write_keystore(
    path: Path, key: SigningKey, password: str, *, prefix: str = "arm", scrypt_n: int = SCRYPT_N
) -> Keystore:
    """Encrypt `key` into a new file, atomically, readable by its owner only. Never overwrites a keystore. Raises
    KeystoreError instead."""
    if path.exists():
        raise KeystoreError(f"{path}: exists already; a keystore is never overwritten")
    store = encrypt_key(key, password, prefix=prefix, scrypt_n=scrypt_n)
    write_atomically(path, (store.model_dump_json(indent=2) + "\n").encode(), mode=0o600)
    return store


def read_keystore(path: Path) -> Keystore:
    """Read and check a keystore without its password. Raises KeystoreError or KeystoreCorrupted."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_keystore(data, str(path))


def parse_keystore(data: bytes, source: str) -> Keystore:
    """Check a keystore's bytes without its password; `source` names them in errors. Raises KeystoreCorrupted."""
    if len(data) > FILE_BYTES_MAX:
        raise KeystoreCorrupted(f"{source}: larger than {FILE_BYTES_MAX} bytes: not a keystore")
    try:
        store = Keystore.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise KeystoreCorrupted(f"{source}: {where}: {first['msg']}") from None
    if store.checksum != _checksum(store):
        raise KeystoreCorrupted(f"{source}: checksum: the file was changed or damaged; restore it from a backup")
    return store


def open_keystore(path: Path, password: str) -> SigningKey:
    """The key in the file. Raises WrongPassword, KeystoreCorrupted or KeystoreError."""
    try:
        return decrypt_key(read_keystore(path), password)
    except WrongPassword as error:
        raise WrongPassword(f"{path}: {error}") from None


def encrypt_key(key: SigningKey, password: str, *, prefix: str = "arm", scrypt_n: int = SCRYPT_N) -> Keystore:
    """Encrypt with a fresh salt and nonce. `scrypt_n` below the default is for throwaway networks."""
    kdf = _Kdf(n=scrypt_n, r=8, p=1, salt=os.urandom(32).hex())
    address = encode_address(AccountId(key.public_key), prefix)
    draft = Keystore(
        address=address,
        kdf=kdf,
        cipher=_Cipher(nonce=os.urandom(12).hex(), tag="00" * 16, ciphertext="00" * 32),
        checksum="00" * 32,
    )
    cipher = _cipher(kdf, password, draft.cipher.nonce)
    cipher.update(_associated(draft))
    ciphertext, tag = cipher.encrypt_and_digest(key.seed)
    sealed = draft.cipher.model_copy(update={"tag": tag.hex(), "ciphertext": ciphertext.hex()})
    store = draft.model_copy(update={"cipher": sealed})
    return store.model_copy(update={"checksum": _checksum(store)})


def decrypt_key(store: Keystore, password: str) -> SigningKey:
    """Raises WrongPassword."""
    if 128 * store.kdf.n * store.kdf.r > SCRYPT_MEMORY_BYTES_MAX or store.kdf.n & (store.kdf.n - 1):
        raise KeystoreCorrupted(
            f"kdf: n = {store.kdf.n}, r = {store.kdf.r} is no power of two or asks for more than "
            f"{SCRYPT_MEMORY_BYTES_MAX >> 20} MiB of memory"
        )
    cipher = _cipher(store.kdf, password, store.cipher.nonce)
    cipher.update(_associated(store))
    try:
        seed = cipher.decrypt_and_verify(bytes.fromhex(store.cipher.ciphertext), bytes.fromhex(store.cipher.tag))
    except ValueError:
        raise WrongPassword("the password does not open this keystore") from None
    return SigningKey.from_seed(seed)


def _cipher(kdf: _Kdf, password: str, nonce: str) -> Any:
    """AES-256-GCM under the password's key. Imported here: most commands open no key."""
    from Crypto.Cipher import AES

    return AES.new(_derive(kdf, password), AES.MODE_GCM, nonce=bytes.fromhex(nonce))


def _derive(kdf: _Kdf, password: str) -> bytes:
    if not 0 < len(password) <= PASSWORD_CHARACTERS_MAX:
        raise KeystoreError(f"password: {len(password)} characters; 1 to {PASSWORD_CHARACTERS_MAX} are allowed")
    from Crypto.Protocol.KDF import scrypt

    secret = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    derived = scrypt(secret, bytes.fromhex(kdf.salt), 32, kdf.n, kdf.r, kdf.p)
    assert isinstance(derived, bytes)
    return derived


def _associated(store: Keystore) -> bytes:
    return _canonical(store.model_dump(include={"version", "kind", "address", "kdf"}))


def _checksum(store: Keystore) -> str:
    return hashlib.sha256(_canonical(store.model_dump(exclude={"checksum"}))).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
