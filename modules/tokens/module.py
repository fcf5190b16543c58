"""The module `tokens`: fungible tokens in several denominations, allowances, and the runtime's role `fees`.

Lives here: denominations - who may change the supply, how people see them - and the genesis. Balances and fees:
balances.py; allowances: allowances.py. Must not: know what tokens are paid for; reckon in what people see ("1.5 ARM"):
every amount is in base units.
"""

from __future__ import annotations

from msgspec.structs import replace

from modules.tokens.allowances import Allowances
from modules.tokens.balances import EVERYTHING
from modules.tokens.errors import (
    DenomExists,
    ExponentFixed,
    ExponentTooLarge,
    MinimumFixed,
    NotHolder,
    NotIssuer,
    SymbolTaken,
)
from modules.tokens.events import DenomCreated, IssuerChanged, MetadataChanged, MinimumChanged, Minted
from modules.tokens.protocol import EXPONENT_MAX, PAGE_MAX, DenomEntry, Denomination, DenomPage, Metadata, Symbol
from runtime import U8, U128, AccountId, Denom, Genesis, Map, Root, Signed, call, invariant, query


class Tokens(Allowances):
    """Fungible tokens in several denominations. Invariant: balances sum to the supply; an account holds nothing of a
    denomination, or at least its minimum."""

    name = "tokens"
    shown: Map[Denom, Metadata] = Map()
    symbols: Map[Symbol, Denom] = Map()

    class GenesisConfig(Genesis):
        """balances: by account and denomination. issuers, minimums, metadata: of denominations; one that is named here
        or held exists, and so does the denomination of fees. allowances: by owner, spender and denomination."""

        balances: dict[AccountId, dict[Denom, U128]] = {}
        issuers: dict[Denom, AccountId | None] = {}
        minimums: dict[Denom, U128] = {}
        metadata: dict[Denom, Metadata] = {}
        allowances: dict[AccountId, dict[AccountId, dict[Denom, U128]]] = {}

    def genesis(self, config: GenesisConfig) -> None:
        """Balances are minted, so that the supply is their sum. A denomination that anything names exists."""
        held = {denom for balances in config.balances.values() for denom in balances}
        named = config.issuers.keys() | config.minimums.keys() | config.metadata.keys()
        for denom in sorted(held | named | {self.params.fee_denom}):
            minimum = config.minimums.get(denom, 0)
            self.denoms[denom] = Denomination(supply=0, issuer=config.issuers.get(denom), minimum=minimum)
        for denom, metadata in config.metadata.items():
            self._show(denom, metadata)
        for account, balances in config.balances.items():
            for denom, amount in balances.items():
                found = self.denoms[denom]
                self._mint(account, denom, amount, found, self._floor(account, found))
        for owner, spenders in config.allowances.items():
            for spender, amounts in spenders.items():
                for denom, amount in amounts.items():
                    self._known(denom)
                    self._check_amount(amount)
                    self.allowances[owner, spender, denom] = amount

    def export_genesis(self) -> GenesisConfig:
        """Everything that is stored; the supplies follow from the balances."""
        balances: dict[AccountId, dict[Denom, U128]] = {}
        for (account, denom), amount in self.balances.items(limit=EVERYTHING):
            balances.setdefault(account, {})[denom] = amount
        allowances: dict[AccountId, dict[AccountId, dict[Denom, U128]]] = {}
        for (owner, spender, denom), amount in self.allowances.items(limit=EVERYTHING):
            allowances.setdefault(owner, {}).setdefault(spender, {})[denom] = amount
        denoms = dict(self.denoms.items(limit=EVERYTHING))
        return self.GenesisConfig(
            balances=balances,
            issuers={denom: found.issuer for denom, found in denoms.items()},
            minimums={denom: found.minimum for denom, found in denoms.items() if found.minimum},
            metadata=dict(self.shown.items(limit=EVERYTHING)),
            allowances=allowances,
        )

    # --- calls

    @call(gas=8_000)
    def mint(self, origin: Signed | Root, *, to: AccountId, denom: Denom, amount: U128) -> None:
        """Make `amount` base units of `denom` and give them to `to`. For the denomination's issuer, and for Root."""
        self._check_amount(amount)
        found = self._issued(origin, denom)
        self._mint(to, denom, amount, found, found.minimum)
        self.emit(Minted(recipient=to, denom=denom, amount=amount))

    @call(gas=8_000)
    def burn(self, origin: Signed | Root, *, holder: AccountId, denom: Denom, amount: U128) -> None:
        """Destroy `amount` base units of `denom` that `holder` has. The denomination's issuer may burn what it holds
        itself; Root what anyone holds."""
        self._check_amount(amount)
        self._issued(origin, denom)
        if isinstance(origin, Signed) and holder != origin.account:
            raise NotHolder(holder=holder)
        self.destroy(holder, denom, amount)

    @call(gas=5_000)
    def create_denom(self, origin: Root, *, denom: Denom, issuer: AccountId | None) -> None:
        """Add a denomination with supply 0 and no minimum. Its issuer may mint and burn."""
        if denom in self.denoms:
            raise DenomExists(denom=denom)
        self.denoms[denom] = Denomination(supply=0, issuer=issuer, minimum=0)
        self.emit(DenomCreated(denom=denom, issuer=issuer))

    @call(gas=8_000)
    def set_issuer(self, origin: Signed | Root, *, denom: Denom, issuer: AccountId | None) -> None:
        """Hand the right to mint and burn to another account, or give it up (no issuer). For the issuer, and Root."""
        self.denoms[denom] = replace(self._issued(origin, denom), issuer=issuer)
        self.emit(IssuerChanged(denom=denom, issuer=issuer))

    @call(gas=8_000)
    def set_minimum(self, origin: Signed | Root, *, denom: Denom, minimum: U128) -> None:
        """Set the least that an account may hold. Above the present minimum only while nobody holds any. For the
        issuer, and Root."""
        found = self._issued(origin, denom)
        if found.supply and minimum > found.minimum:
            raise MinimumFixed(denom=denom, minimum=found.minimum)
        self.denoms[denom] = replace(found, minimum=minimum)
        self.emit(MinimumChanged(denom=denom, minimum=minimum))

    @call(gas=15_000)
    def set_metadata(self, origin: Signed | Root, *, denom: Denom, metadata: Metadata) -> None:
        """Say how people see the denomination. Its exponent does not change while anyone holds any. For the issuer,
        and Root."""
        supply = self._issued(origin, denom).supply
        before = self.shown.get(denom)
        if before is not None and supply and before.exponent != metadata.exponent:
            raise ExponentFixed(denom=denom, exponent=before.exponent)
        if before is not None:
            del self.symbols[before.symbol]
        self._show(denom, metadata)
        self.emit(MetadataChanged(denom=denom, metadata=metadata))

    # --- queries

    @query
    def denomination(self, *, denom: Denom) -> Denomination | None:
        """Supply, issuer and minimum; nothing where there is no such denomination."""
        return self.denoms.get(denom)

    @query
    def metadata_of(self, *, denom: Denom) -> Metadata | None:
        """How people see the denomination: symbol, exponent, name; nothing where nobody has said."""
        return self.shown.get(denom)

    @query
    def denom_of(self, *, symbol: Symbol) -> Denom | None:
        """The denomination that has this symbol; nothing where none has."""
        return self.symbols.get(symbol)

    @query
    def denominations(self, *, after: Denom | None, limit: U8) -> DenomPage:
        """Denominations in the order of their names, from behind `after`, at most `limit` and 64."""
        found = self.denoms.items(limit=min(limit, PAGE_MAX), after=after)
        return tuple(DenomEntry(denom=name, denomination=each, metadata=self.shown.get(name)) for name, each in found)

    # --- rules

    @invariant
    def symbols_name_one_denomination_each(self) -> None:
        """Symbols are those of the metadata, which is of denominations, each with an exponent in bounds."""
        shown = dict(self.shown.items(limit=EVERYTHING))
        symbols = dict(self.symbols.items(limit=EVERYTHING))
        assert symbols == {each.symbol: denom for denom, each in shown.items()}, "symbols are not those of the metadata"
        assert len(symbols) == len(shown), "two denominations share a symbol"
        assert all(denom in self.denoms for denom in shown), "metadata of an unknown denomination"
        assert all(each.exponent <= EXPONENT_MAX for each in shown.values()), "an exponent is out of bounds"

    def _issued(self, origin: Signed | Root, denom: Denom) -> Denomination:
        """The denomination, where the origin may change it."""
        found = self._known(denom)
        if isinstance(origin, Signed) and origin.account != found.issuer:
            raise NotIssuer(denom=denom, issuer=found.issuer)
        return found

    def _show(self, denom: Denom, metadata: Metadata) -> None:
        if metadata.exponent > EXPONENT_MAX:
            raise ExponentTooLarge(exponent=metadata.exponent, limit=EXPONENT_MAX)
        taken = self.symbols.get(metadata.symbol)
        if taken is not None:
            raise SymbolTaken(symbol=metadata.symbol, denom=taken)
        self.symbols[metadata.symbol] = denom
        self.shown[denom] = metadata
