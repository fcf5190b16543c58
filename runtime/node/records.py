"""What the consensus write-ahead log holds: the driver's inputs, and the blocks that they speak of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from runtime.codec import codec
from runtime.consensus import (
    CertificateReceived,
    DriverInput,
    PolkaReceived,
    ProposalContradicted,
    ProposalReceived,
    Start,
    TimeoutExpired,
    Validated,
    ValueProposed,
    VoteReceived,
)
from runtime.errors import CodecError
from runtime.limits import BLOCK_BYTES_MAX
from runtime.node.errors import JournalCorrupted
from runtime.types import MaxLen, Struct


class LoggedBlock(Struct, tag=64):
    """A block that was judged or built here, logged before the input that says so."""

    block: Annotated[bytes, MaxLen(BLOCK_BYTES_MAX)]


WalRecord = (
    Start | ProposalReceived | VoteReceived | CertificateReceived | PolkaReceived
    | TimeoutExpired | ValueProposed | Validated | ProposalContradicted | LoggedBlock
)  # fmt: skip


def encode_record(record: DriverInput | LoggedBlock) -> bytes:
    """A record's canonical bytes."""
    encoded: bytes = codec(WalRecord).encode(record)
    return encoded


def decode_records(records: Iterable[bytes]) -> tuple[tuple[DriverInput, ...], tuple[bytes, ...]]:
    """The inputs and the blocks of a height's log. Raises JournalCorrupted for a record of another version."""
    inputs: list[DriverInput] = []
    blocks: list[bytes] = []
    for record in records:
        try:
            found = codec(WalRecord).decode(record)
        except CodecError as error:
            raise JournalCorrupted(f"the consensus log holds a record of another version: {error}") from error
        if isinstance(found, LoggedBlock):
            blocks.append(found.block)
        else:
            inputs.append(found)
    return tuple(inputs), tuple(blocks)
