"""The module `tokens`: fungible tokens, and the runtime's role `fees`.

Lives here: balances, supply, who may change the supply, what becomes of fees. Must not: know what tokens are paid for.
"""

from __future__ import annotations

from runtime import (
    U128,
    AccountId,
    CallError,
    Denom,
    Event,
    Genesis,
    Map,
    Module,
    ModuleParams,
    Root,
    Signed,
    Struct,
    call,
    invariant,
    query,
)

EVERYTHING = 1 << 62
SUPPLY_MAX = (1 << 128) - 1


class Denomination(Struct):
    """supply: what all accounts hold together. issuer: may mint and burn; None: only the chain itself (Root) may."""

    supply: U128
    issuer: AccountId | None


class Transferred(Event):
    """Tokens moved from one account to another."""

    sender: AccountId
    recipient: AccountId
    denom: Denom
    amount: U128


class Minted(Event):
    """Tokens came into being."""

    recipient: AccountId
    denom: Denom
    amount: U128


class Burned(Event):
    """Tokens ceased to be."""

    holder: AccountId
    denom: Denom
    amount: U128


class DenomCreated(Event):
    """A denomination exists from now on."""

    denom: Denom
    issuer: AccountId | None


class IssuerChanged(Event):
    """Another account may mint and burn; None: only the chain itself."""

    denom: Denom
    issuer: AccountId | None


class InsufficientBalance(CallError):
    """The account holds less than the amount."""

    account: AccountId
    denom: Denom
    held: U128
    amount: U128


class UnknownDenom(CallError):
    """There is no such denomination on this chain."""

    denom: Denom


class DenomExists(CallError):
    """There is such a denomination already."""

    denom: Denom


class NotIssuer(CallError):
    """Only the denomination's issuer may do this."""

    denom: Denom
    issuer: AccountId | None


class NotHolder(CallError):
    """An issuer burns what it holds itself, nobody else's tokens."""

    holder: AccountId


class ZeroAmount(CallError):
    """The amount is 0."""


class SupplyTooLarge(CallError):
    """The denomination's supply would exceed 2^128 - 1 base units."""

    denom: Denom
    supply: U128
    amount: U128


class Tokens(Module):
    """Fungible tokens in several denominations. Invariant: balances sum to the supply."""

    name = "tokens"
    balances: Map[tuple[AccountId, Denom], U128] = Map(default=0)
    denoms: Map[Denom, Denomination] = Map()

    class Params(ModuleParams):
        """fee_denom: what transactions pay their fees in. fee_collector: who receives them; none: they are burned."""

        fee_denom: Denom = "arm"
        fee_collector: AccountId | None = None

    class GenesisConfig(Genesis):
        """balances: by account and denomination. issuers: denominations with an issuer; one that is only held in
        balances has none. The denomination of fees always exists."""

        balances: dict[AccountId, dict[Denom, U128]] = {}
        issuers: dict[Denom, AccountId] = {}

    def genesis(self, config: GenesisConfig) -> None:
        held = {denom for balances in config.balances.values() for denom in balances}
        for denom in sorted(held | config.issuers.keys() | {self.params.fee_denom}):
            self.denoms[denom] = Denomination(supply=0, issuer=config.issuers.get(denom))
        for account, balances in config.balances.items():
            for denom, amount in balances.items():
                self._mint(account, denom, amount)

    def check_params(self) -> None:
        """Fees are in a denomination of this chain: otherwise nobody could pay them."""
        if not self.has_denom(self.params.fee_denom):
            raise UnknownDenom(denom=self.params.fee_denom)

    def export_genesis(self) -> GenesisConfig:
        balances: dict[AccountId, dict[Denom, U128]] = {}
        for (account, denom), amount in self.balances.items(limit=EVERYTHING):
            balances.setdefault(account, {})[denom] = amount
        issuers = {denom: info.issuer for denom, info in self.denoms.items(limit=EVERYTHING) if info.issuer is not None}
        return self.GenesisConfig(balances=balances, issuers=issuers)

    # --- calls

    @call(gas=5_000)
    def transfer(self, origin: Signed, *, to: AccountId, denom: Denom, amount: U128) -> None:
        """Move `amount` base units of `denom` from the signer to `to`."""
        self._check_amount(amount)
        self.move(origin.account, to, denom, amount)

    @call(gas=5_000)
    def mint(self, origin: Signed | Root, *, to: AccountId, denom: Denom, amount: U128) -> None:
        """Make `amount` base units of `denom` and give them to `to`. For the denomination's issuer, and for Root."""
        self._check_amount(amount)
        self._check_issuer(origin, denom)
        self._mint(to, denom, amount)
        self.emit(Minted(recipient=to, denom=denom, amount=amount))

    @call(gas=5_000)
    def burn(self, origin: Signed | Root, *, holder: AccountId, denom: Denom, amount: U128) -> None:
        """Destroy `amount` base units of `denom` that `holder` has. The denomination's issuer may burn what it holds
        itself; Root what anyone holds."""
        self._check_amount(amount)
        self._check_issuer(origin, denom)
        if isinstance(origin, Signed) and holder != origin.account:
            raise NotHolder(holder=holder)
        self.destroy(holder, denom, amount)

    @call(gas=5_000)
    def create_denom(self, origin: Root, *, denom: Denom, issuer: AccountId | None) -> None:
        """Add a denomination with supply 0. Its issuer may mint and burn."""
        if denom in self.denoms:
            raise DenomExists(denom=denom)
        self.denoms[denom] = Denomination(supply=0, issuer=issuer)
        self.emit(DenomCreated(denom=denom, issuer=issuer))

    @call(gas=5_000)
    def set_issuer(self, origin: Signed | Root, *, denom: Denom, issuer: AccountId | None) -> None:
        """Hand the right to mint and burn to another account, or give it up (no issuer). For the issuer, and Root."""
        self._check_issuer(origin, denom)
        self.denoms[denom] = Denomination(supply=self.denoms[denom].supply, issuer=issuer)
        self.emit(IssuerChanged(denom=denom, issuer=issuer))

    # --- queries

    @query
    def balance_of(self, *, account: AccountId, denom: Denom) -> U128:
        """What the account holds of the denomination, in base units."""
        return self.balances[account, denom]

    @query
    def denomination(self, *, denom: Denom) -> Denomination | None:
        """Supply and issuer; nothing where there is no such denomination."""
        return self.denoms.get(denom)

    # --- for other modules (modules.tokens.protocol)

    def move(self, source: AccountId, to: AccountId, denom: Denom, amount: int) -> None:
        """Move `amount` base units. Nothing moves where it is 0."""
        if not self.has_denom(denom):
            raise UnknownDenom(denom=denom)
        if amount == 0:
            return
        self._take(source, denom, amount)
        self.balances[to, denom] += amount
        self.emit(Transferred(sender=source, recipient=to, denom=denom, amount=amount))

    def destroy(self, holder: AccountId, denom: Denom, amount: int) -> None:
        """Destroy `amount` base units that `holder` has. Nothing happens where it is 0."""
        if not self.has_denom(denom):
            raise UnknownDenom(denom=denom)
        if amount == 0:
            return
        self._take(holder, denom, amount)
        self._shrink(denom, amount)
        self.emit(Burned(holder=holder, denom=denom, amount=amount))

    def held(self, account: AccountId, denom: Denom) -> int:
        """What the account holds."""
        return self.balances[account, denom]

    def has_denom(self, denom: Denom) -> bool:
        """Whether the denomination exists."""
        return denom in self.denoms

    # --- the runtime's role `fees`

    def withdraw_fee(self, payer: AccountId, amount: int) -> None:
        """Take the most that the transaction may cost."""
        if amount:
            self._take(payer, self.params.fee_denom, amount)

    def settle_fee(self, payer: AccountId, fee: int, refund: int) -> None:
        """Give the refund back; the fee goes to the collector, or is burned where there is none."""
        params = self.params
        denom, collector = params.fee_denom, params.fee_collector
        if refund:
            self.balances[payer, denom] += refund
        if fee and collector is not None:
            self.balances[collector, denom] += fee
        elif fee:
            self._shrink(denom, fee)

    # --- rules

    @invariant
    def balances_sum_to_the_supply(self) -> None:
        """Nothing is created or lost by moving it. No empty balance is stored."""
        sums = dict.fromkeys(self.denoms.keys(limit=EVERYTHING), 0)
        for (account, denom), amount in self.balances.items(limit=EVERYTHING):
            assert amount > 0, f"an empty balance is stored for {account.hex()}"
            sums[denom] += amount
        for denom, info in self.denoms.items(limit=EVERYTHING):
            assert sums[denom] == info.supply, f"{denom}: balances sum to {sums[denom]}, the supply is {info.supply}"

    def _check_amount(self, amount: int) -> None:
        if amount == 0:
            raise ZeroAmount()

    def _check_issuer(self, origin: Signed | Root, denom: Denom) -> None:
        info = self.denoms.get(denom)
        if info is None:
            raise UnknownDenom(denom=denom)
        if isinstance(origin, Signed) and origin.account != info.issuer:
            raise NotIssuer(denom=denom, issuer=info.issuer)

    def _mint(self, to: AccountId, denom: Denom, amount: int) -> None:
        info = self.denoms[denom]
        if info.supply + amount > SUPPLY_MAX:
            raise SupplyTooLarge(denom=denom, supply=info.supply, amount=amount)
        self.denoms[denom] = Denomination(supply=info.supply + amount, issuer=info.issuer)
        if amount:
            self.balances[to, denom] += amount

    def _take(self, holder: AccountId, denom: Denom, amount: int) -> None:
        held = self.balances[holder, denom]
        if held < amount:
            raise InsufficientBalance(account=holder, denom=denom, held=held, amount=min(amount, SUPPLY_MAX))
        if held == amount:
            del self.balances[holder, denom]
        else:
            self.balances[holder, denom] = held - amount

    def _shrink(self, denom: Denom, amount: int) -> None:
        info = self.denoms[denom]
        self.denoms[denom] = Denomination(supply=info.supply - amount, issuer=info.issuer)
