"""The English word list of BIP-39, and its reader. Data only.

english.txt   2048 words in order, one on a line; from trezor/python-mnemonic, src/mnemonic/wordlist/english.txt
LICENSE.txt   its licence: MIT, copyright 2013-2016 Pavol Rusnak
"""

from __future__ import annotations

import functools
from importlib.resources import files

WORDS = 2048


@functools.cache
def english() -> tuple[str, ...]:
    """The words; a word's place is the 11-bit number that it stands for."""
    words = tuple((files(__name__) / "english.txt").read_text(encoding="ascii").split())
    assert len(words) == WORDS
    return words


@functools.cache
def english_numbers() -> dict[str, int]:
    """word -> its place."""
    return {word: number for number, word in enumerate(english())}
