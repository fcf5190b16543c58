"""What other modules may ask of accounts, and the rules that are stored.

An account is 32 bytes. Without a stored rule it belongs to the key that it is (or to the multisig whose hash it is).
A stored rule replaces that: the keys of an account can rotate, the account stays.
"""

from __future__ import annotations

from typing import Annotated, Protocol

from runtime import U8, U64, AccountId, MaxLen, PublicKey, Struct

RULE_KEYS_MAX = 32


class OneKey(Struct, tag=0):
    """The account obeys this key."""

    public_key: PublicKey


class ManyKeys(Struct, tag=1):
    """The account obeys any `threshold` of these keys, which are sorted and distinct."""

    threshold: U8
    public_keys: Annotated[tuple[PublicKey, ...], MaxLen(RULE_KEYS_MAX)]


AuthRule = OneKey | ManyKeys


class Account(Struct):
    """nonce: what the next transaction must carry. rule: None where the account obeys the key that it is."""

    nonce: U64
    rule: AuthRule | None


class Nonces(Protocol):
    """Whose turn it is."""

    def nonce(self, account: AccountId) -> int:
        """The nonce that the account's next transaction must carry."""
        ...
