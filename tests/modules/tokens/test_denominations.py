"""Denominations: how people see them, and the least that an account may hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.accounts import Accounts
from modules.tokens import Tokens
from modules.tokens.errors import (
    BelowMinimum,
    ExponentFixed,
    ExponentTooLarge,
    MinimumFixed,
    NotIssuer,
    SymbolTaken,
    UnknownDenom,
)
from modules.tokens.events import Burned, MetadataChanged, MinimumChanged, Transferred
from modules.tokens.protocol import EXPONENT_MAX, Denomination, Ledger, Metadata
from runtime import AccountId, Call, Denom, Module, Signed, Uses, call, module_account
from runtime.execution import Chain, FeeParams, GenesisError, InvalidTransaction, Rule

GOLD = "gold"


def metadata(symbol: str = "GLD", exponent: int = 3, name: str = "Gold") -> Metadata:
    return Metadata(name=name, symbol=symbol, exponent=exponent, description="")


def show(made: Metadata, denom: Denom = GOLD) -> Call:
    return Tokens.set_metadata.build(denom=denom, metadata=made)


def balance(chain: Chain, who: str, denom: Denom = GOLD) -> int:
    return chain.query(Tokens.balance_of, account=chain.account(who).id, denom=denom)


# --- how people see them ---------------------------------------------------------------------------------------------


def test_the_issuer_says_how_people_see_a_denomination(market: Chain) -> None:
    made = metadata("AU", name="Aurum")
    receipt = market.submit(show(made), signer=market.account("bob"))
    assert market.events(receipt) == (MetadataChanged(denom=GOLD, metadata=made),)
    assert market.query(Tokens.metadata_of, denom=GOLD) == made
    assert market.query(Tokens.denom_of, symbol="AU") == GOLD
    assert market.query(Tokens.denom_of, symbol="GLD") is None


def test_the_same_symbol_may_be_said_again(market: Chain) -> None:
    assert market.submit(show(metadata(name="Gold, again")), signer=market.account("bob")).is_ok
    assert market.query(Tokens.denom_of, symbol="GLD") == GOLD


def test_an_exponent_may_change_while_nobody_holds_any(market: Chain) -> None:
    market.root(Tokens.create_denom.build(denom="new", issuer=None), show(metadata("NEW", 2), "new"))
    market.root(show(metadata("NEW", EXPONENT_MAX), "new"))
    found = market.query(Tokens.metadata_of, denom="new")
    assert found is not None
    assert found.exponent == EXPONENT_MAX


@settings(max_examples=15, deadline=None)
@given(names=st.sets(st.sampled_from(["a", "b", "b-c", "b/c", "d1", "zinc"])), limit=st.integers(1, 4))
def test_pages_of_denominations_put_together_are_all_of_them(names: set[Denom], limit: int) -> None:
    shown = {name: metadata(name[0].upper() + str(number)) for number, name in enumerate(sorted(names)) if number % 2}
    genesis = {"issuers": dict.fromkeys(names), "metadata": shown}
    chain = Chain(Tokens, genesis={"tokens": genesis})
    found = []
    after = None
    while page := chain.query(Tokens.denominations, after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = page[-1].denom
    assert [each.denom for each in found] == sorted(names | {"arm"})
    assert all(each.denomination == Denomination(supply=0, issuer=None, minimum=0) for each in found)
    assert {each.denom: each.metadata for each in found if each.metadata} == shown


def test_invalid_exponent_beyond_the_bound(market: Chain, fails: Any) -> None:
    error = ExponentTooLarge(exponent=EXPONENT_MAX + 1, limit=EXPONENT_MAX)
    market.root(Tokens.create_denom.build(denom="new", issuer=market.account("bob").id))
    fails(market, show(metadata("NEW", EXPONENT_MAX + 1), "new"), market.account("bob"), error)


def test_invalid_exponent_of_what_people_hold(market: Chain, fails: Any) -> None:
    bob = market.account("bob")
    fails(market, show(metadata(exponent=4)), bob, ExponentFixed(denom=GOLD, exponent=3))
    with pytest.raises(ExponentFixed):
        market.root(show(metadata(exponent=2)))


def test_invalid_symbol_of_another_denomination(market: Chain) -> None:
    market.root(Tokens.create_denom.build(denom="new", issuer=None))
    with pytest.raises(SymbolTaken) as caught:
        market.root(show(metadata("GLD"), "new"))
    assert caught.value.args == SymbolTaken(symbol="GLD", denom=GOLD).args


@pytest.mark.parametrize("symbol", ["", "gld", "1X", "G LD", "A" * 13, "\u00c4"])
def test_invalid_symbol(symbol: str) -> None:
    shown = {GOLD: {"name": "", "symbol": symbol, "exponent": 0, "description": ""}}
    with pytest.raises(GenesisError, match=r"tokens\.genesis\.metadata\.gold.*not of the form"):
        Chain(Tokens, genesis={"tokens": {"metadata": shown}})


@pytest.mark.parametrize("made", [show(metadata()), Tokens.set_minimum.build(denom=GOLD, minimum=0)])
def test_invalid_change_by_another_than_the_issuer(market: Chain, fails: Any, made: Call) -> None:
    fails(market, made, market.account("alice"), NotIssuer(denom=GOLD, issuer=market.account("bob").id))


@pytest.mark.parametrize("made", [show(metadata(), "none"), Tokens.set_minimum.build(denom="none", minimum=0)])
def test_invalid_change_of_an_unknown_denomination(market: Chain, fails: Any, made: Call) -> None:
    fails(market, made, market.account("alice"), UnknownDenom(denom="none"))


@pytest.mark.parametrize(
    ("genesis", "words"),
    [
        ({"metadata": {"a": metadata("X"), "b": metadata("X")}}, "symbol"),
        ({"metadata": {"a": metadata(exponent=19)}}, "at most 10"),
        ({"minimums": {GOLD: 5}, "balances": {bytes(32): {GOLD: 4}}}, "minimum"),
        ({"allowances": {bytes(32): {bytes(32): {"none": 4}}}}, "no such denomination"),
        ({"allowances": {bytes(32): {bytes(32): {"arm": 0}}}}, "amount is 0"),
    ],
)
def test_invalid_genesis(genesis: dict[str, Any], words: str) -> None:
    with pytest.raises(GenesisError, match=words):
        Chain(Tokens, genesis={"tokens": genesis})


# --- the least that an account may hold ------------------------------------------------------------------------------


def test_an_account_is_emptied_or_keeps_the_minimum(market: Chain, fails: Any) -> None:
    alice, carol = market.account("alice"), market.account("carol").id
    fails(
        market,
        Tokens.transfer.build(to=carol, denom=GOLD, amount=991),
        alice,
        BelowMinimum(account=alice.id, denom=GOLD, balance=9, minimum=10),
    )
    for amount in (990, 10):
        assert market.submit(Tokens.transfer.build(to=carol, denom=GOLD, amount=amount), signer=alice).is_ok
    assert (balance(market, "alice"), balance(market, "carol")) == (0, 1000)


def test_what_is_moved_to_oneself_may_be_any_part(market: Chain) -> None:
    alice = market.account("alice")
    assert market.submit(Tokens.transfer.build(to=alice.id, denom=GOLD, amount=995), signer=alice).is_ok
    assert balance(market, "alice") == 1000


def test_invalid_minimum_raised_while_somebody_holds_some(market: Chain, fails: Any) -> None:
    bob = market.account("bob")
    assert market.submit(Tokens.set_minimum.build(denom=GOLD, minimum=4), signer=bob).is_ok
    fails(market, Tokens.set_minimum.build(denom=GOLD, minimum=5), bob, MinimumFixed(denom=GOLD, minimum=4))


def test_the_minimum_is_lowered_and_raised_only_while_nobody_holds_any(market: Chain) -> None:
    alice, bob = market.account("alice"), market.account("bob")
    receipt = market.submit(Tokens.set_minimum.build(denom=GOLD, minimum=4), signer=bob)
    assert market.events(receipt) == (MinimumChanged(denom=GOLD, minimum=4),)
    assert market.submit(Tokens.transfer.build(to=bob.id, denom=GOLD, amount=1000), signer=alice).is_ok
    assert market.submit(
        Tokens.burn.build(holder=bob.id, denom=GOLD, amount=1000),
        Tokens.set_minimum.build(denom=GOLD, minimum=77),
        signer=bob,
    ).is_ok
    assert market.query(Tokens.denomination, denom=GOLD) == Denomination(supply=0, issuer=bob.id, minimum=77)


@pytest.mark.parametrize("name", ["transfer", "transfer_from", "mint"])
def test_invalid_account_made_below_the_minimum(market: Chain, fails: Any, name: str) -> None:
    """Nor one that bears a module's mark: anyone could write such accounts down without end."""
    alice, bob = market.account("alice"), market.account("bob")
    market.submit(Tokens.approve.build(spender=bob.id, denom=GOLD, amount=9, expected=None), signer=alice)
    for to in (market.account("carol").id, module_account("none")):
        made = {
            "transfer": (alice, Tokens.transfer.build(to=to, denom=GOLD, amount=9)),
            "transfer_from": (bob, Tokens.transfer_from.build(owner=alice.id, to=to, denom=GOLD, amount=9)),
            "mint": (bob, Tokens.mint.build(to=to, denom=GOLD, amount=9)),
        }
        signer, call_ = made[name]
        fails(market, call_, signer, BelowMinimum(account=to, denom=GOLD, balance=9, minimum=10))


def test_invalid_burning_down_to_below_the_minimum(market: Chain) -> None:
    with pytest.raises(BelowMinimum):
        market.root(Tokens.burn.build(holder=market.account("alice").id, denom=GOLD, amount=991))


class Pawn(Module):
    """Keeps deposits of any size."""

    name = "pawn"
    ledger: Uses[Ledger]

    @call(gas=0)
    def bring(self, origin: Signed, *, denom: Denom) -> None:
        """Deposit 3."""
        self.ledger.move(origin.account, self.account, denom, 3)

    @call(gas=0)
    def fetch(self, origin: Signed, *, denom: Denom) -> None:
        """3 of what is there."""
        self.ledger.move(self.account, origin.account, denom, 3)

    @call(gas=0)
    def forward(self, origin: Signed, *, to: AccountId, denom: Denom) -> None:
        """3 from the signer to another."""
        self.ledger.move(origin.account, to, denom, 3)


def pawnshop(minimum: int) -> Chain:
    name = Chain().account
    held = {name(who).id: {GOLD: 100} for who in ("alice", "bob")}
    return Chain(Accounts, Tokens, Pawn, genesis={"tokens": {"balances": held, "minimums": {GOLD: minimum}}})


def test_a_modules_deposits_may_be_smaller_than_the_minimum() -> None:
    """Two deposits, both returned: in between the module holds less than a person may."""
    chain = pawnshop(minimum=10)
    account = module_account("pawn")
    for who, made, held in (("alice", Pawn.bring, 3), ("bob", Pawn.bring, 6), ("alice", Pawn.fetch, 3)):
        assert chain.submit(made.build(denom=GOLD), signer=chain.account(who)).is_ok, chain.explanation
        assert chain.query(Tokens.balance_of, account=account, denom=GOLD) == held
    assert (balance(chain, "alice"), balance(chain, "bob")) == (100, 97)


def test_what_a_module_pays_to_an_emptied_account_is_burned() -> None:
    """A deposit's return never fails: hooks that sweep and count votes depend on it."""
    chain = pawnshop(minimum=10)
    alice, bob = chain.account("alice"), chain.account("bob")
    assert chain.submit(Pawn.bring.build(denom=GOLD), signer=alice).is_ok
    assert chain.submit(Tokens.transfer.build(to=bob.id, denom=GOLD, amount=97), signer=alice).is_ok
    receipt = chain.submit(Pawn.fetch.build(denom=GOLD), signer=alice)
    assert chain.events(receipt) == (Burned(holder=module_account("pawn"), denom=GOLD, amount=3),)
    assert (balance(chain, "alice"), chain.query(Tokens.total_supply, denom=GOLD)) == (0, 197)


def test_invalid_payment_by_a_module_in_a_persons_name(fails: Any) -> None:
    """Nothing of a person's is burned: what the recipient cannot hold is not paid."""
    chain = pawnshop(minimum=10)
    carol = chain.account("carol").id
    error = BelowMinimum(account=carol, denom=GOLD, balance=3, minimum=10)
    fails(chain, Pawn.forward.build(to=carol, denom=GOLD), chain.account("alice"), error)


# --- and fees --------------------------------------------------------------------------------------------------------

MINIMUM, FUNDS = 5_000, 20_000
COVER = 1_000


def paying(collector: str | None = None, minimum: int = MINIMUM, funds: int = FUNDS) -> Chain:
    name = Chain().account
    genesis = {"balances": {name("alice").id: {"arm": funds}}, "minimums": {"arm": minimum}}
    params = {"fee_collector": None if collector is None else name(collector).id}
    return Chain(
        Accounts, Tokens, genesis={"tokens": genesis}, params={"tokens": params}, fees=FeeParams(units=1, per_gas=1000)
    )


def pay(chain: Chain, amount: int, to: str = "bob") -> Any:
    """alice pays someone, with exactly COVER set aside for the fee."""
    call_ = Tokens.transfer.build(to=chain.account(to).id, denom="arm", amount=amount)
    return chain.submit(call_, signer=chain.account("alice"), gas_limit=COVER * 1000)


def test_a_refund_that_an_emptied_account_cannot_hold_is_burned() -> None:
    chain = paying()
    alice, bob = chain.account("alice").id, chain.account("bob").id
    receipt = pay(chain, FUNDS - COVER)
    assert receipt.is_ok
    refund = COVER - receipt.fee
    assert chain.events(receipt) == (
        Transferred(sender=alice, recipient=bob, denom="arm", amount=FUNDS - COVER),
        Burned(holder=alice, denom="arm", amount=refund),
    )
    assert balance(chain, "alice", "arm") == 0
    assert chain.query(Tokens.total_supply, denom="arm") == FUNDS - COVER


def test_a_refund_of_just_the_minimum_is_kept() -> None:
    """And so is a fee, by its collector; one less is burned."""
    refund = COVER - pay(paying(), FUNDS - COVER).fee
    for minimum, kept in ((refund, refund), (refund + 1, 0)):
        chain = paying(minimum=minimum)
        assert pay(chain, FUNDS - COVER).is_ok
        assert balance(chain, "alice", "arm") == kept
    fee = pay(paying(), FUNDS // 2).fee
    for minimum, kept in ((fee, fee), (fee + 1, 0)):
        chain = paying("carol", minimum)
        assert pay(chain, FUNDS // 2).is_ok
        assert balance(chain, "carol", "arm") == kept


def test_a_fee_that_its_collector_cannot_hold_is_burned() -> None:
    chain = paying(collector="carol")
    receipt = pay(chain, MINIMUM)
    assert 0 < receipt.fee < MINIMUM
    assert balance(chain, "carol", "arm") == 0
    assert chain.query(Tokens.total_supply, denom="arm") == FUNDS - receipt.fee
    assert pay(chain, MINIMUM, to="carol").is_ok
    assert balance(chain, "carol", "arm") > MINIMUM


def test_invalid_fee_that_would_leave_less_than_the_minimum() -> None:
    chain = paying()
    assert pay(chain, FUNDS - COVER - MINIMUM).is_ok
    left = balance(chain, "alice", "arm") - MINIMUM
    assert 0 < left < COVER
    with pytest.raises(InvalidTransaction, match="less than the denomination's minimum") as caught:
        pay(chain, 1)
    assert caught.value.rule is Rule.FUNDS


def test_invalid_fee_that_would_use_the_account_up() -> None:
    with pytest.raises(InvalidTransaction, match="less than the denomination's minimum") as caught:
        pay(paying(minimum=1, funds=COVER), 1)
    assert caught.value.rule is Rule.FUNDS
    assert pay(paying(minimum=1, funds=COVER + 1), 1).is_ok
