"""Arguments that an attack chooses: within their bounds, the same for everyone, and of the state that the chain has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.internal.intervalsets import IntervalSet

from runtime import U64, AccountId, CallError, Event, Item, Map, Module, Signed, call
from runtime.testing import attack
from runtime.testing.attacking.chance import SeededChance


@given(
    low=st.none() | st.integers(), width=st.none() | st.integers(0, 1 << 70), sizes=st.tuples(*[st.integers(0, 9)] * 2)
)
def test_choices_are_within_their_bounds_and_the_same_again(
    low: int | None, width: int | None, sizes: tuple[int, int]
) -> None:
    high = None if width is None else (low or 0) + width
    drawn = []
    for _ in range(2):
        chance = SeededChance(None)
        numbers = [chance.draw_integer(low, high) for _ in range(20)]
        least, most = min(sizes), max(sizes)
        texts = [chance.draw_string(IntervalSet(((97, 122),)), min_size=least, max_size=most) for _ in range(5)]
        data = [chance.draw_bytes(least, most) for _ in range(5)]
        drawn.append((numbers, texts, data, [chance.draw_boolean(0.3) for _ in range(9)]))
    assert drawn[0] == drawn[1]
    assert all((low is None or low <= each) and (high is None or each <= high) for each in numbers)
    assert all(least <= len(each) <= most for each in (*texts, *data))
    assert set("".join(texts)) <= set("abcdefghijklmnopqrstuvwxyz")
    assert not chance.draw_boolean(0)
    assert chance.draw_boolean(1)


class Met(Event):
    """The right one came."""


class Missed(CallError):
    """Another one was meant."""


class Appointments(Module):
    """Takes what stands in the state of the chain, and nothing else."""

    name = "appointments"
    parcels: Map[U64, AccountId] = Map()
    sent: Item[U64] = Item(default=77)
    met: Item[U64] = Item(default=0)

    @call(gas=20_000)
    def send(self, origin: Signed) -> None:
        """A parcel with a number that nobody guesses."""
        number = (self.sent * 6_364_136_223_846_793_005 + 1) % (1 << 64)
        self.sent = number
        self.parcels[number] = origin.account
        self.emit(Met())

    @call(gas=20_000)
    def fetch(self, origin: Signed, *, parcel: U64) -> None:
        """By whoever sent it."""
        if self.parcels.get(parcel) != origin.account:
            raise Missed
        del self.parcels[parcel]
        self.emit(Met())

    @call(gas=20_000)
    def now(self, origin: Signed, *, height: U64) -> None:
        """At this height, or the last."""
        if self.height - height not in (0, 1):
            raise Missed
        self.met += 1
        self.emit(Met())

    @call(gas=20_000)
    def today(self, origin: Signed, *, time_ms: U64) -> None:
        """Within a minute."""
        if abs(self.time_ms - time_ms) > 60_000:
            raise Missed
        self.met += 1
        self.emit(Met())


def test_arguments_mean_keys_and_owners_heights_and_times() -> None:
    outcomes = attack(Appointments, steps=300, processes=0, silent=()).outcomes
    assert outcomes["appointments.fetch"]["ok"] >= 3, outcomes
    assert outcomes["appointments.now"]["ok"] >= 3, outcomes
    assert outcomes["appointments.today"]["ok"] >= 3, outcomes
