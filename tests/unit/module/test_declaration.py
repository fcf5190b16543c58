"""The author's page: what a declaration yields. Wrong ones: test_wrong_declarations.py."""

from __future__ import annotations

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


@pytest.mark.parametrize("value", [[], {}, set(), frozenset("ab"), bytearray(), object()])
def test_invalid_state_of_a_class(value: Any) -> None:
    with pytest.raises(DefinitionError, match=r"Bad\.cache is a .*, state outside storage: write a tuple"):

        class Bad(Module):
            name = "bad"
            cache = value


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
