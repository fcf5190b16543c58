"""The ordered dictionary against a plain one: whatever the order of writes, removals and ranges."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from runtime.state.table import Table

keys = st.lists(st.sampled_from(b"\x00\x01a\xff"), max_size=4).map(bytes)


class TableMatchesADictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.table: Table[int] = Table()
        self.model: dict[bytes, int] = {}

    @rule(key=keys, value=st.integers(0, 9))
    def set(self, key: bytes, value: int) -> None:
        self.table.set(key, value)
        self.model[key] = value

    @rule(many=st.lists(keys, min_size=30, max_size=60, unique=True))
    def set_more_than_are_inserted_one_by_one(self, many: list[bytes]) -> None:
        for key in many:
            self.set(key, 1)

    @rule(key=keys)
    def remove(self, key: bytes) -> None:
        self.table.remove(key)
        self.model.pop(key, None)

    @rule(key=keys)
    def undo_the_newest(self, key: bytes) -> None:
        """As a rollback does: the last key that came is the first to go."""
        self.set(key, 1)
        self.remove(key)

    @rule(low=keys, high=st.none() | keys, count=st.none() | st.integers(0, 5))
    def range(self, low: bytes, high: bytes | None, count: int | None) -> None:
        expected = [(key, self.model[key]) for key in sorted(self.model) if low <= key and (high is None or key < high)]
        assert self.table.range(low, high, count) == expected[:count]
        assert self.table.count(low, high) == len(expected)
        assert self.table.values == self.model


TableMatchesADictionary.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
test_table_matches_a_dictionary = TableMatchesADictionary.TestCase
