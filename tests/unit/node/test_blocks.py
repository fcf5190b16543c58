"""Blocks in flight, the tip and the records beside the state: what is assembled, advanced and found again."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.codec import codec
from runtime.consensus import (
    Block,
    CommitCertificate,
    CommitSignature,
    Equivocation,
    Header,
    MessageRefused,
    Part,
    Proposal,
    Start,
    UnsignedProposal,
    UnsignedVote,
    Validator,
    VoteKind,
    block_id,
    encode_block,
    evidence_hash,
    split_block,
    transactions_root,
    vote_sign_bytes,
)
from runtime.crypto import SigningKey
from runtime.node.block_store import BlockStore, block_records
from runtime.node.errors import JournalCorrupted
from runtime.node.evidence_pool import EVIDENCE_WAITING_MAX, EvidencePool
from runtime.node.flight import EARLY_PARTS_MAX, Flight
from runtime.node.records import LoggedBlock, decode_records, encode_record
from runtime.node.tip import Tip, TipRecord
from runtime.sync import SyncedBlock
from runtime.types import ZERO_HASH, Hash, PublicKey, Signature

KEYS = sorted((SigningKey.from_seed(bytes([index]) * 32) for index in range(1, 5)), key=lambda key: key.public_key)
GENESIS = Hash(b"g" * 32)
TIP = Tip.genesis(1000, Hash(b"s" * 32), [Validator(key.public_key, 10) for key in KEYS])


def make_block(tip: Tip, transactions: tuple[bytes, ...] = (), evidence: tuple[Equivocation, ...] = ()) -> Block:
    header = Header(
        version=1,
        genesis_hash=GENESIS,
        height=tip.height + 1,
        time_ms=tip.time_ms + 5,
        proposer=KEYS[0].public_key,
        last_block_id=tip.block_id,
        last_certificate_hash=ZERO_HASH,
        evidence_hash=evidence_hash(evidence),
        transactions_root=transactions_root(transactions),
        state_root=Hash(b"r" * 32),
        receipts_root=ZERO_HASH,
        validators_hash=tip.validators.hash,
        next_validators_hash=tip.next_validators.hash,
    )
    return Block(header, transactions, evidence, None)


def make_proposal(block: Block, *, encoded: bytes | None = None, time_ms: int | None = None) -> Proposal:
    split = split_block(encoded or encode_block(block))
    unsigned = UnsignedProposal(
        height=block.header.height,
        round=0,
        valid_round=None,
        block_id=block.id,
        part_count=split.part_count,
        part_root=split.part_root,
        block_bytes=split.block_bytes,
        time_ms=block.header.time_ms if time_ms is None else time_ms,
        proposer=block.header.proposer,
    )
    return unsigned.signed(Signature(bytes(64)))


def equivocation(key: SigningKey, height: int) -> Equivocation:
    votes = []
    for block in (b"\1" * 32, b"\2" * 32):
        unsigned = UnsignedVote(VoteKind.PREVOTE, height, 0, Hash(block), key.public_key)
        votes.append(unsigned.signed(key.sign(vote_sign_bytes(GENESIS, unsigned))))
    return Equivocation.of(*votes)


# --- blocks in flight
# ---------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 300_000), st.integers(0, 999), st.integers(0, 6))
def test_a_block_is_whole_once_its_parts_are_there_in_any_order_around_its_proposal(
    size: int, seed: int, before: int
) -> None:
    rng = random.Random(seed)
    block = make_block(TIP, (rng.randbytes(size),))
    proposal, parts = make_proposal(block), list(split_block(encode_block(block)).parts)
    rng.shuffle(parts)
    parts += rng.choices(parts, k=2)
    flight = Flight()
    for index, part in enumerate(parts):
        if index == before:
            flight.add_proposal(proposal)
        flight.add_part(proposal.part_root, part)
    flight.add_proposal(proposal)
    assert flight.whole[block.id].block == block
    assert flight.whole[block.id].encoded == encode_block(block)
    assert flight.contradicts(0, block.id) is False


def test_a_proposal_that_misstates_its_block_is_noticed() -> None:
    block, other = make_block(TIP), make_block(TIP, (b"x",))
    for proposal, pieces in (
        (make_proposal(block, time_ms=1), encode_block(block)),
        (make_proposal(block, encoded=encode_block(other)), encode_block(other)),
        (make_proposal(block, encoded=b"no block at all"), b"no block at all"),
    ):
        flight = Flight()
        flight.add_proposal(proposal)
        assert flight.contradicts(0, block.id) is None
        for part in split_block(pieces).parts:
            flight.add_part(proposal.part_root, part)
        assert flight.contradicts(0, block.id) is True
        assert flight.contradicts(1, block.id) is None


def test_invalid_parts_are_refused_and_early_ones_bounded() -> None:
    block = make_block(TIP, (bytes(200_000),))
    proposal, parts = make_proposal(block), split_block(encode_block(block)).parts
    spoiled = Part(parts[0].index, parts[0].data[:-1] + b"x", parts[0].proof)
    flight = Flight()
    flight.add_part(proposal.part_root, spoiled)
    flight.add_proposal(proposal)
    with pytest.raises(MessageRefused, match="proof"):
        flight.add_part(proposal.part_root, spoiled)
    for part in parts:
        flight.add_part(proposal.part_root, part)
    assert block.id in flight.whole
    flooded = Flight()
    for index in range(EARLY_PARTS_MAX + 50):
        flooded.add_part(Hash(index.to_bytes(32, "big")), spoiled)
    assert flooded._early_count == EARLY_PARTS_MAX


# --- the tip and the records
# --------------------------------------------------------------------------------------------


class Extra:
    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}

    def commit(self, records: dict[bytes, bytes | None]) -> None:
        self.records |= {key: value for key, value in records.items() if value is not None}

    def get_extra(self, key: bytes) -> bytes | None:
        return self.records.get(key)

    def iterate_extra(
        self, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(item for item in self.records.items() if item[0].startswith(prefix)))


def test_the_sets_move_on_and_updates_act_two_heights_later() -> None:
    tips = [TIP]
    newcomer = Validator(PublicKey(b"\xee" * 32), 7)
    for height in range(1, 6):
        block = make_block(tips[-1])
        certificate = CommitCertificate(height, 0, block.id, ())
        updates = [newcomer] if height == 2 else []
        tips.append(tips[-1].advance(block.header, block.id, certificate, updates))
    in_set = [newcomer.public_key in tip.validators for tip in tips]  # of height + 1
    assert in_set == [False, False, False, True, True, True]
    assert tips[2].next_validators.hash == tips[3].validators.hash == tips[4].last_validators.hash  # type: ignore[union-attr]  # only the genesis has none
    proposers = [tip.validators.proposer for tip in tips[:4]]
    assert len(set(proposers)) > 1, "turns change"
    for tip in tips:
        assert Tip.from_record(codec(TipRecord).decode(codec(TipRecord).encode(tip.record))) == tip


def test_everything_of_a_block_is_found_again() -> None:
    extra, tip = Extra(), TIP
    store = BlockStore(extra)
    assert store.tip() is None
    evidence = equivocation(KEYS[2], 1)
    for height in range(1, 4):
        block = make_block(tip, (b"a%d" % height, b"b"), (evidence,) if height == 3 else ())
        certificate = CommitCertificate(
            height, 0, block.id, (CommitSignature(KEYS[0].public_key, Signature(bytes(64))),)
        )
        updates = [Validator(KEYS[3].public_key, 0)] if height == 1 else []
        tip = tip.advance(block.header, block.id, certificate, updates)
        names = [Hash(bytes([height, index]) * 16) for index in range(2)]
        extra.commit(block_records(tip, block, encode_block(block), names, [b"r0", b"r1", b"block"]))
        assert store.tip() == tip
        assert store.block(height) == block
        assert store.certificate(height) == certificate
        assert store.synced_block(height) == SyncedBlock(encode_block(block), certificate)
        assert store.receipts(height) == (b"r0", b"r1", b"block")
        location = store.location(names[1])
        assert location is not None
        assert (location.height, location.index) == (height, 1)
    sizes = {height: len(found) for height in range(1, 7) if (found := store.validators_at(height)) is not None}
    assert sizes == {1: 4, 2: 4, 3: 3, 4: 3, 5: 3}
    assert list(store.set_changes(10)) == [2]
    assert list(store.set_changes(2)) == []
    assert store.has_evidence(evidence)
    assert not store.has_evidence(equivocation(KEYS[1], 1))
    assert store.block(9) is None
    assert store.synced_block(9) is None
    assert store.receipts(9) == ()
    assert store.location(ZERO_HASH) is None
    assert block_id(make_block(TIP).header) != ZERO_HASH


# --- evidence, the log's records
# ----------------------------------------------------------------------------------------


def test_evidence_waits_once_until_a_block_holds_it_or_it_is_too_old() -> None:
    committed: set[PublicKey] = set()
    pool = EvidencePool(lambda evidence: evidence.offender in committed)
    one, two = equivocation(KEYS[0], 5), equivocation(KEYS[1], 3)
    assert pool.add(one)
    assert pool.add(two)
    assert not pool.add(one)
    assert pool.select(5) == (two,), "evidence of the block's own height comes later"
    assert pool.select(6) == (two, one)
    committed.add(one.offender)
    assert pool.select(6) == (two,)
    assert pool.select(200_000) == ()
    assert pool.select(6) == ()


def test_waiting_evidence_is_bounded() -> None:
    pool = EvidencePool(lambda evidence: False)
    for height in range(EVIDENCE_WAITING_MAX + 5):
        pool.add(equivocation(KEYS[0], height + 1))
    assert len(pool._waiting) == EVIDENCE_WAITING_MAX
    assert len(pool.select(10_000)) <= 16


def test_log_records_come_back_and_other_versions_are_refused() -> None:
    block = encode_block(make_block(TIP))
    records = [encode_record(Start(4)), encode_record(LoggedBlock(block)), encode_record(Start(5))]
    assert decode_records(records) == ((Start(4), Start(5)), (block,))
    with pytest.raises(JournalCorrupted, match="another version"):
        decode_records([b"\x91\x63"])
