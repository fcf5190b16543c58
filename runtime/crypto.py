"""Hashes, Merkle trees and signatures: the only place that says how this chain hashes and signs.

Hash: SHA-256 with domain separation: SHA-256(len(domain) as one byte || domain || data), so that bytes hashed for one
purpose never collide with another's. Signature: Ed25519, strict (`verify_signature`). Merkle trees: leaves and inner
nodes are hashed under different domains; an odd node is promoted (RFC 6962's shape), so no leaf is counted twice.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from runtime.types import Hash, PublicKey, Signature

SEED_BYTES = 32


@functools.lru_cache(maxsize=256)
def _prefix(domain: str) -> hashlib._Hash:
    tag = domain.encode("ascii")
    if not 0 < len(tag) < 256:
        raise ValueError(f"a hash domain has 1 to 255 characters, not {len(tag)}")
    return hashlib.sha256(bytes([len(tag)]) + tag)


def hash_bytes(domain: str, data: bytes) -> Hash:
    """SHA-256 over the domain's tag and `data`. The domain is an ASCII constant like "armillary/header"."""
    state = _prefix(domain).copy()
    state.update(data)
    return Hash(state.digest())


def merkle_root(domain: str, leaves: Sequence[bytes]) -> Hash:
    """The root of a Merkle tree over `leaves` (any bytes, in order). Of no leaves: the hash of nothing.

    The number of leaves is hashed in at the top, so a root commits to the count as well.
    """
    level = [hash_bytes(domain + "/leaf", leaf) for leaf in leaves]
    while len(level) > 1:
        level = _parents(domain, level)
    return _top(domain, len(leaves), level[0] if level else Hash(b""))


def merkle_proof(domain: str, leaves: Sequence[bytes], index: int) -> tuple[Hash, ...]:
    """The siblings from leaf `index` up to the root. Raises IndexError outside the leaves."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    level = [hash_bytes(domain + "/leaf", leaf) for leaf in leaves]
    path = []
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level = _parents(domain, level)
        index >>= 1
    return tuple(path)


def verify_merkle(domain: str, leaf: bytes, index: int, count: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf` is number `index` of the `count` leaves under `root`. Total: never raises."""
    if not 0 <= index < count < 1 << 64:
        return False
    node, width, siblings = hash_bytes(domain + "/leaf", leaf), count, iter(proof)
    while width > 1:
        if index ^ 1 < width:
            sibling = next(siblings, None)
            if sibling is None or len(sibling) != 32:
                return False
            node = _inner(domain, sibling + node if index & 1 else node + sibling)
        index >>= 1
        width = (width + 1) // 2
    return next(siblings, None) is None and _top(domain, count, node) == root


def _parents(domain: str, level: list[Hash]) -> list[Hash]:
    pairs = [_inner(domain, level[left] + level[left + 1]) for left in range(0, len(level) - 1, 2)]
    return pairs + level[-1:] if len(level) % 2 else pairs


def _inner(domain: str, pair: bytes) -> Hash:
    return hash_bytes(domain + "/inner", pair)


def _top(domain: str, count: int, node: bytes) -> Hash:
    return hash_bytes(domain + "/root", count.to_bytes(8, "big") + node)


# --- Ed25519, strict -------------------------------------------------------------------------------------------------

_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_SMALL_ORDER_Y = frozenset(
    value.to_bytes(32, "little")
    for value in (
        0,  # order 4
        1,  # order 1
        _FIELD - 1,  # order 2
        2707385501144840649318225287225658788936804267575313519463743609750303402022,  # order 8
        55188659117513257062467267217118295137698188065244968500265048394206261417927,  # order 8
    )
)
_CLEAR_SIGN = (1 << 255) - 1


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is of `message` by `public_key`, by the one rule of this chain. Total: never raises.

    Accepted if and only if (RFC 8032, tightened): key 32 and signature 64 bytes; A and R canonical encodings of curve
    points that are not of small order; S < L; and [S]B = R + [k]A without the cofactor. libsodium checks the same; the
    canonical form of R and the small orders are checked here too, so that the rule does not rest on its build options.
    """
    if len(public_key) != 32 or len(signature) != 64:
        return False
    commitment, scalar = signature[:32], signature[32:]
    if not _canonical_point(public_key) or not _canonical_point(commitment):
        return False
    if int.from_bytes(scalar, "little") >= _ORDER:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except CryptoError:  # BadSignatureError and what libsodium's binding raises for a point off the curve
        return False
    return True


def _canonical_point(encoded: bytes) -> bool:
    y = int.from_bytes(encoded, "little") & _CLEAR_SIGN
    return y < _FIELD and y.to_bytes(32, "little") not in _SMALL_ORDER_Y


class SigningKey:
    """An Ed25519 key pair. The seed is secret: it is never shown in `repr`."""

    __slots__ = ("_secret", "public_key", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        public_key, self._secret = crypto_sign_seed_keypair(seed)
        self.public_key = PublicKey(public_key)
        self.seed = seed

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """The key of a 32-byte secret seed (RFC 8032, section 5.1.5)."""
        return cls(seed)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the operating system's randomness."""
        return cls(os.urandom(SEED_BYTES))

    def sign(self, message: bytes) -> Signature:
        """The 64-byte deterministic signature of `message` (RFC 8032, section 5.1.6)."""
        return Signature(crypto_sign(message, self._secret)[:64])

    def __repr__(self) -> str:
        return f"SigningKey(public_key={self.public_key.hex()})"
