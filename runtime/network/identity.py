"""The node's network key and the peer ids that follow from such keys. Apart from the validator key on purpose.

A peer id is the base58 text of an identity multihash of the protobuf of an Ed25519 public key, as libp2p writes it
(https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md). It is computed here, without importing libp2p, for
the command line's sake.
"""

from __future__ import annotations

from typing import Final

from runtime.crypto import SigningKey
from runtime.network.transport import PeerId
from runtime.types import PublicKey

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MULTIHASH_IDENTITY: Final = bytes([0x00, 36])  # code, bytes that follow
_PROTOBUF_ED25519: Final = bytes([0x08, 0x01, 0x12, 32])  # Type = Ed25519, Data = 32 bytes
_PREFIX: Final = _MULTIHASH_IDENTITY + _PROTOBUF_ED25519
PEER_ID_CHARACTERS_MAX: Final = 60


class NetworkKey:
    """An Ed25519 key from a 32-byte seed; names the node to its peers."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey.from_seed(seed)
        self.peer_id = peer_id_of(self._key.public_key)

    @classmethod
    def generate(cls) -> NetworkKey:
        """A new one, from the system's randomness."""
        return cls(SigningKey.generate().seed)

    @property
    def seed(self) -> bytes:
        """32 bytes, secret: what the key's file holds."""
        return self._key.seed


def peer_id_of(public_key: PublicKey) -> PeerId:
    """The peer id of an Ed25519 public key (32 bytes), as libp2p writes it: "12D3Koo..."."""
    return PeerId(_to_base58(_PREFIX + public_key))


def public_key_of(peer_id: str) -> PublicKey:
    """The key inside a peer id. Raises ValueError with the reason: not base58, or not of an Ed25519 key."""
    if len(peer_id) > PEER_ID_CHARACTERS_MAX:
        raise ValueError(f"{len(peer_id)} characters; a peer id has at most {PEER_ID_CHARACTERS_MAX}")
    data = _from_base58(peer_id)
    if len(data) != len(_PREFIX) + 32 or not data.startswith(_PREFIX):
        raise ValueError("not the peer id of an Ed25519 key (they begin with 12D3KooW)")
    return PublicKey(data[len(_PREFIX) :])


def _to_base58(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    zeros = len(data) - len(data.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + digits


def _from_base58(text: str) -> bytes:
    number = 0
    for character in text:
        digit = _ALPHABET.find(character)
        if digit < 0:
            raise ValueError(f"{character!r} is not a character of base58")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
