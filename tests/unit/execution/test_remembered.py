"""An engine that remembers gives what one that does not gives, and runs nothing twice while there is room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import OurError
from runtime.execution.core import NoEngine
from runtime.execution.remembered import ENTRY_BYTES, RememberingEngine
from runtime.module import InputRefused, Tensor
from runtime.types import Hash

Inputs = tuple[Tensor, ...]


def of(number: int) -> Inputs:
    return (Tensor("x", (1,), number.to_bytes(8, "little")),)


class Doubling(NoEngine):
    """Twice the input; refuses 13. Knows what it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def run(self, model: Hash, load: Callable[[], bytes], inputs: Inputs) -> Inputs:
        found = self.run_many(model, load, (inputs,))[0]
        if found is None:
            raise InputRefused(tensor="x", reason="13")
        return found

    def run_many(self, model: Hash, load: Callable[[], bytes], batch: tuple[Inputs, ...]) -> tuple[Inputs | None, ...]:
        numbers = [int.from_bytes(inputs[0].data, "little") for inputs in batch]
        self.asked += numbers
        return tuple(None if number == 13 else of(2 * number + model[0]) for number in numbers)


MODELS = [Hash(bytes([each] * 32)) for each in range(2)]
NUMBERS = st.integers(10, 16)


def answer(engine: Any, model: Hash, numbers: list[int], *, one: bool) -> list[Any]:
    if not one:
        return list(engine.run_many(model, bytes, tuple(map(of, numbers))))
    found: list[Any] = []
    for number in numbers:
        try:
            found.append(engine.run(model, bytes, of(number)))
        except InputRefused as refused:
            found.append(refused)
    return found


@given(
    st.lists(st.tuples(st.sampled_from(MODELS), st.lists(NUMBERS, max_size=5), st.booleans())),
    st.integers(0, 6 * (ENTRY_BYTES + 8)),
)
def test_it_answers_as_one_that_does_not_remember(asked: list[tuple[Hash, list[int], bool]], room: int) -> None:
    remembering, plain = RememberingEngine(Doubling(), bytes_max=room), Doubling()
    for model, numbers, one in asked:
        assert answer(remembering, model, numbers, one=one) == answer(plain, model, numbers, one=one)
        assert sum(ENTRY_BYTES + 8 for _ in remembering._results) == remembering._bytes <= room
    assert not remembering._under_way


def test_nothing_is_run_twice_while_there_is_room_and_the_longest_unused_goes_first() -> None:
    below = Doubling()
    engine = RememberingEngine(below, bytes_max=2 * (ENTRY_BYTES + 8))
    for number in (1, 2, 1, 3, 1, 2):
        engine.run(MODELS[0], bytes, of(number))
    assert below.asked == [1, 2, 3, 2]


def test_who_asks_for_a_run_that_is_under_way_waits_for_it() -> None:
    class Slow(Doubling):
        def run_many(self, model: Hash, load: Callable[[], bytes], batch: tuple[Inputs, ...]) -> Any:
            begun.set()
            assert may_end.wait(60)
            return super().run_many(model, load, batch)

    begun, may_end, below = threading.Event(), threading.Event(), Slow()
    engine = RememberingEngine(below)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(engine.run_many, MODELS[0], bytes, (of(1), of(2)))
        assert begun.wait(60)
        second = pool.submit(engine.run_many, MODELS[0], bytes, (of(2), of(3), of(1)))
        may_end.set()
        assert first.result(60) == (of(2), of(4))
        assert second.result(60) == (of(4), of(6), of(2))
    assert sorted(below.asked) == [1, 2, 3]


def test_a_fault_is_its_callers_own_and_is_not_kept() -> None:
    class Faulty(Doubling):
        def run_many(self, model: Hash, load: Callable[[], bytes], batch: tuple[Inputs, ...]) -> Any:
            if not begun.is_set():
                begun.set()
                assert may_fail.wait(60)
                raise OurError("no memory")
            return super().run_many(model, load, batch)

    begun, may_fail = threading.Event(), threading.Event()
    engine = RememberingEngine(Faulty())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(engine.run, MODELS[0], bytes, of(1))
        assert begun.wait(60)
        second = pool.submit(engine.run_many, MODELS[0], bytes, (of(1), of(5)))
        may_fail.set()
        with pytest.raises(OurError, match="no memory"):
            first.result(60)
        assert second.result(60) == (of(2), of(10))
    assert engine.run(MODELS[0], bytes, of(1)) == of(2)
