"""A key's secret as words that people write down: BIP-39, English.

Entropy of 16, 20, 24, 28 or 32 bytes, followed by the first (bits / 32) bits of its SHA-256, cut into numbers of 11
bits, each a word of the list: 12, 15, 18, 21 or 24 words. The seed is PBKDF2-HMAC-SHA512 of the words (2048 rounds,
salt "mnemonic" and the passphrase, both NFKD), 64 bytes; `runtime/node/derivation.py` makes keys of it.

Read generously: any white space around and between the words, either case, any Unicode form. What counts is the one
canonical sentence, lower case with single spaces, so every spelling of it gives the same seed. Nothing else is
mended: a word that is not in the list and a checksum that does not fit are refused.
What must not live here: files, prompts, keys.

Source: github.com/bitcoin/bips, bip-0039.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import unicodedata

from runtime.node.errors import MnemonicError, UnknownWord, WrongChecksum
from runtime.node.wordlist import english, english_numbers

ENTROPY_BYTES = (16, 20, 24, 28, 32)
WORD_COUNTS = (12, 15, 18, 21, 24)
MNEMONIC_CHARACTERS_MAX = 2048
PASSPHRASE_CHARACTERS_MAX = 1024
NEAREST_WORDS_MAX = 3
PBKDF2_ROUNDS = 2048
_WORD_BITS = 11


def generate_mnemonic(words: int = 24) -> str:
    """A new mnemonic from the operating system's randomness. Raises MnemonicError for another count than BIP-39's."""
    if words not in WORD_COUNTS:
        raise MnemonicError(f"{words} words; a mnemonic has {_choice(WORD_COUNTS)}")
    return entropy_to_mnemonic(os.urandom(words // 3 * 4))


def entropy_to_mnemonic(entropy: bytes) -> str:
    """The canonical sentence of `entropy`. Raises MnemonicError for another length than BIP-39's."""
    if len(entropy) not in ENTROPY_BYTES:
        raise MnemonicError(f"entropy of {len(entropy)} bytes; a mnemonic holds {_choice(ENTROPY_BYTES)}")
    count = len(entropy) // 4 * 3
    number = int.from_bytes(entropy, "big") << _checksum_bits(count) | _checksum(entropy)
    words = english()
    places = range(_WORD_BITS * (count - 1), -1, -_WORD_BITS)
    return " ".join(words[number >> place & (1 << _WORD_BITS) - 1] for place in places)


def mnemonic_to_entropy(mnemonic: str) -> bytes:
    """The entropy that the words hold.

    Raises MnemonicError (too long, wrong number of words), UnknownWord (the first word that is not in the list), or
    WrongChecksum (each word is in the list, but these words in this order are no mnemonic).
    """
    words = _split(mnemonic)
    numbers = english_numbers()
    number = 0
    for place, word in enumerate(words, start=1):
        if word not in numbers:
            raise UnknownWord(place, word, _nearest(word))
        number = number << _WORD_BITS | numbers[word]
    bits = _checksum_bits(len(words))
    entropy = (number >> bits).to_bytes(len(words) // 3 * 4, "big")
    if number & (1 << bits) - 1 != _checksum(entropy):
        raise WrongChecksum(len(words))
    return entropy


def mnemonic_to_seed(mnemonic: str, passphrase: str = "") -> bytes:
    """The 64-byte seed of a checked mnemonic. Every passphrase gives a seed of its own: none is wrong.

    Raises what `mnemonic_to_entropy` raises, and MnemonicError for a passphrase that is too long or not Unicode.
    """
    if len(passphrase) > PASSPHRASE_CHARACTERS_MAX:
        raise MnemonicError(f"passphrase: {len(passphrase)} characters; at most {PASSPHRASE_CHARACTERS_MAX}")
    try:
        salt = ("mnemonic" + unicodedata.normalize("NFKD", passphrase)).encode()
    except UnicodeEncodeError:
        raise MnemonicError("passphrase: it holds half a surrogate pair, which has no bytes in UTF-8") from None
    sentence = entropy_to_mnemonic(mnemonic_to_entropy(mnemonic))
    return hashlib.pbkdf2_hmac("sha512", sentence.encode(), salt, PBKDF2_ROUNDS)


def _split(mnemonic: str) -> list[str]:
    if len(mnemonic) > MNEMONIC_CHARACTERS_MAX:
        raise MnemonicError(f"{len(mnemonic)} characters; a mnemonic has at most {MNEMONIC_CHARACTERS_MAX}")
    words = unicodedata.normalize("NFKD", mnemonic).lower().split()
    if len(words) not in WORD_COUNTS:
        raise MnemonicError(f"{len(words)} words; a mnemonic has {_choice(WORD_COUNTS)}")
    return words


def _checksum_bits(words: int) -> int:
    return words // 3


def _checksum(entropy: bytes) -> int:
    """The first (bits of entropy / 32) bits of its SHA-256: at most eight, so of the first byte."""
    return hashlib.sha256(entropy).digest()[0] >> 8 - len(entropy) // 4


def _nearest(word: str) -> tuple[str, ...]:
    """Words of the list like `word`, the likeliest first, perhaps none.

    No two words of the list share their first four letters, so these come before what merely looks alike.
    """
    same_start = [known for known in english() if len(word) >= 4 and known[:4] == word[:4]]
    alike = difflib.get_close_matches(word[:16], english(), n=NEAREST_WORDS_MAX, cutoff=0.5)
    return tuple(dict.fromkeys(same_start + alike))[:NEAREST_WORDS_MAX]


def _choice(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"
