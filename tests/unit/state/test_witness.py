"""A witness gives back exactly what was read through the recorder, and nothing else passes for it."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.codec import codec
from runtime.errors import CodecError
from runtime.limits import STORAGE_KEY_BYTES_MAX
from runtime.state import MemoryStore, ModuleWitness, ProofError, ProvenState, ReadRefused, Recorder, Witness
from runtime.state import verify_witness as verify
from runtime.state import witness as bounds
from runtime.state.protocols import Reader
from runtime.state.witness import Held, SomeKeys, WholeModule

MODULES = ("alpha", "beta", "gamma", "none")  # the last holds nothing
STATE = {
    "alpha": {bytes([key]): bytes([key, 1]) for key in range(60)},
    "beta": {b"k" + bytes([key]): bytes(key % 7) for key in range(0, 60, 2)},
    "gamma": {b"only": b""},
}

modules = st.sampled_from(MODULES)
keys = st.one_of(
    st.sampled_from([key for items in STATE.values() for key in items]),
    st.binary(max_size=3),
    st.just(b"x" * (STORAGE_KEY_BYTES_MAX + 1)),
)
gets = st.tuples(st.just("get"), modules, keys)
ranges = st.tuples(
    st.just("iterate"),
    modules,
    st.sampled_from([b"", b"k", b"\x05", b"\xff"]),
    st.none() | st.integers(-1, 70),
    st.none() | keys,
)
reads = st.lists(gets | ranges, max_size=12)


def made() -> MemoryStore:
    store = MemoryStore()
    store.commit(store.prepare(0, STATE))
    return store


STORE = made()


def read(reader: Reader, steps: list[tuple[object, ...]]) -> list[object]:
    """What these reads give."""
    found: list[object] = []
    for kind, module, key, *rest in steps:
        assert isinstance(module, str)
        assert isinstance(key, bytes)
        if kind == "get":
            found.append(reader.get(module, key))
        else:
            limit, start = rest
            assert limit is None or isinstance(limit, int)
            assert start is None or isinstance(start, bytes)
            found.append(list(reader.iterate(module, key, limit=limit, start=start)))
    return found


def recorded(steps: list[tuple[object, ...]]) -> tuple[ModuleWitness, ...]:
    recorder = Recorder(STORE)
    read(recorder, steps)
    return recorder.witness(STORE, 0)


def stranger(witness: tuple[ModuleWitness, ...]) -> ProvenState:
    return verify(STORE.root, codec(Witness).decode(codec(Witness).encode(witness)))


@settings(deadline=None)
@given(steps=reads)
def test_what_was_read_is_proven_and_read_again_alike(steps: list[tuple[object, ...]]) -> None:
    recorder = Recorder(STORE)
    expected = read(STORE, steps)
    assert read(recorder, steps) == expected
    state = stranger(recorder.witness(STORE, 0))
    assert read(state, steps) == expected
    assert state.refused is None
    assert not state.unread


@settings(deadline=None)
@given(steps=reads, other=gets | ranges)
def test_what_was_not_read_is_refused_or_what_the_state_holds(
    steps: list[tuple[object, ...]], other: tuple[object, ...]
) -> None:
    state = stranger(recorded(steps))
    try:
        found: list[object] | None = read(state, [other])
    except ReadRefused:
        found = None
    assert (found is None) == (state.refused is not None)
    assert found == read(STORE, [other]) or (found is None and other not in steps)


@settings(deadline=None, max_examples=300)
@given(steps=reads.filter(bool), data=st.data())
def test_a_changed_byte_never_proves_what_is_not_so(steps: list[tuple[object, ...]], data: st.DataObject) -> None:
    """It may prove something else that is so: the absence of another key under the same bucket."""
    raw = bytearray(codec(Witness).encode(recorded(steps)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        witness = codec(Witness).decode(bytes(raw))
        verify(STORE.root, witness)
    except (CodecError, ProofError):
        return
    for each in witness:
        if isinstance(each.content, SomeKeys):
            assert all(STORE.get(each.module, key.key) == key.value for key in each.content.keys)
        else:
            assert [(item.key, item.value) for item in each.content.items] == list(STORE.iterate(each.module))


def test_a_listed_module_is_given_whole_and_once() -> None:
    (witness,) = recorded([("get", "beta", b"k\x02"), ("iterate", "beta", b"k", 1, None)])
    assert isinstance(witness.content, WholeModule)
    assert len(witness.content.items) == len(STATE["beta"])


def test_single_keys_share_the_proof_of_their_module() -> None:
    (witness,) = recorded([("get", "alpha", bytes([key])) for key in range(10)])
    assert isinstance(witness.content, SomeKeys)
    assert len(witness.content.keys) == 10


def refused(*witness: ModuleWitness) -> str:
    with pytest.raises(ProofError) as caught:
        verify(STORE.root, witness)
    return caught.value.part


def test_invalid_item_left_out_added_or_changed_is_named() -> None:
    (whole,) = recorded([("iterate", "beta", b"", None, None)])
    assert isinstance(whole.content, WholeModule)
    items = whole.content.items
    for forged in (
        items[1:],
        (*items[:-1], Held(items[-1].key, b"other")),
        (*items, Held(b"z", b"")),
        (),
    ):
        assert refused(replace(whole, content=WholeModule(forged))) == "beta.items"
    assert refused(replace(whole, content=WholeModule(items[::-1]))) == "beta.items"
    assert refused(replace(whole, content=WholeModule((items[0], *items)))) == "beta.items"


def test_invalid_value_of_a_key_is_named() -> None:
    (some,) = recorded([("get", "alpha", b"\x01"), ("get", "alpha", b"\x99")])
    assert isinstance(some.content, SomeKeys)
    there, absent = some.content.keys
    for place, forged in enumerate(((replace(there, value=None), absent), (there, replace(absent, value=b"x")))):
        assert refused(replace(some, content=SomeKeys(forged))) == f"alpha.keys[{place}].value"
    assert refused(replace(some, content=SomeKeys((absent, there)))) == "alpha.keys"
    assert refused(replace(some, content=SomeKeys(()))) == "alpha.keys"


def test_invalid_module_is_named() -> None:
    alpha, beta = recorded([("get", "alpha", b"\x01"), ("iterate", "beta", b"", None, None)])
    assert refused(beta, alpha) == "modules"
    assert refused(alpha, alpha) == "modules"
    assert refused(replace(alpha, module="beta")).startswith("beta.")
    (nothing,) = recorded([("iterate", "none", b"", None, None)])
    assert isinstance(nothing.content, WholeModule)
    assert nothing.content.items == ()
    forged = replace(nothing, content=WholeModule((Held(b"k", b"v"),)))
    assert refused(forged) == "none.items"


def test_invalid_other_root_is_named() -> None:
    other = MemoryStore()
    other.commit(other.prepare(0, {"alpha": {b"k": b"v"}}))
    with pytest.raises(ProofError, match="state root") as caught:
        verify(other.root, recorded([("get", "alpha", b"\x01")]))
    assert caught.value.part == "alpha.module"


def test_invalid_reads_beyond_the_bounds_are_refused_even_where_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "WITNESS_KEYS_MAX", 40)
    recorder = Recorder(STORE)
    with pytest.raises(ReadRefused, match="module alpha is too much to prove: a proof holds 40 keys"):
        recorder.iterate("alpha")
    assert recorder.refused is not None
    few = Recorder(STORE)
    for key in islice(STATE["alpha"], 40):
        few.get("alpha", key)
    assert few.refused is None
    with pytest.raises(ReadRefused):
        few.get("alpha", b"\x32")
    monkeypatch.setattr(bounds, "WITNESS_BYTES_MAX", 100)
    with pytest.raises(ReadRefused, match="100 bytes"):
        Recorder(STORE).iterate("beta")
