"""Hashes by domain, Merkle proofs, strict signatures."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from solders.signature import Signature as OtherSignature

from runtime.crypto import (
    _ORDER,
    _SMALL_ORDER_Y,
    SigningKey,
    hash_bytes,
    merkle_proof,
    merkle_root,
    verify_merkle,
    verify_signature,
)

seeds = st.binary(min_size=32, max_size=32)
leaf_lists = st.lists(st.binary(max_size=8), min_size=1, max_size=17)


def test_a_hash_is_sha256_behind_its_domains_tag() -> None:
    assert hash_bytes("ab", b"data") == hashlib.sha256(b"\x02abdata").digest()


@given(st.text("ab/", min_size=1), st.binary(), st.text("ab/", min_size=1), st.binary())
def test_hashes_differ_by_domain_and_data(left: str, data: bytes, right: str, other: bytes) -> None:
    assert (hash_bytes(left, data) == hash_bytes(right, other)) == ((left, data) == (right, other))


@pytest.mark.parametrize("domain", ["", "a" * 256, "é"])
def test_invalid_domain(domain: str) -> None:
    with pytest.raises(ValueError, match=r"1 to 255|ascii"):
        hash_bytes(domain, b"")


# --- Merkle ----------------------------------------------------------------------------------------------------------


@given(leaf_lists)
def test_every_leaf_is_proven(leaves: list[bytes]) -> None:
    root = merkle_root("t", leaves)
    for index, leaf in enumerate(leaves):
        assert verify_merkle("t", leaf, index, len(leaves), merkle_proof("t", leaves, index), root)


@given(leaf_lists, st.data())
def test_invalid_proof_with_anything_changed(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    leaf, count, root = leaves[index], len(leaves), merkle_root("t", leaves)
    proof = merkle_proof("t", leaves, index)
    other_leaf = data.draw(st.binary(max_size=8).filter(lambda other: other != leaf))
    other_count = data.draw(st.integers(-1, 40).filter(lambda other: other != count))
    other_index = data.draw(st.integers(-1, count).filter(lambda other: other != index))
    other_hash = data.draw(st.binary(min_size=31, max_size=33))
    assert not verify_merkle("t", other_leaf, index, count, proof, root)
    assert not verify_merkle("t", leaf, index, other_count, proof, root)
    assert not verify_merkle("u", leaf, index, count, proof, root)
    assert not verify_merkle("t", leaf, index, count, (*proof, other_hash), root)
    assert not verify_merkle("t", leaf, index, count, proof, other_hash)
    if 0 <= other_index < count and leaves[other_index] == leaf:
        other_index = -1  # equal leaves may be exchanged: one proof then proves both in a tree of equal halves
    assert not verify_merkle("t", leaf, other_index, count, proof, root)
    for place in range(len(proof)):
        assert not verify_merkle("t", leaf, index, count, (*proof[:place], other_hash, *proof[place + 1 :]), root)
        assert not verify_merkle("t", leaf, index, count, (*proof[:place], *proof[place + 1 :]), root)


@given(leaf_lists, st.data())
def test_the_root_commits_to_order_number_and_content(leaves: list[bytes], data: st.DataObject) -> None:
    others = data.draw(st.permutations(leaves) | leaf_lists | st.just([*leaves, leaves[-1]]))
    assert (merkle_root("t", leaves) == merkle_root("t", others)) == (leaves == others)


def test_a_leaf_never_passes_for_an_inner_node() -> None:
    a, b = hash_bytes("t/leaf", b"a"), hash_bytes("t/leaf", b"b")
    assert merkle_root("t", [a + b]) != merkle_root("t", [b"a", b"b"])


@pytest.mark.parametrize("count", [1 << 64, 1 << 70, 1 << 600])
def test_invalid_count_beyond_64_bits(count: int) -> None:
    proof = [bytes(32)] * (count.bit_length() + 1)
    assert not verify_merkle("t", b"", 0, count, proof[: count.bit_length() - 1], bytes(32))


@pytest.mark.parametrize("index", [-1, 2])
def test_invalid_index_of_a_proof(index: int) -> None:
    with pytest.raises(IndexError):
        merkle_proof("t", [b"a", b"b"], index)


# --- signatures ------------------------------------------------------------------------------------------------------


@given(seeds, st.binary())
def test_a_signature_verifies_and_is_deterministic(seed: bytes, message: bytes) -> None:
    key = SigningKey.from_seed(seed)
    assert verify_signature(key.public_key, message, key.sign(message))
    assert key.sign(message) == SigningKey.from_seed(seed).sign(message)


@given(seeds, st.binary(), st.integers(0, 32 + 64 - 1), st.integers(0, 7))
def test_invalid_with_any_bit_changed(seed: bytes, message: bytes, at: int, bit: int) -> None:
    key = SigningKey.from_seed(seed)
    wrong = bytearray(key.public_key + key.sign(message))
    wrong[at] ^= 1 << bit
    assert not verify_signature(bytes(wrong[:32]), message, bytes(wrong[32:]))
    assert not verify_signature(key.public_key, message + b"\0", key.sign(message))


@given(st.binary(max_size=40) | st.binary(min_size=32, max_size=32), st.binary(max_size=8), st.binary(max_size=70))
def test_verification_is_total(public_key: bytes, message: bytes, signature: bytes) -> None:
    assert verify_signature(public_key, message, signature) is False


@given(seeds, st.binary(max_size=20))
def test_invalid_malleated_scalar(seed: bytes, message: bytes) -> None:
    key = SigningKey.from_seed(seed)
    signature = key.sign(message)
    scalar = int.from_bytes(signature[32:], "little") + _ORDER
    assert not verify_signature(key.public_key, message, signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("y", sorted(_SMALL_ORDER_Y))
@pytest.mark.parametrize("sign", [0, 0x80])
def test_invalid_points_of_small_order(y: bytes, sign: int) -> None:
    point = y[:31] + bytes([y[31] | sign])
    signature = SigningKey.from_seed(bytes(32)).sign(b"m")
    assert not verify_signature(point, b"m", point + bytes(32))  # S = 0: passes where small orders are allowed
    assert not verify_signature(point, b"m", signature)


@given(seeds, st.binary(max_size=20), st.integers(0, 95), st.integers(0, 255), st.booleans())
def test_another_implementation_agrees(seed: bytes, message: bytes, at: int, byte: int, change: bool) -> None:
    key = SigningKey.from_seed(seed)
    both = bytearray(key.public_key + key.sign(message))
    if change:
        both[at] = byte
    public_key, signature = bytes(both[:32]), bytes(both[32:])
    expected = OtherSignature(signature).verify(Pubkey(public_key), message)
    assert verify_signature(public_key, message, signature) == expected


def test_rfc_8032_vector() -> None:
    """Section 7.1, test 3."""
    key = SigningKey.from_seed(bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"))
    assert key.public_key.hex() == "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    assert key.sign(bytes.fromhex("af82")).hex() == (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )


@given(seeds)
def test_the_seed_is_not_shown(seed: bytes) -> None:
    assert seed.hex() not in repr(SigningKey.from_seed(seed))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_invalid_seed(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey.from_seed(bytes(size))
