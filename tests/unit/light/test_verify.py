"""A decision certificate proves its value from the genesis alone, and every byte of it counts."""

from __future__ import annotations

import functools
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.consensus import (
    HEADER_VERSION,
    CommitCertificate,
    CommitSignature,
    Header,
    UnsignedVote,
    Validator,
    ValidatorSet,
    VoteKind,
    block_id,
    vote_sign_bytes,
)
from runtime.crypto import SigningKey, hash_bytes
from runtime.errors import CodecError
from runtime.light import (
    DecisionCertificate,
    DecisionRefused,
    TrailStep,
    decode_decision,
    encode_decision,
    verify_decision,
)
from runtime.state import MemoryStore
from runtime.types import ZERO_HASH, Hash, Name

GENESIS = hash_bytes("test/genesis", b"a chain")
KEYS = [SigningKey.from_seed(bytes([number]) * 32) for number in range(1, 8)]
FIRST = ValidatorSet.of(Validator(key.public_key, 10) for key in KEYS[:4])
SECOND = ValidatorSet.of(Validator(key.public_key, 10 + at) for at, key in enumerate(KEYS[1:6]))
THIRD = ValidatorSet.of(Validator(key.public_key, 7) for key in KEYS[3:7])


def header(height: int, now: ValidatorSet, following: ValidatorSet, state_root: Hash = ZERO_HASH) -> Header:
    return Header(
        version=HEADER_VERSION,
        genesis_hash=GENESIS,
        height=height,
        time_ms=1_000 * height,
        proposer=now.validators[0].public_key,
        last_block_id=ZERO_HASH,
        last_certificate_hash=ZERO_HASH,
        evidence_hash=ZERO_HASH,
        transactions_root=ZERO_HASH,
        state_root=state_root,
        receipts_root=ZERO_HASH,
        validators_hash=now.hash,
        next_validators_hash=following.hash,
    )


def certify(block: Header, signers: ValidatorSet) -> CommitCertificate:
    identity = block_id(block)
    by_key = {key.public_key: key for key in KEYS}
    vote = UnsignedVote(VoteKind.PRECOMMIT, block.height, 0, identity, signers.validators[0].public_key)
    message = vote_sign_bytes(GENESIS, vote)
    signatures = [CommitSignature(v.public_key, by_key[v.public_key].sign(message)) for v in signers.validators]
    return CommitCertificate(block.height, 0, identity, tuple(signatures))


@functools.cache
def decision() -> DecisionCertificate:
    """A value at height 30, after changes of the validators at 5 and 17."""
    store = MemoryStore()
    items = {bytes([number]): b"value %d" % number for number in range(40)}
    store.commit(store.prepare(0, {"oracle": items, "tokens": {b"x": b"y"}}))
    steps = []
    for height, (now, following) in zip((5, 17), pairwise((FIRST, SECOND, THIRD)), strict=True):
        block = header(height, now, following)
        steps.append(TrailStep(block, certify(block, now), following.validators))
    last = header(30, THIRD, THIRD, store.root)
    proof = store.prove("oracle", b"\x07")
    return DecisionCertificate(1, tuple(steps), last, certify(last, THIRD), Name("oracle"), b"\x07", b"value 7", proof)


def refused(certificate: DecisionCertificate, genesis_hash: Hash = GENESIS, first: ValidatorSet = FIRST) -> str:
    with pytest.raises(DecisionRefused) as caught:
        verify_decision(certificate, genesis_hash=genesis_hash, validators=first)
    return caught.value.part


def changed(**fields: object) -> DecisionCertificate:
    whole = decision()
    return DecisionCertificate(**{name: fields.get(name, getattr(whole, name)) for name in whole.__struct_fields__})


def test_a_true_certificate_is_accepted() -> None:
    verify_decision(decode_decision(encode_decision(decision())), genesis_hash=GENESIS, validators=FIRST)


@settings(max_examples=400)
@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    raw = bytearray(encode_decision(decision()))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((CodecError, DecisionRefused)):
        verify_decision(decode_decision(bytes(raw)), genesis_hash=GENESIS, validators=FIRST)


@given(st.data())
def test_any_truncation_is_refused(data: st.DataObject) -> None:
    raw = encode_decision(decision())
    with pytest.raises(CodecError):
        decode_decision(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_invalid_genesis_hash_is_named() -> None:
    assert refused(decision(), genesis_hash=hash_bytes("test/genesis", b"another")) == "trail[0].header.genesis_hash"


def test_invalid_first_validators_are_named() -> None:
    assert refused(decision(), first=SECOND) == "trail[0].header.validators_hash"


def test_invalid_trail_without_a_step_is_named() -> None:
    assert refused(changed(trail=decision().trail[:1])) == "header.validators_hash"


def test_invalid_trail_order_is_named() -> None:
    assert refused(changed(trail=decision().trail[::-1])) == "trail[0].header.validators_hash"
    assert refused(changed(trail=(decision().trail[0],) * 2)) == "trail[1].header"


def test_invalid_header_that_does_not_follow_the_trail_is_named() -> None:
    for height in (17, 3):
        block = header(height, THIRD, THIRD, decision().header.state_root)
        assert refused(changed(header=block, certificate=certify(block, THIRD))) == "header"


def test_invalid_idle_step_is_named() -> None:
    block = header(3, FIRST, FIRST)
    idle = TrailStep(block, certify(block, FIRST), FIRST.validators)
    assert refused(changed(trail=(idle, *decision().trail))) == "trail[0]"


def test_invalid_step_with_other_validators_is_named() -> None:
    first, second = decision().trail
    forged = TrailStep(second.header, second.certificate, FIRST.validators)
    assert refused(changed(trail=(first, forged))) == "trail[1].validators"


def test_invalid_certificate_below_a_quorum_is_named() -> None:
    whole = decision().certificate
    weak = CommitCertificate(whole.height, whole.round, whole.block_id, whole.signatures[:2])
    assert refused(changed(certificate=weak)) == "certificate.power"


def test_invalid_value_key_and_module_are_named() -> None:
    assert refused(changed(value=b"value 8")) == "proof.value"
    assert refused(changed(key=b"\x08")).startswith("proof.")
    assert refused(changed(module=Name("tokens"))).startswith("proof.")


def test_invalid_version_is_named() -> None:
    assert refused(changed(version=2)) == "version"
