"""Bank: a small module for tests of chains. It takes fees, moves money, and misbehaves on request.

Lives here: what tests of the execution need of a module and no real module should have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from runtime import (
    U64,
    U128,
    AccountId,
    CallError,
    Event,
    Genesis,
    Item,
    Map,
    MaxLen,
    Module,
    ModuleParams,
    Root,
    Signed,
    call,
    hook,
    invariant,
    query,
)
from runtime.execution import Chain, FeeParams


class Moved(Event):
    """Money went from one account to another."""

    sender: AccountId
    recipient: AccountId
    amount: U128


class TooPoor(CallError):
    """The account holds less than that."""

    held: U128
    amount: U128


class Misbehaviour(CallError):
    """Asked for, and delivered."""

    note: Annotated[str, MaxLen(16)]


class Bank(Module):
    """Money in one denomination. What comes from genesis never grows or shrinks."""

    name = "bank"
    balances: Map[AccountId, U128] = Map(default=0)
    collected: Item[U128] = Item(default=0)
    supply: Item[U128] = Item(default=0)
    ticks: Item[U64] = Item(default=0)
    is_hook_broken: Item[bool] = Item(default=False)

    class Params(ModuleParams):
        """amount_max: of one transfer."""

        amount_max: U128 = 1 << 100

    class GenesisConfig(Genesis):
        """balances: by account."""

        balances: dict[AccountId, U128] = {}

    def genesis(self, config: GenesisConfig) -> None:
        """The first money."""
        for account, amount in config.balances.items():
            self.balances[account] = amount
            self.supply += amount

    def export_genesis(self) -> GenesisConfig:
        """All balances; what was collected goes with the module's own account."""
        return self.GenesisConfig(balances=dict(self.balances.items(limit=1_000_000)))

    @call(gas=3_000)
    def transfer(self, origin: Signed, *, to: AccountId, amount: U128) -> None:
        """Move `amount` from the signer to `to`."""
        if amount > self.params.amount_max:
            raise Misbehaviour(note="too much")
        held = self.balances[origin.account]
        if held < amount:
            raise TooPoor(held=held, amount=amount)
        self.balances[origin.account] = held - amount
        self.balances[to] += amount
        self.emit(Moved(sender=origin.account, recipient=to, amount=amount))

    @call(gas=3_000)
    def print_money(self, origin: Root, *, to: AccountId, amount: U128) -> None:
        """Make money."""
        self.balances[to] += amount
        self.supply += amount

    @call(gas=3_000)
    def write_then(self, origin: Signed, *, what: Annotated[str, MaxLen(16)]) -> None:
        """Write, emit, then fail in the way that `what` names."""
        self.ticks += 1_000
        self.emit(Moved(sender=origin.account, recipient=origin.account, amount=0))
        FAILURES[what](self)

    @call(gas=3_000)
    def break_hook(self, origin: Root, *, is_broken: bool) -> None:
        """From now on the hook fails, or works."""
        self.is_hook_broken = is_broken

    @query
    def balance_of(self, *, account: AccountId) -> U128:
        """What the account holds."""
        return self.balances[account]

    @query
    def tick_count(self) -> U64:
        """How often the hook ran, a thousand for each strange write."""
        return self.ticks

    @query
    def writes(self) -> U64:
        """A query that it should not be."""
        self.ticks += 1
        return self.ticks

    @query
    def lies(self) -> U64:
        """Answers below its type."""
        return -1

    @hook(gas=2_000_000)
    def end_block(self) -> None:
        """Counts blocks."""
        self.ticks += 1
        if self.is_hook_broken:
            raise Misbehaviour(note="hook")

    @invariant
    def supply_is_conserved(self) -> None:
        """Balances and what was collected are the supply."""
        assert self.supply == self.collected + sum(held for _, held in self.balances.items(limit=1_000_000))

    # --- FeeLedger

    def withdraw_fee(self, payer: AccountId, amount: int) -> None:
        """As FeeLedger."""
        held = self.balances[payer]
        if held < amount:
            raise TooPoor(held=held, amount=amount)
        self.balances[payer] = held - amount
        self.collected += amount

    def settle_fee(self, payer: AccountId, fee: int, refund: int) -> None:
        """As FeeLedger."""
        self.collected -= refund
        self.balances[payer] += refund


def _recurse(depth: int) -> int:
    return _recurse(depth + 1) + 1


def _swallow_out_of_gas(bank: Bank) -> None:
    try:
        bank.charge(1 << 60)
    except CallError:
        return


def _raise(error: BaseException) -> None:
    raise error


FAILURES: dict[str, Callable[[Bank], object]] = {
    "nothing": lambda bank: None,
    "error": lambda bank: _raise(Misbehaviour(note="asked")),
    "bad field": lambda bank: _raise(Misbehaviour(note="x" * 17)),
    "bug": lambda bank: 1 // 0,
    "recursion": lambda bank: _recurse(0),
    "exit": lambda bank: _raise(SystemExit(1)),
    "base": lambda bank: _raise(BaseException("odd")),
    "memory": lambda bank: _raise(MemoryError()),
    "gas": lambda bank: bank.charge(1 << 60),
    "hidden gas": _swallow_out_of_gas,
    "overflow": lambda bank: bank.balances.__setitem__(bank.account, 1 << 128),
    "undeclared": lambda bank: setattr(bank, "cache", {}),
    "missing": lambda bank: _raise(KeyError("x")),
}


MONEY = 10**12


def bank_chain() -> Chain:
    """A chain with Bank and fees; alice, bob and dora hold MONEY each, carol nothing."""
    people = Chain(Bank)
    balances = {people.account(name).id: MONEY for name in ("alice", "bob", "dora")}
    return Chain(Bank, genesis={"bank": {"balances": balances}}, fees=FeeParams(units=1, per_gas=1000))
