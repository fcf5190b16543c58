"""Mnemonics and derived keys are exactly those of BIP-39's and SLIP-10's own vectors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from Crypto.Hash import RIPEMD160

from runtime.node.derivation import HARDENED, derive_key, master_key
from runtime.node.errors import DerivationError, WrongChecksum
from runtime.node.mnemonic import entropy_to_mnemonic, mnemonic_to_entropy, mnemonic_to_seed
from runtime.node.wordlist import english
from runtime.testing.itf import load_json

MNEMONICS = "keys/bip39_english.json"
WORDS = "keys/bip39_english_wordlist.txt"
NODES = "keys/slip10_ed25519.json"
LICENCES = ("LICENSES/python-mnemonic_MIT.txt", "LICENSES/slips_CC-BY-SA-4.0.txt")


def test_every_mnemonic_goes_both_ways_and_gives_its_seed(vectors: Path) -> None:
    document = load_json(vectors / MNEMONICS)
    assert len(document["vectors"]) == 24
    for case in document["vectors"]:
        entropy = bytes.fromhex(case["entropy"])
        assert entropy_to_mnemonic(entropy) == case["mnemonic"]
        assert mnemonic_to_entropy(case["mnemonic"]) == entropy
        assert mnemonic_to_seed(case["mnemonic"], document["passphrase"]).hex() == case["seed"]


def test_invalid_checksums_beside_every_mnemonic_are_refused(vectors: Path) -> None:
    """Of all 2048 last words exactly those fit whose low bits are the checksum: 2 ** (11 - words / 3)."""
    for case in load_json(vectors / MNEMONICS)["vectors"]:
        *first, last = case["mnemonic"].split()
        fitting = set()
        for word in english():
            try:
                mnemonic_to_entropy(" ".join([*first, word]))
            except WrongChecksum:
                continue
            fitting.add(word)
        assert last in fitting
        assert len(fitting) == 2 ** (11 - (len(first) + 1) // 3)


def test_the_shipped_word_list_is_the_vectors(vectors: Path) -> None:
    assert list(english()) == (vectors / WORDS).read_text().split()


def nodes(vectors: Path) -> list[tuple[bytes, dict[str, str]]]:
    """(seed, node) for each node of each chain."""
    return [
        (bytes.fromhex(vector["seed"]), node)
        for vector in load_json(vectors / NODES)["vectors"]
        for node in vector["chains"]
    ]


def test_every_node_of_every_chain_is_derived(vectors: Path) -> None:
    listed = nodes(vectors)
    assert len(listed) == 12
    for seed, node in listed:
        derived = derive_key(seed, node["path"])
        public = b"\0" + derived.signing_key().public_key
        assert (derived.chain_code.hex(), derived.secret.hex(), public.hex()) == (
            node["chain_code"],
            node["private"],
            node["public"],
        ), node["path"]


def test_every_node_is_the_child_of_the_parent_whose_fingerprint_it_has(vectors: Path) -> None:
    for seed, node in nodes(vectors):
        parent, _, step = node["path"].rpartition("/")
        fingerprint = bytes(4)
        if parent:
            public = b"\0" + derive_key(seed, parent).signing_key().public_key
            fingerprint = RIPEMD160.new(hashlib.sha256(public).digest()).digest()[:4]
        assert fingerprint.hex() == node["parent_fingerprint"], (node["path"], step)


def test_invalid_children_that_are_not_hardened_are_refused_at_every_node(vectors: Path) -> None:
    for seed, node in nodes(vectors):
        for number in (0, 1, HARDENED - 1):
            with pytest.raises(DerivationError, match="hardened"):
                derive_key(seed, node["path"]).child(number)
            with pytest.raises(DerivationError, match="hardened"):
                derive_key(seed, f"{node['path']}/{number}")
        master_key(seed).child(HARDENED)


def test_every_vector_file_is_as_indexed(vectors: Path, index: dict[str, dict[str, Any]]) -> None:
    assert {name for name in index if name.startswith("keys/")} == {MNEMONICS, WORDS, NODES}
    for name in (MNEMONICS, WORDS, NODES, *LICENCES):
        data = (vectors / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (index[name]["bytes"], index[name]["sha256"]), name
