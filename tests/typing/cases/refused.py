"""Lines that mypy --strict must refuse, each ending with its error: see tests/typing/test_author_page.py."""

from __future__ import annotations

from accepted import Ledger, Tokens

from runtime import U64, AccountId, CallError, Denom, Event, Item, Map, Module, Root, Signed, Uses, call, query
from runtime.execution import Chain


class Counted(Event):
    by: AccountId
    count: U64


class TooMany(CallError):
    count: U64


class Counter(Module):
    name = "counter"
    count: Item[U64] = Item(default="0")  # error: [arg-type]
    counts: Map[tuple[AccountId, Denom], U64] = Map(default=b"")  # error: [arg-type]
    ledger: Uses[Ledger]

    @call(gas="much")  # error: [call-overload] [untyped-decorator]
    def wrong_gas(self, origin: Signed) -> None: ...

    @call(gas=1)  # error: [arg-type]
    def no_origin(self, *, step: U64) -> None: ...

    @call(gas=1)  # error: [arg-type]
    def returns(self, origin: Signed) -> int:
        return 1

    @call  # error: [call-overload]
    def no_gas(self, origin: Signed) -> None: ...

    @call(gas=1)
    def bump(self, origin: Signed, *, step: U64) -> None:
        self.count = "one"  # error: [assignment]
        self.counts[origin.account] = 1  # error: [index]
        self.counts[origin.account, "a"] = "1"  # error: [assignment]
        self.counts["alice", "a"] += 1  # error: [index]
        self.emit(TooMany(count=1))  # error: [arg-type]
        self.emit(Counted(by=origin.account, count="1"))  # error: [arg-type]
        self.emit(Counted(by=origin.account))  # error: [call-arg]
        raise TooMany(step=step)  # error: [call-arg]

    @call(gas=1)
    def set_by_root(self, origin: Root) -> None:
        self.counts[origin.account, "a"] = 1  # error: [attr-defined]
        self.ledger.transfer(origin, to=self.account, denom="a", amount=1)  # error: [arg-type]
        self.ledger.transfer(Signed(self.account), to=self.account, denom="a")  # error: [call-arg]
        self.ledger.burn(1)  # error: [attr-defined]
        _ = self.params  # error: [call-overload]

    @query
    def value(self, *, scale: U64) -> U64:
        return self.count * scale


def use(chain: Chain, alice: AccountId, counter: Counter) -> Ledger:
    Tokens.transfer.build(to=alice, denom="arm")  # error: [call-arg]
    Tokens.transfer.build(to="alice", denom="arm", amount=1)  # error: [arg-type]
    Tokens.transfer.build(to=alice, denom="arm", amount="1")  # error: [arg-type]
    Tokens.transfer.build(alice, "arm", 1)  # error: [call-arg]
    chain.query(Counter.value)  # error: [call-arg]
    text: str = chain.query(Counter.value, scale=1)  # error: [assignment]
    Counter.bump.build(step=1).arguments.decode(text).nothing()  # error: [attr-defined]
    return counter  # error: [return-value]
