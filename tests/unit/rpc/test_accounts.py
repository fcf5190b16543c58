"""Which accounts a value names, at any depth of its declared type."""

from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bech32m import encode_address
from runtime.rpc.accounts import finder, with_addresses
from runtime.types import U64, AccountId, Hash, MaxLen, PublicKey, Struct

ACCOUNTS = st.sampled_from([AccountId(bytes([number]) * 32) for number in range(4)])


class Inner(Struct):
    account: AccountId
    hash: Hash


class Left(Struct, tag=0):
    account: AccountId


class Right(Struct, tag=1):
    number: U64


class Outer(Struct):
    one: AccountId
    maybe: AccountId | None
    many: Annotated[tuple[Inner, ...], MaxLen(8)]
    pair: tuple[U64, AccountId]
    either: Left | Right
    key: PublicKey
    both: Inner | None


hashes = st.just(Hash(b"\xee" * 32))
inners = st.builds(Inner, account=ACCOUNTS, hash=hashes)
outers = st.builds(
    Outer,
    one=ACCOUNTS,
    maybe=st.none() | ACCOUNTS,
    many=st.lists(inners, max_size=3).map(tuple),
    pair=st.tuples(st.just(1), ACCOUNTS),
    either=st.builds(Left, account=ACCOUNTS) | st.just(Right(5)),
    key=st.just(PublicKey(b"\xdd" * 32)),
    both=st.none() | inners,
)


@given(outers)
def test_every_account_of_a_value_is_found_and_nothing_else(value: Outer) -> None:
    expected = [value.one]
    expected += [] if value.maybe is None else [value.maybe]
    expected += [inner.account for inner in value.many]
    expected.append(value.pair[1])
    expected += [value.either.account] if isinstance(value.either, Left) else []
    expected += [] if value.both is None else [value.both.account]
    assert list(finder(Outer)(value)) == expected


@pytest.mark.parametrize("declared", [U64, Hash, PublicKey, Right, tuple[U64, Hash]])
def test_types_without_accounts_are_not_even_walked(declared: object) -> None:
    assert list(finder(declared)(object())) == []


def test_only_accounts_are_rewritten_in_sentences() -> None:
    account, other = AccountId(b"\1" * 32), b"\2" * 32
    sentence = f"account {account.hex()} may not touch {other.hex()}"
    expected = f"account {encode_address(account, 'xyz')} may not touch {other.hex()}"
    assert with_addresses(sentence, [account], "xyz") == expected
