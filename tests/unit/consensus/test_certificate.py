"""Certificates: nothing about one can be changed without being refused, with the part named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.codec import codec
from runtime.consensus import (
    CertificateRefused,
    CommitCertificate,
    Header,
    PolkaCertificate,
    VoteKind,
    certificate_hash,
    verify_certificate,
    verify_commit,
)
from runtime.consensus.certificate import certificate_of, votes_of
from runtime.crypto import hash_bytes
from runtime.errors import CodecError
from runtime.testing.validators import GENESIS_HASH, SigningValidators
from runtime.types import ZERO_HASH

FOUR = SigningValidators((10, 10, 10, 10))
BLOCK = FOUR.block(FOUR.genesis_parent(), transactions=(b"one",))
HEADER = BLOCK.header
CERTIFICATE = FOUR.certificate(BLOCK.id, round_=2, signers=(0, 1, 3))
ENCODED: bytes = codec(CommitCertificate).encode(CERTIFICATE)
ENCODED_HEADER: bytes = codec(Header).encode(HEADER)
CHECKS = {"genesis_hash", "height", "validators_hash", "block_id", "order", "signer", "power", "signature"}


def check(header: Header = HEADER, certificate: CommitCertificate = CERTIFICATE, **changed: Any) -> None:
    trusted: dict[str, Any] = {"genesis_hash": GENESIS_HASH, "validators": FOUR.validators} | changed
    verify_commit(header, certificate, **trusted)


def test_a_quorum_of_precommits_proves_the_header() -> None:
    check()
    check(certificate=FOUR.certificate(BLOCK.id))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(ENCODED) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_certificate_is_refused(place: int, difference: int) -> None:
    changed = ENCODED[:place] + bytes([ENCODED[place] ^ difference]) + ENCODED[place + 1 :]
    try:
        certificate = codec(CommitCertificate).decode(changed)
    except CodecError:  # names the field by itself
        return
    with pytest.raises(CertificateRefused) as refused:
        check(certificate=certificate)
    assert refused.value.check in CHECKS


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(ENCODED_HEADER) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_header_is_refused(place: int, difference: int) -> None:
    changed = ENCODED_HEADER[:place] + bytes([ENCODED_HEADER[place] ^ difference]) + ENCODED_HEADER[place + 1 :]
    try:
        header = codec(Header).decode(changed)
    except CodecError:
        return
    with pytest.raises(CertificateRefused) as refused:
        check(header=header)
    assert refused.value.check in {"genesis_hash", "height", "validators_hash", "block_id"}


ENTRIES = CERTIFICATE.signatures
WRONG: dict[str, tuple[str, CommitCertificate]] = {
    "another height": ("height", replace(CERTIFICATE, height=2)),
    "another block": ("block_id", replace(CERTIFICATE, block_id=ZERO_HASH)),
    "another round": ("signature", replace(CERTIFICATE, round=3)),
    "not sorted": ("order", replace(CERTIFICATE, signatures=ENTRIES[::-1])),
    "a signer twice": ("order", replace(CERTIFICATE, signatures=(ENTRIES[0], *ENTRIES))),
    "two signers": ("power", replace(CERTIFICATE, signatures=ENTRIES[:2])),
    "nobody": ("power", replace(CERTIFICATE, signatures=())),
    "a stranger": ("signer", SigningValidators((1,) * 5).certificate(BLOCK.id, round_=2)),
    "exchanged signatures": (
        "signature",
        replace(
            CERTIFICATE,
            signatures=(
                replace(ENTRIES[0], signature=ENTRIES[1].signature),
                replace(ENTRIES[1], signature=ENTRIES[0].signature),
                ENTRIES[2],
            ),
        ),
    ),
    "prevotes as precommits": (
        "signature",
        CommitCertificate(1, 2, BLOCK.id, FOUR.polka(BLOCK.id, round_=2).signatures),
    ),
    "another chain's": (
        "signature",
        SigningValidators((10,) * 4, hash_bytes("armillary/testing", b"fork")).certificate(BLOCK.id, round_=2),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_certificates_are_refused_by_name(name: str) -> None:
    expected, certificate = WRONG[name]
    with pytest.raises(CertificateRefused) as refused:
        check(certificate=certificate)
    assert refused.value.check == expected
    assert expected in str(refused.value)


def test_invalid_trust_is_refused_by_name() -> None:
    with pytest.raises(CertificateRefused, match="genesis_hash"):
        check(genesis_hash=ZERO_HASH)
    with pytest.raises(CertificateRefused, match="validators_hash"):
        check(validators=SigningValidators((1, 2, 3, 4)).validators)


def test_a_superfluous_false_signature_spoils_a_certificate() -> None:
    """Otherwise one header had many certificates, and garbage rode along in blocks."""
    entries = FOUR.certificate(BLOCK.id, round_=2).signatures
    spoilt = replace(entries[3], signature=entries[2].signature)
    with pytest.raises(CertificateRefused, match="signature"):
        check(certificate=replace(CERTIFICATE, signatures=(*entries[:3], spoilt)))


def test_power_counts_not_heads() -> None:
    unequal = SigningValidators((70, 10, 10, 10))
    verify_certificate(
        unequal.certificate(BLOCK.id, signers=(0,)), genesis_hash=GENESIS_HASH, validators=unequal.validators
    )
    with pytest.raises(CertificateRefused, match="power"):
        verify_certificate(
            unequal.certificate(BLOCK.id, signers=(1, 2, 3)), genesis_hash=GENESIS_HASH, validators=unequal.validators
        )


def test_exactly_two_thirds_are_not_enough() -> None:
    three = SigningValidators((1, 1, 1))
    with pytest.raises(CertificateRefused, match="power"):
        verify_certificate(
            three.certificate(BLOCK.id, signers=(0, 1)), genesis_hash=GENESIS_HASH, validators=three.validators
        )


def test_a_polka_certificate_proves_prevotes_only() -> None:
    polka = FOUR.polka(BLOCK.id, round_=2)
    verify_certificate(polka, genesis_hash=GENESIS_HASH, validators=FOUR.validators)
    with pytest.raises(CertificateRefused, match="signature"):
        verify_certificate(
            PolkaCertificate(1, 2, BLOCK.id, CERTIFICATE.signatures),
            genesis_hash=GENESIS_HASH,
            validators=FOUR.validators,
        )


def test_votes_and_certificate_are_two_forms_of_one_thing() -> None:
    polka = FOUR.polka(BLOCK.id)
    for certificate in (CERTIFICATE, polka):
        assert certificate_of(votes_of(certificate)) == certificate
    assert {vote.kind for vote in votes_of(polka)} == {VoteKind.PREVOTE}
    assert certificate_hash(CERTIFICATE) != certificate_hash(replace(CERTIFICATE, round=3))


def test_invalid_votes_make_no_certificate() -> None:
    for votes in ([], [FOUR.vote(0, VoteKind.PRECOMMIT, None)]):
        with pytest.raises(ValueError, match="votes for a block"):
            certificate_of(votes)
