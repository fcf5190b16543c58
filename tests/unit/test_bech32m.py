"""Addresses: BIP-350's checksum, one text for one account, typing errors found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bech32m import (
    _ALPHABET,
    _CONSTANT,
    _INDEX,
    Bech32mError,
    _expand,
    _polymod,
    decode_address,
    encode_address,
    is_prefix,
)

accounts = st.binary(min_size=32, max_size=32)
prefixes = st.from_regex(r"[a-z][a-z0-9]{0,15}", fullmatch=True, alphabet=st.characters(max_codepoint=127))


def checksum_holds(text: str) -> bool:
    """BIP-350's own rule, without this chain's on prefix and size."""
    prefix, _, rest = text.lower().rpartition("1")
    return _polymod(_expand(prefix) + [_INDEX[character] for character in rest]) == _CONSTANT


@pytest.mark.parametrize(
    "text",
    [
        "A1LQFN3A",
        "a1lqfn3a",
        "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
        "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
        "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
        "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
        "?1v759aa",
    ],
)
def test_bip_350_valid_checksums(text: str) -> None:
    assert checksum_holds(text)


@pytest.mark.parametrize(
    "text",
    [
        *("qyrz8wqd2c9m", "y1b0jsk6g", "lt1igcx5c0", "in1muywd", "mm1crxm3i"),
        *("au1s5cgom", "M1VUXWEZ", "16plkw9", "1p2gdwpf"),
    ],
)
def test_invalid_bip_350_texts(text: str) -> None:
    with pytest.raises(Bech32mError):
        decode_address(text, text.lower().rpartition("1")[0])


def test_invalid_bech32_of_the_older_constant() -> None:
    """BIP-173's checksum (constant 1) is not BIP-350's."""
    assert not checksum_holds("A12UEL5L")


def test_bip_350_segwit_vector() -> None:
    """Witness version 1 of BIP-350's vectors: its payload behind the version is our account."""
    payload = bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    assert encode_address(payload, "bc")[3:-6] == "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"[4:-6]


@given(accounts, prefixes)
def test_decode_is_the_inverse_in_either_case(account: bytes, prefix: str) -> None:
    text = encode_address(account, prefix)
    assert decode_address(text, prefix) == account
    assert decode_address(text.upper(), prefix) == account
    assert checksum_holds(text)


@given(accounts, st.data())
def test_invalid_with_any_single_character_changed(account: bytes, data: st.DataObject) -> None:
    text = encode_address(account)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(_ALPHABET) | st.characters(exclude_categories=["Cs"]) | st.just("\u212a"))
    if other == text[at]:
        return
    with pytest.raises(Bech32mError):
        decode_address(text[:at] + other + text[at + 1 :])


@given(accounts, st.integers(0, 60), st.integers(1, 3))
def test_invalid_with_characters_left_out_or_swapped(account: bytes, at: int, count: int) -> None:
    text = encode_address(account)
    with pytest.raises(Bech32mError):
        decode_address(text[:at] + text[at + count :])
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if swapped != text:
        with pytest.raises(Bech32mError):
            decode_address(swapped)


@pytest.mark.parametrize("text", ["\u212a", "arm1\u212a", "ARM1\u212a"])
def test_invalid_kelvin_sign_is_no_k(text: str) -> None:
    with pytest.raises(Bech32mError):
        decode_address(text)


def test_invalid_kelvin_sign_in_an_address_that_is_otherwise_right() -> None:
    text = next(text for text in (encode_address(bytes([n] * 32)).upper() for n in range(256)) if "K" in text)
    with pytest.raises(Bech32mError):
        decode_address(text.replace("K", "\u212a"))


@given(st.text(max_size=100))
def test_decoding_is_total(text: str) -> None:
    with pytest.raises(Bech32mError):
        decode_address(text)


@given(accounts)
def test_invalid_address_of_another_chain(account: bytes) -> None:
    with pytest.raises(Bech32mError, match=r"'arm'.*'dev'"):
        decode_address(encode_address(account, "arm"), "dev")


@pytest.mark.parametrize("prefix", ["", "A", "1a", "a-b", "a" * 17, "ä"])
def test_invalid_prefix(prefix: str) -> None:
    assert not is_prefix(prefix)
    with pytest.raises(Bech32mError, match="prefix"):
        encode_address(bytes(32), prefix)


@pytest.mark.parametrize("size", [0, 20, 31, 33])
def test_invalid_account_size(size: int) -> None:
    with pytest.raises(Bech32mError, match="32 bytes"):
        encode_address(bytes(size))
