"""Roots against a naive definition: content alone decides them."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.state import MemoryStore
from runtime.state.forest import EMPTY_FOREST, forest_of, key_path, value_hash
from runtime.state.tree import BUCKET_ENTRIES_MAX, EMPTY, Inner, Node, build, count_of, find, hash_of, update

State = dict[str, dict[bytes, bytes]]
keys = st.integers(0, 60).map(lambda number: number.to_bytes(1, "big"))
values = st.sampled_from([b"", b"1", b"2"])
contents = st.dictionaries(keys, values, max_size=60)
changes = st.dictionaries(keys, st.none() | values, max_size=60)


def tagged(domain: str, data: bytes) -> bytes:
    return hashlib.sha256(bytes([len(domain)]) + domain.encode() + data).digest()


def naive_tree(entries: dict[bytes, bytes], bit: int = 0) -> bytes:
    """The tree's hash by its definition: bits as text, no sharing, no updates."""
    if not entries:
        return bytes(32)
    if len(entries) <= 8:
        return tagged("armillary/state-bucket", b"".join(path + bound for path, bound in sorted(entries.items())))
    children = []
    for digit in ("00", "01", "10", "11"):
        below = {p: b for p, b in entries.items() if f"{int.from_bytes(p, 'big'):0256b}"[bit : bit + 2] == digit}
        children.append(naive_tree(below, bit + 2))
    return tagged("armillary/state-inner", b"".join(children))


def naive_root(state: State) -> bytes:
    upper = {}
    for module, items in state.items():
        if items:
            entries = {tagged("armillary/state-key", k): tagged("armillary/state-value", v) for k, v in items.items()}
            upper[tagged("armillary/state-module", module.encode())] = naive_tree(entries)
    return tagged("armillary/state-root", naive_tree(upper))


def check_shape(node: Node) -> None:
    assert count_of(node) <= BUCKET_ENTRIES_MAX or isinstance(node, Inner)
    if isinstance(node, Inner):
        assert node.count > BUCKET_ENTRIES_MAX
        assert node.count == sum(count_of(child) for child in node.children)
        assert node.hashes == b"".join(hash_of(child) for child in node.children)
        for child in node.children:
            check_shape(child)


@given(st.fixed_dictionaries({"alpha": contents, "beta": contents}), st.lists(st.tuples(st.booleans(), changes)))
@settings(max_examples=80, deadline=None)
def test_the_root_after_any_history_is_the_naive_root_of_the_content(
    start: State, steps: list[tuple[bool, dict[bytes, bytes | None]]]
) -> None:
    state = {module: dict(items) for module, items in start.items()}
    forest = EMPTY_FOREST.apply(start)
    for beta, changed in steps:
        module = "beta" if beta else "alpha"
        before = forest.root
        after = forest.apply({module: changed})
        assert forest.root == before  # the older trees stay as they were
        forest = after
        for key, value in changed.items():
            if value is None:
                state[module].pop(key, None)
            else:
                state[module][key] = value
    assert forest.root == naive_root(state)
    assert forest.root == forest_of((module, items.items()) for module, items in state.items()).root
    for node in (*forest.modules.values(), forest.upper):
        check_shape(node)


@given(contents, contents)
@settings(max_examples=50, deadline=None)
def test_different_contents_have_different_roots(one: dict[bytes, bytes], other: dict[bytes, bytes]) -> None:
    roots = [EMPTY_FOREST.apply({"alpha": content}).root for content in (one, other)]
    assert (roots[0] == roots[1]) == (one == other)


@given(contents, contents)
@settings(max_examples=40, deadline=None)
def test_the_same_content_in_another_module_has_another_root(
    one: dict[bytes, bytes], other: dict[bytes, bytes]
) -> None:
    straight = EMPTY_FOREST.apply({"alpha": one, "beta": other}).root
    crossed = EMPTY_FOREST.apply({"alpha": other, "beta": one}).root
    assert (straight == crossed) == (one == other)


def test_a_touched_then_emptied_subtree_is_as_an_untouched_one() -> None:
    rng = random.Random(7)
    held = {rng.randbytes(8): b"value" for _ in range(200)}
    added: dict[bytes, bytes | None] = {rng.randbytes(8): b"value" for _ in range(500)}
    forest = EMPTY_FOREST.apply({"alpha": held})
    grown = forest.apply({"alpha": added, "beta": added})
    emptied = grown.apply({module: dict.fromkeys(added) for module in ("alpha", "beta")})
    assert emptied.root == forest.root != grown.root
    assert emptied.module_roots() == forest.module_roots()
    assert emptied.apply({"alpha": dict.fromkeys(held)}).root == EMPTY_FOREST.root


def test_every_key_is_found_in_its_tree_and_no_other() -> None:
    items = {number.to_bytes(2, "big"): bytes([number % 256]) for number in range(1_000)}
    tree = update(EMPTY, sorted((key_path(key), value_hash(value)) for key, value in items.items()))
    for key, value in items.items():
        assert find(tree, key_path(key)) == value_hash(value)
    assert find(tree, key_path(b"absent")) is None
    assert find(EMPTY, key_path(b"absent")) is None


def test_building_at_once_gives_the_same_nodes_as_updating() -> None:
    entries = [(key_path(bytes([number])), value_hash(b"")) for number in range(200)]
    random.Random(3).shuffle(entries)
    one_by_one: Node = EMPTY
    for entry in entries:
        one_by_one = update(one_by_one, [entry])
    built = build(b"".join(path + bound for path, bound in sorted(entries)))
    assert hash_of(built) == hash_of(one_by_one)


def test_module_roots_are_sorted_and_leave_out_empty_modules() -> None:
    forest = EMPTY_FOREST.apply({"zeta": {b"": b""}, "alpha": {b"": b""}, "beta": {b"": None}})
    assert list(forest.module_roots()) == ["alpha", "zeta"]


@pytest.mark.parametrize(
    ("state", "root"),
    [
        ({}, "514e08b83eb752cf5e254885ec6729320903ebc60c2d3c0d93ceed4dbd9faa49"),
        ({"tokens": {b"key": b"value"}}, "47c59443032faee70a4e9f26bce17d89707635bd887a016ef918c89c76ae42ea"),
        (
            {"tokens": {bytes([n]): b"v" for n in range(100)}, "accounts": {b"": b""}},
            "41688752c268bf5e31ced4fb9fa46ebbf3713a15ba65ab8695d1b4083d6caafe",
        ),
    ],
)
def test_the_format_of_roots_is_locked(state: State, root: str) -> None:
    store = MemoryStore()
    store.commit(store.prepare(0, state))
    assert store.root.hex() == root
