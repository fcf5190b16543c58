"""Lines that mypy --strict must refuse, each with its error's code behind it (tests/unit/module/test_typing.py)."""

from __future__ import annotations

from runtime import U64, AccountId, CallError, Denom, Event, Item, Map, Module, Root, Signed, Uses, call, query
from runtime.execution import Chain
from tests.typing.accepted import Ledger, Tokens


class Counted(Event):
    by: AccountId
    count: U64


class TooMany(CallError):
    count: U64


class Counter(Module):
    name = "counter"
    count: Item[U64] = Item(default="0")  # [arg-type]
    counts: Map[tuple[AccountId, Denom], U64] = Map(default=b"")  # [arg-type]
    ledger: Uses[Ledger]

    @call(gas="much")  # [arg-type]
    def wrong_gas(self, origin: Signed) -> None: ...

    @call(gas=1)  # [arg-type]
    def no_origin(self, *, step: U64) -> None: ...

    @call(gas=1)  # [arg-type]
    def returns(self, origin: Signed) -> int:
        return 1

    @call  # [arg-type]
    def no_gas(self, origin: Signed) -> None: ...  # [misc]

    @call(gas=1)
    def bump(self, origin: Signed, *, step: U64) -> None:
        self.count = "one"  # [assignment]
        self.counts[origin.account] = 1  # [index]
        self.counts[origin.account, "a"] = "1"  # [assignment]
        self.counts["alice", "a"] += 1  # [index]
        self.emit(TooMany(count=1))  # [arg-type]
        self.emit(Counted(by=origin.account, count="1"))  # [arg-type]
        self.emit(Counted(by=origin.account))  # [call-arg]
        raise TooMany(step=step)  # [call-arg]

    @call(gas=1)
    def set_by_root(self, origin: Root) -> None:
        self.counts[origin.account, "a"] = 1  # [attr-defined]
        self.ledger.transfer(origin, to=self.account, denom="a", amount=1)  # [arg-type]
        self.ledger.transfer(Signed(self.account), to=self.account, denom="a")  # [call-arg]
        self.ledger.burn(1)  # [attr-defined]
        _ = self.params  # [arg-type]

    @query
    def value(self, *, scale: U64) -> U64:
        return self.count * scale


def use(chain: Chain, alice: AccountId, counter: Counter) -> Ledger:
    Tokens.transfer.build(to=alice, denom="arm")  # [call-arg]
    Tokens.transfer.build(to="alice", denom="arm", amount=1)  # [arg-type]
    Tokens.transfer.build(to=alice, denom="arm", amount="1")  # [arg-type]
    Tokens.transfer.build(alice, "arm", 1)  # [call-arg]
    chain.query(Counter.value)  # [call-arg]
    text: str = chain.query(Counter.value, scale=1)  # [assignment]
    Counter.bump.build(step=1).arguments.decode(text).nothing()  # [attr-defined]
    return counter  # [return-value]
