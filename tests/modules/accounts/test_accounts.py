"""Accounts: nonces count transactions; an account obeys its own key until it says otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modules.accounts import Accounts
from modules.accounts.module import BadRule, KeysRotated
from modules.accounts.protocol import Account, AuthRule, ManyKeys, OneKey
from runtime import AccountId, Auth, MultiKey, PublicKey, SingleKey, multisig_account
from runtime.codec import codec
from runtime.execution import Chain, GenesisError, InvalidTransaction, Receipt, Rule
from runtime.execution.transaction import Transaction, build_transaction, encode_transaction, transaction_hash
from runtime.module import KeySignature

NOTHING = Accounts.rotate.build(rule=None)
NAMES = ("alice", "bob", "carol", "dave")


def keys(*names: str) -> tuple[PublicKey, ...]:
    return tuple(sorted(Chain().account(name).key.public_key for name in names))


def send(chain: Chain, sender: AccountId, threshold: int | None, *names: str, nonce: int | None = None) -> Receipt:
    """A transaction of `sender`, signed by one key (threshold None) or by the first `threshold` of several."""
    people = [chain.account(name).key for name in names]
    made = build_transaction(
        [NOTHING],
        genesis_hash=chain.application.genesis_hash,
        key=people[0],
        sender=sender,
        max_fee=0,
        nonce=chain.nonce(sender) if nonce is None else nonce,
        gas_limit=2_000_000,
    )
    digest = transaction_hash(made.body)
    auth: Auth = SingleKey(public_key=people[0].public_key, signature=people[0].sign(digest))
    if threshold is not None:
        people.sort(key=lambda key: key.public_key)
        signed = tuple(KeySignature(key=n, signature=people[n].sign(digest)) for n in range(threshold))
        auth = MultiKey(threshold=threshold, public_keys=tuple(key.public_key for key in people), signatures=signed)
    data = encode_transaction(Transaction(made.body, (auth,)))
    chain.application.check(data)
    return chain.block([data]).receipts[0]


def rotate(chain: Chain, rule: AuthRule | None, signer: str = "alice") -> Receipt:
    return chain.submit(Accounts.rotate.build(rule=rule), signer=chain.account(signer))


@given(st.lists(st.sampled_from(NAMES), max_size=12))
@settings(max_examples=20, deadline=None)
def test_a_nonce_counts_the_accounts_transactions(senders: list[str]) -> None:
    chain = Chain(Accounts)
    for name in senders:
        assert chain.submit(NOTHING, signer=chain.account(name)).is_ok
    for name in NAMES:
        account = chain.query(Accounts.info, account=chain.account(name).id)
        assert account == Account(nonce=senders.count(name), rule=None)


def test_a_nonce_grows_also_where_the_calls_fail() -> None:
    chain = Chain(Accounts)
    assert not rotate(chain, ManyKeys(threshold=0, public_keys=())).is_ok
    assert chain.query(Accounts.info, account=chain.account("alice").id).nonce == 1


@given(st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_only_the_next_nonce_is_in_a_block(sent: int, nonce: int) -> None:
    chain = Chain(Accounts)
    alice = chain.account("alice")
    for _ in range(sent):
        chain.submit(NOTHING, signer=alice)
    data = chain.transaction(NOTHING, signer=alice, nonce=nonce)
    if nonce == sent:
        chain.block([data])
    else:
        with pytest.raises(Exception, match="nonce"):
            chain.block([data])


# --- rules -----------------------------------------------------------------------------------------------------------

rules = st.one_of(
    st.none(),
    st.sampled_from(NAMES).map(lambda name: OneKey(public_key=keys(name)[0])),
    st.sets(st.sampled_from(NAMES), min_size=1).flatmap(
        lambda names: st.integers(1, len(names)).map(lambda n: ManyKeys(threshold=n, public_keys=keys(*names)))
    ),
)


@given(rules, rules)
@settings(max_examples=60, deadline=None)
def test_an_account_obeys_its_rule_and_nothing_else(rule: AuthRule | None, other: AuthRule | None) -> None:
    alice, own = Chain().account("alice").id, OneKey(public_key=keys("alice")[0])
    chain = Chain(Accounts, genesis={"accounts": {"rules": {} if rule is None else {alice: rule}}})
    with chain.application._reading() as run:
        for attempt in (own, rule or own, other or own):
            assert run.environment.auth.admits(alice, auth_for(attempt)) == (attempt == (rule or own))


def auth_for(rule: AuthRule) -> Auth:
    """What the keys of a rule would sign with; the runtime verifies the signatures elsewhere."""
    if isinstance(rule, OneKey):
        return SingleKey(public_key=rule.public_key, signature=bytes(64))  # type: ignore[arg-type] # any bytes
    return MultiKey(threshold=rule.threshold, public_keys=rule.public_keys, signatures=())


def test_a_rotated_account_obeys_the_new_key_from_the_next_transaction_on() -> None:
    chain = Chain(Accounts)
    alice, rule = chain.account("alice").id, OneKey(public_key=keys("bob")[0])
    receipt = rotate(chain, rule)
    assert chain.events(receipt) == (KeysRotated(account=alice, rule=rule),)
    assert chain.query(Accounts.info, account=alice) == Account(nonce=1, rule=rule)
    with pytest.raises(InvalidTransaction) as caught:
        send(chain, alice, None, "alice")
    assert caught.value.rule is Rule.AUTH
    assert send(chain, alice, None, "bob").is_ok
    assert send(chain, alice, None, "alice").is_ok  # the call by bob gave the account back to its own key


def test_a_rotated_account_obeys_several_keys() -> None:
    chain = Chain(Accounts)
    alice = chain.account("alice").id
    rotate(chain, ManyKeys(threshold=2, public_keys=keys("bob", "carol", "dave")))
    for threshold, names in ((None, ("alice",)), (1, ("bob", "carol", "dave")), (2, ("bob", "carol"))):
        with pytest.raises(InvalidTransaction) as caught:
            send(chain, alice, threshold, *names)
        assert caught.value.rule is Rule.AUTH
    assert send(chain, alice, 2, "bob", "carol", "dave").is_ok


def test_a_multisig_account_needs_no_rule() -> None:
    chain = Chain(Accounts)
    shared = multisig_account(2, keys("alice", "bob"))
    assert send(chain, shared, 2, "alice", "bob").is_ok
    with pytest.raises(InvalidTransaction):
        send(chain, shared, None, "alice")


def test_export_and_genesis_are_inverse() -> None:
    chain = Chain(Accounts)
    rotate(chain, ManyKeys(threshold=1, public_keys=keys("bob")))
    exported = chain.application.export_genesis("accounts")
    config = Accounts.metadata().genesis
    assert config is not None
    again = Chain(Accounts, genesis={"accounts": dict(codec(config).decode(exported))})
    assert again.application.export_genesis("accounts") == exported


bad_rules = st.sampled_from(
    [
        ManyKeys(threshold=0, public_keys=keys("bob")),
        ManyKeys(threshold=2, public_keys=keys("bob")),
        ManyKeys(threshold=0, public_keys=()),
        ManyKeys(threshold=1, public_keys=tuple(reversed(keys("bob", "carol")))),
        ManyKeys(threshold=1, public_keys=(*keys("bob"), *keys("bob"))),
    ]
)


@given(bad_rules)
def test_invalid_rule_that_nobody_can_satisfy(rule: ManyKeys) -> None:
    chain = Chain(Accounts)
    receipt = rotate(chain, rule)
    error: Any = chain.error(receipt)
    assert isinstance(error, BadRule)
    assert error.args == (rule.threshold, len(rule.public_keys))
    assert chain.query(Accounts.info, account=chain.account("alice").id).rule is None


@given(bad_rules)
def test_invalid_rule_in_the_genesis(rule: ManyKeys) -> None:
    with pytest.raises(GenesisError, match="1 to as many"):
        Chain(Accounts, genesis={"accounts": {"rules": {Chain().account("alice").id: rule}}})


def test_invalid_changed_transaction() -> None:
    chain = Chain(Accounts)
    data = chain.transaction(NOTHING, signer=chain.account("alice"))
    transaction = codec(Transaction).decode(data)
    changed = Transaction(replace(transaction.body, gas_limit=transaction.body.gas_limit + 1), transaction.auth)
    with pytest.raises(InvalidTransaction) as caught:
        chain.application.check(encode_transaction(changed))
    assert caught.value.rule is Rule.SIGNATURE
