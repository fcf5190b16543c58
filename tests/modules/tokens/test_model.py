"""Every call of tokens against a model: it succeeds exactly where the rules say so, and balances, supply, allowances
and fees are what a dictionary says. Minimums, fees and a collector of any kind; accounts emptied to the last unit."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from modules.accounts import Accounts
from modules.tokens import Tokens
from runtime import Call, Denom
from runtime.execution import Chain, FeeParams, InvalidTransaction, Rule

GOLD, ARM, NONE = "gold", "arm", "none"
TOP = (1 << 128) - 1
GAS_LIMIT = 2_000_000
NAMES = ("alice", "bob", "carol")
ALL, ALL_BUT_ONE, ALL_BUT_MINIMUM = "all", "all but one", "all but the minimum"

people = st.sampled_from(NAMES)
denoms = st.sampled_from([GOLD, GOLD, ARM, ARM, NONE])
amounts = st.one_of(
    st.integers(0, 1500),
    st.sampled_from([TOP, TOP - 1000, 10**9]),
    st.sampled_from([ALL, ALL_BUT_ONE, ALL_BUT_MINIMUM]),
)


class Book:
    """What tokens does, on dictionaries. Each method says whether the rules allow it; half of it may be done then."""

    def __init__(self, minimums: dict[Denom, int], collector: str | None) -> None:
        self.held = {("alice", GOLD): 1000, ("alice", ARM): 10**9, ("bob", ARM): 10**5}
        self.allowed: dict[tuple[str, str, Denom], int] = {}
        self.issuers: dict[Denom, str | None] = {GOLD: "bob", ARM: None}
        self.minimums, self.collector = minimums, collector

    def of(self, who: str, denom: Denom) -> int:
        return self.held.get((who, denom), 0)

    def supply(self, denom: Denom) -> int:
        return sum(amount for (_, each), amount in self.held.items() if each == denom)

    def amount(self, text: int | str, who: str, denom: Denom) -> int:
        spared = {ALL: 0, ALL_BUT_ONE: 1, ALL_BUT_MINIMUM: self.minimums.get(denom, 0)}
        return text if isinstance(text, int) else max(self.of(who, denom) - spared[text], 0)

    def put(self, who: str, denom: Denom, balance: int) -> bool:
        self.held[who, denom] = balance
        return balance == 0 or balance >= self.minimums[denom]

    def transfer(self, source: str, to: str, denom: Denom, amount: int) -> bool:
        if denom not in self.issuers or not 0 < amount <= self.of(source, denom):
            return False
        if source == to:
            return True
        return self.put(source, denom, self.of(source, denom) - amount) and self.put(
            to, denom, self.of(to, denom) + amount
        )

    def approve(self, owner: str, spender: str, denom: Denom, amount: int, expected: int | None) -> bool:
        present = self.allowed.get((owner, spender, denom), 0)
        self.allowed[owner, spender, denom] = amount
        is_revoked = expected is None and amount == 0
        return denom in self.issuers and (is_revoked or present == (expected or 0))

    def transfer_from(self, spender: str, owner: str, to: str, denom: Denom, amount: int) -> bool:
        allowed = self.allowed.get((owner, spender, denom), 0)
        self.allowed[owner, spender, denom] = allowed - amount
        return amount <= allowed and self.transfer(owner, to, denom, amount)

    def mint(self, signer: str, to: str, denom: Denom, amount: int) -> bool:
        if amount == 0 or self.issuers.get(denom) != signer or self.supply(denom) + amount > TOP:
            return False
        return self.put(to, denom, self.of(to, denom) + amount)

    def burn(self, signer: str, holder: str, denom: Denom, amount: int) -> bool:
        if self.issuers.get(denom) != signer or signer != holder or not 0 < amount <= self.of(holder, denom):
            return False
        return self.put(holder, denom, self.of(holder, denom) - amount)

    def set_issuer(self, signer: str, denom: Denom, issuer: str) -> bool:
        is_allowed = self.issuers.get(denom) == signer
        self.issuers[denom] = issuer
        return is_allowed

    def set_minimum(self, signer: str, denom: Denom, minimum: int) -> bool:
        is_allowed = self.issuers.get(denom) == signer and (self.supply(denom) == 0 or minimum <= self.minimums[denom])
        self.minimums[denom] = minimum
        return is_allowed

    def withdraw(self, payer: str, cover: int) -> bool:
        rest = self.of(payer, ARM) - cover
        self.held[payer, ARM] = rest
        return cover == 0 or rest >= self.minimums[ARM]

    def settle(self, payer: str, fee: int, refund: int) -> None:
        for who, amount in ((payer, refund), (self.collector, fee)):
            if who is not None and amount and self.of(who, ARM) + amount >= self.minimums[ARM]:
                self.held[who, ARM] = self.of(who, ARM) + amount


class TokensAgainstAModel(RuleBasedStateMachine):
    """The chain itself checks the invariants after every block."""

    @initialize(
        units=st.sampled_from([0, 1, 7]),
        collector=st.none() | people,
        gold=st.sampled_from([0, 1, 100]),
        arm=st.sampled_from([0, 1, 500, 20_000]),
    )
    def begin(self, units: int, collector: str | None, gold: int, arm: int) -> None:
        name = Chain().account
        self.book = Book({GOLD: gold, ARM: arm}, collector)
        self.fees = FeeParams(units=units, per_gas=1000)
        balances: dict[Any, dict[Denom, int]] = {}
        for (who, denom), amount in self.book.held.items():
            balances.setdefault(name(who).id, {})[denom] = amount
        genesis = {"balances": balances, "issuers": {GOLD: name("bob").id}, "minimums": {GOLD: gold, ARM: arm}}
        self.chain = Chain(
            Accounts,
            Tokens,
            genesis={"tokens": genesis},
            params={"tokens": {"fee_collector": None if collector is None else name(collector).id}},
            fees=self.fees,
        )

    def send(self, call_: Call, signer: str, act: Callable[[Book], bool]) -> None:
        """The call by `signer`, and what it should do."""
        account, cover = self.chain.account(signer), self.cover
        paid = deepcopy(self.book)
        if not paid.withdraw(signer, cover):
            with pytest.raises(InvalidTransaction) as caught:
                self.chain.submit(call_, signer=account, gas_limit=GAS_LIMIT)
            assert caught.value.rule is Rule.FUNDS
            return
        done = deepcopy(paid)
        is_allowed = act(done)
        receipt = self.chain.submit(call_, signer=account, gas_limit=GAS_LIMIT)
        assert receipt.is_ok == is_allowed, self.chain.explanation
        self.book = done if is_allowed else paid
        self.book.settle(signer, receipt.fee, cover - receipt.fee)
        self.compare()

    @property
    def cover(self) -> int:
        return self.fees.fee(GAS_LIMIT)

    def in_call(self, text: int | str, signer: str, who: str, denom: Denom) -> int:
        """An amount of what `who` holds once the fee is withdrawn."""
        paid = deepcopy(self.book)
        paid.withdraw(signer, self.cover)
        return paid.amount(text, who, denom)

    def compare(self) -> None:
        for who in NAMES:
            for denom in (GOLD, ARM, NONE):
                account = self.chain.account(who).id
                assert self.chain.query(Tokens.balance_of, account=account, denom=denom) == self.book.of(who, denom)
        for denom in (GOLD, ARM, NONE):
            assert self.chain.query(Tokens.total_supply, denom=denom) == self.book.supply(denom)
        for (owner, spender, denom), amount in self.book.allowed.items():
            parties = {"owner": self.chain.account(owner).id, "spender": self.chain.account(spender).id}
            assert self.chain.query(Tokens.allowance, **parties, denom=denom) == amount

    @rule(sender=people, to=people, denom=denoms, size=amounts)
    def transfer(self, sender: str, to: str, denom: Denom, size: int | str) -> None:
        amount = self.in_call(size, sender, sender, denom)
        call_ = Tokens.transfer.build(to=self.chain.account(to).id, denom=denom, amount=amount)
        self.send(call_, sender, lambda book: book.transfer(sender, to, denom, amount))

    @rule(
        owner=people,
        spender=people,
        denom=denoms,
        size=st.integers(0, 3000) | st.just(0),
        expected=st.none() | st.integers(0, 3000) | st.just("the present one"),
    )
    def approve(self, owner: str, spender: str, denom: Denom, size: int, expected: int | str | None) -> None:
        known = self.book.allowed.get((owner, spender, denom), 0) if isinstance(expected, str) else expected
        call_ = Tokens.approve.build(spender=self.chain.account(spender).id, denom=denom, amount=size, expected=known)
        self.send(call_, owner, lambda book: book.approve(owner, spender, denom, size, known))

    @rule(spender=people, owner=people, to=people, denom=denoms, size=amounts)
    def transfer_from(self, spender: str, owner: str, to: str, denom: Denom, size: int | str) -> None:
        amount = self.in_call(size, spender, owner, denom)
        call_ = Tokens.transfer_from.build(
            owner=self.chain.account(owner).id, to=self.chain.account(to).id, denom=denom, amount=amount
        )
        self.send(call_, spender, lambda book: book.transfer_from(spender, owner, to, denom, amount))

    @rule(signer=people, to=people, denom=denoms, size=amounts)
    def mint(self, signer: str, to: str, denom: Denom, size: int | str) -> None:
        amount = self.in_call(size, signer, to, denom)
        call_ = Tokens.mint.build(to=self.chain.account(to).id, denom=denom, amount=amount)
        self.send(call_, signer, lambda book: book.mint(signer, to, denom, amount))

    @rule(signer=people, holder=people, denom=denoms, size=amounts)
    def burn(self, signer: str, holder: str, denom: Denom, size: int | str) -> None:
        amount = self.in_call(size, signer, holder, denom)
        call_ = Tokens.burn.build(holder=self.chain.account(holder).id, denom=denom, amount=amount)
        self.send(call_, signer, lambda book: book.burn(signer, holder, denom, amount))

    @rule(signer=people, issuer=people, denom=st.sampled_from([GOLD, NONE]))
    def set_issuer(self, signer: str, issuer: str, denom: Denom) -> None:
        call_ = Tokens.set_issuer.build(denom=denom, issuer=self.chain.account(issuer).id)
        self.send(call_, signer, lambda book: book.set_issuer(signer, denom, issuer))

    @rule(signer=people, denom=st.sampled_from([GOLD, NONE]), minimum=st.integers(0, 150))
    def set_minimum(self, signer: str, denom: Denom, minimum: int) -> None:
        call_ = Tokens.set_minimum.build(denom=denom, minimum=minimum)
        self.send(call_, signer, lambda book: book.set_minimum(signer, denom, minimum))


TokensAgainstAModel.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestTokensAgainstAModel = TokensAgainstAModel.TestCase
