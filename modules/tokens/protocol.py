"""What other modules may ask of tokens."""

from __future__ import annotations

from typing import Protocol

from runtime import AccountId, Denom


class Ledger(Protocol):
    """Holds balances. A module keeps deposits on its own account (`self.account`), which no key signs for.

    The caller answers for the permission: a module moves an account's tokens only where its signer asked for that.
    """

    def move(self, source: AccountId, to: AccountId, denom: Denom, amount: int) -> None:
        """Move `amount` base units. Nothing moves where it is 0. Raises InsufficientBalance or UnknownDenom."""
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
        """Destroy `amount` base units that `holder` has, 0 included. Raises InsufficientBalance or UnknownDenom."""
        ...
