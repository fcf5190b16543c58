"""An author's page that mypy --strict accepts, with what it knows of each part (tests/typing/test_author_page.py)."""

from __future__ import annotations

from typing import Protocol, assert_type

from runtime import (
    U8,
    U64,
    U128,
    ZERO_HASH,
    AccountId,
    Call,
    CallError,
    Denom,
    Event,
    FeeLedger,
    Genesis,
    Hash,
    Inference,
    InferenceRequest,
    Item,
    Map,
    Module,
    ModuleParams,
    Root,
    Signed,
    Struct,
    Tensor,
    Uses,
    call,
    hook,
    invariant,
    query,
)
from runtime.execution import Chain


class Transferred(Event):
    sender: AccountId
    recipient: AccountId
    denom: Denom
    amount: U128


class InsufficientBalance(CallError):
    """The sender holds less than the amount."""

    held: U128
    amount: U128


class Holding(Struct):
    denom: Denom
    amount: U128


class Ledger(Protocol):
    def balance_of(self, *, account: AccountId, denom: Denom) -> U128: ...
    def transfer(self, origin: Signed, *, to: AccountId, denom: Denom, amount: U128) -> None: ...
    def move(self, sender: AccountId, recipient: AccountId, denom: Denom, amount: U128) -> None: ...


class Tokens(Module):
    """Fungible tokens in several denominations. Invariant: balances sum to the supply."""

    name = "tokens"
    balances: Map[tuple[AccountId, Denom], U128] = Map(default=0)
    supply: Map[Denom, U128] = Map(default=0)
    count: Item[U64] = Item(default=0)
    last: Item[Holding | None] = Item(default=None)

    class Params(ModuleParams):
        decimals: U8 = 6

    class GenesisConfig(Genesis):
        balances: dict[AccountId, dict[Denom, U128]] = {}

    def genesis(self, config: GenesisConfig) -> None:
        for account, held in config.balances.items():
            for denom, amount in held.items():
                self.balances[account, denom] = amount
                self.supply[denom] += amount

    def export_genesis(self) -> GenesisConfig:
        return self.GenesisConfig()

    @call(gas=5_000)
    def transfer(self, origin: Signed, *, to: AccountId, denom: Denom, amount: U128) -> None:
        """Move `amount` base units of `denom` from the signer to `to`."""
        self.move(origin.account, to, denom, amount)
        assert_type(self.balances[to, denom], int)
        assert_type(self.balances.get((to, denom)), int | None)
        assert_type(self.count, int)
        assert_type(self.last, Holding | None)
        assert_type(self.params.decimals, int)
        self.count += 1
        self.last = Holding(denom, amount)
        for (account, _), held in self.balances.items((to,), limit=10):
            assert_type(account, AccountId)
            assert_type(held, int)

    def move(self, sender: AccountId, recipient: AccountId, denom: Denom, amount: U128) -> None:
        """For other modules."""
        held = self.balances[sender, denom]
        if held < amount:
            raise InsufficientBalance(held=held, amount=amount)
        self.balances[sender, denom] = held - amount
        self.balances[recipient, denom] += amount
        self.emit(Transferred(sender=sender, recipient=recipient, denom=denom, amount=amount))

    @call(gas=5_000)
    def mint(self, origin: Signed | Root, *, to: AccountId, holding: Holding) -> None:
        if isinstance(origin, Signed):
            assert_type(origin, Signed)

    @query
    def balance_of(self, *, account: AccountId, denom: Denom) -> U128:
        return self.balances[account, denom]

    @invariant
    def supply_is_conserved(self) -> None:
        assert all(amount >= 0 for _, amount in self.supply.items(limit=1_000))

    @hook(gas=100_000)
    def end_block(self) -> None:
        self.charge(self.height + self.time_ms)


class Shop(Module):
    name = "shop"
    ledger: Uses[Ledger]
    coins: Uses[Ledger] = Uses("tokens")
    inference: Uses[Inference]

    @call(gas=1)
    def buy(self, origin: Signed, *, price: U128) -> None:
        assert_type(self.ledger, Ledger)
        self.ledger.transfer(origin, to=self.account, denom="arm", amount=price)
        with self.checkpoint():
            self.coins.move(origin.account, self.account, "arm", price)

    def _runs(self, *, model: Hash, price: U128) -> tuple[InferenceRequest, ...]:
        return (InferenceRequest(model, ()),) if price else ()

    @call(gas=1, infers=_runs)
    def judge(self, origin: Signed, *, model: Hash, price: U128) -> None:
        assert_type(self.inference.run(model, ()), tuple[Tensor, ...])


class Fees(Tokens):
    def withdraw_fee(self, payer: AccountId, amount: int) -> None: ...
    def settle_fee(self, payer: AccountId, fee: int, refund: int) -> None: ...


def conforms(tokens: Tokens, fees: Fees) -> tuple[Ledger, FeeLedger]:
    return tokens, fees


def use(bob: AccountId) -> None:
    assert_type(Tokens.transfer.build(to=bob, denom="arm", amount=4), Call)
    assert_type(Shop.judge.build(model=ZERO_HASH, price=4), Call)
    chain = Chain(Tokens)
    assert_type(chain.query(Tokens.balance_of, account=bob, denom="arm"), int)
    assert_type(InsufficientBalance(held=1, amount=2).held, int)
