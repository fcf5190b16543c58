"""Proofs: what is proved verifies, at every retained height; nothing else does, whatever byte is changed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.codec import codec
from runtime.errors import CodecError
from runtime.state import MemoryStore, ProofError, StateProof, TreeProof, verify_proof
from runtime.state.tree import BUCKET_ENTRIES_MAX, ENTRY_BYTES, LEVELS_MAX

State = dict[str, dict[bytes, bytes]]
modules = st.sampled_from(["alpha", "beta", "gamma"])
keys = st.integers(0, 40).map(lambda number: number.to_bytes(1, "big"))
values = st.sampled_from([b"", b"1", b"2"])
changes = st.dictionaries(modules, st.dictionaries(keys, st.none() | values, max_size=30))


def store_with(state: State) -> MemoryStore:
    store = MemoryStore()
    store.commit(store.prepare(0, state))
    return store


def numbered(count: int) -> dict[bytes, bytes]:
    return {number.to_bytes(2, "big"): b"value %d" % number for number in range(count)}


def refused(root: bytes, module: str, key: bytes, value: bytes | None, proof: StateProof) -> str:
    with pytest.raises(ProofError) as caught:
        verify_proof(root, module, key, value, proof)
    return caught.value.part


@given(st.lists(changes, min_size=1, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_membership_and_absence_are_proved_at_every_retained_height(
    blocks: list[dict[str, dict[bytes, bytes | None]]], data: st.DataObject
) -> None:
    store, states, roots = MemoryStore(), [], []
    state: State = {"alpha": {}, "beta": {}, "gamma": {}}
    for height, changed in enumerate(blocks):
        store.commit(store.prepare(height, changed))
        for module, items in changed.items():
            for key, value in items.items():
                state[module].pop(key, None)
                if value is not None:
                    state[module][key] = value
        states.append({module: dict(items) for module, items in state.items()})
        roots.append(store.root)
    for height, then in enumerate(states):
        module, key = data.draw(modules), data.draw(keys)
        value, wrong = then[module].get(key), data.draw(st.none() | values)
        proof = store.prove(module, key, height)
        assert codec(StateProof).decode(codec(StateProof).encode(proof)) == proof
        verify_proof(roots[height], module, key, value, proof)
        if wrong != value:
            assert refused(roots[height], module, key, wrong, proof) == "value"
        other = data.draw(st.sampled_from(roots))
        if other != roots[height]:
            refused(other, module, key, value, proof)


@pytest.mark.parametrize("key", [b"\x00\x07", b"absent"])
@pytest.mark.parametrize("size", [0, 1, 8, 9, 300])
def test_invalid_flipping_any_byte_of_an_encoded_proof_is_refused(size: int, key: bytes) -> None:
    items = numbered(size)
    store = store_with({"alpha": items, "beta": numbered(3)})
    data = codec(StateProof).encode(store.prove("alpha", key))
    verify_proof(store.root, "alpha", key, items.get(key), codec(StateProof).decode(data))
    for place in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            changed = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            with pytest.raises((CodecError, ProofError)):
                verify_proof(store.root, "alpha", key, items.get(key), codec(StateProof).decode(changed))


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_invalid_cutting_inserting_or_moving_bytes_is_refused(data: st.DataObject) -> None:
    store = store_with({"alpha": numbered(60)})
    key = data.draw(st.sampled_from([b"\x00\x07", b"absent"]))
    encoded = codec(StateProof).encode(store.prove("alpha", key))
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(encoded))] * 2)))
    changed = encoded[:first] + data.draw(st.binary(max_size=70)) + encoded[last:]
    if changed != encoded:
        with pytest.raises((CodecError, ProofError)):
            verify_proof(store.root, "alpha", key, numbered(60).get(key), codec(StateProof).decode(changed))


@given(st.binary(max_size=600), st.binary(max_size=600), st.none() | st.tuples(st.binary(), st.binary()))
@settings(max_examples=100, deadline=None)
def test_invalid_arbitrary_proofs_are_refused_by_proof_error_alone(
    bucket: bytes, siblings: bytes, key: tuple[bytes, bytes] | None
) -> None:
    proof = StateProof(TreeProof(bucket, siblings), TreeProof(*key) if key else None)
    refused(store_with({"alpha": numbered(20)}).root, "alpha", b"\x00\x07", b"value 7", proof)


def test_each_refusal_names_the_part_that_failed() -> None:
    store = store_with({"alpha": numbered(100), "beta": numbered(100)})
    root, key, value = store.root, b"\x00\x07", b"value 7"
    good = store.prove("alpha", key)
    assert good.key is not None
    absent = store.prove("gamma", key)
    bucket, siblings = good.key.bucket, good.key.siblings
    first, second = bucket[:ENTRY_BYTES], bucket[ENTRY_BYTES : 2 * ENTRY_BYTES]
    rest = bucket[2 * ENTRY_BYTES :]

    def with_key(bucket: bytes, siblings: bytes) -> StateProof:
        return StateProof(good.module, TreeProof(bucket, siblings))

    assert refused(bytes(32), "alpha", key, value, good) == "module"
    assert refused(root, "alpha", key, value, StateProof(good.module, None)) == "key"
    assert refused(root, "gamma", key, value, good) == "key"
    assert refused(root, "gamma", key, None, StateProof(absent.module, good.key)) == "key"
    assert refused(root, "gamma", key, value, absent) == "value"
    assert refused(root, "alpha", key, b"other", good) == "value"
    assert refused(root, "alpha", key, None, good) == "value"
    assert refused(root, "alpha", key, value, with_key(bucket[:-1], siblings)) == "key.bucket"
    assert refused(root, "alpha", key, value, with_key(second + first + rest, siblings)) == "key.bucket"
    assert refused(root, "alpha", key, value, with_key(first + first + rest, siblings)) == "key.bucket"
    assert refused(root, "alpha", key, value, with_key(bytes(64 * (BUCKET_ENTRIES_MAX + 1)), b"")) == "key.bucket"
    assert refused(root, "alpha", key, value, with_key(bucket, siblings[:-1])) == "key.siblings"
    assert refused(root, "alpha", key, value, with_key(bucket, siblings[:-96])) == "key"
    assert refused(root, "alpha", key, value, with_key(b"", bytes(96 * (LEVELS_MAX + 1)))) == "key.siblings"
    assert refused(root, "alpha", b"\x00\x08", b"value 8", good) in ("key", "key.bucket")
    assert refused(root, "é", key, value, good) == "module"


def test_a_proof_for_one_key_does_not_prove_the_absence_of_another() -> None:
    store = store_with({"alpha": numbered(500)})
    rng = random.Random(5)
    for _ in range(300):
        held, other = rng.randrange(500).to_bytes(2, "big"), rng.randrange(500).to_bytes(2, "big")
        if held != other:
            refused(store.root, "alpha", other, None, store.prove("alpha", held))


def test_an_empty_state_proves_every_absence() -> None:
    store = store_with({})
    verify_proof(store.root, "alpha", b"key", None, store.prove("alpha", b"key"))
    assert refused(store.root, "alpha", b"key", b"", store.prove("alpha", b"key")) == "value"


def test_proofs_of_a_large_state_stay_short() -> None:
    store = store_with({"alpha": numbered(20_000), "beta": numbered(1)})
    sizes = [len(codec(StateProof).encode(store.prove("alpha", key))) for key in list(numbered(20_000))[:200]]
    assert max(sizes) < 1_600
