"""Every wrong declaration is refused when its class is made, with its mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Protocol

import pytest

from runtime import (
    U8,
    U64,
    U128,
    AccountId,
    CallError,
    DefinitionError,
    Event,
    Genesis,
    Item,
    Map,
    MaxLen,
    Module,
    ModuleParams,
    Signed,
    Struct,
    Uses,
    call,
    hook,
    invariant,
    query,
)


class Point(Struct):
    x: U8


class Moved(Event):
    """Something moved."""

    to: AccountId


class Ledger(Protocol):
    def move(self, amount: U64) -> None: ...


class Other(Module):
    """A module is no Protocol."""

    name = "other"


class Below(CallError):
    """Defined above the modules, and an error, not an event."""

    amount: U128


Make = Callable[[], Any]
WRONG: dict[str, tuple[Make, str]] = {}


def wrong(match: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        WRONG[make.__name__] = (make, match)
        return make

    return add


@wrong('a module needs a name .* write name = "bad"')
def no_name() -> Any:
    class Bad(Module): ...


@wrong("a module needs a name")
def capital_name() -> Any:
    class Bad(Module):
        name = "Bad"


@wrong("version is 0: write a number from 1 on")
def version_zero() -> Any:
    class Bad(Module):
        name = "bad"
        version = 0


@wrong(r"Bad\.move says no origin.*origin: Signed")
def call_without_origin() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, *, amount: U64) -> None: ...


@wrong(r"Bad\.move: origin is U64: write Signed, Root, ModuleOrigin")
def origin_of_another_type() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: U64) -> None: ...


@wrong(r"Bad\.move: origin has no annotation")
def origin_without_annotation() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin) -> None: ...


@wrong(r"Bad\.move: amount is positional: .* write \*,")
def positional_argument() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed, amount: U64) -> None: ...


@wrong(r"Bad\.move: amount has no annotation: write amount: U64")
def argument_without_annotation() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed, *, amount) -> None: ...


@wrong(r"Bad\.move: amount has a default: .* drop = 3")
def argument_with_default() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed, *, amount: U64 = 3) -> None: ...


@wrong(r"Bad\.move: \*rest has no schema")
def open_arguments() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed, **rest: U64) -> None: ...


@wrong(r"Bad\.move, parameter amount: a plain int has no bound: write U8")
def plain_int_argument() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed, *, amount: int) -> None: ...


@wrong(r"Bad\.move, parameter amount: float has no canonical bytes: write an integer")
def float_argument() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed, *, amount: float) -> None: ...


@wrong(r"Bad\.move, parameter names: list.*|Bad\.move, parameter names: .*no canonical bytes")
def list_argument() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed, *, names: list[U8]) -> None: ...


@wrong(r"Bad\.move, parameter amount: its annotation 'Nothing' is no type that is known here")
def unknown_type() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed, *, amount: Nothing) -> None: ...  # noqa: F821 # that is the test


@wrong(r"Bad\.move: a call returns nothing: write -> None, and emit an event")
def call_that_returns() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def move(self, origin: Signed) -> U64:
            return 1


@wrong(r"@call needs its gas: write @call\(gas=5_000\)")
def call_without_gas() -> Any:
    class Bad(Module):
        name = "bad"

        @call
        def move(self, origin: Signed) -> None: ...


@wrong("gas is an integer from 0")
def call_with_float_gas() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1.5)
        def move(self, origin: Signed) -> None: ...


@wrong(r"Bad\.move is async or a generator")
def async_call() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        async def move(self, origin: Signed) -> None: ...


@wrong(r"Bad\.move: the decorator belongs directly above a method")
def call_over_classmethod() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        @classmethod
        def move(cls, origin: Signed) -> None: ...


@wrong(r"Bad\.Move: a declared name is lower case")
def capital_call() -> Any:
    class Bad(Module):
        name = "bad"

        @call(gas=1)
        def Move(self, origin: Signed) -> None: ...  # noqa: N802 # that is the test


@wrong(r"Bad\.total: a query says what it answers: write -> U64")
def query_without_answer() -> Any:
    class Bad(Module):
        name = "bad"

        @query
        def total(self): ...


@wrong(r"Bad\.total: its answer int: a plain int has no bound")
def query_with_plain_int() -> Any:
    class Bad(Module):
        name = "bad"

        @query
        def total(self) -> int:
            return 1


@wrong(r"Bad\.count is declared twice: rename one")
def declared_twice() -> Any:
    class Bad(Module):
        name = "bad"
        count: Item[U64] = Item(default=0)

        @query
        def count(self) -> U64:  # noqa: F811 # that is the test
            return 1

        @query
        def count(self) -> U64:  # noqa: F811 # that is the test
            return 2


@wrong(r"Bad\.count has no annotation: write count: Item\[U64\]")
def item_without_annotation() -> Any:
    class Bad(Module):
        name = "bad"
        count = Item(default=0)


@wrong(r"Bad\.count: Item says no types: write count: Item\[U64\]")
def item_without_type() -> Any:
    class Bad(Module):
        name = "bad"
        count: Item = Item(default=0)


@wrong(r"Bad\.count is declared and not made: write count: Item\[U64\] = Item\(\)")
def item_not_made() -> Any:
    class Bad(Module):
        name = "bad"
        count: Item[U64]


@wrong(r"Bad\.count: its default -1 is no U64")
def default_out_of_type() -> Any:
    class Bad(Module):
        name = "bad"
        count: Item[U64] = Item(default=-1)


@wrong(r"Bad\.count: its default \[\] is no tuple")
def mutable_default() -> Any:
    class Bad(Module):
        name = "bad"
        count: Item[Annotated[tuple[U8, ...], MaxLen(3)]] = Item(default=[])


@wrong(r"Bad\.count: float has no canonical bytes")
def float_item() -> Any:
    class Bad(Module):
        name = "bad"
        count: Item[float] = Item(default=0)


@wrong(r"Bad\.notes: str of any length has no bound: write Annotated\[str, MaxLen")
def unbounded_text() -> Any:
    class Bad(Module):
        name = "bad"
        notes: Map[U8, str] = Map()


@wrong(r"Bad\.notes: a storage key is")
def record_as_key() -> Any:
    class Bad(Module):
        name = "bad"
        notes: Map[Point, U8] = Map()


@wrong(r"Bad\.count is annotated as Map and is")
def item_for_map() -> Any:
    class Bad(Module):
        name = "bad"
        count: Map[U8, U8] = Item(default=0)


@wrong(r"Bad\.count: U64 is no storage: write count: Item\[U64\]")
def bare_annotation() -> Any:
    class Bad(Module):
        name = "bad"
        count: U64 = 0


@wrong(r"Bad\.rate is a float, which rounds")
def float_constant() -> Any:
    class Bad(Module):
        name = "bad"
        rate = 0.5


@wrong(r"Bad\.rates is a float, which rounds")
def float_within_a_constant() -> Any:
    class Bad(Module):
        name = "bad"
        rates = (1, (0.5,))


@wrong(r"Bad\.emit: this name belongs to Module")
def name_of_modules_own() -> Any:
    class Bad(Module):
        name = "bad"

        def emit(self) -> None: ...


@wrong(r"Bad\.__init__: a module has no __init__")
def constructor() -> Any:
    class Bad(Module):
        name = "bad"

        def __init__(self) -> None: ...


@wrong(r"Bad\.ledger: Uses names a Protocol: write ledger: Uses\[Ledger\]")
def uses_a_class() -> Any:
    class Bad(Module):
        name = "bad"
        ledger: Uses[Other]


@wrong(r"Bad\.holds: @invariant takes no arguments")
def invariant_with_argument() -> Any:
    class Bad(Module):
        name = "bad"

        @invariant
        def holds(self, now: U64) -> None: ...


@wrong(r"Bad\.end_block says no gas: write @hook\(gas=100_000\)")
def hook_without_gas() -> Any:
    class Bad(Module):
        name = "bad"

        def end_block(self) -> None: ...


@wrong(r"Bad\.tick: @hook is for begin_block and end_block only")
def hook_of_another_name() -> Any:
    class Bad(Module):
        name = "bad"

        @hook(gas=1)
        def tick(self) -> None: ...


@wrong(r"@hook needs its gas")
def hook_with_no_gas() -> Any:
    class Bad(Module):
        name = "bad"

        @hook(gas=0)
        def end_block(self) -> None: ...


@wrong("declares GenesisConfig and does not use it: write def genesis")
def genesis_config_alone() -> Any:
    class Bad(Module):
        name = "bad"

        class GenesisConfig(Genesis):
            start: U64 = 0


@wrong(r"Bad\.genesis needs its configuration's type: write class GenesisConfig")
def genesis_method_alone() -> Any:
    class Bad(Module):
        name = "bad"

        def genesis(self, config: Any) -> None: ...


@wrong(r"Bad\.Params: write class Params\(ModuleParams\)")
def params_of_another_class() -> Any:
    class Bad(Module):
        name = "bad"

        class Params(Genesis):
            rate: U8 = 1


@wrong(r"Bad\.Params: .*rate.*plain int has no bound")
def params_with_plain_int() -> Any:
    class Bad(Module):
        name = "bad"

        class Params(ModuleParams):
            rate: int = 1


@wrong(r"Bad, event Loose: Loose\.count: a plain int has no bound")
def event_with_plain_int() -> Any:
    class Loose(Event):
        count: int

    class Bad(Module):
        name = "bad"


@wrong(r"Bad\.events: write a tuple of classes below Event")
def events_of_another_kind() -> Any:
    class Bad(Module):
        name = "bad"
        events = (Below,)


@wrong(r"Bad has two events named Moved: rename one")
def two_events_of_one_name() -> Any:
    outer = Moved

    class Inner:
        class Moved(Event):
            to: U8

    class Bad(Module):
        name = "bad"
        events = (outer, Inner.Moved)


@pytest.mark.parametrize("case", sorted(WRONG))
def test_invalid_declaration(case: str) -> None:
    make, match = WRONG[case]
    with pytest.raises(DefinitionError, match=match):
        make()
