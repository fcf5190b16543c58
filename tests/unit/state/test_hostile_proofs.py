"""A proof is of one module, one key and one value or absence: none passes for another, nor do its parts recombined."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.state import MemoryStore, ProofError, StateProof, TreeProof, verify_proof

MODULES = ("alpha", "beta", "gamma")
STATE = {module: {bytes([key]): bytes([key, place]) for key in range(40)} for place, module in enumerate(MODULES)}
EMPTY = TreeProof(b"", b"")


def made() -> MemoryStore:
    store = MemoryStore()
    store.commit(store.prepare(0, STATE))
    return store


STORE = made()
keys = st.sampled_from([bytes([number]) for number in (0, 1, 7, 39, 40, 255)] + [b"", b"\x00\x00", b"alpha"])
claims = st.tuples(st.sampled_from([*MODULES, "delta"]), keys)


def proves(module: str, key: bytes, value: bytes | None, proof: StateProof) -> bool:
    try:
        verify_proof(STORE.root, module, key, value, proof)
    except ProofError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(of=claims, other=claims)
def test_no_proof_made_of_parts_proves_what_is_not_so(of: tuple[str, bytes], other: tuple[str, bytes]) -> None:
    """The module's step as the key's and the other way round, steps of two proofs, an empty or a missing step."""
    true = STATE.get(of[0], {}).get(of[1])
    first, second = STORE.prove(*of), STORE.prove(*other)
    steps = [step for step in (first.module, first.key, second.module, second.key, EMPTY) if step is not None]
    values = {true, None, b"", bytes([0, 0]), STATE.get(other[0], {}).get(other[1])}
    for module, key in product(steps, [*steps, None]):
        for value in values:
            if proves(*of, value, StateProof(module, key)):
                assert value == true
    assert proves(*of, true, first)


def test_an_empty_value_is_not_an_absent_one() -> None:
    store = MemoryStore()
    store.commit(store.prepare(0, {"alpha": {b"k": b"", b"l": b"x"}}))
    there, absent = store.prove("alpha", b"k"), store.prove("alpha", b"m")
    verify_proof(store.root, "alpha", b"k", b"", there)
    verify_proof(store.root, "alpha", b"m", None, absent)
    for key, value, proof in ((b"k", None, there), (b"m", b"", absent)):
        with pytest.raises(ProofError):
            verify_proof(store.root, "alpha", key, value, proof)


def test_a_module_with_state_is_not_proven_to_have_none() -> None:
    proof = STORE.prove("alpha", b"\x01")
    missing = STORE.prove("delta", b"\x01")
    assert not proves("alpha", b"\x01", None, replace(proof, key=None))
    assert not proves("alpha", b"\x01", None, missing)
    assert proves("delta", b"\x01", None, missing)
