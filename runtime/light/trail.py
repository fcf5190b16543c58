"""From a chain's genesis to a header: by changes of the validator set between, each certified by the set before it.

Lives here: the form of that way, and its verification, pure and bounded by its size. Must not: know what is proven
under the header's state root (decision.py, query.py).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from runtime.consensus import (
    CertificateRefused,
    CommitCertificate,
    Header,
    Validator,
    ValidatorSet,
    ValidatorSetError,
    verify_commit,
)
from runtime.errors import CallerError
from runtime.limits import VALIDATORS_MAX
from runtime.types import Hash, MaxLen, Struct

TRAIL_STEPS_MAX: Final = 4096


class ProofRefused(CallerError):
    """A file that proves nothing. `part`: which part of it failed ("trail[2].header"); `reason`: why."""

    WHAT: ClassVar[str] = "proof"

    def __init__(self, part: str, reason: str) -> None:
        self.part = part
        self.reason = reason
        super().__init__(f"{self.WHAT} refused, {part}: {reason}")


class TrailStep(Struct):
    """A height after which the validator set changed: its header names the next set, its certificate proves the
    header, and `validators` is that next set, by ascending public key."""

    header: Header
    certificate: CommitCertificate
    validators: Annotated[tuple[Validator, ...], MaxLen(VALIDATORS_MAX)]


Trail = Annotated[tuple[TrailStep, ...], MaxLen(TRAIL_STEPS_MAX)]
"""Every change of the validator set from the genesis to some block, in order."""


def verify_header(
    header: Header,
    certificate: CommitCertificate,
    trail: tuple[TrailStep, ...],
    *,
    genesis_hash: Hash,
    validators: ValidatorSet,
    refused: type[ProofRefused] = ProofRefused,
) -> None:
    """Raise `refused` unless the header follows from the genesis; `validators` is the set of height 1.

    Each step of the trail is a header that the set so far certified and that names the next set; the last set certified
    the header itself.
    """
    height = 0
    for index, step in enumerate(trail):
        part = f"trail[{index}]"
        if step.header.height <= height:
            raise refused(f"{part}.header", f"height {step.header.height} does not follow {height}")
        height = step.header.height
        _check_commit(refused, f"{part}.", step.header, step.certificate, genesis_hash, validators)
        validators = _next_set(refused, part, step, validators)
    if header.height <= height:
        raise refused("header", f"height {header.height} does not follow the trail's {height}")
    _check_commit(refused, "", header, certificate, genesis_hash, validators)


def _check_commit(
    refused: type[ProofRefused],
    prefix: str,
    header: Header,
    certificate: CommitCertificate,
    genesis_hash: Hash,
    validators: ValidatorSet,
) -> None:
    try:
        verify_commit(header, certificate, genesis_hash=genesis_hash, validators=validators)
    except CertificateRefused as error:
        on_header = error.check in ("genesis_hash", "height", "validators_hash", "block_id")
        where = "header" if on_header else "certificate"
        raise refused(f"{prefix}{where}.{error.check}", error.reason) from None


def _next_set(refused: type[ProofRefused], part: str, step: TrailStep, current: ValidatorSet) -> ValidatorSet:
    try:
        following = ValidatorSet.of(step.validators)
    except ValidatorSetError as error:
        raise refused(f"{part}.validators", error.reason) from None
    if following.validators != step.validators:
        raise refused(f"{part}.validators", "they are not by ascending public key")
    if following.hash != step.header.next_validators_hash:
        raise refused(f"{part}.validators", "they are not the set that the header names")
    if following.hash == current.hash:
        raise refused(part, "the step changes nothing: a trail holds changes only")
    return following
