"""The query proof: a question, its answer, and all that was read of the state to answer it, proven.

A query is a pure function of the state. So its answer is proven by the header whose state root it is under, and by the
witness of every read: whoever has the modules answers the question anew from the witness alone (runtime.execution), and
whoever has not still has proven keys and values (verify.py).

Lives here: its form and its canonical bytes. Must not: trust anything, or run a query.
"""

from __future__ import annotations

from typing import Annotated, Final

from runtime.codec import codec
from runtime.consensus import CommitCertificate, Header
from runtime.light.trail import Trail
from runtime.limits import CALL_ARGUMENTS_BYTES_MAX
from runtime.state import Witness
from runtime.types import U16, MaxLen, Name, Pattern, Struct

QUERY_PROOF_VERSION: Final = 1
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
MAGIC: Final = "armillary-query-proof"


class StateRead(Struct):
    """What was read of the state after the block of `header`. trail: every change of the validator set from the genesis
    to that block, in order. witness: the reads, proven from the header's state root."""

    trail: Trail
    header: Header
    certificate: CommitCertificate
    witness: Witness


class QueryProof(Struct):
    """That `query` of `module` answers `answer` to `arguments`, both canonical bytes, after the block of the read's
    header. magic: always MAGIC, so that a file tells what it is."""

    magic: Annotated[str, Pattern(MAGIC, len(MAGIC))]
    version: U16
    module: Name
    query: Name
    arguments: Annotated[bytes, MaxLen(CALL_ARGUMENTS_BYTES_MAX)]
    answer: Annotated[bytes, MaxLen(ANSWER_BYTES_MAX)]
    read: StateRead


def is_query_proof(data: bytes) -> bool:
    """Whether a file's bytes say that they are a query proof, true or not."""
    return MAGIC.encode() in data[: 2 * len(MAGIC)]


def encode_query_proof(proof: QueryProof) -> bytes:
    """The canonical bytes of a query proof's file."""
    return codec(QueryProof).encode(proof)


def decode_query_proof(data: bytes) -> QueryProof:
    """The proof in a file's bytes. Raises CodecError naming the field that is not canonical."""
    proof: QueryProof = codec(QueryProof).decode(data)
    return proof
