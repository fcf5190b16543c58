"""Addresses for people: 32-byte accounts as bech32m (BIP-350) with the chain's prefix.

Lives here: the text form and its checksum. Must not: know what an account may do.
"""

from __future__ import annotations

import re

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_INDEX = {character: index for index, character in enumerate(_ALPHABET)}
_CONSTANT = 0x2BC830A3  # BIP-350, section "Bech32m"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)  # BIP-173
_CHECKSUM_CHARACTERS = 6
_PREFIX = re.compile(r"[a-z][a-z0-9]{0,15}", re.ASCII)

DEFAULT_PREFIX = "arm"
ACCOUNT_BYTES = 32


class Bech32mError(ValueError):
    """A text that is no address of this chain; the sentence says why."""


def is_prefix(text: str) -> bool:
    """Whether `text` may be a chain's address prefix: 1 to 16 of a-z and 0-9, a letter first."""
    return _PREFIX.fullmatch(text) is not None


def encode_address(account: bytes, prefix: str = DEFAULT_PREFIX) -> str:
    """The address of a 32-byte account, for example "arm1q...". Raises Bech32mError on another size or a bad prefix."""
    if len(account) != ACCOUNT_BYTES:
        raise Bech32mError(f"an account has {ACCOUNT_BYTES} bytes, not {len(account)}")
    if not is_prefix(prefix):
        raise Bech32mError(f"{prefix!r} is no address prefix: 1 to 16 of a-z and 0-9, a letter first")
    data = _regroup(account, 8, 5, pad=True)
    checksum = _polymod(_expand(prefix) + data + [0] * _CHECKSUM_CHARACTERS) ^ _CONSTANT
    data += [(checksum >> 5 * (5 - place)) & 31 for place in range(_CHECKSUM_CHARACTERS)]
    return prefix + "1" + "".join(_ALPHABET[value] for value in data)


def decode_address(text: str, prefix: str = DEFAULT_PREFIX) -> bytes:
    """The 32-byte account of an address. Raises Bech32mError on mixed case, another prefix, a typing error."""
    if len(text) > 90:
        raise Bech32mError(f"an address has at most 90 characters, this has {len(text)}")
    if not text.isascii():  # before lower(): the Kelvin sign would become a k
        raise Bech32mError("the address holds a character that no address has")
    if text.lower() != text and text.upper() != text:
        raise Bech32mError("an address is all lower case or all upper case")
    found, separator, rest = text.lower().rpartition("1")
    if not separator:
        raise Bech32mError(f"{text[:20]!r} is no address: it lacks the separator 1")
    if found != prefix:
        raise Bech32mError(f"the address is of prefix {found[:20]!r}, this chain's is {prefix!r}")
    if any(character not in _INDEX for character in rest):
        raise Bech32mError("the address holds a character that no address has")
    data = [_INDEX[character] for character in rest]
    if len(data) < _CHECKSUM_CHARACTERS or _polymod(_expand(prefix) + data) != _CONSTANT:
        raise Bech32mError("the address' checksum is wrong: a typing error?")
    account = bytes(_regroup(data[:-_CHECKSUM_CHARACTERS], 5, 8, pad=False))
    if len(account) != ACCOUNT_BYTES:
        raise Bech32mError(f"an account has {ACCOUNT_BYTES} bytes, the address holds {len(account)}")
    return account


def _expand(prefix: str) -> list[int]:
    return [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for place in range(5):
            if top >> place & 1:
                checksum ^= _GENERATOR[place]
    return checksum


def _regroup(data: bytes | list[int], source_bits: int, target_bits: int, *, pad: bool) -> list[int]:
    accumulator = bits = 0
    result = []
    for value in data:
        accumulator = (accumulator << source_bits | value) & 0xFFF
        bits += source_bits
        while bits >= target_bits:
            bits -= target_bits
            result.append(accumulator >> bits & ((1 << target_bits) - 1))
    if pad and bits:
        result.append(accumulator << (target_bits - bits) & ((1 << target_bits) - 1))
    elif not pad and (bits >= source_bits or accumulator & ((1 << bits) - 1)):
        raise Bech32mError("the address' padding is not zero")
    return result
