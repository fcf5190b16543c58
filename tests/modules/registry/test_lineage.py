"""Registry: lineage is a tree in pages, the same however it is cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.registry import Registry
from modules.registry.errors import NotRelated, RepeatedParent, UnknownParent
from modules.registry.lineage import DEPTH_MAX, walk
from modules.registry.protocol import PAGE_MAX, PARENTS_MAX, Standing
from runtime import Hash
from runtime.execution import QueryFailed
from runtime.inference import model_hash
from tools.registration import registration_calls

Graph = dict[Any, list[Any]]


def paths(graph: Graph, root: Any, depth: int) -> list[tuple[Any, ...]]:
    """All paths from the root, in order: the definition."""
    if depth == 0:
        return []
    below = [(child, paths(graph, child, depth - 1)) for child in sorted(graph.get(root, []))]
    return [path for child, more in below for path in ((child,), *((child, *rest) for rest in more))]


def pages(world: Any, query: Any, model: Hash, depth: int, limit: int) -> list[tuple[Hash, ...]]:
    found: list[Any] = []
    while page := world.chain.query(
        query, model=model, depth=depth, after=found[-1].path if found else None, limit=limit
    ):
        assert len(page) <= min(limit, PAGE_MAX)
        found += page
    for each in found:
        assert each.owner == world.view(each.path[-1]).record.owner
    return [each.path for each in found]


def next_in(graph: Graph) -> Any:
    def following(node: Any, after: Any) -> Any:
        return min((child for child in graph.get(node, []) if after is None or child > after), default=None)

    return following


dags = st.integers(1, 7).flatmap(
    lambda count: st.tuples(
        *(st.lists(st.integers(0, n - 1), unique=True, max_size=3) if n else st.just([]) for n in range(count))
    )
)


@given(dag=dags, depth=st.integers(0, 5), start=st.integers(0, 6))
def test_a_walk_gives_every_path_once_and_goes_on_from_any(dag: tuple[list[int], ...], depth: int, start: int) -> None:
    graph, root = dict(enumerate(dag)), start % len(dag)
    expected = paths(graph, root, depth)
    assert list(walk(next_in(graph), root, depth, ())) == expected
    for number, path in enumerate(expected):
        assert list(walk(next_in(graph), root, depth, path)) == expected[number + 1 :]


@given(dag=dags, depth=st.integers(0, 4), after=st.data())
def test_a_walk_asks_no_more_than_its_path_is_long(dag: tuple[list[int], ...], depth: int, after: Any) -> None:
    graph, root, asked = dict(enumerate(dag)), len(dag) - 1, [0]

    def following(node: Any, before: Any) -> Any:
        asked[0] += 1
        return next_in(graph)(node, before)

    length = 0
    for path in walk(following, root, depth, ()):
        assert asked[0] <= length + 1
        asked[0], length = 0, len(path)


@given(dag=dags, depth=st.integers(0, 9), limit=st.integers(1, 7))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lineage_is_what_cards_say(make_world: Any, dag: tuple[list[int], ...], depth: int, limit: int) -> None:
    world, names = make_world(), []
    for number, parents in enumerate(dag):
        card = world.card(*(names[parent] for parent in parents))
        names.append(world.register(world.tiny(number), ("alice", "bob")[number % 2], card))
    up: Graph = {names[n]: [names[p] for p in parents] for n, parents in enumerate(dag)}
    down: Graph = {name: [child for child, parents in up.items() if name in parents] for name in names}
    for name in names:
        assert pages(world, Registry.ancestors, name, depth, limit) == paths(up, name, min(depth, DEPTH_MAX))
        assert pages(world, Registry.descendants, name, depth, limit) == paths(down, name, min(depth, DEPTH_MAX))


def test_a_long_line_is_cut_at_its_depth_and_followed_from_there(world: Any) -> None:
    line = [world.register(world.tiny())]
    for number in range(1, DEPTH_MAX + 3):
        line.append(world.register(world.tiny(number), card=world.card(line[-1])))
    found = pages(world, Registry.ancestors, line[-1], 255, 255)
    assert [path[-1] for path in found] == line[-2 : -2 - DEPTH_MAX : -1]
    assert [path[-1] for path in pages(world, Registry.ancestors, found[-1][-1], 255, 5)] == line[1::-1]
    assert [path[-1] for path in pages(world, Registry.descendants, line[0], 2, 5)] == line[1:3]


def test_a_page_is_bounded_however_many_children(world: Any) -> None:
    parent = world.register(world.tiny())
    children = [world.register(world.tiny(n), card=world.card(parent)) for n in range(1, PAGE_MAX + 3)]
    first = world.chain.query(Registry.descendants, model=parent, depth=1, after=None, limit=255)
    assert len(first) == PAGE_MAX
    assert pages(world, Registry.descendants, parent, 1, 255) == [(child,) for child in sorted(children)]


def test_a_retired_model_stays_in_the_tree(world: Any) -> None:
    parent = world.register(world.tiny())
    child = world.register(world.tiny(1), card=world.card(parent))
    for name in (parent, child):
        world.send(Registry.retire.build(model=name), "alice")
    (up,) = world.chain.query(Registry.ancestors, model=child, depth=1, after=None, limit=9)
    (down,) = world.chain.query(Registry.descendants, model=parent, depth=1, after=None, limit=9)
    assert (up.path, up.standing) == ((parent,), Standing.RETIRED)
    assert (down.path, down.standing) == ((child,), Standing.RETIRED)


def test_a_model_that_is_not_registered_has_no_lineage(world: Any) -> None:
    unknown = model_hash(b"unknown")
    for query in (Registry.ancestors, Registry.descendants):
        assert world.chain.query(query, model=unknown, depth=9, after=None, limit=9) == ()


@pytest.mark.parametrize("query", ["ancestors", "descendants"])
def test_invalid_path_that_is_not_in_the_tree(world: Any, query: str) -> None:
    one, other = world.register(world.tiny()), world.register(world.tiny(1))
    child = world.register(world.tiny(2), card=world.card(one))
    root, near = (child, one) if query == "ancestors" else (one, child)
    ask = getattr(Registry, query)
    assert world.chain.query(ask, model=root, depth=9, after=(near,), limit=9) == ()
    for wrong, step in (((other,), (root, other)), ((near, other), (near, other)), ((root,), (root, root))):
        with pytest.raises(QueryFailed) as caught:
            world.chain.query(ask, model=root, depth=9, after=wrong, limit=9)
        assert caught.value.error == NotRelated(model=step[0], relative=step[1])


def test_invalid_parents(world: Any, fails: Any) -> None:
    known = [world.register(world.tiny(number)) for number in range(PARENTS_MAX)]

    def begin(*parents: Hash) -> Any:
        return next(call for _, call in registration_calls(world.tiny(99), world.card(*parents)))

    alice, unknown = world.account("alice"), model_hash(b"unknown")
    fails(world.chain, begin(known[0], known[1], known[0]), alice, RepeatedParent(parent=known[0]))
    fails(world.chain, begin(known[0], unknown), alice, UnknownParent(parent=unknown))
    fails(world.chain, begin(model_hash(world.tiny(99))), alice, UnknownParent(parent=model_hash(world.tiny(99))))
    world.send(begin(*known), "alice")
