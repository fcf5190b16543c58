"""The decision certificate: everything that proves one value of the state to someone who has the chain spec alone.

Lives here: its form and its canonical bytes. What must not: any trust; that is verify.py's.
"""

from __future__ import annotations

from typing import Annotated, Final

from runtime.codec import codec
from runtime.consensus import CommitCertificate, Header
from runtime.light.trail import Trail
from runtime.limits import STORAGE_KEY_BYTES_MAX, STORAGE_VALUE_BYTES_MAX
from runtime.state import StateProof
from runtime.types import U16, MaxLen, Name, Struct

DECISION_VERSION: Final = 1


class DecisionCertificate(Struct):
    """That `module` held `value` under `key` after the block of `header`.

    trail: every change of the validator set from genesis to that block, in order. proof: from the header's state root.
    """

    version: U16
    trail: Trail
    header: Header
    certificate: CommitCertificate
    module: Name
    key: Annotated[bytes, MaxLen(STORAGE_KEY_BYTES_MAX)]
    value: Annotated[bytes, MaxLen(STORAGE_VALUE_BYTES_MAX)]
    proof: StateProof


def encode_decision(decision: DecisionCertificate) -> bytes:
    """The canonical bytes of a certificate file."""
    return codec(DecisionCertificate).encode(decision)


def decode_decision(data: bytes) -> DecisionCertificate:
    """The certificate in a file's bytes. Raises CodecError naming the field that is not canonical."""
    decision: DecisionCertificate = codec(DecisionCertificate).decode(data)
    return decision
