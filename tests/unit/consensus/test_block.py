"""Blocks and their parts: what is checked without executing, each rule by its name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.codec import codec
from runtime.consensus import (
    EVIDENCE_AGE_HEIGHTS_MAX,
    PART_BYTES,
    PARTS_MAX,
    Block,
    Equivocation,
    MessageRefused,
    Part,
    PartSet,
    VoteKind,
    check_block,
    check_proposed_header,
    decode_block,
    encode_block,
    evidence_hash,
    last_certificate_hash,
    split_block,
    transactions_root,
)
from runtime.limits import BLOCK_BYTES_MAX
from runtime.testing.validators import SigningValidators
from runtime.types import ZERO_HASH, Hash

FOUR = SigningValidators()
FIRST = FOUR.block(FOUR.genesis_parent(), transactions=(b"one", b"two"))
PARENT = FOUR.parent(FIRST)
OFFENCE = Equivocation.of(*(FOUR.vote(3, VoteKind.PREVOTE, value) for value in (None, Hash(b"x" * 32))))
SECOND = FOUR.block(PARENT, transactions=(b"three",), evidence=(OFFENCE,))


def test_built_blocks_follow_each_other() -> None:
    check_block(FIRST, FOUR.genesis_parent())
    check_block(SECOND, PARENT)
    assert decode_block(encode_block(SECOND)) == SECOND
    assert SECOND.id != FIRST.id


def with_header(**changed: Any) -> Block:
    return replace(SECOND, header=replace(SECOND.header, **changed))


def with_body(**changed: Any) -> Block:
    """A changed body that the header commits to."""
    block = replace(SECOND, **changed)
    header = replace(
        block.header,
        transactions_root=transactions_root(block.transactions),
        evidence_hash=evidence_hash(block.evidence),
        last_certificate_hash=last_certificate_hash(block.last_certificate),
    )
    return replace(block, header=header)


def offence(height: int, number: int = 3) -> Equivocation:
    return Equivocation.of(
        *(FOUR.vote(number, VoteKind.PREVOTE, value, height=height) for value in (None, Hash(b"x" * 32)))
    )


GOOD = SECOND.last_certificate
WRONG_HEADERS: dict[str, Any] = {
    "version": 2,
    "genesis_hash": ZERO_HASH,
    "height": 3,
    "time_ms": FIRST.header.time_ms,
    "proposer": SigningValidators((1,) * 5).key(4),
    "last_block_id": ZERO_HASH,
    "last_certificate_hash": ZERO_HASH,
    "evidence_hash": ZERO_HASH,
    "transactions_root": ZERO_HASH,
    "validators_hash": ZERO_HASH,
    "next_validators_hash": ZERO_HASH,
}


@pytest.mark.parametrize("field", WRONG_HEADERS)
def test_invalid_headers_are_refused_by_field(field: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        check_block(with_header(**{field: WRONG_HEADERS[field]}), PARENT)
    assert (refused.value.what, refused.value.check) == ("block", field)


def test_every_field_of_the_header_is_checked_or_is_a_root_of_execution() -> None:
    assert set(FIRST.header.__struct_fields__) == {*WRONG_HEADERS, "state_root", "receipts_root"}


def test_invalid_bodies_are_refused_by_part() -> None:
    few = FOUR.certificate(FIRST.id, signers=(0, 1))
    wrong = {
        "transactions_root": replace(SECOND, transactions=(b"three", b"four")),
        "evidence_hash": replace(SECOND, evidence=()),
        "last_certificate_hash": replace(SECOND, last_certificate=few),
    }
    for check, block in wrong.items():
        with pytest.raises(MessageRefused) as refused:
            check_block(block, PARENT)
        assert refused.value.check == check


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (None, "missing"),
        (FOUR.certificate(FIRST.id, signers=(0, 1)), "power"),
        (FOUR.certificate(SECOND.id), "another block"),
        (FOUR.certificate(FIRST.id, height=2), "another block"),
        (SigningValidators(genesis_hash=ZERO_HASH).certificate(FIRST.id), "signature"),
    ],
)
def test_invalid_last_certificates_are_refused(certificate: Any, reason: str) -> None:
    with pytest.raises(MessageRefused, match=reason) as refused:
        check_block(with_body(last_certificate=certificate), PARENT)
    assert refused.value.check == "last_certificate"


def test_invalid_a_certificate_before_the_first_block() -> None:
    block = replace(
        FIRST,
        last_certificate=FOUR.certificate(FIRST.id),
        header=replace(FIRST.header, last_certificate_hash=last_certificate_hash(FOUR.certificate(FIRST.id))),
    )
    with pytest.raises(MessageRefused, match="height 1 has none"):
        check_block(block, FOUR.genesis_parent())


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        ((offence(2),), "allowed are"),
        ((OFFENCE, OFFENCE), "two pieces"),
        ((Equivocation(OFFENCE.second, OFFENCE.first),), "order"),
        ((replace(OFFENCE, second=replace(OFFENCE.second, signature=OFFENCE.first.signature)),), "signature"),
    ],
)
def test_invalid_evidence_is_refused(evidence: tuple[Equivocation, ...], reason: str) -> None:
    with pytest.raises(MessageRefused, match=reason) as refused:
        check_block(with_body(evidence=evidence), PARENT)
    assert refused.value.check == "evidence"


def test_invalid_evidence_of_long_ago_or_of_an_unknown_set_is_refused() -> None:
    old = dataclasses.replace(PARENT, height=EVIDENCE_AGE_HEIGHTS_MAX + 1)
    certificate = FOUR.certificate(FIRST.id, height=old.height)
    block = with_body(last_certificate=certificate)
    block = replace(block, header=replace(block.header, height=old.height + 1))
    with pytest.raises(MessageRefused, match="allowed are"):
        check_block(block, old)
    with pytest.raises(MessageRefused, match="not known"):
        check_block(SECOND, dataclasses.replace(PARENT, validators_at=lambda height: None))


def test_blocks_and_proposals_agree_or_the_proposal_is_refused() -> None:
    header, block_id = FIRST.header, FIRST.id
    good = FOUR.proposal(0, block_id, time_ms=header.time_ms)
    check_proposed_header(good, header)
    check_proposed_header(FOUR.proposal(1, block_id, round_=1, valid_round=0, time_ms=header.time_ms), header)
    for proposal, check in (
        (FOUR.proposal(0, SECOND.id, time_ms=header.time_ms), "block_id"),
        (FOUR.proposal(0, block_id, time_ms=header.time_ms + 1), "time_ms"),
        (FOUR.proposal(0, block_id, height=2, time_ms=header.time_ms), "height"),
        (FOUR.proposal(1, block_id, round_=1, time_ms=header.time_ms), "proposer"),
    ):
        with pytest.raises(MessageRefused) as refused:
            check_proposed_header(proposal, header)
        assert refused.value.check == check


def test_invalid_encodings_are_refused_with_the_field() -> None:
    encoded = encode_block(SECOND)
    for wrong in (encoded + b"\0", encoded[:-1], b"", b"\xc1", bytes(BLOCK_BYTES_MAX + 1)):
        with pytest.raises(MessageRefused) as refused:
            decode_block(wrong)
        assert refused.value.check in ("encoding", "size")
    large = tuple(bytes(320 * 1024) for _ in range(14))
    with pytest.raises(MessageRefused, match="size"):
        encode_block(with_body(transactions=large))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5 * PART_BYTES), st.randoms(use_true_random=False))
def test_parts_in_any_order_make_the_bytes_again(size: int, random: Any) -> None:
    data = random.randbytes(size)
    split = split_block(data)
    parts = PartSet(part_count=split.part_count, part_root=split.part_root, block_bytes=split.block_bytes)
    shuffled = list(split.parts)
    random.shuffle(shuffled)
    for number, part in enumerate(shuffled):
        assert not parts.complete
        assert len(parts.missing) == len(shuffled) - number
        with pytest.raises(MessageRefused, match="missing"):
            parts.assemble()
        assert parts.add(codec(Part).decode(codec(Part).encode(part)))
        assert not parts.add(part), "the same part twice"
        assert parts.get(part.index) == part
    assert parts.assemble() == data
    assert parts.missing == ()


def test_a_full_block_makes_the_most_parts() -> None:
    split = split_block(bytes(BLOCK_BYTES_MAX))
    assert split.part_count == PARTS_MAX
    assert codec(Part).decode(codec(Part).encode(split.parts[-1])) == split.parts[-1]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_invalid_parts_are_refused_at_once(data: st.DataObject) -> None:
    split = split_block(b"".join(bytes([number]) * PART_BYTES for number in range(4)))
    parts = PartSet(part_count=split.part_count, part_root=split.part_root, block_bytes=split.block_bytes)
    good = split.parts[data.draw(st.integers(0, 3))]
    flip = data.draw(st.integers(0, len(good.data) - 1))
    proof_flip = data.draw(st.integers(0, len(good.proof) - 1))
    for wrong, check in (
        (replace(good, index=split.part_count), "index"),
        (replace(good, data=good.data[:-1]), "size"),
        (replace(good, data=good.data[:flip] + bytes([good.data[flip] ^ 1]) + good.data[flip + 1 :]), "proof"),
        (replace(good, proof=(*good.proof[:proof_flip], ZERO_HASH, *good.proof[proof_flip + 1 :])), "proof"),
        (replace(good, proof=good.proof[:-1]), "proof"),
        (replace(good, index=good.index ^ 1), "proof"),
    ):
        with pytest.raises(MessageRefused) as refused:
            parts.add(wrong)
        assert refused.value.check == check
    assert len(parts.missing) == split.part_count


def test_invalid_sizes_are_refused_before_anything_is_kept() -> None:
    for count, size in ((0, 0), (1, BLOCK_BYTES_MAX + 1), (1, PART_BYTES + 1), (3, PART_BYTES)):
        with pytest.raises(MessageRefused):
            PartSet(part_count=count, part_root=ZERO_HASH, block_bytes=size)
    with pytest.raises(MessageRefused, match="block_bytes"):
        split_block(b"")
