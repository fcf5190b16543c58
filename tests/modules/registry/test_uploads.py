"""Registry: the way of a model onto the chain: deposits, chunks, expiry; by a model and by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from modules.accounts import Accounts
from modules.registry import Registry
from modules.registry.errors import (
    BadSize,
    ChunkHeld,
    ChunksMissing,
    NoSuchChunk,
    UnknownParent,
    UnknownPriceDenom,
    UnknownUpload,
    UploadExists,
    WrongChunk,
    WrongChunkCount,
    WrongChunkSize,
)
from modules.registry.events import ChunkUploaded, UploadBegun, UploadDropped
from modules.registry.protocol import Card, Price, Remark, Upload
from modules.registry.uploads import SWEPT_PER_BLOCK
from modules.tokens import Tokens
from modules.tokens.errors import InsufficientBalance
from runtime import Hash, hash_bytes, module_account
from runtime.execution import Chain
from runtime.limits import BLOB_CHUNK_BYTES_MAX
from runtime.state import blob_root, chunk_hash, split_chunks

ARM = "arm"
FUNDS = 10**9
BLOCKS = 5
CARD = Card(
    title="digits",
    version="1",
    licence="Apache-2.0",
    parents=(),
    remarks=(Remark(name="trained_on", text="scikit-learn's digits"),),
    price=Price(denom=ARM, amount=7),
)


def chain_of(**params: Any) -> Chain:
    people = [Chain().account(name).id for name in ("alice", "bob")]
    return Chain(
        Accounts,
        Tokens,
        Registry,
        genesis={"tokens": {"balances": {person: {ARM: FUNDS} for person in people}}},
        params={"registry": {"upload_blocks": BLOCKS} | params},
    )


@pytest.fixture
def chain() -> Chain:
    return chain_of()


def noise(seed: int, size: int) -> bytes:
    """Bytes that are no model: they can be uploaded, never completed."""
    return np.random.default_rng(seed).bytes(size)


def name_of(data: bytes) -> Hash:
    return hash_bytes("test", data)


def begin(source: bytes, card: Card = CARD, **changed: Any) -> Any:
    fields: dict[str, Any] = {
        "model": name_of(source),
        "size_bytes": len(source),
        "chunks": tuple(chunk_hash(chunk) for chunk in split_chunks(source)),
        "card": card,
    }
    return Registry.begin_upload.build(**(fields | changed))


def chunk(source: bytes, number: int, **changed: Any) -> Any:
    fields: dict[str, Any] = {"model": name_of(source), "index": number, "data": split_chunks(source)[number]}
    return Registry.upload_chunk.build(**(fields | changed))


def funds(chain: Chain, who: str) -> int:
    return chain.query(Tokens.balance_of, account=chain.account(who).id, denom=ARM)


def upload(chain: Chain, who: str, data: bytes) -> Upload | None:
    return chain.query(Registry.upload, owner=chain.account(who).id, model=name_of(data))


# --- a model of it all -----------------------------------------------------------------------------------------------

DATA = (noise(0, 10), noise(1, 500), noise(2, BLOB_CHUNK_BYTES_MAX + 1))


class UploadsAgainstAModel(RuleBasedStateMachine):
    """Uploads begin, fill, are cancelled and expire as a dictionary says; deposits go and come back with them."""

    people = st.sampled_from(["alice", "bob"])
    datas = st.sampled_from(DATA)

    @initialize()
    def begin_chain(self) -> None:
        self.chain = chain_of()
        self.model: dict[tuple[str, bytes], tuple[set[int], int]] = {}  # held chunks, expiry

    def send(self, call_: Any, who: str, allowed: bool) -> bool:
        receipt = self.chain.submit(call_, signer=self.chain.account(who))
        assert receipt.is_ok == allowed, self.chain.explanation
        return allowed

    def settle(self) -> None:
        """What the end of the block did, and that all is as the dictionary says."""
        height = self.chain.height
        self.model = {key: value for key, value in self.model.items() if value[1] > height}
        for who in ("alice", "bob"):
            deposits = [1000 + len(data) for owner, data in self.model if owner == who]
            assert funds(self.chain, who) == FUNDS - sum(deposits)
            for data in DATA:
                found, expected = upload(self.chain, who, data), self.model.get((who, data))
                assert (found is None) == (expected is None)
                if found is not None and expected is not None:
                    assert (found.held, found.expires) == (len(expected[0]), expected[1])
        live = self.chain.application.live_chunks()
        assert live == {
            chunk_hash(split_chunks(data)[index]) for (_, data), (held, _) in self.model.items() for index in held
        }

    @rule(who=people, data=datas)
    def begin(self, who: str, data: bytes) -> None:
        height = self.chain.height + 1
        if self.send(begin(data), who, (who, data) not in self.model):
            self.model[who, data] = (set(), height + BLOCKS)
        self.settle()

    @rule(who=people, data=datas, index=st.integers(0, 1))
    def bring(self, who: str, data: bytes, index: int) -> None:
        known = self.model.get((who, data))
        if index >= len(split_chunks(data)):
            return
        fine = known is not None and index not in known[0] and known[1] > self.chain.height + 1
        if self.send(chunk(data, index), who, fine) and known is not None:
            known[0].add(index)
        self.settle()

    @rule(who=people, data=datas)
    def cancel(self, who: str, data: bytes) -> None:
        known = self.model.get((who, data))
        fine = known is not None and known[1] > self.chain.height + 1
        if self.send(Registry.cancel_upload.build(model=name_of(data)), who, fine):
            del self.model[who, data]
        self.settle()

    @rule(count=st.integers(1, BLOCKS))
    def wait(self, count: int) -> None:
        self.chain.blocks(count)
        self.settle()


UploadsAgainstAModel.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestUploadsAgainstAModel = UploadsAgainstAModel.TestCase


# --- what happens, by name -------------------------------------------------------------------------------------------


def test_beginning_takes_the_deposit_and_says_until_when(chain: Chain) -> None:
    alice, data = chain.account("alice"), DATA[2]
    receipt = chain.submit(begin(data), signer=alice)
    deposit = 1000 + len(data)
    event = UploadBegun(
        owner=alice.id, model=name_of(data), size_bytes=len(data), deposit=deposit, expires=chain.height + BLOCKS
    )
    assert event in chain.events(receipt)
    assert funds(chain, "alice") == FUNDS - deposit
    assert chain.query(Tokens.balance_of, account=module_account("registry"), denom=ARM) == deposit
    found = upload(chain, "alice", data)
    assert found is not None
    assert (found.blob, found.chunks, found.held) == (blob_root(split_chunks(data)), 2, 0)


def test_an_upload_resumes_by_what_is_missing(chain: Chain) -> None:
    alice, data = chain.account("alice"), noise(3, 2 * BLOB_CHUNK_BYTES_MAX + 5)
    chain.submit(begin(data), signer=alice)
    receipt = chain.submit(chunk(data, 1), signer=alice)
    assert chain.events(receipt) == (ChunkUploaded(owner=alice.id, model=name_of(data), index=1, held=1),)

    def missing(after: int | None = None, limit: int = 64) -> tuple[int, ...]:
        return chain.query(Registry.missing_chunks, owner=alice.id, model=name_of(data), after=after, limit=limit)

    assert missing() == (0, 2)
    assert missing(after=0) == (2,)
    assert missing(limit=2) == (0,)
    for index in missing():
        assert chain.submit(chunk(data, index), signer=alice).is_ok
    assert missing() == ()


def test_an_upload_may_be_extended_in_no_way_and_is_dropped_in_time(chain: Chain) -> None:
    alice, data = chain.account("alice"), DATA[2]
    chain.submit(begin(data), signer=alice)
    chain.submit(chunk(data, 0), signer=alice)
    chain.blocks(BLOCKS - 2)
    assert upload(chain, "alice", data) is not None
    executed = chain.block()
    dropped = UploadDropped(owner=alice.id, model=name_of(data), deposit=1000 + len(data))
    assert dropped in [chain.decode_event(event) for event in executed.block_receipt.end_events]
    assert upload(chain, "alice", data) is None
    assert funds(chain, "alice") == FUNDS
    assert chain.application.live_chunks() == frozenset()
    assert chain.submit(begin(data), signer=alice).is_ok  # and may begin anew


def test_the_same_chunk_may_belong_to_several_uploads(chain: Chain) -> None:
    data = DATA[1]
    for who in ("alice", "bob"):
        assert chain.submit(begin(data), chunk(data, 0), signer=chain.account(who)).is_ok
    chain.submit(Registry.cancel_upload.build(model=name_of(data)), signer=chain.account("alice"))
    assert chain.application.live_chunks() == {chunk_hash(data)}
    chain.submit(Registry.cancel_upload.build(model=name_of(data)), signer=chain.account("bob"))
    assert chain.application.live_chunks() == frozenset()


def test_a_chunk_may_occur_twice_in_one_model(chain: Chain) -> None:
    alice, data = chain.account("alice"), bytes(2 * BLOB_CHUNK_BYTES_MAX)
    chain.submit(begin(data), signer=alice)
    for index in (0, 1):
        assert chain.submit(chunk(data, index), signer=alice).is_ok
    chain.submit(Registry.cancel_upload.build(model=name_of(data)), signer=alice)
    assert chain.application.live_chunks() == frozenset()


def test_many_uploads_that_end_at_once_are_cleared_over_several_blocks_within_the_hooks_gas() -> None:
    """One chunk each is the worst case: every unit of work ends an upload and moves a deposit."""
    chain = chain_of(upload_blocks=40)
    alice, count = chain.account("alice"), SWEPT_PER_BLOCK + 10
    pieces = [noise(number, 40) for number in range(count)]
    for first in range(0, count, 8):
        calls = [made for data in pieces[first : first + 8] for made in (begin(data), chunk(data, 0))]
        assert chain.submit(*calls, signer=alice).is_ok, chain.explanation
    cancels = [Registry.cancel_upload.build(model=name_of(data)) for data in pieces]
    nonce = chain.nonce(alice.id)
    executed = chain.block(
        [chain.transaction(*cancels[at : at + 16], signer=alice, nonce=nonce + at // 16) for at in range(0, count, 16)]
    )
    assert all(receipt.is_ok for receipt in executed.receipts)
    assert executed.faults == ()
    assert len(chain.application.live_chunks()) == 10
    assert chain.block().faults == ()
    assert chain.application.live_chunks() == frozenset()
    assert funds(chain, "alice") == FUNDS


def test_a_large_upload_is_cleared_over_several_blocks(chain: Chain) -> None:
    """More chunks than a block drops. Until the last is gone, it can neither go on nor begin anew."""
    alice, chunks = chain.account("alice"), SWEPT_PER_BLOCK + 20
    size = chunks * BLOB_CHUNK_BYTES_MAX
    names = tuple(chunk_hash(b"%d" % number) for number in range(chunks))
    large = Registry.begin_upload.build(model=name_of(b"large"), size_bytes=size, chunks=names, card=CARD)
    assert chain.submit(large, signer=alice).is_ok, chain.explanation
    assert chain.submit(Registry.cancel_upload.build(model=name_of(b"large")), signer=alice).is_ok
    assert funds(chain, "alice") == FUNDS - 1000 - size
    assert isinstance(chain.error(chain.submit(large, signer=alice)), UploadExists)
    assert funds(chain, "alice") == FUNDS
    assert chain.submit(large, signer=alice).is_ok


# --- what is refused -------------------------------------------------------------------------------------------------


def test_invalid_upload_that_is_under_way(chain: Chain, fails: Any) -> None:
    alice, data = chain.account("alice"), DATA[0]
    chain.submit(begin(data), signer=alice)
    fails(chain, begin(data), alice, UploadExists(model=name_of(data)))


def test_invalid_deposit_that_is_not_held(fails: Any) -> None:
    chain = chain_of(deposit_base=FUNDS)
    alice = chain.account("alice")
    expected = InsufficientBalance(account=alice.id, denom=ARM, held=FUNDS, amount=FUNDS + 10)
    fails(chain, begin(DATA[0]), alice, expected)


@pytest.mark.parametrize("size", [0, 2001, 1 << 63])
def test_invalid_size(fails: Any, size: int) -> None:
    chain = chain_of(model_bytes_max=2000)
    fails(chain, begin(DATA[0], size_bytes=size), chain.account("alice"), BadSize(size_bytes=size, limit=2000))


@pytest.mark.parametrize(
    ("size", "chunks"), [(10, 0), (10, 2), (BLOB_CHUNK_BYTES_MAX, 2), (BLOB_CHUNK_BYTES_MAX + 1, 1)]
)
def test_invalid_number_of_chunks(chain: Chain, fails: Any, size: int, chunks: int) -> None:
    call = begin(DATA[0], size_bytes=size, chunks=tuple(chunk_hash(b"x") for _ in range(chunks)))
    expected = -(-size // BLOB_CHUNK_BYTES_MAX)
    fails(chain, call, chain.account("alice"), WrongChunkCount(chunks=chunks, expected=expected))


def test_invalid_parent_that_is_not_registered(chain: Chain, fails: Any) -> None:
    parent = name_of(b"nobody knows it")
    card = Card(title="", version="", licence="", parents=(parent,), remarks=(), price=CARD.price)
    fails(chain, begin(DATA[0], card), chain.account("alice"), UnknownParent(parent=parent))


def test_invalid_price_in_an_unknown_denomination(chain: Chain, fails: Any) -> None:
    price = Price(denom="none", amount=1)
    card = Card(title="", version="", licence="", parents=(), remarks=(), price=price)
    fails(chain, begin(DATA[0], card), chain.account("alice"), UnknownPriceDenom(denom="none"))


def test_invalid_chunks(fails: Any) -> None:
    chain = chain_of(upload_blocks=50)
    alice, data = chain.account("alice"), DATA[2]
    chain.submit(begin(data), signer=alice)
    good = split_chunks(data)
    other = bytes([good[0][0] ^ 1]) + good[0][1:]
    fails(
        chain,
        chunk(data, 0, data=other),
        alice,
        WrongChunk(index=0, expected=chunk_hash(good[0]), found=chunk_hash(other)),
    )
    for wrong in (good[0][:-1], b""):
        fails(
            chain,
            chunk(data, 0, data=wrong),
            alice,
            WrongChunkSize(index=0, expected=BLOB_CHUNK_BYTES_MAX, found=len(wrong)),
        )
    fails(chain, chunk(data, 1, data=b"xy"), alice, WrongChunkSize(index=1, expected=1, found=2))
    fails(chain, chunk(data, 0, index=2), alice, NoSuchChunk(index=2, chunks=2))
    chain.submit(chunk(data, 0), signer=alice)
    fails(chain, chunk(data, 0), alice, ChunkHeld(index=0))
    assert chain.application.live_chunks() == {chunk_hash(good[0])}


def test_invalid_without_an_upload(chain: Chain, fails: Any) -> None:
    data, bob = DATA[0], chain.account("bob")
    chain.submit(begin(data), signer=chain.account("alice"))
    unknown = UnknownUpload(model=name_of(data))
    fails(chain, chunk(data, 0), bob, unknown)  # another's upload is not one's own
    fails(chain, Registry.complete_upload.build(model=name_of(data), nodes_max=1), bob, unknown)
    fails(chain, Registry.cancel_upload.build(model=name_of(data)), bob, unknown)


def test_invalid_completion_with_chunks_missing(chain: Chain, fails: Any) -> None:
    alice, data = chain.account("alice"), DATA[2]
    chain.submit(begin(data), chunk(data, 1), signer=alice)
    complete = Registry.complete_upload.build(model=name_of(data), nodes_max=1)
    fails(chain, complete, alice, ChunksMissing(held=1, chunks=2))


def test_invalid_in_the_block_in_which_it_expires(chain: Chain, fails: Any) -> None:
    alice, data = chain.account("alice"), DATA[0]
    chain.submit(begin(data), signer=alice)
    chain.blocks(BLOCKS - 1)
    receipt = chain.submit(chunk(data, 0), signer=alice)
    error = chain.error(receipt)
    assert isinstance(error, UnknownUpload)
