"""A page as its author and its callers use it: mypy --strict has nothing to say, and knows every type."""

from typing import assert_type

from modules.oracle import Oracle
from modules.oracle.protocol import Record
from modules.registry import Registry
from modules.registry.catalogue import ModelView
from modules.tokens import Tokens
from modules.tokens.protocol import Ledger
from runtime import (
    U64,
    U128,
    AccountId,
    Call,
    CallError,
    Event,
    Genesis,
    Hash,
    Item,
    Map,
    Module,
    ModuleParams,
    Root,
    Signed,
    Uses,
    call,
    hook,
    invariant,
    query,
)
from runtime.execution import Chain


class Bumped(Event):
    by: U64


class TooMuch(CallError):
    """More than the limit."""

    limit: U64


class Counter(Module):
    """Counts, for a price."""

    name = "counter"
    value: Item[U64] = Item(default=0)
    seen: Map[tuple[AccountId, U64], U64] = Map(default=0)
    ledger: Uses[Ledger]

    class Params(ModuleParams):
        limit: U64 = 10

    class GenesisConfig(Genesis):
        value: U64 = 0

    def genesis(self, config: GenesisConfig) -> None:
        self.value = config.value

    @call(gas=1_000)
    def bump(self, origin: Signed | Root, *, by: U64) -> None:
        """Bump."""
        if by > self.params.limit:
            raise TooMuch(limit=self.params.limit)
        if isinstance(origin, Signed):
            self.ledger.move(origin.account, self.account, "arm", by)
            self.seen[origin.account, self.height] += by
            for key, value in self.seen.items((origin.account,), limit=5):
                assert_type(key, tuple[AccountId, int])
                assert_type(value, int)
        self.value += by
        self.emit(Bumped(by=by))

    @hook(gas=10_000)
    def end_block(self) -> None:
        self.charge(5)

    @query
    def total(self) -> U64:
        """Total."""
        return self.value

    @invariant
    def is_small(self) -> None:
        assert self.value < 1 << 60


def use(chain: Chain, account: AccountId, model: Hash) -> None:
    assert_type(Counter.bump.build(by=1), Call)
    assert_type(chain.query(Counter.total), int)
    assert_type(chain.query(Tokens.balance_of, account=account, denom="arm"), int)
    assert_type(chain.query(Oracle.record, id=0), Record | None)
    assert_type(chain.query(Registry.model, model=model), ModelView | None)
    amount: U128 = chain.query(Tokens.balance_of, account=account, denom="arm")
    Tokens.transfer.build(to=account, denom="arm", amount=amount)
