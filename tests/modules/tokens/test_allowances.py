"""Allowances by name. All calls against a model: test_model.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.tokens import Tokens
from modules.tokens.errors import (
    AllowanceDiffers,
    InsufficientAllowance,
    InsufficientBalance,
    UnknownDenom,
    ZeroAmount,
)
from modules.tokens.events import AllowanceUsed, Approved, Transferred
from modules.tokens.protocol import PAGE_MAX, Allowance, AllowanceKey
from runtime import AccountId, Call, Denom
from runtime.execution import Chain

GOLD = "gold"


def approve(chain: Chain, amount: int, expected: int | None = None, denom: Denom = GOLD) -> Call:
    """alice, whoever signs, allows carol so much."""
    return Tokens.approve.build(spender=chain.account("carol").id, denom=denom, amount=amount, expected=expected)


def take(chain: Chain, amount: int, denom: Denom = GOLD) -> Call:
    """From alice to dora."""
    return Tokens.transfer_from.build(
        owner=chain.account("alice").id, to=chain.account("dora").id, denom=denom, amount=amount
    )


def allowed(chain: Chain) -> int:
    alice, carol = chain.account("alice").id, chain.account("carol").id
    return chain.query(Tokens.allowance, owner=alice, spender=carol, denom=GOLD)


def is_stored(chain: Chain) -> bool:
    key = (chain.account("alice").id, chain.account("carol").id, GOLD)
    return chain.application.prove("tokens", "allowances", key).value is not None


def test_an_allowance_is_used_up_and_then_is_gone(market: Chain) -> None:
    alice, carol, dora = (market.account(name) for name in ("alice", "carol", "dora"))
    receipt = market.submit(approve(market, 100), signer=alice)
    assert market.events(receipt) == (Approved(owner=alice.id, spender=carol.id, denom=GOLD, amount=100),)
    receipt = market.submit(take(market, 60), signer=carol)
    assert market.events(receipt) == (
        Transferred(sender=alice.id, recipient=dora.id, denom=GOLD, amount=60),
        AllowanceUsed(owner=alice.id, spender=carol.id, denom=GOLD, amount=60, left=40),
    )
    assert (allowed(market), is_stored(market)) == (40, True)
    assert market.submit(take(market, 40), signer=carol).is_ok
    assert (allowed(market), is_stored(market)) == (0, False)
    assert market.query(Tokens.balance_of, account=dora.id, denom=GOLD) == 100


def test_whoever_changes_an_allowance_cannot_be_outrun(market: Chain, fails: Any) -> None:
    """The spender uses the old allowance before the new one comes: then the new one does not come."""
    alice, carol = market.account("alice"), market.account("carol")
    assert market.submit(approve(market, 100), signer=alice).is_ok
    change = approve(market, 50, expected=100)
    assert market.submit(take(market, 100), signer=carol).is_ok
    fails(market, change, alice, AllowanceDiffers(spender=carol.id, denom=GOLD, allowed=0, expected=100))
    assert allowed(market) == 0


def test_an_allowance_is_taken_back_whatever_is_left_of_it(market: Chain) -> None:
    alice = market.account("alice")
    for call in (approve(market, 100), approve(market, 30, expected=100), approve(market, 0)):
        assert market.submit(call, signer=alice).is_ok, market.explanation
    assert (allowed(market), is_stored(market)) == (0, False)
    assert market.submit(approve(market, 0), signer=alice).is_ok


def test_allowances_are_each_of_their_own_owner_spender_and_denomination(market: Chain, fails: Any) -> None:
    alice, carol, dora = (market.account(name) for name in ("alice", "carol", "dora"))
    assert market.submit(approve(market, 100), signer=alice).is_ok
    nothing = InsufficientAllowance(holder=alice.id, denom=GOLD, allowed=0, amount=50)
    fails(market, take(market, 50), dora, nothing)
    fails(market, take(market, 50), alice, nothing)
    fails(
        market,
        take(market, 50, "arm"),
        carol,
        InsufficientAllowance(holder=alice.id, denom="arm", allowed=0, amount=50),
    )


@settings(max_examples=15, deadline=None)
@given(
    given_to=st.dictionaries(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from([GOLD, "arm"])), st.integers(1, 99), max_size=12
    ),
    limit=st.integers(1, 5),
)
def test_pages_of_allowances_put_together_are_all_of_them(given_to: dict[tuple[str, Denom], int], limit: int) -> None:
    owner, other = Chain().account("owner").id, Chain().account("other").id
    mine: dict[AccountId, dict[Denom, int]] = {}
    for (spender, denom), amount in given_to.items():
        mine.setdefault(Chain().account(spender).id, {})[denom] = amount
    genesis = {"allowances": {owner: mine, other: mine}, "issuers": {GOLD: None}}
    chain = Chain(Tokens, genesis={"tokens": genesis})
    found: list[Allowance] = []
    after = None
    while page := chain.query(Tokens.allowances_of, owner=owner, after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = AllowanceKey(spender=page[-1].spender, denom=page[-1].denom)
    names = {Chain().account(spender).id: spender for spender in "abcdef"}
    assert {(names[each.spender], each.denom): each.amount for each in found} == given_to
    assert [(each.spender, each.denom) for each in found] == sorted((each.spender, each.denom) for each in found)


def test_a_page_of_allowances_is_bounded() -> None:
    owner = Chain().account("owner").id
    many = {AccountId(bytes([number]) * 32): {"arm": 1} for number in range(PAGE_MAX + 1)}
    chain = Chain(Tokens, genesis={"tokens": {"allowances": {owner: many}}})
    assert len(chain.query(Tokens.allowances_of, owner=owner, after=None, limit=255)) == PAGE_MAX


# --- what is refused -------------------------------------------------------------------------------------------------


def test_invalid_taking_more_than_is_allowed(market: Chain, fails: Any) -> None:
    alice, carol = market.account("alice"), market.account("carol")
    assert market.submit(approve(market, 100), signer=alice).is_ok
    fails(market, take(market, 101), carol, InsufficientAllowance(holder=alice.id, denom=GOLD, allowed=100, amount=101))


def test_invalid_taking_more_than_the_owner_holds(market: Chain, fails: Any) -> None:
    alice, carol = market.account("alice"), market.account("carol")
    assert market.submit(approve(market, 5000), signer=alice).is_ok
    fails(market, take(market, 1001), carol, InsufficientBalance(account=alice.id, denom=GOLD, held=1000, amount=1001))
    assert allowed(market) == 5000


@pytest.mark.parametrize("expected", [None, 0, 99, 101])
def test_invalid_change_of_an_allowance_that_is_another(market: Chain, fails: Any, expected: int | None) -> None:
    alice, carol = market.account("alice"), market.account("carol")
    assert market.submit(approve(market, 100), signer=alice).is_ok
    error = AllowanceDiffers(spender=carol.id, denom=GOLD, allowed=100, expected=expected or 0)
    fails(market, approve(market, 7, expected), alice, error)
    if expected is not None:
        fails(market, approve(market, 0, expected), alice, error)


def test_invalid_allowance_of_an_unknown_denomination(market: Chain, fails: Any) -> None:
    fails(market, approve(market, 1, denom="none"), market.account("alice"), UnknownDenom(denom="none"))
    fails(market, take(market, 1, "none"), market.account("carol"), UnknownDenom(denom="none"))


def test_invalid_taking_of_nothing(market: Chain, fails: Any) -> None:
    fails(market, take(market, 0), market.account("carol"), ZeroAmount())
