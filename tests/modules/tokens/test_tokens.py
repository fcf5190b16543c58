"""Tokens: each rule of each call, by a model and by name; fees; genesis."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from modules.accounts import Accounts
from modules.tokens import Tokens
from modules.tokens.errors import (
    DenomExists,
    InsufficientBalance,
    NotHolder,
    NotIssuer,
    SupplyTooLarge,
    UnknownDenom,
    ZeroAmount,
)
from modules.tokens.events import Burned, DenomCreated, IssuerChanged, Minted, Transferred
from modules.tokens.protocol import Denomination, Ledger
from runtime import Denom, Module, Name, Signed, Uses, call
from runtime.codec import codec
from runtime.execution import Chain, FeeParams, GenesisError, InvalidTransaction, Rule
from runtime.execution.core import Core

GOLD, ARM, NONE = "gold", "arm", "none"
TOP = (1 << 128) - 1


def chain_of(*more: type[Module], units: int = 0, **params: Any) -> Chain:
    """alice holds 1000 gold, of which bob is the issuer, and plenty of arm, which pays fees."""
    name = Chain().account
    alice, bob = name("alice").id, name("bob").id
    return Chain(
        Accounts,
        Tokens,
        *more,
        genesis={"tokens": {"balances": {alice: {GOLD: 1000, ARM: 10**9}, bob: {ARM: 10**9}}, "issuers": {GOLD: bob}}},
        params={"tokens": params},
        fees=FeeParams(units=units, per_gas=1000),
    )


@pytest.fixture
def chain() -> Chain:
    return chain_of()


def balance(chain: Chain, who: str, denom: Denom = GOLD) -> int:
    return chain.query(Tokens.balance_of, account=chain.account(who).id, denom=denom)


# --- a model of it all -----------------------------------------------------------------------------------------------

people = st.sampled_from(["alice", "bob", "carol"])
denoms = st.sampled_from([GOLD, ARM, NONE])
amounts = st.one_of(st.integers(0, 1500), st.sampled_from([TOP, TOP - 1000, 10**9]))


class TokensAgainstAModel(RuleBasedStateMachine):
    """Every call succeeds exactly where the rules say so; balances, supply and fees are what a dictionary says."""

    @initialize(units=st.sampled_from([0, 1, 7]), collector=st.none() | people)
    def begin(self, units: int, collector: str | None) -> None:
        name = Chain().account
        self.chain = chain_of(units=units, fee_collector=None if collector is None else name(collector).id)
        self.collector = collector
        self.held = {("alice", GOLD): 1000, ("alice", ARM): 10**9, ("bob", ARM): 10**9}
        self.issuers: dict[Denom, str | None] = {GOLD: "bob", ARM: None}

    def supply(self, denom: Denom) -> int:
        return sum(amount for (_, each), amount in self.held.items() if each == denom)

    def add(self, who: str, denom: Denom, amount: int) -> None:
        self.held[who, denom] = self.held.get((who, denom), 0) + amount

    def send(self, call_: Any, signer: str, allowed: bool) -> bool:
        """Submits; the fee moves whatever happens. Whether it was to succeed, and did."""
        if self.held.get((signer, ARM), 0) < 10**7:
            return False  # cannot cover the fee: test_invalid_fee_that_is_not_held
        receipt = self.chain.submit(call_, signer=self.chain.account(signer), gas_limit=2_000_000)
        assert receipt.is_ok == allowed, self.chain.explanation
        self.add(signer, ARM, -receipt.fee)
        if self.collector is not None:
            self.add(self.collector, ARM, receipt.fee)
        for (who, denom), amount in self.held.items():
            assert balance(self.chain, who, denom) == amount + (0 if not allowed else self.pending.get((who, denom), 0))
        return allowed

    @rule(sender=people, to=people, denom=denoms, amount=amounts)
    def transfer(self, sender: str, to: str, denom: Denom, amount: int) -> None:
        fee_cover = 2000 * 7 if denom == ARM else 0
        held = self.held.get((sender, denom), 0)
        if held - fee_cover <= amount <= held:
            return  # the fee decides whether it suffices
        allowed = denom in self.issuers and 0 < amount <= held
        self.pending = {(sender, denom): -amount}
        self.pending[to, denom] = self.pending.get((to, denom), 0) + amount
        call_ = Tokens.transfer.build(to=self.chain.account(to).id, denom=denom, amount=amount)
        if self.send(call_, sender, allowed):
            self.add(sender, denom, -amount)
            self.add(to, denom, amount)

    @rule(signer=people, to=people, denom=denoms, amount=amounts)
    def mint(self, signer: str, to: str, denom: Denom, amount: int) -> None:
        allowed = amount > 0 and self.issuers.get(denom) == signer and self.supply(denom) + amount <= TOP
        self.pending = {(to, denom): amount}
        call_ = Tokens.mint.build(to=self.chain.account(to).id, denom=denom, amount=amount)
        if self.send(call_, signer, allowed):
            self.add(to, denom, amount)

    @rule(signer=people, holder=people, denom=denoms, amount=amounts)
    def burn(self, signer: str, holder: str, denom: Denom, amount: int) -> None:
        held = self.held.get((holder, denom), 0)
        allowed = self.issuers.get(denom) == signer == holder and 0 < amount <= held and denom != ARM
        self.pending = {(holder, denom): -amount}
        call_ = Tokens.burn.build(holder=self.chain.account(holder).id, denom=denom, amount=amount)
        if self.send(call_, signer, allowed):
            self.add(holder, denom, -amount)

    @rule(signer=people, issuer=people, denom=st.sampled_from([GOLD, NONE]))
    def set_issuer(self, signer: str, issuer: str, denom: Denom) -> None:
        allowed = self.issuers.get(denom) == signer
        self.pending = {}
        call_ = Tokens.set_issuer.build(denom=denom, issuer=self.chain.account(issuer).id)
        if self.send(call_, signer, allowed):
            self.issuers[denom] = issuer


TokensAgainstAModel.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestTokensAgainstAModel = TokensAgainstAModel.TestCase


# --- what happens, by name -------------------------------------------------------------------------------------------


def test_a_transfer_moves_and_says_so(chain: Chain) -> None:
    alice, bob = chain.account("alice"), chain.account("bob")
    receipt = chain.submit(Tokens.transfer.build(to=bob.id, denom=GOLD, amount=400), signer=alice)
    assert chain.events(receipt) == (Transferred(sender=alice.id, recipient=bob.id, denom=GOLD, amount=400),)
    assert (balance(chain, "alice"), balance(chain, "bob")) == (600, 400)


def test_an_empty_balance_is_not_stored(chain: Chain) -> None:
    before = chain.application.prove("tokens", "balances", (chain.account("alice").id, GOLD)).value
    chain.submit(
        Tokens.transfer.build(to=chain.account("bob").id, denom=GOLD, amount=1000), signer=chain.account("alice")
    )
    after = chain.application.prove("tokens", "balances", (chain.account("alice").id, GOLD)).value
    assert before is not None
    assert after is None


def test_the_issuer_mints_and_burns_its_own(chain: Chain) -> None:
    bob = chain.account("bob")
    receipt = chain.submit(
        Tokens.mint.build(to=bob.id, denom=GOLD, amount=50),
        Tokens.burn.build(holder=bob.id, denom=GOLD, amount=20),
        signer=bob,
    )
    assert chain.events(receipt) == (
        Minted(recipient=bob.id, denom=GOLD, amount=50),
        Burned(holder=bob.id, denom=GOLD, amount=20),
    )
    assert chain.query(Tokens.denomination, denom=GOLD) == Denomination(supply=1030, issuer=bob.id, minimum=0)


def test_root_mints_burns_and_names_issuers_anywhere(chain: Chain) -> None:
    alice = chain.account("alice").id
    events = chain.root(
        Tokens.create_denom.build(denom="new", issuer=None),
        Tokens.mint.build(to=alice, denom="new", amount=5),
        Tokens.burn.build(holder=alice, denom=GOLD, amount=1),
        Tokens.set_issuer.build(denom="new", issuer=alice),
    )
    assert [chain.decode_event(event) for event in events] == [
        DenomCreated(denom="new", issuer=None),
        Minted(recipient=alice, denom="new", amount=5),
        Burned(holder=alice, denom=GOLD, amount=1),
        IssuerChanged(denom="new", issuer=alice),
    ]
    assert chain.query(Tokens.denomination, denom="new") == Denomination(supply=5, issuer=alice, minimum=0)


def test_giving_the_issuer_up_is_final_for_accounts(chain: Chain, fails: Any) -> None:
    bob = chain.account("bob")
    assert chain.submit(Tokens.set_issuer.build(denom=GOLD, issuer=None), signer=bob).is_ok
    fails(chain, Tokens.set_issuer.build(denom=GOLD, issuer=bob.id), bob, NotIssuer(denom=GOLD, issuer=None))


def test_fees_are_burned_without_a_collector_and_paid_to_one_with() -> None:
    call_ = Tokens.transfer.build(to=Chain().account("bob").id, denom=GOLD, amount=1)
    burning = chain_of(units=1)
    receipt = burning.submit(call_, signer=burning.account("alice"))
    assert receipt.fee > 0
    assert burning.query(Tokens.denomination, denom=ARM) == Denomination(
        supply=2 * 10**9 - receipt.fee, issuer=None, minimum=0
    )
    collecting = chain_of(units=1, fee_collector=Chain().account("carol").id)
    receipt = collecting.submit(call_, signer=collecting.account("alice"))
    assert balance(collecting, "carol", ARM) == receipt.fee > 0
    assert collecting.query(Tokens.denomination, denom=ARM) == Denomination(supply=2 * 10**9, issuer=None, minimum=0)


def test_export_and_genesis_are_inverse() -> None:
    chain = chain_of(units=1)
    chain.submit(
        Tokens.transfer.build(to=chain.account("carol").id, denom=GOLD, amount=7), signer=chain.account("alice")
    )
    exported = chain.application.export_genesis("tokens")
    config = Tokens.metadata().genesis
    assert config is not None
    again = Chain(Accounts, Tokens, genesis={"tokens": dict(codec(config).decode(exported))})
    assert again.application.export_genesis("tokens") == exported
    assert again.application.store.module_roots()["tokens"] == chain.application.store.module_roots()["tokens"]


class Vault(Module):
    """Keeps deposits on its own account."""

    name = "vault"
    ledger: Uses[Ledger]

    @call(gas=0)
    def deposit(self, origin: Signed, *, denom: Denom) -> None:
        """Deposit 10."""
        self.ledger.move(origin.account, self.account, denom, 10)
        assert self.ledger.held(self.account, denom) >= 10

    @call(gas=0)
    def nothing(self, origin: Signed, *, denom: Denom) -> None:
        """Moves nothing."""
        self.ledger.move(origin.account, self.account, denom, 0)


def test_a_module_holds_deposits_on_its_own_account(fails: Any) -> None:
    chain = chain_of(Vault)
    alice = chain.account("alice")
    assert chain.submit(Vault.deposit.build(denom=GOLD), signer=alice).is_ok, chain.explanation
    assert balance(chain, "alice") == 990
    receipt = chain.submit(Vault.nothing.build(denom=GOLD), signer=alice)
    assert receipt.is_ok
    assert receipt.events == ()
    fails(chain, Vault.deposit.build(denom=NONE), alice, UnknownDenom(denom=NONE))


# --- what is refused -------------------------------------------------------------------------------------------------


def test_invalid_transfer_of_more_than_is_held(chain: Chain, fails: Any) -> None:
    alice = chain.account("alice")
    call_ = Tokens.transfer.build(to=chain.account("bob").id, denom=GOLD, amount=1001)
    fails(chain, call_, alice, InsufficientBalance(account=alice.id, denom=GOLD, held=1000, amount=1001))


@pytest.mark.parametrize("name", ["transfer", "mint", "burn"])
def test_invalid_amount_of_zero(chain: Chain, fails: Any, name: str) -> None:
    bob = chain.account("bob")
    calls = {
        "transfer": Tokens.transfer.build(to=bob.id, denom=GOLD, amount=0),
        "mint": Tokens.mint.build(to=bob.id, denom=GOLD, amount=0),
        "burn": Tokens.burn.build(holder=bob.id, denom=GOLD, amount=0),
    }
    fails(chain, calls[name], bob, ZeroAmount())


@pytest.mark.parametrize("name", ["transfer", "mint", "burn", "set_issuer"])
def test_invalid_unknown_denomination(chain: Chain, fails: Any, name: str) -> None:
    bob = chain.account("bob")
    calls = {
        "transfer": Tokens.transfer.build(to=bob.id, denom=NONE, amount=1),
        "mint": Tokens.mint.build(to=bob.id, denom=NONE, amount=1),
        "burn": Tokens.burn.build(holder=bob.id, denom=NONE, amount=1),
        "set_issuer": Tokens.set_issuer.build(denom=NONE, issuer=bob.id),
    }
    fails(chain, calls[name], bob, UnknownDenom(denom=NONE))


@pytest.mark.parametrize("name", ["mint", "burn", "set_issuer"])
def test_invalid_supply_changed_by_another_than_the_issuer(chain: Chain, fails: Any, name: str) -> None:
    alice, bob = chain.account("alice"), chain.account("bob")
    calls = {
        "mint": Tokens.mint.build(to=alice.id, denom=GOLD, amount=1),
        "burn": Tokens.burn.build(holder=alice.id, denom=GOLD, amount=1),
        "set_issuer": Tokens.set_issuer.build(denom=GOLD, issuer=alice.id),
    }
    fails(chain, calls[name], alice, NotIssuer(denom=GOLD, issuer=bob.id))


def test_invalid_burning_what_others_hold(chain: Chain, fails: Any) -> None:
    alice, bob = chain.account("alice"), chain.account("bob")
    fails(chain, Tokens.burn.build(holder=alice.id, denom=GOLD, amount=1), bob, NotHolder(holder=alice.id))


def test_invalid_supply_beyond_128_bits(chain: Chain, fails: Any) -> None:
    bob = chain.account("bob")
    call_ = Tokens.mint.build(to=bob.id, denom=GOLD, amount=TOP - 999)
    fails(chain, call_, bob, SupplyTooLarge(denom=GOLD, supply=1000, amount=TOP - 999))


def test_invalid_denomination_that_exists(chain: Chain) -> None:
    with pytest.raises(DenomExists):
        chain.root(Tokens.create_denom.build(denom=GOLD, issuer=None))


def test_invalid_origin_of_create_denom(chain: Chain) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        chain.submit(Tokens.create_denom.build(denom=NONE, issuer=None), signer=chain.account("alice"))
    assert caught.value.rule is Rule.ORIGIN


def test_invalid_fee_that_is_not_held() -> None:
    chain = chain_of(units=1)
    with pytest.raises(InvalidTransaction) as caught:
        chain.submit(
            Tokens.transfer.build(to=chain.account("bob").id, denom=GOLD, amount=1), signer=chain.account("carol")
        )
    assert caught.value.rule is Rule.FUNDS


def test_invalid_genesis_of_more_than_128_bits() -> None:
    alice, bob = Chain().account("alice").id, Chain().account("bob").id
    with pytest.raises(GenesisError, match="supply would exceed"):
        Chain(Accounts, Tokens, genesis={"tokens": {"balances": {alice: {GOLD: TOP}, bob: {GOLD: 1}}}})


def test_invalid_fee_denomination_that_is_not_there(chain: Chain) -> None:
    params = codec(Tokens.Params).encode(Tokens.Params(fee_denom=Denom("tin")))
    with pytest.raises(UnknownDenom, match="tin"):
        chain.root(Core.set_params.build(module=Name("tokens"), params=params))


def test_fees_go_to_a_collector_from_the_change_on() -> None:
    chain = chain_of(units=1)
    alice, carol = chain.account("alice"), chain.account("carol").id
    params = codec(Tokens.Params).encode(Tokens.Params(fee_collector=carol))
    give = Tokens.transfer.build(to=chain.account("bob").id, denom=Denom(GOLD), amount=1)
    chain.submit(give, signer=alice)
    assert balance(chain, "carol", Denom(ARM)) == 0
    chain.root(Core.set_params.build(module=Name("tokens"), params=params))
    receipt = chain.submit(give, signer=alice)
    assert balance(chain, "carol", Denom(ARM)) == receipt.fee > 0
