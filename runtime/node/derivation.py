"""Keys from a seed, along a path: SLIP-10 for Ed25519.

Master: HMAC-SHA512(key "ed25519 seed", seed). Child: HMAC-SHA512(key = chain code, 00 || secret || index, big-endian).
The left half of each is the secret (an Ed25519 seed, RFC 8032), the right half the chain code. Ed25519 has hardened
children only: no public key can derive another, and an index below 2**31 is refused.

Our path is m/44'/4280909'/ACCOUNT'/0', account 0 unless told otherwise: purpose 44' as BIP-44, the form of Solana's
wallets (m/44'/501'/0'/0'). The coin type is "ARM" in ASCII, 0x41524d; SLIP-44 lists no coin under that number, nor
this project: every chain made with Armillary uses it, and an address differs between them by its prefix alone.
What must not live here: files, words (`runtime/node/mnemonic.py`), the encryption of keys.

Source: github.com/satoshilabs/slips, slip-0010 and slip-0044.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from runtime.crypto import SigningKey
from runtime.node.errors import DerivationError

COIN_TYPE = 0x41524D
DEFAULT_PATH = f"m/44'/{COIN_TYPE}'/0'/0'"
HARDENED = 1 << 31
SEED_BYTES_MIN = 16
SEED_BYTES_MAX = 64
DEPTH_MAX = 255
PATH_CHARACTERS_MAX = 4096
_STEP = re.compile(r"(0|[1-9][0-9]{0,9})(['hH]?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class DerivedKey:
    """A node of the tree. Both halves are secret: they are never shown in `repr`."""

    secret: bytes = field(repr=False)
    chain_code: bytes = field(repr=False)

    def child(self, index: int) -> DerivedKey:
        """The child at `index`, 2**31 and above: hardened. Raises DerivationError for any other."""
        if not HARDENED <= index < 2 * HARDENED:
            raise DerivationError(f"index {index}: Ed25519 has hardened children only, 2**31 to 2**32 - 1 (SLIP-10)")
        return _halves(self.chain_code, b"\0" + self.secret + index.to_bytes(4, "big"))

    def signing_key(self) -> SigningKey:
        """The Ed25519 key whose seed is `secret`."""
        return SigningKey.from_seed(self.secret)


def master_key(seed: bytes) -> DerivedKey:
    """The root of a seed's tree. Raises DerivationError unless the seed has 16 to 64 bytes."""
    if not SEED_BYTES_MIN <= len(seed) <= SEED_BYTES_MAX:
        raise DerivationError(f"seed of {len(seed)} bytes; {SEED_BYTES_MIN} to {SEED_BYTES_MAX} are allowed")
    return _halves(b"ed25519 seed", seed)


def derive_key(seed: bytes, path: str = DEFAULT_PATH) -> DerivedKey:
    """The node at `path` under a seed. Raises DerivationError, naming the step of the path that is wrong."""
    steps = parse_path(path)
    node = master_key(seed)
    for index in steps:
        node = node.child(index)
    return node


def parse_path(path: str) -> tuple[int, ...]:
    """The indices of a path like m/44'/0'. A mark after each number (', h or H) says that it is hardened.

    Raises DerivationError for anything else, and for a number without its mark.
    """
    if len(path) > PATH_CHARACTERS_MAX:
        raise DerivationError(f"path of {len(path)} characters; at most {PATH_CHARACTERS_MAX} are allowed")
    root, *steps = path.split("/")
    if root != "m":
        raise DerivationError(f"path: it starts with {root[:20]!r}, not with m as {DEFAULT_PATH} does")
    if len(steps) > DEPTH_MAX:
        raise DerivationError(f"path of {len(steps)} steps; at most {DEPTH_MAX} are allowed")
    return tuple(_index(place, step) for place, step in enumerate(steps, start=1))


def _index(place: int, step: str) -> int:
    found = _STEP.fullmatch(step)
    if found is None:
        raise DerivationError(f"path: step {place}, {step[:20]!r}, is not a number and a mark, as 44' is")
    number, mark = int(found[1]), found[2]
    if number >= HARDENED:
        raise DerivationError(f"path: step {place}, {number}, is not below 2**31; the mark adds 2**31 by itself")
    if not mark:
        raise DerivationError(
            f"path: step {place}, {number}, is not hardened; Ed25519 has hardened children only (SLIP-10): "
            f"write {number}'"
        )
    return HARDENED + number


def _halves(key: bytes, data: bytes) -> DerivedKey:
    digest = hmac.digest(key, data, hashlib.sha512)
    return DerivedKey(digest[:32], digest[32:])
