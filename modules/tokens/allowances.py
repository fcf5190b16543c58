"""Allowances: what an owner lets others take.

Lives here: the second layer of the module `tokens`. Must not: change a balance by itself (balances.py).
"""

from __future__ import annotations

from modules.tokens.balances import EVERYTHING, Balances
from modules.tokens.errors import AllowanceDiffers, InsufficientAllowance
from modules.tokens.events import AllowanceUsed, Approved
from modules.tokens.protocol import PAGE_MAX, Allowance, AllowanceKey, AllowancePage
from runtime import U8, U128, AccountId, Denom, Map, Signed, call, invariant, query


class Allowances(Balances):
    """Balances, and who may take of whose. Invariant: no allowance of 0 is stored."""

    allowances: Map[tuple[AccountId, AccountId, Denom], U128] = Map(default=0)

    @call(gas=8_000)
    def approve(self, origin: Signed, *, spender: AccountId, denom: Denom, amount: U128, expected: U128 | None) -> None:
        """Allow `spender` to take up to `amount` of the signer's tokens from now on; 0 takes any allowance back. Who
        changes one says by `expected` what it is: else a spender could use the old and the new."""
        self._known(denom)
        key = (origin.account, spender, denom)
        allowed = self.allowances[key]
        expected = allowed if expected is None and amount == 0 else expected or 0
        if allowed != expected:
            raise AllowanceDiffers(spender=spender, denom=denom, allowed=allowed, expected=expected)
        self._allow(key, amount)
        self.emit(Approved(owner=origin.account, spender=spender, denom=denom, amount=amount))

    @call(gas=12_000)
    def transfer_from(self, origin: Signed, *, owner: AccountId, to: AccountId, denom: Denom, amount: U128) -> None:
        """Move `amount` base units of what `owner` allows the signer to take, to `to`."""
        self._check_amount(amount)
        found, key = self._known(denom), (owner, origin.account, denom)
        allowed = self.allowances[key]
        if allowed < amount:
            raise InsufficientAllowance(holder=owner, denom=denom, allowed=allowed, amount=amount)
        self._move(owner, to, denom, amount, found, found.minimum)
        left = allowed - amount
        self._allow(key, left)
        self.emit(AllowanceUsed(owner=owner, spender=origin.account, denom=denom, amount=amount, left=left))

    @query
    def allowance(self, *, owner: AccountId, spender: AccountId, denom: Denom) -> U128:
        """What the spender may take of the owner's tokens, in base units."""
        return self.allowances[owner, spender, denom]

    @query
    def allowances_of(self, *, owner: AccountId, after: AllowanceKey | None, limit: U8) -> AllowancePage:
        """What the owner allows whom, by spender and denomination, from behind `after`, at most `limit` and 64."""
        start = None if after is None else (owner, after.spender, after.denom)
        found = self.allowances.items((owner,), limit=min(limit, PAGE_MAX), after=start)
        return tuple(Allowance(spender=spender, denom=denom, amount=amount) for (_, spender, denom), amount in found)

    @invariant
    def allowances_are_of_something(self) -> None:
        """No allowance of 0 is stored, and none of an unknown denomination."""
        for (owner, _, denom), amount in self.allowances.items(limit=EVERYTHING):
            assert amount > 0, f"{owner.hex()} allows 0 {denom}"
            assert denom in self.denoms, f"{owner.hex()} allows {denom}, which does not exist"

    def _allow(self, key: tuple[AccountId, AccountId, Denom], amount: int) -> None:
        if amount:
            self.allowances[key] = amount
        else:
            del self.allowances[key]
