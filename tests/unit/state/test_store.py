"""Both stores against a list of dictionaries: blocks, history, extra records, proofs, reopening."""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.limits import HEIGHT_MAX, STORAGE_KEY_BYTES_MAX
from runtime.state import (
    HEIGHT_EMPTY,
    HeightUnavailable,
    MemoryStore,
    Overlay,
    Reader,
    Retention,
    StateBoundError,
    StateError,
    Store,
    chunk_hash,
    verify_proof,
)
from runtime.state.disk import DiskStore

State = dict[str, dict[bytes, bytes]]
MODULES = ("alpha", "beta")
modules = st.sampled_from(MODULES)
keys = st.lists(st.sampled_from(b"\x00\x01a\xff"), max_size=3).map(bytes)
values = st.binary(max_size=40)
changes = st.dictionaries(modules, st.dictionaries(keys, st.none() | values, max_size=15))
extras = st.dictionaries(keys, st.none() | values, max_size=3)
RETAINED = Retention(heights=4)


def laid_over(items: dict[bytes, bytes], changed: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    return {key: value for key, value in (items | changed).items() if value is not None}


def range_of(items: dict[bytes, bytes], prefix: bytes, start: bytes | None) -> list[tuple[bytes, bytes]]:
    return [(k, v) for k, v in sorted(items.items()) if k.startswith(prefix) and (start is None or k >= start)]


class StoreMatchesItsModel(RuleBasedStateMachine):
    """The memory store; below, the disk store with its flushes and reopenings."""

    store: Store

    @initialize()
    def begin(self) -> None:
        self.store = self.make()
        self.states: list[State] = []
        self.roots: list[bytes] = []
        self.extra: dict[bytes, bytes] = {}
        self.past: list[tuple[int, Reader]] = []

    def make(self) -> Store:
        return MemoryStore(retention=RETAINED)

    @rule(changed=changes, rejected=changes, extra=extras, chunk=st.binary(min_size=1, max_size=2))
    def commit_a_block(
        self,
        changed: dict[str, dict[bytes, bytes | None]],
        rejected: dict[str, dict[bytes, bytes | None]],
        extra: dict[bytes, bytes | None],
        chunk: bytes,
    ) -> None:
        height = len(self.states)
        before = self.store.root
        other = self.store.prepare(height, rejected)
        prepared = self.store.prepare(height, changed)
        assert (self.store.root, self.store.height) == (before, height - 1)
        self.store.commit(prepared, blobs=[chunk], extra=extra)
        state = copy.deepcopy(self.states[-1]) if self.states else {module: {} for module in MODULES}
        for module, items in changed.items():
            state[module] = laid_over(state[module], items)
        self.extra = laid_over(self.extra, extra)
        self.states.append(state)
        self.roots.append(prepared.root)
        assert self.store.root == prepared.root
        assert self.store.module_roots() == prepared.module_roots
        assert self.store.blobs.get(chunk_hash(chunk)) == chunk
        for stale in (other, prepared):
            with pytest.raises(StateError):
                self.store.commit(stale)

    @precondition(lambda self: self.states)
    @rule(back=st.integers(0, 4))
    def keep_a_past_reader(self, back: int) -> None:
        height = max(self.store.height - back, self.store.oldest_height)
        self.past.append((height, self.store.at(height)))

    @rule(module=modules, prefix=keys, start=st.none() | keys, limit=st.none() | st.integers(0, 5))
    def iterate(self, module: str, prefix: bytes, start: bytes | None, limit: int | None) -> None:
        state = self.states[-1][module] if self.states else {}
        found = list(self.store.iterate(module, prefix, start=start, limit=limit))
        assert found == range_of(state, prefix, start)[:limit]
        found = list(self.store.iterate_extra(prefix, start=start, limit=limit))
        assert found == range_of(self.extra, prefix, start)[:limit]

    @precondition(lambda self: self.past)
    @rule(module=modules, prefix=keys, start=st.none() | keys)
    def the_past_reads_as_it_was_until_it_is_pruned(self, module: str, prefix: bytes, start: bytes | None) -> None:
        for height, reader in self.past:
            if height < self.store.oldest_height:
                with pytest.raises(HeightUnavailable):
                    reader.get(module, prefix)
                with pytest.raises(HeightUnavailable):
                    list(reader.iterate(module))
                continue
            state = self.states[height][module]
            assert list(reader.iterate(module, prefix, start=start)) == range_of(state, prefix, start)
            assert reader.get(module, prefix) == state.get(prefix)

    @rule(module=modules, key=keys)
    def every_retained_height_proves(self, module: str, key: bytes) -> None:
        for height in range(max(self.store.oldest_height, 0), self.store.height + 1):
            value = self.states[height][module].get(key)
            assert self.store.root_at(height) == self.roots[height]
            verify_proof(self.roots[height], module, key, value, self.store.prove(module, key, height))

    @invariant()
    def the_present_agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.store.height == len(self.states) - 1
        state = self.states[-1] if self.states else {}
        for module in MODULES:
            assert dict(self.store.iterate(module)) == state.get(module, {})
            for key in (b"", b"a", b"\xff"):
                assert self.store.get(module, key) == state.get(module, {}).get(key)
        assert dict(self.store.iterate_extra()) == self.extra
        assert self.store.get_extra(b"a") == self.extra.get(b"a")

    @invariant()
    def as_many_heights_are_retained_as_stated(self) -> None:
        if hasattr(self, "store") and self.states:
            assert self.store.oldest_height == max(0, self.store.height - RETAINED.heights)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


class DiskStoreMatchesItsModel(StoreMatchesItsModel):
    def make(self) -> Store:
        self.path = Path(tempfile.mkdtemp(prefix="state-"))
        return self.opened()

    def opened(self) -> Store:
        return DiskStore(self.path, retention=RETAINED, flush_bytes=2_000)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.opened()
        self.past = []
        assert self.store.root == (self.roots[-1] if self.roots else MemoryStore().root)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "path"):
            shutil.rmtree(self.path)


StoreMatchesItsModel.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
DiskStoreMatchesItsModel.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
test_memory_store_matches_its_model = StoreMatchesItsModel.TestCase
test_disk_store_matches_its_model = DiskStoreMatchesItsModel.TestCase


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def] # a fixture's generator
    made: Store = MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "store")
    yield made
    made.close()


def test_an_empty_store_has_no_height_and_a_root(store: Store) -> None:
    assert store.height == HEIGHT_EMPTY
    assert store.root == MemoryStore().root
    assert store.get("alpha", b"") is None
    assert list(store.iterate("alpha")) == []


def test_the_first_block_may_have_any_height_the_next_only_the_next(store: Store) -> None:
    store.commit(store.prepare(7, {"alpha": {b"a": b"1"}}))
    assert (store.height, store.oldest_height) == (7, 7)
    for height in (6, 7, 9, -1):
        with pytest.raises(StateError, match=f"height {height}"):
            store.prepare(height, {})
    store.commit(store.prepare(8, {}))
    assert store.root_at(7) == store.root_at(8)


def test_invalid_heights_are_refused_with_what_is_retained(store: Store) -> None:
    with pytest.raises(HeightUnavailable):
        store.at(0)
    store.commit(store.prepare(0, {}))
    for height in (-1, 1):
        for ask in (store.at, store.root_at, lambda height: store.prove("alpha", b"", height)):
            with pytest.raises(HeightUnavailable, match="heights 0 to 0"):
                ask(height)
    with pytest.raises(StateError):
        store.prepare(HEIGHT_MAX + 1, {})


def test_changes_that_change_nothing_are_left_out(store: Store) -> None:
    store.commit(store.prepare(0, {"alpha": {b"a": b"1"}}))
    prepared = store.prepare(1, {"alpha": {b"a": b"1", b"b": None}, "beta": {b"c": None}})
    assert prepared.changes == {}
    assert prepared.root == store.root


def test_candidates_of_one_height_do_not_see_each_other(store: Store) -> None:
    store.commit(store.prepare(0, {"alpha": {b"a": b"1"}}))
    roots = {store.prepare(1, {"alpha": {b"a": value}}).root for value in (b"2", b"3", None)}
    assert len(roots) == 3
    assert store.get("alpha", b"a") == b"1"


def test_a_prepared_block_of_another_store_is_refused(store: Store) -> None:
    store.commit(store.prepare(0, {"alpha": {b"a": b"1"}}))
    other = MemoryStore()
    other.commit(other.prepare(0, {"alpha": {b"a": b"1"}}))
    with pytest.raises(StateError, match="another state"):
        store.commit(other.prepare(1, {}))


def test_overlay_changes_become_the_state(store: Store) -> None:
    overlay = Overlay(store, store.blobs)
    overlay.set("alpha", b"a", b"1")
    name = overlay.put_blob(b"chunk")
    store.commit(store.prepare(0, overlay.changes()), blobs=overlay.blobs().values())
    assert store.get("alpha", b"a") == b"1"
    assert store.blobs.get(name) == b"chunk"


@pytest.mark.parametrize(
    ("changed", "extra"),
    [
        ({"alpha": {b"k" * (STORAGE_KEY_BYTES_MAX + 1): b""}}, {}),
        ({"alpha": {b"k": bytes(64 * 1024 + 1)}}, {}),
        ({}, {b"k" * (STORAGE_KEY_BYTES_MAX + 1): b""}),
        ({}, {b"k": bytes(64 * 1024 * 1024 + 1)}),
    ],
)
def test_invalid_sizes_are_refused_and_change_nothing(store: Store, changed: State, extra: dict[bytes, bytes]) -> None:
    with pytest.raises(StateBoundError):
        store.commit(store.prepare(0, changed), extra=extra)
    assert store.height == HEIGHT_EMPTY
    assert list(store.iterate_extra()) == []


def test_keys_at_their_bound_are_stored_in_order(store: Store) -> None:
    longest = b"\xff" * STORAGE_KEY_BYTES_MAX
    name = "m" * 48
    store.commit(store.prepare(0, {name: {longest: b"1", b"": b"2"}}), extra={longest: b"3", b"": b"4"})
    assert list(store.iterate(name)) == [(b"", b"2"), (longest, b"1")]
    assert list(store.iterate(name, b"\xff\xff")) == [(longest, b"1")]
    assert list(store.iterate_extra()) == [(b"", b"4"), (longest, b"3")]


def test_history_is_bounded_by_bytes_too() -> None:
    store = MemoryStore(retention=Retention(heights=100, history_bytes=25_000))
    for height in range(20):
        store.commit(store.prepare(height, {"alpha": {b"a": b"%d" % height}}))
    assert 5 <= store.height - store.oldest_height < 19
    verify_proof(store.root_at(10), "alpha", b"a", b"10", store.prove("alpha", b"a", 10))
