"""The one signature rule accepts exactly the strict cases of CCTV and speccheck, and solders agrees."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey
from solders.signature import Signature as SoldersSignature

from runtime.crypto import verify_signature
from runtime.testing.itf import load_json

Case = tuple[int, bytes, bytes, bytes]


@pytest.fixture(scope="session")
def cases(vectors: Path) -> dict[str, list[Case]]:
    """Origin -> (number, key, message, signature)."""
    cctv = load_json(vectors / "ed25519/cctv_ed25519vectors.json.gz")
    speccheck = load_json(vectors / "ed25519/speccheck_cases.json")
    return {
        "cctv": [
            (case["number"], bytes.fromhex(case["key"]), case["msg"].encode(), bytes.fromhex(case["sig"]))
            for case in cctv
        ],
        "speccheck": [
            (place, *(bytes.fromhex(case[field]) for field in ("pub_key", "message", "signature")))
            for place, case in enumerate(speccheck)
        ],
    }


@pytest.mark.parametrize(("origin", "count"), [("cctv", 914), ("speccheck", 12)])
def test_exactly_the_strict_cases_are_accepted(
    vectors: Path, cases: dict[str, list[Case]], origin: str, count: int
) -> None:
    expected = load_json(vectors / "ed25519/expected_strict.json")[origin]["accept"]
    accepted = [
        number for number, key, message, signature in cases[origin] if verify_signature(key, message, signature)
    ]
    assert accepted == sorted(expected)
    assert len(cases[origin]) == count


def test_a_second_library_agrees_on_every_case(cases: dict[str, list[Case]]) -> None:
    for origin, listed in cases.items():
        for number, key, message, signature in listed:
            oracle = SoldersSignature.from_bytes(signature).verify(Pubkey.from_bytes(key), message)
            assert verify_signature(key, message, signature) == oracle, (origin, number)


def test_every_vector_file_is_as_indexed(vectors: Path, index: dict[str, dict[str, Any]]) -> None:
    used = {name: entry for name, entry in index.items() if name.startswith(("quint/", "ed25519/"))}
    assert len(used) >= 3 + 13 + 7 + 2
    for name, entry in used.items():
        data = (vectors / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"]), name
