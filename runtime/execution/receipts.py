"""Receipts: what a block did, hashed into its header.

A receipt for each transaction, in order, and one for the block itself (hooks, validator updates): the leaves of the
Merkle tree whose root is the header's receipts root. Nothing in here depends on a library's wording.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from runtime.codec import codec
from runtime.crypto import merkle_proof, merkle_root, verify_merkle
from runtime.execution.genesis import MODULES_MAX
from runtime.limits import EVENTS_PER_TRANSACTION_MAX
from runtime.module import ErrorRecord, EventRecord
from runtime.module.roles import ValidatorPowers
from runtime.types import U64, U128, Hash, MaxLen, Struct

DOMAIN: Final = "armillary/receipts"
EVENTS_MAX: Final = 3 * EVENTS_PER_TRANSACTION_MAX  # of withdrawing the fee, the calls, settling the fee
BLOCK_EVENTS_MAX: Final = (MODULES_MAX + 2) * EVENTS_PER_TRANSACTION_MAX


class Receipt(Struct):
    """error: None where the calls succeeded. fee: what the payer paid, tip included, base units. events: of the calls;
    a failed transaction has none."""

    transaction: Hash
    error: ErrorRecord | None
    gas_used: U64
    fee: U128
    events: Annotated[tuple[EventRecord, ...], MaxLen(EVENTS_MAX)]

    @property
    def is_ok(self) -> bool:
        """Whether all calls succeeded."""
        return self.error is None


class BlockReceipt(Struct):
    """What a block did besides its transactions. validator_updates: they act two heights later; power 0 removes."""

    height: U64
    gas_used: U64
    begin_events: Annotated[tuple[EventRecord, ...], MaxLen(BLOCK_EVENTS_MAX)]
    end_events: Annotated[tuple[EventRecord, ...], MaxLen(BLOCK_EVENTS_MAX)]
    validator_updates: ValidatorPowers


def receipt_leaves(receipts: Sequence[Receipt], block: BlockReceipt) -> list[bytes]:
    """The leaves under the receipts root: the transactions' in order, the block's last."""
    encode = codec(Receipt).encode
    return [*(encode(receipt) for receipt in receipts), codec(BlockReceipt).encode(block)]


def receipts_root(leaves: Sequence[bytes]) -> Hash:
    """What the header carries."""
    return merkle_root(DOMAIN, leaves)


def receipt_proof(leaves: Sequence[bytes], index: int) -> tuple[Hash, ...]:
    """The way from leaf `index` to the receipts root. Raises IndexError."""
    return merkle_proof(DOMAIN, leaves, index)


def verify_receipt(leaf: bytes, index: int, count: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf` is number `index` of `count` leaves under a receipts root; the block's is the last. Total."""
    return verify_merkle(DOMAIN, leaf, index, count, proof, root)
