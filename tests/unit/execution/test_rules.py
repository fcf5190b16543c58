"""Each rule that keeps a transaction out of a block, in the mempool's check and in a block alike."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modules.accounts import Accounts
from runtime import ZERO_HASH, Call, Hash, MultiKey, SingleKey
from runtime.crypto import SigningKey
from runtime.execution import (
    Body,
    Chain,
    InvalidBlock,
    InvalidTransaction,
    Rule,
    Transaction,
    encode_transaction,
    transaction_hash,
)
from runtime.execution.executor import NONCE_AHEAD_MAX
from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.module.authorisation import KeySignature
from runtime.testing.bank import Bank


def transfer(chain: Chain, amount: int = 1) -> Call:
    return Bank.transfer.build(to=chain.account("carol").id, amount=amount)


def signed(chain: Chain, *calls: Call, **options: Any) -> bytes:
    options.setdefault("signer", chain.account("alice"))
    return chain.transaction(*(calls or (transfer(chain),)), **options)


def refused(chain: Chain, data: bytes, rule: Rule) -> None:
    """By both doors, naming the rule, and without a trace."""
    root, height = chain.application.state_root, chain.height
    with pytest.raises(InvalidTransaction) as by_mempool:
        chain.application.check(data)
    assert by_mempool.value.rule is rule
    assert str(by_mempool.value).startswith(rule)
    with pytest.raises(InvalidBlock) as in_block:
        chain.block([signed(chain, signer=chain.account("dora")), data])
    assert (in_block.value.rule, in_block.value.index, in_block.value.height) == (rule, 1, height + 1)
    assert (chain.application.state_root, chain.height) == (root, height)


def altered(data: bytes, **body: Any) -> bytes:
    """The transaction with fields of its body replaced and the signature left."""
    decoded = msgspec.msgpack.decode(data)
    for name, value in body.items():
        decoded[0][Body.__struct_fields__.index(name)] = value
    return msgspec.msgpack.encode(decoded)


NONCE_MAX = (1 << 64) - 1
NONCES = st.one_of(st.integers(0, NONCE_MAX), st.integers(NONCE_MAX - NONCE_AHEAD_MAX - 2, NONCE_MAX))


@given(nonce=NONCES, ahead=st.sampled_from([0, 0, 0, 1, 2, NONCE_AHEAD_MAX]))
@example(nonce=NONCE_MAX, ahead=0)
@example(nonce=NONCE_MAX - 1, ahead=0)
def test_a_block_takes_what_the_check_takes_once_its_nonce_has_come(nonce: int, ahead: int) -> None:
    account = Chain.account_named("alice")
    chain = Chain(Accounts, Bank, genesis={"accounts": {"nonces": {account.id: nonce}}})
    options = {"nonce": min(nonce + ahead, NONCE_MAX), "signer": account, "gas_limit": 10**7}
    data = chain.transaction(Bank.write_then.build(what="nothing"), **options)
    try:
        checked = chain.application.check(data)
    except InvalidTransaction:
        with pytest.raises(InvalidBlock):
            chain.block([data])
        return
    assert (checked.nonce, checked.next_nonce) == (options["nonce"], nonce)
    if checked.nonce == nonce:
        assert chain.block([data]).receipts[0].is_ok
        assert chain.nonce(account.id) == nonce + 1


def test_a_valid_transaction_passes_both_doors(chain: Chain) -> None:
    data = signed(chain, tip=7)
    checked = chain.application.check(data)
    assert (checked.sender, checked.nonce, checked.next_nonce) == (chain.account("alice").id, 0, 0)
    assert (checked.tip, checked.fee, checked.data) == (7, 200_000, data)
    receipt = chain.block([data]).receipts[0]
    assert receipt.is_ok
    assert receipt.transaction == checked.hash


def test_invalid_size(chain: Chain) -> None:
    refused(chain, bytes(TRANSACTION_BYTES_MAX + 1), Rule.SIZE)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x92\xc0\xc0", bytes(100)])
def test_invalid_codec(chain: Chain, data: bytes) -> None:
    refused(chain, data, Rule.CODEC)


def test_invalid_codec_trailing_byte(chain: Chain) -> None:
    refused(chain, signed(chain) + b"\x00", Rule.CODEC)


def test_invalid_genesis(chain: Chain) -> None:
    other = Chain(Bank, name="another")
    refused(chain, signed(other), Rule.GENESIS)
    assert chain.application.genesis_hash != other.application.genesis_hash


def test_invalid_no_calls(chain: Chain) -> None:
    refused(chain, chain.transaction(signer=chain.account("alice")), Rule.CALLS)


@pytest.mark.parametrize("field", ["nonce", "gas_limit", "last_valid_height"])
def test_invalid_signature_of_an_altered_body(chain: Chain, field: str) -> None:
    refused(chain, altered(signed(chain), **{field: 12_345_678}), Rule.SIGNATURE)


def test_invalid_signatures_are_not_verified_before_they_are_paid_for(chain: Chain) -> None:
    """Or anyone could have them verified for nothing: 64 signatures of whomever, a gas limit for none."""
    refused(chain, altered(signed(chain), gas_limit=1), Rule.GAS_LIMIT)


def test_invalid_signature_by_another_key(chain: Chain) -> None:
    refused(chain, signed(chain, sender=chain.account("bob").id), Rule.AUTH)


def test_invalid_auth_missing(chain: Chain) -> None:
    decoded = msgspec.msgpack.decode(signed(chain))
    refused(chain, msgspec.msgpack.encode([decoded[0], []]), Rule.AUTH)


def test_invalid_auth_of_fee_payer_missing(chain: Chain) -> None:
    data = signed(chain, payer=chain.account("bob"))
    decoded = msgspec.msgpack.decode(data)
    refused(chain, msgspec.msgpack.encode([decoded[0], decoded[1][:1]]), Rule.AUTH)


def test_invalid_nonce_low_after_use(chain: Chain) -> None:
    data = signed(chain)
    chain.block([data])
    refused(chain, data, Rule.NONCE_LOW)


def test_invalid_nonce_used_twice_in_a_block(chain: Chain) -> None:
    with pytest.raises(InvalidBlock, match="nonce_low"):
        chain.block([signed(chain), signed(chain, transfer(chain, 2))])


def test_invalid_nonce_high_in_a_block_waits_in_the_mempool(chain: Chain) -> None:
    data = signed(chain, nonce=1)
    assert chain.application.check(data).next_nonce == 0
    with pytest.raises(InvalidBlock, match="nonce_high"):
        chain.block([data])
    refused(chain, signed(chain, nonce=NONCE_AHEAD_MAX + 1), Rule.NONCE_HIGH)


def test_invalid_expired(chain: Chain) -> None:
    data = signed(chain, last_valid_height=1)
    assert chain.application.check(data)
    chain.block()
    refused(chain, data, Rule.EXPIRED)


def test_invalid_gas_limit_below_the_fixed_price(chain: Chain) -> None:
    data = signed(chain)
    fixed = chain.application.prepare(data).fixed_gas
    refused(chain, signed(chain, gas_limit=fixed - 10_000), Rule.GAS_LIMIT)


def test_invalid_gas_limit_above_a_block(chain: Chain) -> None:
    refused(chain, signed(chain, gas_limit=chain.application.params().block_gas_max), Rule.GAS_LIMIT)


def test_invalid_fee_below_the_cover(chain: Chain) -> None:
    refused(chain, signed(chain, max_fee=200_000 - 1), Rule.FEE)
    refused(chain, signed(chain, tip=1, max_fee=200_000), Rule.FEE)


def test_invalid_funds(chain: Chain) -> None:
    refused(chain, signed(chain, signer=chain.account("carol")), Rule.FUNDS)


def test_another_account_may_pay(chain: Chain) -> None:
    carol, bob = chain.account("carol"), chain.account("bob")
    before = chain.query(Bank.balance_of, account=bob.id)
    receipt = chain.submit(Bank.transfer.build(to=bob.id, amount=0), signer=carol, payer=bob)
    assert receipt.is_ok
    assert chain.query(Bank.balance_of, account=bob.id) == before - receipt.fee
    assert chain.nonce(carol.id) == 1
    assert chain.nonce(bob.id) == 0


def test_invalid_role_that_breaks_is_no_crash(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Bank, payer: bytes, amount: int) -> None:
        raise ZeroDivisionError("a bug")

    data = signed(chain)
    monkeypatch.setattr(Bank, "withdraw_fee", broken)
    with pytest.raises(InvalidBlock, match="role"):
        chain.block([data])


EARLY = [
    (Call("bank.nothing", b"\x90"), Rule.UNKNOWN_CALL, "bank.nothing", "UnknownCall"),
    (Call("nowhere.transfer", b"\x90"), Rule.UNKNOWN_CALL, "nowhere.transfer", "UnknownCall"),
    (Call("bank.transfer", b"\x90"), Rule.BAD_ARGUMENT, "bank.transfer", "BadArgument"),
    (Bank.print_money.build(to=b"\x01" * 32, amount=1), Rule.ORIGIN, "Root", "OriginRefused"),
]


@pytest.mark.parametrize(("call", "rule", "named", "error"), EARLY)
def test_invalid_calls_are_refused_early_and_are_receipts_in_a_block(
    chain: Chain, call: Call, rule: Rule, named: str, error: str
) -> None:
    data = signed(chain, call)
    with pytest.raises(InvalidTransaction, match=named) as refused_early:
        chain.application.check(data)
    assert refused_early.value.rule is rule
    receipt = chain.block([data]).receipts[0]
    assert receipt.error is not None
    assert (receipt.error.module, receipt.error.name) == ("runtime", error)
    assert 0 < receipt.gas_used < 1_000_000
    assert chain.nonce(chain.account("alice").id) == 1


# --- several keys


def multisig(threshold: int, keys: list[SigningKey], signing: list[int], digest: Hash) -> MultiKey:
    order = sorted(keys, key=lambda key: key.public_key)
    return MultiKey(
        threshold,
        tuple(key.public_key for key in order),
        tuple(KeySignature(each, order[each].sign(digest)) for each in signing),
    )


def multisig_transaction(
    chain: Chain, threshold: int, signing: list[int], change: Any = lambda auth: auth, count: int = 3
) -> bytes:
    from runtime import multisig_account

    keys = [chain.account(f"key {each}").key for each in range(count)]
    account = multisig_account(2, tuple(key.public_key for key in keys))
    chain.root(Bank.print_money.build(to=account, amount=10**9))
    body = Body(
        chain.application.genesis_hash, account, None, 0, (transfer(chain),), 10_000_000, 10**6, 0, (1 << 64) - 1
    )
    return encode_transaction(Transaction(body, (change(multisig(threshold, keys, signing, transaction_hash(body))),)))


def test_two_of_three_keys_sign(chain: Chain) -> None:
    assert chain.block([multisig_transaction(chain, 2, [0, 2])]).receipts[0].is_ok


def test_invalid_multisig_with_a_lower_threshold_is_another_account(chain: Chain) -> None:
    refused(chain, multisig_transaction(chain, 1, [0]), Rule.AUTH)


@pytest.mark.parametrize("signing", [[0], [0, 0], [2, 0], [0, 1, 2], []])
def test_invalid_multisig_signatures(chain: Chain, signing: list[int]) -> None:
    refused(chain, multisig_transaction(chain, 2, signing), Rule.AUTH)


def test_invalid_multisig_key_out_of_range(chain: Chain) -> None:
    def out_of_range(auth: MultiKey) -> MultiKey:
        return msgspec.structs.replace(
            auth, signatures=(auth.signatures[0], KeySignature(3, auth.signatures[1].signature))
        )

    refused(chain, multisig_transaction(chain, 2, [0, 1], out_of_range), Rule.AUTH)


def test_invalid_multisig_keys_unsorted(chain: Chain) -> None:
    def unsorted(auth: MultiKey) -> MultiKey:
        return msgspec.structs.replace(auth, public_keys=auth.public_keys[::-1])

    refused(chain, multisig_transaction(chain, 2, [0, 1], unsorted), Rule.AUTH)


def test_invalid_multisig_signature(chain: Chain) -> None:
    def swapped(auth: MultiKey) -> MultiKey:
        one, two = auth.signatures
        return msgspec.structs.replace(
            auth, signatures=(KeySignature(one.key, two.signature), KeySignature(two.key, one.signature))
        )

    refused(chain, multisig_transaction(chain, 2, [0, 1], swapped), Rule.SIGNATURE)


def test_the_hash_is_of_what_was_signed() -> None:
    body = Body(ZERO_HASH, b"\x01" * 32, None, 0, (Call("a.b", b""),), 1, 2, 3, 4)
    same = Transaction(body, (SingleKey(b"\x02" * 32, b"\x03" * 64),))
    assert transaction_hash(same.body) == transaction_hash(body)
    assert transaction_hash(msgspec.structs.replace(body, nonce=1)) != transaction_hash(body)
