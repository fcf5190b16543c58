"""The light client's one function: does this certificate prove its value to someone who trusts only the genesis?

The chain of trust: the genesis names the first validators; each step of the trail is a header that they (or their
successors) certified and that names the next set; the last set certified the header, whose state root the proof meets.
Pure, bounded by the certificate's size, and total: every refusal is a DecisionRefused that names the part.
"""

from __future__ import annotations

from runtime.consensus import (
    CertificateRefused,
    CommitCertificate,
    Header,
    ValidatorSet,
    ValidatorSetError,
    verify_commit,
)
from runtime.errors import CallerError
from runtime.light.decision import DECISION_VERSION, DecisionCertificate, TrailStep
from runtime.state import ProofError, verify_proof
from runtime.types import Hash


class DecisionRefused(CallerError):
    """A decision certificate that proves nothing. `part`: which part failed ("trail[2].header"); `reason`: why."""

    def __init__(self, part: str, reason: str) -> None:
        self.part = part
        self.reason = reason
        super().__init__(f"decision certificate refused, {part}: {reason}")


def verify_decision(decision: DecisionCertificate, *, genesis_hash: Hash, validators: ValidatorSet) -> None:
    """Raise DecisionRefused unless `decision` follows from the genesis; `validators` is the set of height 1."""
    if decision.version != DECISION_VERSION:
        raise DecisionRefused("version", f"{decision.version} is not {DECISION_VERSION}, the one this program knows")
    height = 0
    for index, step in enumerate(decision.trail):
        part = f"trail[{index}]"
        if step.header.height <= height:
            raise DecisionRefused(f"{part}.header", f"height {step.header.height} does not follow {height}")
        height = step.header.height
        _check_commit(part, step.header, step.certificate, genesis_hash, validators)
        validators = _next_set(part, step, validators)
    if decision.header.height <= height:
        raise DecisionRefused("header", f"height {decision.header.height} does not follow the trail's {height}")
    _check_commit("", decision.header, decision.certificate, genesis_hash, validators)
    try:
        verify_proof(decision.header.state_root, decision.module, decision.key, decision.value, decision.proof)
    except ProofError as error:
        raise DecisionRefused(f"proof.{error.part}", error.reason) from None


def _check_commit(
    part: str, header: Header, certificate: CommitCertificate, genesis_hash: Hash, validators: ValidatorSet
) -> None:
    try:
        verify_commit(header, certificate, genesis_hash=genesis_hash, validators=validators)
    except CertificateRefused as error:
        on_header = error.check in ("genesis_hash", "height", "validators_hash", "block_id")
        where = ("header" if on_header else "certificate") + f".{error.check}"
        raise DecisionRefused(f"{part}.{where}" if part else where, error.reason) from None


def _next_set(part: str, step: TrailStep, current: ValidatorSet) -> ValidatorSet:
    try:
        following = ValidatorSet.of(step.validators)
    except ValidatorSetError as error:
        raise DecisionRefused(f"{part}.validators", error.reason) from None
    if following.validators != step.validators:
        raise DecisionRefused(f"{part}.validators", "they are not by ascending public key")
    if following.hash != step.header.next_validators_hash:
        raise DecisionRefused(f"{part}.validators", "they are not the set that the header names")
    if following.hash == current.hash:
        raise DecisionRefused(part, "the step changes nothing: a trail holds changes only")
    return following
