"""Item and Map against a dict: the same answers, in the order of keys, whatever is written and undone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import U8, U64, AccountId, DefinitionError, Denom, Item, Map, Module
from runtime.module import BadValue, BlockInfo, Context, KeyMissing, OutOfGas, OutsideContext, QueryWrites
from runtime.state import MemoryStore, Overlay

ALICE = AccountId(b"\x01" * 32)
BOB = AccountId(b"\x02" * 32)


class Shelf(Module):
    """Storage of every kind."""

    name = "shelf"
    count: Item[U8] = Item(default=7)
    owner: Item[AccountId] = Item()
    note: Item[U64 | None] = Item(default=None)
    books: Map[tuple[U8, Denom], U64] = Map(default=0)
    strict: Map[U8, U64] = Map()


def shelf(*, writable: bool = True) -> tuple[Shelf, Context]:
    context = Context()
    context.open(Overlay(MemoryStore()), BlockInfo(height=3, time_ms=4), writable=writable)
    return Shelf.bind(context), context


KEYS = st.tuples(st.integers(0, 3), st.sampled_from([Denom(each) for each in ("a", "ab", "b")]))
STEPS = st.lists(st.tuples(st.sampled_from(["set", "add", "delete"]), KEYS, st.integers(0, 9)), max_size=30)


@given(STEPS, STEPS, st.integers(0, 12), KEYS)
def test_a_map_is_a_sorted_dict(kept: list[Any], undone: list[Any], limit: int, after: tuple[int, Denom]) -> None:
    made, context = shelf()
    model: dict[tuple[int, Denom], int] = {}

    def play(steps: list[Any], model: dict[tuple[int, Denom], int]) -> None:
        for step, key, value in steps:
            if step == "set":
                made.books[key] = model[key] = value
            elif step == "add":
                made.books[key] += value
                model[key] = model.get(key, 0) + value
            else:
                del made.books[key]
                model.pop(key, None)

    play(kept, model)

    def play_and_fail() -> None:
        with context.checkpoint():
            play(undone, dict(model))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play_and_fail()
    assert list(made.books.items(limit=100)) == sorted(model.items())
    assert list(made.books.keys((after[0],), limit=limit)) == sorted(k for k in model if k[0] == after[0])[:limit]
    assert list(made.books.items(limit=limit, after=after)) == sorted(i for i in model.items() if i[0] > after)[:limit]
    for key in {**model, after: 0}:
        assert (key in made.books, made.books.get(key), made.books[key]) == (
            key in model,
            model.get(key),
            model.get(key, 0),
        )


def test_an_item_is_read_and_assigned_as_an_attribute() -> None:
    made, _ = shelf()
    assert made.count == 7
    made.count += 1
    assert made.count == 8
    del made.count
    assert made.count == 7
    assert made.note is None
    made.note = 5
    assert made.note == 5


def test_storage_of_two_modules_and_two_items_never_meets() -> None:
    made, context = shelf()
    made.count, made.note = 1, 1
    made.books[1, "a"] = 1
    assert [key for key, _ in context.state.iterate("shelf")] == [b"books\x00\x01a\x00\x00", b"count\x00", b"note\x00"]
    assert list(context.state.iterate("other")) == []


def test_invalid_reading_what_was_never_written() -> None:
    made, _ = shelf()
    with pytest.raises(KeyMissing) as item:
        _ = made.owner
    assert item.value == KeyMissing(module="shelf", storage="owner")
    with pytest.raises(KeyMissing, match="storage=strict"):
        _ = made.strict[3]
    assert made.strict.get(3) is None


@pytest.mark.parametrize("value", [-1, 256, "1", 1.0, True, None])
def test_invalid_values_do_not_get_stored(value: Any) -> None:
    made, _ = shelf()
    with pytest.raises(BadValue) as error:
        made.count = value
    assert error.value.where == "count"
    assert made.count == 7


@pytest.mark.parametrize("key", [(256, "a"), (1, "A"), (1,), 1, (1, "a", 2), ("1", "a")])
def test_invalid_keys(key: Any) -> None:
    made, _ = shelf()
    with pytest.raises(BadValue):
        made.books[key] = 1
    with pytest.raises(BadValue):
        _ = made.books[key]


def test_invalid_prefix() -> None:
    made, _ = shelf()
    with pytest.raises(BadValue):
        list(made.books.items((1, "a", 2), limit=1))


def test_invalid_use_outside_of_a_run() -> None:
    made, context = shelf()
    context.close()
    for use in (
        lambda: made.count,
        lambda: made.books[1, "a"],
        lambda: made.books.__setitem__((1, "a"), 1),
        lambda: list(made.books.items(limit=1)),
        lambda: Shelf.books[1, "a"],
        lambda: setattr(made, "count", 1),
    ):
        with pytest.raises(OutsideContext, match="nothing runs"):
            use()


def test_invalid_writing_in_a_query() -> None:
    made, _ = shelf(writable=False)
    assert made.count == 7
    for write in (
        lambda: setattr(made, "count", 1),
        lambda: made.books.__delitem__((1, "a")),
        lambda: made.strict.__setitem__(1, 1),
        lambda: delattr(made, "count"),
    ):
        with pytest.raises(QueryWrites):
            write()


@pytest.mark.parametrize("name", ["books", "cache", "_hidden", "height"])
def test_invalid_state_outside_storage(name: str) -> None:
    made, _ = shelf()
    with pytest.raises(DefinitionError, match=rf"Shelf\.{name} is no storage item"):
        setattr(made, name, {})


def test_invalid_construction() -> None:
    with pytest.raises(DefinitionError, match=r"compose it in a Chain, Chain\(Shelf\)"):
        Shelf()


def test_every_access_is_charged_and_a_meter_that_ran_out_stays_out() -> None:
    made, context = shelf()
    spent = []
    for use in (
        lambda: made.count,
        lambda: setattr(made, "count", 1),
        lambda: delattr(made, "count"),
        lambda: (1, "a") in made.books,
        lambda: list(made.books.items(limit=1)),
        lambda: made.charge(5),
    ):
        context.set_gas(10**9)
        use()
        spent.append(context.gas_used)
    assert all(spent)
    context.set_gas(10)
    with pytest.raises(OutOfGas) as error:
        _ = made.count
    assert error.value == OutOfGas(gas_limit=10)
    assert context.gas_used == 10
    with pytest.raises(OutOfGas):
        made.charge(0)
    with pytest.raises(ValueError, match="negative"):
        made.charge(-1)


def test_an_instance_knows_its_block_and_itself() -> None:
    made, _ = shelf()
    assert (made.height, made.time_ms) == (3, 4)
    assert made.origin.name == "shelf"
    assert len(made.account) == 32
    assert repr(made) == "<module shelf>"
