"""What a module may know of the block it runs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.types import ZERO_HASH, PublicKey

NOBODY: Final = PublicKey(ZERO_HASH)
"""In place of a proposer where there is none."""


@dataclass(frozen=True, slots=True)
class Offence:
    """A validator's equivocation, proven in this block. height: where it was committed."""

    public_key: PublicKey
    height: int


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """height: from 1; the genesis is 0. time_ms: of the proposal, milliseconds since 1970. last_signers: the validators
    whose precommits are in the certificate of the block before."""

    height: int
    time_ms: int
    proposer: PublicKey = NOBODY
    evidence: tuple[Offence, ...] = ()
    last_signers: tuple[PublicKey, ...] = ()
