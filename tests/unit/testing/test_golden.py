"""A golden lock tells every change of a module's form, and whether it breaks what others rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_spec import plugins
from chain_spec.presets import STANDARD_MODULES
from runtime import (
    U8,
    U32,
    U64,
    U128,
    AccountId,
    CallError,
    Denom,
    Event,
    Item,
    Map,
    MaxLen,
    Module,
    ModuleParams,
    Root,
    Signed,
    Struct,
    call,
    query,
)
from runtime.codec import codec
from runtime.codec.schema import schema_of
from runtime.testing import golden
from runtime.testing.golden import GoldenChanged, changes, describe
from runtime.testing.samples import NoSample, full, least, words
from runtime.types import I64, Pattern


class Kind(IntEnum):
    LOW = 0
    HIGH = 7


class Point(Struct):
    x: U32
    y: I64


class Left(Struct, tag=0):
    what: U8


class Right(Struct, tag=1):
    what: Point


PLAIN = (U8, U64, U128, I64, bool, AccountId, Denom, Kind, Point, Annotated[bytes, MaxLen(3)], Left | Right)
TYPES = st.recursive(
    st.sampled_from(PLAIN),
    lambda inner: st.one_of(
        inner.map(lambda each: tuple[each, U8]),
        inner.map(lambda each: Annotated[tuple[each, ...], MaxLen(4)]),
        inner.filter(lambda each: schema_of(each).kind != "optional").map(lambda each: each | None),
    ),
    max_leaves=4,
)


@given(TYPES)
def test_samples_are_values_of_their_type_and_differ(declared: Any) -> None:
    coder, schema = codec(declared), schema_of(declared)
    encoded = [coder.encode(make(schema)) for make in (least, full)]
    assert [coder.encode(coder.decode(data)) for data in encoded] == encoded
    assert encoded[0] != encoded[1]


@given(TYPES, TYPES)
def test_types_with_the_same_words_have_the_same_bytes(one: Any, other: Any) -> None:
    first, second = schema_of(one), schema_of(other)
    same = words(first) == words(second)
    assert same == (first == second)


def test_another_tag_is_another_type() -> None:
    one, other = (type("Same", (Struct,), {"__annotations__": {"what": U8}}, tag=tag) for tag in (0, 1))
    assert words(schema_of(one)) != words(schema_of(other))


def test_a_pattern_that_nothing_fits_has_no_sample() -> None:
    with pytest.raises(NoSample):
        least(schema_of(Annotated[str, Pattern("qq+", 8)]))


class Shown(Event):
    by: AccountId
    amount: U64


class TooMuch(CallError):
    """More than there is."""

    amount: U64


def shop(**changed: Any) -> type[Module]:
    """A module; `changed` replaces parts of its body, None leaves one out."""

    def buy(self: Module, origin: Signed, *, amount: U64, of: Denom) -> None:
        """Buy."""

    def price(self: Module) -> U64:
        """The price."""
        return 0

    class Params(ModuleParams):
        most: U64 = 3

    body: dict[str, Any] = {
        "name": "shop",
        "buy": call(gas=1)(buy),
        "price": query(price),
        "sold": Item(default=0),
        "stock": Map(default=0),
        "events": (Shown,),
        "errors": (TooMuch,),
        "Params": Params,
        "__module__": __name__,
        "__annotations__": {"sold": Item[U64], "stock": Map[Denom, U64]} | changed.pop("annotations", {}),
        **changed,
    }
    body["__annotations__"] = {name: kind for name, kind in body["__annotations__"].items() if kind is not None}
    return type("Shop", (Module,), {name: value for name, value in body.items() if value is not None})


def buy_more(self: Module, origin: Signed, *, amount: U128, of: Denom) -> None:
    """A wider amount."""


def buy_none(self: Module, origin: Signed, *, of: Denom) -> None:
    """No amount."""


def buy_turned(self: Module, origin: Signed, *, of: Denom, amount: U64) -> None:
    """Turned around."""


def buy_as_root(self: Module, origin: Root, *, amount: U64, of: Denom) -> None:
    """For others."""


def buy_for_more(self: Module, origin: Signed | Root, *, amount: U64, of: Denom) -> None:
    """For more."""


class FewerParams(ModuleParams):
    least: U64 = 3


CHANGES: dict[str, tuple[dict[str, Any], str, bool]] = {
    "a call is gone": ({"buy": None}, "call buy is gone", False),
    "a query is gone": ({"price": None}, "query price is gone", False),
    "an item is gone": ({"sold": None, "annotations": {"sold": None}}, "storage sold is gone", False),
    "an argument's type": ({"buy": call(gas=1)(buy_more)}, "call buy: argument amount was u64, is u128", False),
    "an argument is gone": ({"buy": call(gas=1)(buy_none)}, "call buy: argument amount is gone", False),
    "the order": ({"buy": call(gas=1)(buy_turned)}, "call buy: arguments were in the order amount, of", False),
    "another origin": ({"buy": call(gas=1)(buy_as_root)}, "call buy: origin", False),
    "one more origin": ({"buy": call(gas=1)(buy_for_more)}, "call buy: origins were ['Signed']", True),
    "a value's type": ({"annotations": {"stock": Map[Denom, U128]}}, "storage stock: value was u64, is u128", False),
    "a key's type": ({"annotations": {"stock": Map[U64, U64]}}, "storage stock: key was text", False),
    "a default": ({"stock": Map(default=1)}, "storage stock: default was 00, is 01", False),
    "a parameter": ({"Params": FewerParams}, "parameters: field most is gone", False),
    "a new item": ({"more": Item(default=0), "annotations": {"more": Item[U8]}}, "storage more is new", True),
    "a new call": ({"sell": call(gas=1)(buy_none)}, "call sell is new", True),
    "the version": ({"version": 2}, "version was 1, is 2", True),
    "gas alone": ({"buy": call(gas=2)(buy_more)}, "call buy: argument amount", False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_told_and_judged(name: str) -> None:
    changed, told, is_compatible = CHANGES[name]
    found = changes(describe(shop()), describe(shop(**changed)))
    assert any(told in change.what for change in found), found
    assert all(change.is_compatible for change in found) == is_compatible


@pytest.mark.parametrize("name", STANDARD_MODULES)
def test_a_module_is_what_it_is(name: str) -> None:
    described = describe(plugins.load(name))
    assert changes(json.loads(json.dumps(described)), described) == []


@pytest.mark.parametrize("section", ["calls", "queries", "storage", "events", "errors"])
def test_what_is_gone_breaks_whoever_uses_it(section: str) -> None:
    old = describe(shop())
    assert old[section]
    old[section]["vanished"] = {}
    (change,) = changes(old, describe(shop()))
    assert (change.what.split(" ", 1)[1], change.is_compatible) == ("vanished is gone", False)


def test_other_bytes_of_the_same_types_are_told() -> None:
    old = describe(shop())
    old["events"]["Shown"]["samples"][0] = "00"
    assert [(change.what[:40], change.is_compatible) for change in changes(old, describe(shop()))] == [
        ("event Shown: the same types have other b", False)
    ]


def test_a_file_is_written_read_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "golden" / "shop.json"
    golden.check(shop(), file, update=True)
    golden.check(shop(), file)
    with pytest.raises(GoldenChanged) as caught:
        golden.check(shop(buy=None, sell=call(gas=1)(buy_none)), file)
    text = str(caught.value)
    assert text.index("INCOMPATIBLE") < text.index("call buy is gone") < text.index("the version is the same")
    assert text.index("Compatible:") < text.index("call sell is new") < text.index("--update-golden")


def test_invalid_another_modules_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text('{"module": "till"}')
    with pytest.raises(ValueError, match="no golden file of shop"):
        golden.check(shop(), file)


# --- the plugin

MODULE = """
from runtime import Item, Module, Signed, U64, call, invariant
from runtime.testing.plugin import Accounts, ChainOf, Golden, WatchedOf


class Tally(Module):
    name = "tally"
    count: Item[U64] = Item(default=0)

    @call(gas=1_000)
    def add(self, origin: Signed, *, more: U64) -> None:
        self.count += more


def test_chain(chain: ChainOf, accounts: Accounts) -> None:
    made = chain(Tally)
    assert made.submit(Tally.add.build(more=3), signer=accounts.alice).is_ok
    assert accounts["alice"].id == made.account("alice").id


def test_watched(watched: WatchedOf, accounts: Accounts) -> None:
    assert watched(Tally, silent=("tally.add",)).submit(Tally.add.build(more=3), signer=accounts.bob).is_ok


def test_golden(golden: Golden) -> None:
    golden(Tally)
"""


@pytest.fixture
def pytest_in(tmp_path: Path) -> Callable[..., str]:
    """Runs pytest, with the installed plugin, in a folder with one test file."""
    (tmp_path / "test_tally.py").write_text(MODULE)

    def run(*options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        return done.stdout + done.stderr

    return run


def test_fixtures_come_with_the_package(pytest_in: Callable[..., str], tmp_path: Path) -> None:
    missing = pytest_in()
    assert "1 failed, 2 passed" in missing
    assert "tally.json is missing: pytest --update-golden writes it" in missing
    assert "3 passed" in pytest_in("--update-golden")
    assert "3 passed" in pytest_in()
    source = (
        (tmp_path / "test_tally.py")
        .read_text()
        .replace("Item[U64]", "Item[U32]")
        .replace("U64, call", "U64, U32, call")
    )
    (tmp_path / "test_tally.py").write_text(source)
    assert "storage count: value was u64, is u32" in pytest_in()


def test_the_plugin_brings_nothing_heavy_to_pytests_start() -> None:
    heavy = {"hypothesis", "onnxruntime", "numpy", "libp2p", "trio"}
    program = f"import runtime.testing.plugin, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"
