"""Accounts of modules are known by their mark, and are nobody's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime import AccountId, Name, PublicKey, is_module_account, module_account, multisig_account
from runtime.crypto import SigningKey, hash_bytes
from runtime.testing.strategies import from_type


@given(from_type(Name), from_type(Name))
def test_each_module_has_an_account_of_its_own_with_the_mark(one: str, other: str) -> None:
    assert is_module_account(module_account(one))
    assert len(module_account(one)) == 32
    assert (module_account(one) == module_account(other)) == (one == other)


@given(st.binary(min_size=1, max_size=32))
def test_keys_and_multisigs_have_no_such_account(seed: bytes) -> None:
    key = PublicKey(SigningKey.from_seed(hash_bytes("test", seed)).public_key)
    assert not is_module_account(multisig_account(1, (key,)))
    assert not is_module_account(AccountId(key))
