"""What happens to tokens, as receipts tell it. Amounts are base units."""

from __future__ import annotations

from modules.tokens.protocol import Metadata
from runtime import U128, AccountId, Denom, Event


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


class Approved(Event):
    """From now on the spender may take so much of the owner's tokens; 0: nothing."""

    owner: AccountId
    spender: AccountId
    denom: Denom
    amount: U128


class AllowanceUsed(Event):
    """The spender took `amount` of the owner's tokens, and may still take `left`."""

    owner: AccountId
    spender: AccountId
    denom: Denom
    amount: U128
    left: U128


class DenomCreated(Event):
    """A denomination exists from now on."""

    denom: Denom
    issuer: AccountId | None


class IssuerChanged(Event):
    """Another account may mint and burn; None: only the chain itself."""

    denom: Denom
    issuer: AccountId | None


class MetadataChanged(Event):
    """People see the denomination so from now on."""

    denom: Denom
    metadata: Metadata


class MinimumChanged(Event):
    """An account holds nothing of the denomination, or at least so much."""

    denom: Denom
    minimum: U128
