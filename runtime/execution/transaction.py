"""Transactions: what is signed, how it is signed, by what hash it is known.

Lives here: the wire forms and the pure rules that need no state. Must not: read state (validate.py).
The signed message is the hash of the body under its own domain; the body names the genesis, so no signature is good on
two chains. That same hash names the transaction: who signs a body twice has still sent one transaction.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from runtime.codec import codec
from runtime.crypto import SigningKey, hash_bytes, verify_signature
from runtime.errors import CodecError
from runtime.execution.errors import InvalidTransaction, Rule
from runtime.execution.gas import fixed_gas
from runtime.limits import CALLS_PER_TRANSACTION_MAX, SIGNERS_PER_TRANSACTION_MAX, TRANSACTION_BYTES_MAX
from runtime.module import Auth, Call, MultiKey, SingleKey
from runtime.types import U64, U128, AccountId, Hash, MaxLen, Struct

DOMAIN: Final = "armillary/transaction"
VALID_FOREVER: Final = (1 << 64) - 1


class Body(Struct):
    """What is signed. fee_payer: None is the sender. max_fee: the most that the payer pays in all, tip included, in
    base units. last_valid_height: the last block that may hold it."""

    genesis_hash: Hash
    sender: AccountId
    fee_payer: AccountId | None
    nonce: U64
    calls: Annotated[tuple[Call, ...], MaxLen(CALLS_PER_TRANSACTION_MAX)]
    gas_limit: U64
    max_fee: U128
    tip: U128
    last_valid_height: U64


class Transaction(Struct):
    """auth: one for each signer, in order: the sender, then the fee payer where it is another account."""

    body: Body
    auth: Annotated[tuple[Auth, ...], MaxLen(SIGNERS_PER_TRANSACTION_MAX)]


_BODY = codec(Body)
_TRANSACTION = codec(Transaction)


def transaction_hash(body: Body) -> Hash:
    """The transaction's name, and the message that its signers sign."""
    return hash_bytes(DOMAIN, _BODY.encode(body))


def signers(body: Body) -> tuple[AccountId, ...]:
    """Who must sign, in the order of `auth`."""
    if body.fee_payer is None or body.fee_payer == body.sender:
        return (body.sender,)
    return (body.sender, body.fee_payer)


def build_transaction(
    calls: Sequence[Call],
    *,
    genesis_hash: Hash,
    key: SigningKey,
    nonce: int,
    gas_limit: int,
    max_fee: int,
    sender: AccountId | None = None,
    fee_payer: AccountId | None = None,
    fee_payer_key: SigningKey | None = None,
    tip: int = 0,
    last_valid_height: int = VALID_FOREVER,
) -> Transaction:
    """A signed transaction. sender: the key's own account unless it was rotated. Raises CodecError on a bad value."""
    account = AccountId(key.public_key) if sender is None else sender
    body = Body(genesis_hash, account, fee_payer, nonce, tuple(calls), gas_limit, max_fee, tip, last_valid_height)
    digest = transaction_hash(body)
    keys = [key] if len(signers(body)) == 1 else [key, fee_payer_key]
    if None in keys:
        raise CodecError("$.auth[1]", "the fee payer signs too: give fee_payer_key")
    auth = tuple(SingleKey(each.public_key, each.sign(digest)) for each in keys if each is not None)
    return Transaction(body, auth)


def encode_transaction(transaction: Transaction) -> bytes:
    """The bytes that travel."""
    return _TRANSACTION.encode(transaction)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction that passed every rule that needs no state; computed ahead, in parallel and cached at will."""

    data: bytes
    hash: Hash
    body: Body
    auth: tuple[Auth, ...]
    signers: tuple[AccountId, ...]
    fixed_gas: int

    @property
    def payer(self) -> AccountId:
        """Who pays the fee: the fee payer, or else the sender."""
        return self.signers[-1]


def prepare_transaction(data: bytes, genesis_hash: Hash) -> Prepared:
    """Decodes, verifies. Pure. Raises InvalidTransaction: SIZE, CODEC, GENESIS, CALLS, AUTH, GAS_LIMIT, SIGNATURE."""
    if len(data) > TRANSACTION_BYTES_MAX:
        raise InvalidTransaction(Rule.SIZE, f"{len(data)} bytes, at most {TRANSACTION_BYTES_MAX} are allowed")
    try:
        transaction: Transaction = _TRANSACTION.decode(data)
    except CodecError as error:
        raise InvalidTransaction(Rule.CODEC, str(error)) from None
    body, auth = transaction.body, transaction.auth
    if body.genesis_hash != genesis_hash:
        raise InvalidTransaction(
            Rule.GENESIS,
            f"signed for the chain with genesis {body.genesis_hash.hex()}, this one has {genesis_hash.hex()}",
        )
    if not body.calls:
        raise InvalidTransaction(Rule.CALLS, "a transaction has at least one call")
    who = signers(body)
    if len(auth) != len(who):
        raise InvalidTransaction(Rule.AUTH, f"{len(auth)} auth for {len(who)} signers (the sender, then the fee payer)")
    count = sum(1 if isinstance(each, SingleKey) else len(each.signatures) for each in auth)
    fixed = fixed_gas(len(data), count)
    if body.gas_limit < fixed:  # before the signatures, which it does not pay for
        raise InvalidTransaction(Rule.GAS_LIMIT, f"the gas limit is {body.gas_limit}, before any call {fixed} is used")
    digest = transaction_hash(body)
    for place, each in enumerate(auth):
        _check_auth(place, each, digest)
    return Prepared(data, digest, body, auth, who, fixed)


def _check_auth(place: int, auth: Auth, digest: Hash) -> None:
    if isinstance(auth, SingleKey):
        if not verify_signature(auth.public_key, digest, auth.signature):
            raise InvalidTransaction(Rule.SIGNATURE, f"auth[{place}]: not a signature by {auth.public_key.hex()}")
        return
    _check_multisig(place, auth)
    for signature in auth.signatures:
        if not verify_signature(auth.public_keys[signature.key], digest, signature.signature):
            raise InvalidTransaction(Rule.SIGNATURE, f"auth[{place}]: not a signature by key {signature.key}")


def _check_multisig(place: int, auth: MultiKey) -> None:
    keys, used = auth.public_keys, [signature.key for signature in auth.signatures]
    if not 0 < auth.threshold <= len(keys):
        raise InvalidTransaction(Rule.AUTH, f"auth[{place}]: a threshold of {auth.threshold} of {len(keys)} keys")
    if any(left >= right for left, right in itertools.pairwise(keys)):
        raise InvalidTransaction(Rule.AUTH, f"auth[{place}]: the keys are not sorted and distinct")
    if len(used) != auth.threshold:
        raise InvalidTransaction(Rule.AUTH, f"auth[{place}]: {len(used)} signatures, the threshold is {auth.threshold}")
    if used != sorted(set(used)) or used[-1] >= len(keys):
        raise InvalidTransaction(Rule.AUTH, f"auth[{place}]: signatures name keys {used}: ascending, below {len(keys)}")
