"""What the mempool knows of a transaction, and its answers. No bytes are decoded here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from runtime.types import AccountId, Hash

PRICE_SCALE = 1 << 32


@dataclass(frozen=True)
class Checked:
    """A transaction that passed the shell's check against the state after the last block.

    hash: of its bytes. transaction: the chain's name for it, by which people ask; whoever signs the same body in two
    ways has two of the former and one of the latter, so that a spoiled copy cannot keep the good one out.
    next_nonce: the sender's next nonce in that state. A higher nonce waits until those before it arrive.
    fee, tip: what the sender offers, in base units; the order is by their sum per gas.
    last_valid_height: the last height whose block may hold it.
    """

    hash: Hash
    transaction: Hash
    data: bytes
    sender: AccountId
    nonce: int
    next_nonce: int
    gas_limit: int
    fee: int
    tip: int
    last_valid_height: int

    @property
    def size(self) -> int:
        """In bytes, as the bounds of the pool and the block count it."""
        return len(self.data)

    @property
    def offer(self) -> int:
        """Everything that the sender pays at most for it, in base units."""
        return self.fee + self.tip

    @property
    def price(self) -> int:
        """The offer per gas, in 2**-32 base units, rounded down."""
        return self.offer * PRICE_SCALE // max(self.gas_limit, 1)


class Rule(StrEnum):
    """Why a transaction is not taken."""

    DUPLICATE = "duplicate"
    COMMITTED = "committed"
    EXPIRED = "expired"
    NONCE_USED = "nonce used"
    NONCE_TOO_FAR = "nonce too far"
    UNDERPRICED = "underpriced replacement"
    SENDER_FULL = "sender full"
    POOL_FULL = "pool full"
    CHECK_FAILED = "check failed"


@dataclass(frozen=True)
class Added:
    """Taken. `replaced` and `evicted` are the hashes that had to go for it."""

    hash: Hash
    replaced: Hash | None = None
    evicted: tuple[Hash, ...] = field(default=())


@dataclass(frozen=True)
class Rejected:
    """Not taken; the pool is as it was. `reason` is one sentence with the values."""

    rule: Rule
    reason: str
