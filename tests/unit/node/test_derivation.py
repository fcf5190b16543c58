"""A path names one key, hardened at every step, and every other path is refused with its step."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from runtime.node.derivation import (
    DEFAULT_PATH,
    DEPTH_MAX,
    HARDENED,
    PATH_CHARACTERS_MAX,
    derive_key,
    master_key,
    parse_path,
)
from runtime.node.errors import DerivationError
from runtime.node.mnemonic import mnemonic_to_seed

SEEDS = st.binary(min_size=16, max_size=64)
NUMBERS = st.integers(0, HARDENED - 1)
MARKS = st.sampled_from("'hH")


@given(SEEDS, st.lists(st.tuples(NUMBERS, MARKS), max_size=6))
def test_a_path_is_its_children_one_after_the_other(seed: bytes, steps: list[tuple[int, str]]) -> None:
    path = "/".join(["m", *(f"{number}{mark}" for number, mark in steps)])
    node = master_key(seed)
    for number, _ in steps:
        node = node.child(HARDENED + number)
    assert derive_key(seed, path) == node
    assert parse_path(path) == tuple(HARDENED + number for number, _ in steps)


@given(st.binary(min_size=64, max_size=64), NUMBERS, NUMBERS)
def test_a_second_library_derives_the_same_keys(seed: bytes, account: int, change: int) -> None:
    path = f"m/44'/501'/{account}'/{change}'"  # solders derives below this coin type only
    oracle = Keypair.from_seed_and_derivation_path(seed, path)
    assert derive_key(seed, path).signing_key().public_key == bytes(oracle.pubkey())


@given(SEEDS, st.lists(NUMBERS, min_size=2, max_size=4, unique=True))
def test_children_differ_from_each_other_and_from_their_parent(seed: bytes, numbers: list[int]) -> None:
    parent = master_key(seed)
    family = [parent, *(parent.child(HARDENED + number) for number in numbers)]
    assert len({node.secret for node in family}) == len(family)
    assert len({node.chain_code for node in family}) == len(family)


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.data())
def test_invalid_step_without_its_mark_is_named(numbers: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(numbers)))
    marked = [f"{number}'" if at != place else str(number) for at, number in enumerate(numbers, start=1)]
    with pytest.raises(DerivationError, match=f"step {place}, {numbers[place - 1]}, is not hardened.*write"):
        derive_key(bytes(16), "/".join(["m", *marked]))


@given(st.text(max_size=20) | st.text(alphabet="m/0123h'", max_size=12).map(lambda text: f"m/{text}"))
def test_invalid_text_is_refused_in_one_line_or_is_a_path(text: str) -> None:
    try:
        indices = parse_path(text)
    except DerivationError as refused:
        error: DerivationError | None = refused
    else:
        error = None
        assert "/".join(["m", *(f"{index - HARDENED}'" for index in indices)]) == re.sub("[hH]", "'", text)
    assert error is None or str(error).isprintable()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "starts with '', not with m"),
        ("44'/0'", 'starts with "44\'"'),
        ("M/0'", "starts with 'M'"),
        ("m/", "step 1, ''"),
        ("m/0'/", "step 2, ''"),
        ("m/-1'", 'step 1, "-1\'"'),
        ("m/01'", 'step 1, "01\'"'),
        ("m/0''", "step 1, \"0''\""),
        ("m/ 0'", 'step 1, " 0\'"'),
        ("m/\u0661'", "step 1"),
        ("m/2147483648'", "not below 2\\*\\*31"),
        ("m/99999999999'", "step 1"),
        ("m" + "/0'" * (DEPTH_MAX + 1), f"{DEPTH_MAX + 1} steps"),
        ("m" + "/" * PATH_CHARACTERS_MAX, "characters"),
    ],
)
def test_invalid_paths_say_why(path: str, words: str) -> None:
    with pytest.raises(DerivationError, match=words):
        parse_path(path)


@pytest.mark.parametrize("index", [-1, 0, HARDENED - 1, 2 * HARDENED])
def test_invalid_index_is_refused(index: int) -> None:
    with pytest.raises(DerivationError, match="hardened"):
        master_key(bytes(16)).child(index)


@pytest.mark.parametrize("size", [0, 15, 65])
def test_invalid_seed_length_is_refused(size: int) -> None:
    with pytest.raises(DerivationError, match=f"seed of {size} bytes"):
        derive_key(bytes(size))


def test_secrets_are_not_shown() -> None:
    node = derive_key(bytes(16))
    for secret in (node.secret, node.chain_code):
        assert secret.hex() not in repr(node)
        assert repr(secret) not in repr(node)


def test_our_path_and_the_key_at_it_stay_what_they_are() -> None:
    """Whoever wrote down words must find the same account with them for ever."""
    assert DEFAULT_PATH == "m/44'/4280909'/0'/0'"
    seed = mnemonic_to_seed("abandon " * 11 + "about")
    assert (
        derive_key(seed).signing_key().public_key.hex()
        == "efd5c2323f5896b7666a79d8fbfad6f6b0278af68b1570a0d715d94e7cc1fa7c"
    )
