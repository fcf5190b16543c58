"""Why a call of tokens fails. Amounts are base units."""

from __future__ import annotations

from modules.tokens.protocol import Symbol
from runtime import U8, U128, AccountId, CallError, Denom


class InsufficientBalance(CallError):
    """The account holds less than the amount."""

    account: AccountId
    denom: Denom
    held: U128
    amount: U128


class BelowMinimum(CallError):
    """The account would hold less than the denomination's minimum."""

    account: AccountId
    denom: Denom
    balance: U128
    minimum: U128


class InsufficientAllowance(CallError):
    """The owner allows the signer less than the amount."""

    holder: AccountId
    denom: Denom
    allowed: U128
    amount: U128


class AllowanceDiffers(CallError):
    """The present allowance is not the one that was expected: the spender may have used it meanwhile."""

    spender: AccountId
    denom: Denom
    allowed: U128
    expected: U128


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


class ExponentTooLarge(CallError):
    """One of a symbol is at most 10^18 base units."""

    exponent: U8
    limit: U8


class ExponentFixed(CallError):
    """While anyone holds a denomination, its exponent stays: amounts would seem to change."""

    denom: Denom
    exponent: U8


class SymbolTaken(CallError):
    """Another denomination has this symbol."""

    symbol: Symbol
    denom: Denom


class MinimumFixed(CallError):
    """While anyone holds a denomination, its minimum is only ever lowered: nobody's tokens fall below it."""

    denom: Denom
    minimum: U128
