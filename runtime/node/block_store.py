"""Records beside the state: blocks, certificates, receipts, where a transaction is, validator sets, the tip.

They are written in the same atomic commit as the state of their block. Keys: one letter, then big-endian heights, so
that ranges iterate in order. What must not live here: writing; the executor commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Protocol

from runtime.codec import codec
from runtime.consensus import (
    Block,
    CommitCertificate,
    Equivocation,
    Validators,
    ValidatorSet,
    decode_block,
)
from runtime.limits import BLOCK_EVENT_BYTES_MAX, BLOCK_TRANSACTIONS_MAX
from runtime.node.tip import Tip, TipRecord
from runtime.sync import SyncedBlock
from runtime.types import U32, U64, Hash, MaxLen, Struct

RECEIPT_BYTES_MAX: Final = 2 * BLOCK_EVENT_BYTES_MAX  # all events may be of one transaction, or of hooks
Receipts = Annotated[tuple[Annotated[bytes, MaxLen(RECEIPT_BYTES_MAX)], ...], MaxLen(BLOCK_TRANSACTIONS_MAX + 1)]
"""One for each transaction, and the block's own."""
_TIP: Final = b"t"


class Location(Struct):
    """Where a transaction is: its block's height and its number in it."""

    height: U64
    index: U32


class ExtraReader(Protocol):
    """What of a state store is read here."""

    def get_extra(self, key: bytes) -> bytes | None:
        """One record of the last commit; None where there is none."""
        ...

    def iterate_extra(
        self, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Records in the order of their keys. start: from this key on; limit: so many at most."""
        ...


def _at(letter: bytes, height: int) -> bytes:
    return letter + height.to_bytes(8, "big")


def _evidence_key(evidence: Equivocation) -> bytes:
    return _at(b"e", evidence.height) + evidence.offender


def block_records(
    tip: Tip, block: Block, encoded: bytes, hashes: Sequence[Hash], leaves: Sequence[bytes]
) -> dict[bytes, bytes | None]:
    """What is committed with a block. tip: the one that the block makes; hashes: of its transactions; leaves: under the
    receipts root."""
    assert tip.certificate is not None
    assert tip.last_validators is not None
    records: dict[bytes, bytes | None] = {
        _TIP: codec(TipRecord).encode(tip.record),
        _at(b"b", tip.height): encoded,
        _at(b"c", tip.height): codec(CommitCertificate).encode(tip.certificate),
        _at(b"r", tip.height): codec(Receipts).encode(tuple(leaves)),
    }
    for offset, validators in enumerate((tip.last_validators, tip.validators, tip.next_validators)):
        if tip.height == 1 or offset == 2:  # the first block brings the sets that the genesis made known
            records[_at(b"v", tip.height + offset)] = codec(Validators).encode(validators.validators)
    if block.header.validators_hash != block.header.next_validators_hash:
        records[_at(b"n", tip.height)] = b""
    for index, hash_ in enumerate(hashes):
        records[b"x" + hash_] = codec(Location).encode(Location(tip.height, index))
    for evidence in block.evidence:
        records[_evidence_key(evidence)] = b""
    return records


class BlockStore:
    """Reads the records. Any thread may."""

    def __init__(self, store: ExtraReader) -> None:
        self._store = store

    def tip(self) -> Tip | None:
        """The persisted tip; None before the first block."""
        found = self._store.get_extra(_TIP)
        return None if found is None else Tip.from_record(codec(TipRecord).decode(found))

    def encoded_block(self, height: int) -> bytes | None:
        """The block's canonical bytes; None where it is not held."""
        return self._store.get_extra(_at(b"b", height))

    def block(self, height: int) -> Block | None:
        """None where it is not held."""
        encoded = self.encoded_block(height)
        return None if encoded is None else decode_block(encoded)

    def certificate(self, height: int) -> CommitCertificate | None:
        """The commit certificate that decided the block of this height; None where it is not held."""
        found = self._store.get_extra(_at(b"c", height))
        return None if found is None else codec(CommitCertificate).decode(found)

    def synced_block(self, height: int) -> SyncedBlock | None:
        """A block with its certificate, as block sync serves it."""
        encoded, certificate = self.encoded_block(height), self.certificate(height)
        return None if encoded is None or certificate is None else SyncedBlock(encoded, certificate)

    def receipts(self, height: int) -> tuple[bytes, ...]:
        """The leaves under a block's receipts root, its transactions' first; none where the block is not held."""
        found = self._store.get_extra(_at(b"r", height))
        return () if found is None else codec(Receipts).decode(found)

    def location(self, hash_: Hash) -> Location | None:
        """By the transaction's name; None where it is in no block that is held."""
        found = self._store.get_extra(b"x" + hash_)
        return None if found is None else codec(Location).decode(found)

    def validators_at(self, height: int) -> ValidatorSet | None:
        """The members and powers at a height, without priorities; None where they are not held."""
        found = self._store.get_extra(_at(b"v", height))
        return None if found is None else ValidatorSet.of(codec(Validators).decode(found))

    def set_changes(self, below: int) -> Iterator[int]:
        """The heights under `below` after which the validator set is another one, ascending."""
        for key, _ in self._store.iterate_extra(b"n"):
            height = int.from_bytes(key[1:], "big")
            if height >= below:
                return
            yield height

    def has_evidence(self, evidence: Equivocation) -> bool:
        """Whether a block already holds evidence of this offence."""
        return self._store.get_extra(_evidence_key(evidence)) is not None
