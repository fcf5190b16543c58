"""The author's page: what a declaration yields, and every wrong one with its mend."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any, ClassVar, Final, Protocol

import pytest
from pydantic import TypeAdapter

from runtime import (
    U8,
    U64,
    U128,
    AccountId,
    CallError,
    CodecError,
    DefinitionError,
    Denom,
    Event,
    Genesis,
    Item,
    Map,
    MaxLen,
    Module,
    ModuleOrigin,
    ModuleParams,
    Root,
    Signed,
    Struct,
    Uses,
    call,
    hook,
    invariant,
    query,
)
from runtime.module import NO_DEFAULT


class Colour(IntEnum):
    RED = 0


class Point(Struct):
    x: U8


class Moved(Event):
    """Something moved."""

    to: AccountId


class Ledger(Protocol):
    def move(self, amount: U64) -> None: ...


class Full(Module):
    """A page with everything.

    And more about it.
    """

    name = "full"
    version = 3
    LIMIT: Final = 10
    LABELS: ClassVar[tuple[str, ...]] = ("a", "b")
    colours = (Colour.RED, None, b"x")
    count: Item[U64] = Item(default=0)
    points: Map[tuple[AccountId, Denom], Point] = Map()
    ledger: Uses[Ledger]
    coins: Uses[Ledger] = Uses("tokens")

    class Params(ModuleParams):
        rate: U8 = 3

    class GenesisConfig(Genesis):
        start: U64 = 0

    def genesis(self, config: GenesisConfig) -> None:
        self.count = config.start

    @call(gas=5)
    def put(self, origin: Signed | Root, *, to: AccountId, point: Point, note: Annotated[str, MaxLen(9)]) -> None:
        """Put a point.

        At the account.
        """
        helper(self)

    @call(gas=0)
    def reset(self, origin: ModuleOrigin) -> None: ...

    @query
    def point_of(self, *, account: AccountId) -> Point | None:
        """The point."""
        return None

    @invariant
    def holds(self) -> None:
        """Always."""

    @hook(gas=7)
    def begin_block(self) -> None: ...


class Below(CallError):
    """Defined below the module, and its own all the same."""

    amount: U128


def helper(module: Full) -> None:
    raise Below(amount=1)


def test_the_page_becomes_data() -> None:
    made = Full.metadata()
    assert (made.name, made.version, made.docs) == ("full", 3, "A page with everything.\n\nAnd more about it.")
    put = made.calls["put"]
    assert (put.full_name, put.gas, put.origins) == ("full.put", 5, (Signed, Root))
    assert put.docs == "Put a point.\n\nAt the account."
    assert [(field.name, field.shown) for field in put.fields] == [
        ("to", "AccountId"),
        ("point", "Point"),
        ("note", "str up to 9"),
    ]
    assert made.calls["reset"].origins == (ModuleOrigin,)
    assert made.queries["point_of"].result == Point | None
    count, points = made.storage["count"], made.storage["points"]
    assert (count.kind, count.key, count.default, points.kind, points.default) == ("item", None, 0, "map", NO_DEFAULT)
    assert set(made.events) == {"Moved"}
    assert made.events["Moved"].docs == "Something moved."
    assert set(made.errors) == {"Below"}
    assert [(field.name, field.shown) for field in made.errors["Below"].fields] == [("amount", "U128")]
    assert list(made.invariants) == ["holds"]
    assert {name: (uses.protocol, uses.provider) for name, uses in made.uses.items()} == {
        "ledger": (Ledger, None),
        "coins": (Ledger, "tokens"),
    }
    assert (made.params, made.genesis, made.hooks) == (Full.Params, Full.GenesisConfig, {"begin_block": 7})


def test_a_built_call_is_its_name_and_canonical_arguments() -> None:
    built = Full.put.build(to=AccountId(b"\x01" * 32), point=Point(4), note="hi")
    info = Full.metadata().calls["put"]
    assert built.name == "full.put"
    assert info.method.keywords(info.codec.decode(built.arguments)) == {
        "to": b"\x01" * 32,
        "point": Point(4),
        "note": "hi",
    }


def test_arguments_are_read_from_json_by_the_same_declaration() -> None:
    arguments = Full.metadata().calls["put"].arguments
    text = {"to": (b"\x01" * 32).hex(), "point": {"x": 4}, "note": "hi"}
    made = TypeAdapter(arguments).validate_python(text | {"to": b"\x01" * 32})
    assert made == arguments(b"\x01" * 32, Point(4), "hi")


def test_invalid_arguments_of_build() -> None:
    build: Any = Full.put.build
    for keywords, match in (
        ({}, r"\$\.to: full\.put needs this argument"),
        ({"to": b"", "point": Point(4), "note": ""}, r"\$\.to"),
        ({"to": b"\x01" * 32, "point": Point(256), "note": ""}, r"\$\.point"),
        ({"to": b"\x01" * 32, "point": Point(1), "note": "", "x": 1}, r"\$\.x: full\.put has no such argument"),
    ):
        with pytest.raises(CodecError, match=match):
            build(**keywords)
    with pytest.raises(CodecError, match="keyword arguments only"):
        build(1)


def test_a_module_may_extend_another() -> None:
    class Longer(Full):
        name = "longer"
        extra: Item[U64] = Item(default=0)

        @call(gas=1)
        def more(self, origin: Signed) -> None: ...

    assert set(Longer.metadata().calls) == {"put", "reset", "more"}
    assert Longer.put.build(to=AccountId(b"\x01" * 32), point=Point(1), note="").name == "longer.put"
    assert Full.put.full_name == "full.put"
    assert set(Longer.metadata().storage) == {"count", "points", "extra"}


def test_a_module_may_have_several_layers() -> None:
    class Base(Module):
        name = "layered"
        counts: Map[U64, U64] = Map(default=0)

    class Middle(Base):
        total: Item[U64] = Item(default=0)

    class Top(Middle):
        name = "top"
        last: Item[U64] = Item(default=0)

    assert list(Top.metadata().storage) == ["counts", "total", "last"]
    assert Top.metadata().storage["counts"].declared is not Base.metadata().storage["counts"].declared


def test_two_modules_do_not_share_a_declared_item() -> None:
    shared: Item[U64] = Item(default=1)

    class One(Module):
        name = "one"
        count: Item[U64] = shared

    class Two(Module):
        name = "two"
        number: Item[U64] = shared

    assert (One.metadata().storage["count"].declared.prefix, Two.metadata().storage["number"].declared.prefix) == (
        b"count\x00",
        b"number\x00",
    )


# --- wrong declarations

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


@pytest.mark.parametrize("value", [[], {}, set(), frozenset("ab"), bytearray(), object()])
def test_invalid_state_of_a_class(value: Any) -> None:
    with pytest.raises(DefinitionError, match=r"Bad\.cache is a .*, state outside storage: write a tuple"):

        class Bad(Module):
            name = "bad"
            cache = value


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
        ledger: Uses[Full]


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


def test_invalid_event_that_is_not_the_modules_own() -> None:
    from runtime.execution import Chain
    from runtime.module import ModuleFault
    from runtime.testing.bank import Moved as Foreign

    class Loud(Module):
        name = "loud"

        @call(gas=0)
        def shout(self, origin: Signed) -> None:
            self.emit(Foreign(sender=self.account, recipient=self.account, amount=1))

    chain = Chain(Loud)
    receipt = chain.submit(Loud.shout.build(), signer=chain.account("alice"))
    assert isinstance(chain.error(receipt), ModuleFault)
    assert chain.last is not None
    assert "list it: events = (Moved, ...)" in chain.last.faults[0]


def test_invalid_params_where_none_are_declared() -> None:
    class Bare(Module):
        name = "bare"

        @query
        def rate(self) -> U8:
            return self.params.rate

    from runtime.execution import Chain, QueryFailed

    with pytest.raises(QueryFailed, match=r"module=bare"):
        Chain(Bare).query(Bare.rate)
