"""What other modules may ask of tokens, and what is stored of a denomination."""

from __future__ import annotations

from typing import Annotated, Protocol

from runtime import U8, U128, AccountId, Denom, MaxLen, Struct
from runtime.types import Pattern

EXPONENT_MAX = 18
PAGE_MAX = 64

Symbol = Annotated[str, Pattern(r"[A-Z][A-Z0-9]*", 12)]
"""How people name a denomination: ARM. Capitals, so that no two symbols of a chain look alike but for their case."""


class Denomination(Struct):
    """supply: what all accounts hold together. issuer: may mint and burn; None: only the chain itself (Root) may.
    minimum: the least that an account may hold, in base units (the existential deposit); 0: anything."""

    supply: U128
    issuer: AccountId | None
    minimum: U128


class Metadata(Struct):
    """How people see a denomination. exponent: one of `symbol` is 10^exponent base units, at most 18."""

    name: Annotated[str, MaxLen(64)]
    symbol: Symbol
    exponent: U8
    description: Annotated[str, MaxLen(256)]


class DenomEntry(Struct):
    """A denomination under its name, and how people see it, where that is known."""

    denom: Denom
    denomination: Denomination
    metadata: Metadata | None


class AllowanceKey(Struct):
    """Which of an owner's allowances."""

    spender: AccountId
    denom: Denom


class Allowance(Struct):
    """What `spender` may still take of the owner's tokens."""

    spender: AccountId
    denom: Denom
    amount: U128


DenomPage = Annotated[tuple[DenomEntry, ...], MaxLen(PAGE_MAX)]
AllowancePage = Annotated[tuple[Allowance, ...], MaxLen(PAGE_MAX)]


class Ledger(Protocol):
    """Holds balances. A module keeps deposits on its own account (`self.account`), which no key signs for.

    The caller answers for the permission: a module moves an account's tokens only where its signer asked for that.
    """

    def move(self, source: AccountId, to: AccountId, denom: Denom, amount: int) -> None:
        """Move `amount` base units. Nothing moves where it is 0. Raises InsufficientBalance, UnknownDenom, or
        BelowMinimum. What a module pays to an account that cannot hold so little is burned: that never fails."""
        ...

    def held(self, account: AccountId, denom: Denom) -> int:
        """What the account holds, in base units."""
        ...

    def has_denom(self, denom: Denom) -> bool:
        """Whether the denomination exists."""
        ...


class BurningLedger(Ledger, Protocol):
    """A ledger that can also destroy what a module holds."""

    def destroy(self, holder: AccountId, denom: Denom, amount: int) -> None:
        """Destroy `amount` base units that `holder` has, 0 included. Raises InsufficientBalance, UnknownDenom, or
        BelowMinimum where the holder is not a module."""
        ...
