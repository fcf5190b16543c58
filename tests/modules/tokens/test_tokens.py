"""Tokens: transfers, supply, fees and genesis by name. All calls against a model: test_model.py."""

from __future__ import annotations

from typing import Any

import pytest

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
from modules.tokens.protocol import Denomination, Ledger, Metadata
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
    alice, bob, carol = (chain.account(name) for name in ("alice", "bob", "carol"))
    chain.root(Tokens.create_denom.build(denom="empty", issuer=None))
    metadata = Metadata(name="Gold", symbol="GLD", exponent=3, description="")
    for signer, call_ in (
        (alice, Tokens.transfer.build(to=carol.id, denom=GOLD, amount=7)),
        (alice, Tokens.approve.build(spender=bob.id, denom=GOLD, amount=5, expected=None)),
        (bob, Tokens.set_metadata.build(denom=GOLD, metadata=metadata)),
    ):
        assert chain.submit(call_, signer=signer).is_ok
    chain.root(
        Tokens.set_minimum.build(denom="empty", minimum=9), Tokens.mint.build(to=carol.id, denom="empty", amount=9)
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
    assert chain.submit(Tokens.mint.build(to=bob.id, denom=GOLD, amount=TOP - 1000), signer=bob).is_ok
    assert chain.query(Tokens.total_supply, denom=GOLD) == TOP


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
