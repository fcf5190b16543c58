"""Balances: who holds what, and the runtime's role `fees`.

Lives here: the first layer of the module `tokens` - balances, supply, the minimum of an account, fees. Must not: know
who may make or take tokens (allowances.py, module.py). Every change of a balance goes through `_hold` or `_credit`.
"""

from __future__ import annotations

from msgspec.structs import replace

from modules.tokens.errors import BelowMinimum, InsufficientBalance, SupplyTooLarge, UnknownDenom, ZeroAmount
from modules.tokens.events import Burned, Transferred
from modules.tokens.protocol import Denomination
from runtime import (
    U128,
    AccountId,
    Denom,
    Map,
    Module,
    ModuleParams,
    Signed,
    call,
    invariant,
    is_module_account,
    query,
)

EVERYTHING = 1 << 62
AMOUNT_MAX = (1 << 128) - 1


class Balances(Module):
    """Balances in several denominations, and fees. Invariant: balances sum to the supply; an account holds nothing of a
    denomination, or at least its minimum."""

    name = "tokens"
    balances: Map[tuple[AccountId, Denom], U128] = Map(default=0)
    denoms: Map[Denom, Denomination] = Map()

    class Params(ModuleParams):
        """fee_denom: what transactions pay their fees in. fee_collector: who receives them; none: they are burned."""

        fee_denom: Denom = "arm"
        fee_collector: AccountId | None = None

    def check_params(self) -> None:
        """Fees are in a denomination of this chain: otherwise nobody could pay them."""
        self._known(self.params.fee_denom)

    @call(gas=8_000)
    def transfer(self, origin: Signed, *, to: AccountId, denom: Denom, amount: U128) -> None:
        """Move `amount` base units of `denom` from the signer to `to`."""
        self._check_amount(amount)
        found = self._known(denom)
        self._move(origin.account, to, denom, amount, found, found.minimum)

    @query
    def balance_of(self, *, account: AccountId, denom: Denom) -> U128:
        """What the account holds of the denomination, in base units."""
        return self.balances[account, denom]

    @query
    def total_supply(self, *, denom: Denom) -> U128:
        """What all accounts hold of the denomination together, in base units; 0 where there is no such denomination."""
        found = self.denoms.get(denom)
        return 0 if found is None else found.supply

    # --- for other modules (modules.tokens.protocol)

    def move(self, source: AccountId, to: AccountId, denom: Denom, amount: int) -> None:
        """Move `amount` base units. Nothing moves where it is 0. What a module pays to an account that cannot hold so
        little is burned: paying a deposit back never fails."""
        found = self._known(denom)
        if amount == 0:
            return
        floor = self._floor(to, found)
        if is_module_account(source) and self.balances[to, denom] + amount < floor:
            self.destroy(source, denom, amount)
        else:
            self._move(source, to, denom, amount, found, floor)

    def destroy(self, holder: AccountId, denom: Denom, amount: int) -> None:
        """Destroy `amount` base units that `holder` has. Nothing happens where it is 0."""
        found = self._known(denom)
        if amount == 0:
            return
        self._take(holder, denom, amount, self._floor(holder, found))
        self.denoms[denom] = replace(found, supply=found.supply - amount)
        self.emit(Burned(holder=holder, denom=denom, amount=amount))

    def held(self, account: AccountId, denom: Denom) -> int:
        """What the account holds."""
        return self.balances[account, denom]

    def has_denom(self, denom: Denom) -> bool:
        """Whether the denomination exists."""
        return denom in self.denoms

    # --- the runtime's role `fees`

    def withdraw_fee(self, payer: AccountId, amount: int) -> None:
        """Take the most that the transaction may cost. The payer keeps the minimum: fees use no account up."""
        if amount == 0:
            return
        denom = self.params.fee_denom
        floor, held = self._known(denom).minimum, self.balances[payer, denom]
        if held == amount and floor:
            raise BelowMinimum(account=payer, denom=denom, balance=0, minimum=floor)
        self._take(payer, denom, amount, floor)

    def settle_fee(self, payer: AccountId, fee: int, refund: int) -> None:
        """Give the refund back; the fee goes to the collector, or is burned where there is none. Never fails: what an
        account that the calls have emptied cannot hold is burned."""
        params = self.params
        denom, collector = params.fee_denom, params.fee_collector
        found, burned = self._known(denom), 0
        if refund and not self._credit(payer, denom, refund, found):
            burned += refund
            self.emit(Burned(holder=payer, denom=denom, amount=refund))
        if fee and (collector is None or not self._credit(collector, denom, fee, found)):
            burned += fee
        if burned:
            self.denoms[denom] = replace(found, supply=found.supply - burned)

    # --- rules

    @invariant
    def balances_sum_to_the_supply(self) -> None:
        """Nothing is created or lost by moving it."""
        sums = dict.fromkeys(self.denoms.keys(limit=EVERYTHING), 0)
        for (_, denom), amount in self.balances.items(limit=EVERYTHING):
            sums[denom] += amount
        for denom, found in self.denoms.items(limit=EVERYTHING):
            assert sums[denom] == found.supply, f"{denom}: balances sum to {sums[denom]}, the supply is {found.supply}"

    @invariant
    def no_balance_is_below_its_minimum(self) -> None:
        """No empty balance is stored, and none of a person below the minimum."""
        denoms = dict(self.denoms.items(limit=EVERYTHING))
        for (account, denom), amount in self.balances.items(limit=EVERYTHING):
            assert amount > 0, f"an empty balance is stored for {account.hex()}"
            floor = self._floor(account, denoms[denom])
            assert amount >= floor, f"{account.hex()} holds {amount} {denom}, the minimum is {floor}"

    def _known(self, denom: Denom) -> Denomination:
        found = self.denoms.get(denom)
        if found is None:
            raise UnknownDenom(denom=denom)
        return found

    def _check_amount(self, amount: int) -> None:
        if amount == 0:
            raise ZeroAmount()

    def _floor(self, account: AccountId, found: Denomination) -> int:
        """The least that the account may hold but nothing. A module's deposits may be smaller than anyone's balance."""
        return 0 if is_module_account(account) else found.minimum

    def _mint(self, to: AccountId, denom: Denom, amount: int, found: Denomination, floor: int) -> None:
        if found.supply + amount > AMOUNT_MAX:
            raise SupplyTooLarge(denom=denom, supply=found.supply, amount=amount)
        self.denoms[denom] = replace(found, supply=found.supply + amount)
        self._hold(to, denom, self.balances[to, denom] + amount, floor)

    def _move(
        self, source: AccountId, to: AccountId, denom: Denom, amount: int, found: Denomination, floor: int
    ) -> None:
        """floor: the recipient's. What is left to the source is nothing or at least its own, when all is done."""
        self._take(source, denom, amount, 0 if source == to else self._floor(source, found))
        self._hold(to, denom, self.balances[to, denom] + amount, floor)
        self.emit(Transferred(sender=source, recipient=to, denom=denom, amount=amount))

    def _take(self, holder: AccountId, denom: Denom, amount: int, floor: int) -> None:
        held = self.balances[holder, denom]
        if held < amount:
            raise InsufficientBalance(account=holder, denom=denom, held=held, amount=min(amount, AMOUNT_MAX))
        self._hold(holder, denom, held - amount, floor)

    def _credit(self, account: AccountId, denom: Denom, amount: int, found: Denomination) -> bool:
        """Whether the account can hold it, and now does."""
        balance = self.balances[account, denom] + amount
        if balance < self._floor(account, found):
            return False
        self.balances[account, denom] = balance
        return True

    def _hold(self, account: AccountId, denom: Denom, balance: int, floor: int) -> None:
        if balance == 0:
            del self.balances[account, denom]
        elif balance < floor:
            raise BelowMinimum(account=account, denom=denom, balance=balance, minimum=floor)
        else:
            self.balances[account, denom] = balance
