"""How a signer proves itself: one `Auth` for each signer of a transaction.

The runtime checks the signatures (pure, cached, in parallel); the module bound to the role `auth` then says whether
these keys may act for the account (`AuthRules.admits`). So keys can rotate, and a scheme is never a nested call.
"""

from __future__ import annotations

from typing import Annotated, Final

from runtime.codec import codec
from runtime.crypto import hash_bytes
from runtime.types import U8, AccountId, MaxLen, PublicKey, Signature, Struct

MULTISIG_KEYS_MAX: Final = 32
MODULE_MARK: Final = b"armillary/module"  # 16 of an account's 32 bytes: 2^128 attempts to meet it by chance


class SingleKey(Struct, tag=0):
    """One Ed25519 key."""

    public_key: PublicKey
    signature: Signature


class KeySignature(Struct):
    """A signature by the key of this number in the multisig's keys."""

    key: U8
    signature: Signature


class MultiKey(Struct, tag=1):
    """k of n Ed25519 keys: exactly `threshold` signatures, by ascending number of key; keys sorted, distinct."""

    threshold: U8
    public_keys: Annotated[tuple[PublicKey, ...], MaxLen(MULTISIG_KEYS_MAX)]
    signatures: Annotated[tuple[KeySignature, ...], MaxLen(MULTISIG_KEYS_MAX)]


Auth = SingleKey | MultiKey


class _MultisigRule(Struct):
    threshold: U8
    public_keys: Annotated[tuple[PublicKey, ...], MaxLen(MULTISIG_KEYS_MAX)]


def multisig_account(threshold: int, public_keys: tuple[PublicKey, ...]) -> AccountId:
    """The account of a k-of-n multisig: a hash of threshold and keys. The keys' order does not matter."""
    rule = _MultisigRule(threshold, tuple(sorted(public_keys)))
    return AccountId(hash_bytes("armillary/multisig-account", codec(_MultisigRule).encode(rule)))


def account_of(auth: Auth) -> AccountId:
    """The account that belongs to these keys by itself, before any rotation: the key, or the multisig's hash."""
    if isinstance(auth, SingleKey):
        return AccountId(auth.public_key)
    return multisig_account(auth.threshold, auth.public_keys)


def module_account(module: str) -> AccountId:
    """The account of a module (`self.account`): a mark and a hash of its name. No key signs for it."""
    return AccountId(MODULE_MARK + hash_bytes("armillary/module-account", module.encode("ascii"))[: len(MODULE_MARK)])


def is_module_account(account: AccountId) -> bool:
    """Whether the account is of a module's kind: nobody finds a key, or a multisig, whose account bears the mark."""
    return account.startswith(MODULE_MARK)
