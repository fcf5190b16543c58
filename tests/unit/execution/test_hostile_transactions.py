"""Hostile transactions and blocks: whatever the bytes, a node answers with the declared refusals and nothing else.

Anything else that check or execute raises would stop every validator that meets the block.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime import Call, MultiKey, SingleKey
from runtime.codec import codec
from runtime.errors import CallerError
from runtime.execution import (
    BlockInputs,
    Body,
    Chain,
    Executed,
    InvalidBlock,
    InvalidTransaction,
    Rule,
    Transaction,
    encode_transaction,
    transaction_hash,
)
from runtime.limits import TRANSACTION_BYTES_MAX
from runtime.module import KeySignature, multisig_account
from runtime.module.services import Tensor
from runtime.testing.strategies import from_schema, from_type, near_encodings

PEOPLE = ("alice", "bob", "carol", "dora")


def inputs_of(chain: Chain, *transactions: bytes) -> BlockInputs:
    return BlockInputs(chain.height + 1, chain.time_ms + 1_000, transactions)


def runs_or_is_refused(chain: Chain, *transactions: bytes) -> Executed | None:
    """The block executes twice to the same, or is refused by name. Nothing is committed."""
    before = chain.application.state_root
    executed, again = (attempt(chain, *transactions) for _ in range(2))
    assert chain.application.state_root == before
    if isinstance(executed, InvalidBlock) or isinstance(again, InvalidBlock):
        assert str(executed) == str(again)
        assert isinstance(executed, InvalidBlock)
        assert executed.index is not None
        assert executed.rule in list(Rule)
        return None
    assert (executed.state_root, executed.leaves) == (again.state_root, again.leaves)
    return executed


def attempt(chain: Chain, *transactions: bytes) -> Executed | InvalidBlock:
    try:
        return chain.application.execute(inputs_of(chain, *transactions))
    except InvalidBlock as refused:
        return refused


def sign(chain: Chain, body: Body, *names: str) -> bytes:
    digest = transaction_hash(body)
    keys = [chain.account(name).key for name in names]
    return encode_transaction(Transaction(body, tuple(SingleKey(key.public_key, key.sign(digest)) for key in keys)))


def body_of(chain: Chain, *calls: Call, sender: str = "alice", **fields: Any) -> Body:
    account = chain.account(sender).id
    made = Body(
        chain.application.genesis_hash,
        account,
        None,
        chain.nonce(account),
        calls,
        gas_limit=20_000_000,
        max_fee=10**9,
        tip=0,
        last_valid_height=1 << 40,
    )
    return replace(made, **fields)


# --- strategies ------------------------------------------------------------------------------------------------------


def any_call(chain: Chain, good: dict[str, Call]) -> st.SearchStrategy[Call]:
    """A call that works, one with any arguments of its types, with bytes that only look like them, or of any name."""
    targets = [target.info for target in chain.application.composition.targets.values()]

    def of_types(info: Any) -> st.SearchStrategy[Call]:
        arguments = from_schema(info.codec.schema).map(info.codec.encode) | near_encodings(info.arguments)
        return st.builds(Call, st.just(info.full_name), arguments)

    return st.one_of(
        st.sampled_from(list(good.values())),
        st.sampled_from(targets).flatmap(of_types),
        from_type(Call),
        st.builds(Call, st.sampled_from([info.full_name for info in targets]), st.binary(max_size=40)),
    )


EDGES = st.sampled_from([0, 1, 150_000, 2_000_000, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
AMOUNTS = st.sampled_from([0, 1, 10**6, 10**15, (1 << 127), (1 << 128) - 1])


@st.composite
def bodies(draw: st.DrawFn, chain: Chain, good: dict[str, Call], sent: dict[str, int]) -> tuple[Body, list[str]]:
    """A body, often with one field at an edge, and who signs it. sent: how many each has in the block already."""
    sender = draw(st.sampled_from(PEOPLE))
    calls = draw(st.lists(any_call(chain, good), min_size=1, max_size=3))
    body = body_of(chain, *calls, sender=sender)
    body = replace(body, nonce=body.nonce + sent.get(sender, 0))
    sent[sender] = sent.get(sender, 0) + 1
    edges: dict[str, Any] = {
        "calls": st.lists(any_call(chain, good), max_size=16).map(tuple),
        "nonce": EDGES | st.integers(0, 20),
        "gas_limit": EDGES | st.integers(300_000, 1_000_000),
        "max_fee": AMOUNTS,
        "tip": AMOUNTS,
        "last_valid_height": EDGES,
        "fee_payer": st.sampled_from([chain.account(name).id for name in PEOPLE]),
    }
    field = draw(st.sampled_from(["", "", "", "fee_payer", "tip", *edges]))
    if field:
        body = replace(body, **{field: draw(edges[field])})
    names = [sender]
    if body.fee_payer is not None and body.fee_payer != body.sender:
        names.append(next(name for name in PEOPLE if chain.account(name).id == body.fee_payer))
    return body, names


def attack(whole: Chain, good: dict[str, Call], examples: int) -> None:
    """Signed transactions of all kinds, several in a block; mutated bytes between them."""
    counted = {"executed": 0, "refused": 0}

    @settings(max_examples=examples, deadline=None, database=None)
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        block: list[bytes] = []
        sent: dict[str, int] = {}
        for _ in range(data.draw(st.integers(1, 3))):
            body, names = data.draw(bodies(whole, good, sent))
            block.append(sign(whole, body, *names))
        match data.draw(st.integers(0, 7)):
            case 6:
                block.append(data.draw(st.sampled_from(block)))
            case 7:
                block.append(data.draw(near_encodings(Transaction)))
        for each in block:
            with suppress(InvalidTransaction):
                whole.application.check(each)
        executed = runs_or_is_refused(whole, *block)
        proposed, dropped = whole.application.propose(inputs_of(whole), block)
        assert len(dropped) + len(proposed.transactions) == len(block)
        same = whole.application.execute(inputs_of(whole, *proposed.transactions))
        assert (same.state_root, same.leaves) == (proposed.state_root, proposed.leaves)
        assert (executed is None) == bool(dropped)
        counted["refused" if executed is None else "executed"] += 1

    run()
    assert min(counted.values()) > examples // 20, f"one side is hardly reached: {counted}"


def test_any_block_executes_alike_or_is_refused_by_name(whole: Chain, good_calls: dict[str, Call]) -> None:
    attack(whole, good_calls, 60)


@pytest.mark.soak
def test_any_block_executes_alike_or_is_refused_by_name_at_length(whole: Chain, good_calls: dict[str, Call]) -> None:
    attack(whole, good_calls, 5_000)


@given(data=st.binary(max_size=300) | near_encodings(Transaction))
@settings(max_examples=120, deadline=None)
def test_invalid_bytes_are_refused_by_name(whole: Chain, data: bytes) -> None:
    for door in (whole.application.prepare, whole.application.check, whole.application.simulate):
        with pytest.raises(InvalidTransaction):
            door(data)
    assert runs_or_is_refused(whole, data) is None


# --- one transaction, one spelling, once -----------------------------------------------------------------------------


@given(place=st.integers(0, 10_000), insert=st.binary(max_size=3), cut=st.integers(0, 3))
@settings(max_examples=400, deadline=None)
def test_no_other_bytes_are_the_same_transaction(
    whole: Chain, good_calls: dict[str, Call], place: int, insert: bytes, cut: int
) -> None:
    """Without the key nobody makes a second spelling: any change of the bytes is refused."""
    data = whole.transaction(good_calls["transfer"], signer=whole.account("alice"), nonce=8, gas_limit=900_000)
    at = place % (len(data) + 1)
    changed = data[:at] + insert + data[at + cut :]
    if changed == data:
        return
    with pytest.raises(InvalidTransaction):
        whole.application.prepare(changed)


def second_signature(chain: Chain, body: Body) -> bytes:
    """The same body, signed anew by the same key with another nonce of Ed25519: a valid signature with other bytes."""
    key = chain.account("alice").key
    order = 2**252 + 27742317777372353535851937790883648493
    expanded = hashlib.sha512(key.seed).digest()
    scalar = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

    nonce = 0xA4A1
    point = crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little"))
    digest = transaction_hash(body)
    challenge = int.from_bytes(hashlib.sha512(point + key.public_key + digest).digest(), "little")
    signature = point + ((nonce + challenge * scalar) % order).to_bytes(32, "little")
    return encode_transaction(Transaction(body, (SingleKey(key.public_key, signature),)))  # type: ignore[arg-type] # 64 bytes


def test_a_body_signed_twice_is_one_transaction(whole: Chain, good_calls: dict[str, Call]) -> None:
    """Its signer can spell it in two ways: both have one hash and one nonce, so only one of them is in a chain."""
    body = body_of(whole, good_calls["transfer"])
    first, second = sign(whole, body, "alice"), second_signature(whole, body)
    assert first != second
    one, other = whole.application.check(first), whole.application.check(second)
    assert (one.hash, one.nonce) == (other.hash, other.nonce)
    for pair in ((first, second), (second, first), (first, first)):
        with pytest.raises(InvalidBlock) as refused:
            whole.application.execute(inputs_of(whole, *pair))
        assert (refused.value.rule, refused.value.index) == (Rule.NONCE_LOW, 1)


def test_a_multisig_chooses_its_signers_and_still_signs_one_transaction(
    whole: Chain, good_calls: dict[str, Call]
) -> None:
    people = sorted((whole.account(name).key for name in PEOPLE), key=lambda key: key.public_key)
    keys = tuple(key.public_key for key in people)
    body = replace(body_of(whole, good_calls["transfer"]), sender=multisig_account(2, keys), nonce=0)
    digest = transaction_hash(body)

    def signed(*places: int) -> bytes:
        by = tuple(KeySignature(place, people[place].sign(digest)) for place in places)
        return encode_transaction(Transaction(body, (MultiKey(2, keys, by),)))

    hashes = {whole.application.prepare(signed(*pair)).hash for pair in ((0, 1), (0, 3), (2, 3))}
    assert hashes == {digest}
    for bad in ((1, 0), (0, 0), (0,), (0, 1, 2)):
        with pytest.raises(InvalidTransaction) as refused:
            whole.application.prepare(signed(*bad))
        assert refused.value.rule is Rule.AUTH


def test_a_signature_for_another_account_is_refused(whole: Chain, good_calls: dict[str, Call]) -> None:
    body = body_of(whole, good_calls["transfer"])
    for data in (
        sign(whole, body, "bob"),
        sign(whole, replace(body, fee_payer=whole.account("dora").id), "alice", "bob"),
        sign(whole, replace(body, fee_payer=whole.account("dora").id), "dora", "alice"),
        sign(whole, replace(body, fee_payer=whole.account("dora").id), "alice"),
        sign(whole, replace(body, fee_payer=body.sender), "alice", "alice"),
    ):
        with pytest.raises(InvalidTransaction) as refused:
            whole.application.check(data)
        assert refused.value.rule is Rule.AUTH
    assert whole.application.check(sign(whole, replace(body, fee_payer=body.sender), "alice")).nonce == body.nonce


# --- authority -------------------------------------------------------------------------------------------------------


def test_a_signature_reaches_no_call_of_root(whole: Chain) -> None:
    """Every call of every module that does not take Signed, with arguments that Root could use."""
    closed = [
        target.info
        for target in whole.application.composition.targets.values()
        if "Signed" not in {origin.__name__ for origin in target.info.origins}
    ]
    assert {info.full_name for info in closed} >= {"tokens.create_denom", "validators.add", "validators.remove"}
    before = whole.application.store.module_roots()
    for info in closed:

        @settings(max_examples=3, deadline=None, database=None)
        @given(arguments=from_schema(info.codec.schema))
        def refused(info: Any, arguments: Any) -> None:
            call = Call(info.full_name, info.codec.encode(arguments))
            executed = runs_or_is_refused(whole, sign(whole, body_of(whole, call), "alice"))
            assert executed is not None
            error = executed.receipts[0].error
            assert error is not None
            assert (error.module, error.name) == ("runtime", "OriginRefused")
            changed = {name for name, root in executed.module_roots.items() if before.get(name) != root}
            assert changed <= {"accounts", "tokens", "runtime"}

        refused(info)


@pytest.mark.parametrize("name", ["runtime.put_chunk", "runtime.genesis", "tokens.withdraw_fee", "tokens.move", "a.b"])
def test_methods_that_are_no_calls_cannot_be_called(whole: Chain, name: str) -> None:
    executed = runs_or_is_refused(whole, sign(whole, body_of(whole, Call(name, b"\x90")), "alice"))
    assert executed is not None
    error = executed.receipts[0].error
    assert error is not None
    assert (error.module, error.name) == ("runtime", "UnknownCall")


# --- hostile arguments of the oracle ---------------------------------------------------------------------------------

U32_MAX = (1 << 32) - 1


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((0, 2), b""),
        ((0, U32_MAX, U32_MAX, U32_MAX), b""),
        ((0,) * 8, b""),
        ((1, 0), b""),
        ((1, U32_MAX, U32_MAX, U32_MAX, 0), b""),
        ((U32_MAX,) * 8, b""),
        ((1,) * 8, bytes(8)),
        ((2, 2), bytes(31)),
        ((256, 2), b"\x7f" * 4096),
    ],
)
def test_invalid_tensors_are_refused_by_name(whole: Chain, shape: tuple[int, ...], data: bytes) -> None:
    """Not as a fault of the module's code, whose detail would be a library's."""
    good = whole.application.composition.targets["oracle.infer"].info
    model = next(iter(model for model in registered(whole)))
    for name in ("x", "y"):
        call = good.method.build(model=model, inputs=(Tensor(name, shape, data),))
        executed = runs_or_is_refused(whole, sign(whole, body_of(whole, call), "alice"))
        assert executed is not None
        error = executed.receipts[0].error
        assert error is not None
        assert error.name in ("InputRefused", "TooManyRows", "NoInput"), executed.explanations


def registered(chain: Chain) -> list[Any]:
    found = chain.application.query("registry", "page", {"after": None, "limit": 64})
    return [entry.model for entry in found]


def test_queries_answer_any_bytes_with_a_refusal_by_name(whole: Chain) -> None:
    for module, metadata in whole.application.metadata.items():
        for name, info in metadata.queries.items():

            @settings(max_examples=5, deadline=None, database=None)
            @given(arguments=near_encodings(info.arguments))
            def ask(asked: tuple[str, str], arguments: bytes) -> None:
                try:
                    whole.application.query(*asked, arguments)
                except CallerError:
                    return

            ask((module, name))


def test_a_transaction_above_the_bound_is_refused_unread(whole: Chain) -> None:
    with pytest.raises(InvalidTransaction) as refused:
        whole.application.prepare(bytes(TRANSACTION_BYTES_MAX + 1))
    assert refused.value.rule is Rule.SIZE


def test_the_codec_of_transactions_knows_one_spelling() -> None:
    @settings(max_examples=80, deadline=None)
    @given(data=near_encodings(Transaction))
    def run(data: bytes) -> None:
        made = codec(Transaction)
        try:
            value = made.decode(data)
        except CallerError:
            return
        assert made.encode(value) == data

    run()
