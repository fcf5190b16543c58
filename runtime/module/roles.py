"""What the runtime asks of modules. The genesis binds each role to a composed module by name; runtime-owned Protocols.

A module has the role by having the methods; it need not name the Protocol. None of them is metered: transactions pay
a fixed price for them (runtime.execution.gas).
"""

from __future__ import annotations

from typing import Annotated, Protocol

from runtime.limits import VALIDATORS_MAX
from runtime.module.authorisation import Auth
from runtime.types import U64, AccountId, MaxLen, PublicKey, Struct


class FeeLedger(Protocol):
    """Role `fees`. Amounts are base units of the fee denomination, which is the module's own affair."""

    def withdraw_fee(self, payer: AccountId, amount: int) -> None:
        """Take the most that the transaction may cost. Raises any CallError where the payer does not hold it: the
        transaction is then invalid, and stays out of the block."""
        ...

    def settle_fee(self, payer: AccountId, fee: int, refund: int) -> None:
        """After the calls: give `refund` of the amount withdrawn back to the payer, keep `fee` (spread it, burn it)."""
        ...


class AuthRules(Protocol):
    """Role `auth`."""

    def nonce(self, account: AccountId) -> int:
        """The nonce that the account's next transaction must carry; 0 for an account never seen."""
        ...

    def advance_nonce(self, account: AccountId) -> None:
        """The account's transaction is in a block: its nonce grows by one, also where its calls then fail."""
        ...

    def admits(self, account: AccountId, auth: Auth) -> bool:
        """Whether these keys may act for the account. The signatures are verified already, and well-formed."""
        ...


class ValidatorPower(Struct):
    """A validator and its voting power; as an update, power 0 removes it."""

    public_key: PublicKey
    power: U64


ValidatorPowers = Annotated[tuple[ValidatorPower, ...], MaxLen(VALIDATORS_MAX)]


class ValidatorSource(Protocol):
    """Role `validators`."""

    def validators(self) -> tuple[ValidatorPower, ...]:
        """The set that should be, powers above 0: a function of the module's own storage alone. The runtime asks at
        genesis and at the end of each block that changed this storage, and takes the differences as updates."""
        ...
