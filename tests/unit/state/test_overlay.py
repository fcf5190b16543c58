"""The overlay against a dictionary of dictionaries that copies itself at each checkpoint."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.limits import (
    BLOB_CHUNK_BYTES_MAX,
    CHECKPOINT_DEPTH_MAX,
    STORAGE_KEY_BYTES_MAX,
    STORAGE_VALUE_BYTES_MAX,
)
from runtime.state import MemoryStore, Overlay, StateBoundError, StateError, chunk_hash

MODULES = ("alpha", "beta")
modules = st.sampled_from(MODULES)
keys = st.lists(st.sampled_from(b"\x00\x01a\xff"), max_size=3).map(bytes)
values = st.binary(max_size=3)
base_states = st.fixed_dictionaries({module: st.dictionaries(keys, values, max_size=12) for module in MODULES})


def store_with(state: dict[str, dict[bytes, bytes]]) -> MemoryStore:
    store = MemoryStore()
    store.commit(store.prepare(0, state))
    return store


def expected_items(
    state: dict[bytes, bytes], prefix: bytes, start: bytes | None, limit: int | None
) -> list[tuple[bytes, bytes]]:
    items = [(k, v) for k, v in sorted(state.items()) if k.startswith(prefix) and (start is None or k >= start)]
    return items[:limit]


class OverlayMatchesItsModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.base = {module: {bytes([n]): b"base" for n in range(0, 256, 85)} for module in MODULES}
        self.overlay = Overlay(store_with(self.base))
        self.model = copy.deepcopy(self.base)
        self.chunks: dict[bytes, bytes] = {}
        self.touched: dict[str, set[bytes]] = {module: set() for module in MODULES}
        self.saved: list[Any] = []
        self.open_iterations: list[tuple[object, list[tuple[bytes, bytes]]]] = []

    @rule(module=modules, key=keys, value=values)
    def set(self, module: str, key: bytes, value: bytes) -> None:
        self.overlay.set(module, key, value)
        self.model[module][key] = value
        self.touched[module].add(key)

    @rule(module=modules, key=keys)
    def delete(self, module: str, key: bytes) -> None:
        self.overlay.delete(module, key)
        self.model[module].pop(key, None)
        self.touched[module].add(key)

    @rule(chunk=st.binary(min_size=1, max_size=2))
    def put_blob(self, chunk: bytes) -> None:
        name = self.overlay.put_blob(chunk)
        assert name == chunk_hash(chunk)
        self.chunks[name] = chunk

    @precondition(lambda self: len(self.saved) < CHECKPOINT_DEPTH_MAX)
    @rule()
    def checkpoint(self) -> None:
        self.overlay.checkpoint()
        self.saved.append(copy.deepcopy((self.model, self.chunks, self.touched)))

    @precondition(lambda self: self.saved)
    @rule()
    def commit(self) -> None:
        self.overlay.commit()
        self.saved.pop()

    @precondition(lambda self: self.saved)
    @rule()
    def rollback(self) -> None:
        self.overlay.rollback()
        self.model, self.chunks, self.touched = self.saved.pop()

    @rule(module=modules, prefix=keys, start=st.none() | keys)
    def pending_tells_what_was_changed_and_not_undone(self, module: str, prefix: bytes, start: bytes | None) -> None:
        """Gas depends on it: a transaction that was undone, or never was in the block, must not show."""
        counted = [key for key in self.touched[module] if key.startswith(prefix) and (start is None or key >= start)]
        assert self.overlay.pending(module, prefix, start=start) == len(counted)

    @rule(module=modules, prefix=keys, start=st.none() | keys, limit=st.none() | st.integers(0, 4))
    def iterate(self, module: str, prefix: bytes, start: bytes | None, limit: int | None) -> None:
        found = list(self.overlay.iterate(module, prefix, start=start, limit=limit))
        assert found == expected_items(self.model[module], prefix, start, limit)

    @rule(module=modules, prefix=keys)
    def begin_iterating(self, module: str, prefix: bytes) -> None:
        expected = expected_items(self.model[module], prefix, None, None)
        self.open_iterations.append((self.overlay.iterate(module, prefix), expected))

    @precondition(lambda self: self.open_iterations)
    @rule()
    def an_iteration_shows_what_was_when_it_began(self) -> None:
        iteration, expected = self.open_iterations.pop()
        assert list(iteration) == expected  # type: ignore[call-overload] # an iterator, kept as object above

    @invariant()
    def reads_agree(self) -> None:
        for module in MODULES:
            assert dict(self.overlay.iterate(module)) == self.model[module]
            for key in (b"", b"\x00", b"a", b"\xff"):
                assert self.overlay.get(module, key) == self.model[module].get(key)
                assert self.overlay.contains(module, key) == (key in self.model[module])
        assert self.overlay.blobs() == self.chunks
        assert self.overlay.depth == len(self.saved)

    @invariant()
    def changes_lead_from_the_base_to_the_model(self) -> None:
        result = copy.deepcopy(self.base)
        for module, changed in self.overlay.changes().items():
            for key, value in changed.items():
                if value is None:
                    result[module].pop(key, None)
                else:
                    result[module][key] = value
        assert result == self.model


OverlayMatchesItsModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_overlay_matches_its_model = OverlayMatchesItsModel.TestCase


def test_an_overlay_over_an_overlay_reads_through() -> None:
    lower = Overlay(store_with({"alpha": {b"a": b"1", b"b": b"2"}}))
    lower.delete("alpha", b"a")
    upper = Overlay(lower)
    upper.set("alpha", b"c", b"3")
    assert list(upper.iterate("alpha")) == [(b"b", b"2"), (b"c", b"3")]
    assert upper.get("alpha", b"a") is None


def test_rolling_back_everything_leaves_no_changes() -> None:
    overlay = Overlay(store_with({"alpha": {b"a": b"1"}}))
    overlay.checkpoint()
    overlay.set("alpha", b"a", b"2")
    overlay.delete("beta", b"x")
    overlay.put_blob(b"chunk")
    overlay.rollback()
    assert overlay.changes() == {}
    assert overlay.blobs() == {}


def test_a_chunk_put_before_a_checkpoint_survives_its_rollback() -> None:
    overlay = Overlay(MemoryStore())
    name = overlay.put_blob(b"chunk")
    overlay.checkpoint()
    overlay.put_blob(b"chunk")
    overlay.rollback()
    assert overlay.get_blob(name) == b"chunk"


def test_chunks_are_read_from_pending_then_from_the_blob_store() -> None:
    store = MemoryStore()
    (kept,) = store.blobs.put([b"kept"])
    overlay = Overlay(store, store.blobs)
    pending = overlay.put_blob(b"pending")
    assert overlay.get_blob(kept) == b"kept"
    assert overlay.get_blob(pending) == b"pending"
    assert overlay.get_blob(chunk_hash(b"neither")) is None
    assert Overlay(store).get_blob(kept) is None


def test_a_checkpoint_costs_no_copy_of_what_is_pending() -> None:
    overlay = Overlay(MemoryStore())
    for number in range(2_000):
        overlay.set("alpha", number.to_bytes(2, "big"), b"value")
    overlay.checkpoint()
    overlay.set("alpha", b"one more", b"value")
    assert len(overlay._journal) == 1
    overlay.commit()
    assert overlay._journal == []


def test_invalid_commit_or_rollback_without_checkpoint_is_our_error() -> None:
    overlay = Overlay(MemoryStore())
    with pytest.raises(StateError, match="no checkpoint"):
        overlay.commit()
    with pytest.raises(StateError, match="no checkpoint"):
        overlay.rollback()


def test_invalid_checkpoint_beyond_the_depth_is_refused_and_changes_nothing() -> None:
    overlay = Overlay(MemoryStore())
    for _ in range(CHECKPOINT_DEPTH_MAX):
        overlay.checkpoint()
    with pytest.raises(StateBoundError, match="checkpoint depth"):
        overlay.checkpoint()
    assert overlay.depth == CHECKPOINT_DEPTH_MAX


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        (b"k" * (STORAGE_KEY_BYTES_MAX + 1), b"", "storage key"),
        (b"k", b"v" * (STORAGE_VALUE_BYTES_MAX + 1), "storage value"),
    ],
)
def test_invalid_sizes_are_refused_by_name_and_change_nothing(key: bytes, value: bytes, named: str) -> None:
    overlay = Overlay(MemoryStore())
    with pytest.raises(StateBoundError, match=named):
        overlay.set("alpha", key, value)
    assert overlay.changes() == {}


def test_sizes_at_their_bounds_are_taken() -> None:
    overlay = Overlay(MemoryStore())
    overlay.set("alpha", b"k" * STORAGE_KEY_BYTES_MAX, b"v" * STORAGE_VALUE_BYTES_MAX)
    overlay.put_blob(b"c" * BLOB_CHUNK_BYTES_MAX)


@pytest.mark.parametrize("chunk", [b"", b"c" * (BLOB_CHUNK_BYTES_MAX + 1)])
def test_invalid_chunk_sizes_are_refused(chunk: bytes) -> None:
    with pytest.raises(StateBoundError, match="blob chunk"):
        Overlay(MemoryStore()).put_blob(chunk)


@pytest.mark.parametrize("name", ["", "Alpha", "a\x00b", "a.b", "é", "a" * 49])
def test_invalid_module_names_are_refused(name: str) -> None:
    with pytest.raises(StateError, match="module name"):
        Overlay(MemoryStore()).set(name, b"", b"")
