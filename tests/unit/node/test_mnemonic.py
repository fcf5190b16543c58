"""A mnemonic goes both ways, is read however it is spelt, and a slip of the pen is named."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.errors import MnemonicError, UnknownWord, WrongChecksum
from runtime.node.mnemonic import (
    ENTROPY_BYTES,
    MNEMONIC_CHARACTERS_MAX,
    PASSPHRASE_CHARACTERS_MAX,
    entropy_to_mnemonic,
    generate_mnemonic,
    mnemonic_to_entropy,
    mnemonic_to_seed,
)
from runtime.node.wordlist import english, english_numbers

ENTROPY = st.sampled_from(ENTROPY_BYTES).flatmap(lambda size: st.binary(min_size=size, max_size=size))
SPACE = st.text(alphabet=" \t\n\r\u00a0\u3000", min_size=1, max_size=4)


def fits(words: list[str]) -> bool:
    """BIP-39's rule in strings of binary digits, apart from the code under test."""
    digits = "".join(f"{english_numbers()[word]:011b}" for word in words)
    size = len(digits) * 32 // 33
    entropy = bytes(int(digits[place : place + 8], 2) for place in range(0, size, 8))
    return f"{int(hashlib.sha256(entropy).hexdigest(), 16):0256b}".startswith(digits[size:])


@given(ENTROPY)
def test_entropy_goes_both_ways(entropy: bytes) -> None:
    mnemonic = entropy_to_mnemonic(entropy)
    assert mnemonic_to_entropy(mnemonic) == entropy
    assert len(mnemonic.split()) == len(entropy) // 4 * 3
    assert fits(mnemonic.split())


@settings(max_examples=15)
@given(ENTROPY, st.data())
def test_invalid_change_of_one_word_is_refused_exactly_where_the_checksum_says(
    entropy: bytes, data: st.DataObject
) -> None:
    words = entropy_to_mnemonic(entropy).split()
    place = data.draw(st.integers(0, len(words) - 1))
    for other in english()[:: data.draw(st.integers(1, 7))]:
        changed = [*words[:place], other, *words[place + 1 :]]
        if fits(changed):
            assert entropy_to_mnemonic(mnemonic_to_entropy(" ".join(changed))) == " ".join(changed)
        else:
            with pytest.raises(WrongChecksum, match=f"checksum: all {len(words)} words"):
                mnemonic_to_entropy(" ".join(changed))


@settings(max_examples=20)
@given(ENTROPY, SPACE, st.lists(SPACE, min_size=24, max_size=24))
def test_spaces_and_case_do_not_matter(entropy: bytes, before: str, between: list[str]) -> None:
    words = entropy_to_mnemonic(entropy).split()
    spelt = before + "".join(
        (word.upper() if place % 3 else word.title()) + space
        for place, (word, space) in enumerate(zip(words, between, strict=False))
    )
    assert mnemonic_to_entropy(spelt) == entropy
    assert mnemonic_to_seed(spelt, "p") == mnemonic_to_seed(" ".join(words), "p")


def test_unicode_forms_of_the_words_and_of_the_passphrase_are_one() -> None:
    mnemonic = entropy_to_mnemonic(bytes(16))
    wide = "".join(chr(ord(letter) + 0xFEE0) if letter != " " else "\u3000" for letter in mnemonic)
    assert mnemonic_to_seed(wide) == mnemonic_to_seed(mnemonic)
    assert mnemonic_to_seed(mnemonic, "caf\u00e9") == mnemonic_to_seed(mnemonic, "cafe\u0301")
    assert mnemonic_to_seed(mnemonic, "caf\u00e9") != mnemonic_to_seed(mnemonic, "cafe")
    assert len(mnemonic_to_seed(mnemonic)) == 64


@given(st.sampled_from(english()), st.text(alphabet="abcdefghijklmnopqrstuvwxyz", max_size=6), st.integers(1, 12))
def test_invalid_word_is_named_with_its_place_and_the_word_of_its_first_letters_first(
    word: str, ending: str, place: int
) -> None:
    slip = word[:4] + ending
    if len(word) < 4 or slip in english_numbers():
        return
    words = ["abandon"] * 12
    words[place - 1] = slip
    with pytest.raises(UnknownWord, match=f"word {place}, '{slip}', is not in the word list; did you mean {word}") as e:
        mnemonic_to_entropy(" ".join(words))
    assert (e.value.place, e.value.word, e.value.nearest[0]) == (place, slip, word)
    assert set(e.value.nearest) <= set(english())


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("zooo", "zoo"), ("abuot", "about"), ("bandon", "abandon"), ("recieve", "receive"), ("ct", "cat")],
)
def test_invalid_word_has_what_was_meant_among_the_nearest(slip: str, meant: str) -> None:
    with pytest.raises(UnknownWord) as caught:
        mnemonic_to_entropy(" ".join(["abandon"] * 11 + [slip]))
    assert meant in caught.value.nearest


def test_invalid_word_like_no_other_has_no_suggestion() -> None:
    with pytest.raises(UnknownWord, match=r"word 1, '\u65e5\u672c', is not in the word list$") as caught:
        mnemonic_to_entropy(" ".join(["\u65e5\u672c"] * 12))
    assert caught.value.nearest == ()


@given(st.text(max_size=200))
def test_invalid_text_of_any_kind_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(MnemonicError) as caught:
        mnemonic_to_entropy(text)
    assert str(caught.value).isprintable()


def test_invalid_counts_and_lengths_are_named() -> None:
    with pytest.raises(MnemonicError, match="11 words; a mnemonic has 12, 15, 18, 21 or 24"):
        mnemonic_to_entropy(" ".join(["abandon"] * 11))
    with pytest.raises(MnemonicError, match="0 words"):
        mnemonic_to_entropy(" \n ")
    with pytest.raises(MnemonicError, match=f"at most {MNEMONIC_CHARACTERS_MAX}"):
        mnemonic_to_entropy("a" * (MNEMONIC_CHARACTERS_MAX + 1))
    with pytest.raises(MnemonicError, match="entropy of 17 bytes; a mnemonic holds 16, 20, 24, 28 or 32"):
        entropy_to_mnemonic(bytes(17))
    with pytest.raises(MnemonicError, match="13 words"):
        generate_mnemonic(13)
    good = entropy_to_mnemonic(bytes(16))
    with pytest.raises(MnemonicError, match="passphrase"):
        mnemonic_to_seed(good, "p" * (PASSPHRASE_CHARACTERS_MAX + 1))
    with pytest.raises(MnemonicError, match="passphrase"):
        mnemonic_to_seed(good, "\ud800")


@pytest.mark.parametrize("words", [12, 15, 18, 21, 24])
def test_new_mnemonics_have_the_length_asked_for_and_differ(words: int) -> None:
    made = {generate_mnemonic(words) for _ in range(3)}
    assert len(made) == 3
    for mnemonic in made:
        assert len(mnemonic_to_entropy(mnemonic)) == words // 3 * 4


def test_the_word_list_is_bip_39s() -> None:
    """Sorted, 2048 words of 3 to 8 letters that differ in their first four."""
    words = english()
    assert len(words) == 2048
    assert list(words) == sorted(words)
    assert len({word[:4] for word in words}) == 2048
    assert all(word.isalpha() and word.islower() and 3 <= len(word) <= 8 for word in words)
