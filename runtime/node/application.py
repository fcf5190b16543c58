"""What the node needs of the execution: a narrow Protocol, owned here, and the values that cross it.

The node never looks into transactions, receipts or state. Methods are blocking; the executor calls those that take
long in a worker thread, one at a time. `check`, `recheck`, `simulate` and `query` may be called while one runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runtime.consensus import Synchrony, Timeouts, Validator
from runtime.crypto import hash_bytes
from runtime.mempool import Checked, Rejected
from runtime.module.block import Offence
from runtime.types import Hash, PublicKey


@dataclass(frozen=True)
class BlockInputs:
    """Everything that a block's execution depends on. last_signers: in the certificate of the block before."""

    height: int
    time_ms: int
    proposer: PublicKey
    transactions: tuple[bytes, ...]
    evidence: tuple[Offence, ...] = ()
    last_signers: tuple[PublicKey, ...] = ()


@dataclass(frozen=True)
class BlockResult:
    """What executing a block gave. `prepared` is the application's own, to be committed or dropped.

    transaction_hashes: the chain's names of the transactions, in order. receipts: canonical bytes, the leaves under the
    receipts root: one for each transaction, in order, and any others after them.
    """

    state_root: Hash
    receipts_root: Hash
    module_roots: Mapping[str, Hash]
    transaction_hashes: tuple[Hash, ...]
    receipts: tuple[bytes, ...]
    validator_updates: tuple[Validator, ...]
    gas_used: int
    prepared: Any = field(repr=False)


def wire_hash(data: bytes) -> Hash:
    """What the mempool and its gossip know a transaction by: its bytes, signatures included."""
    return hash_bytes("armillary/wire-transaction", data)


class InvalidBlock(Exception):
    """A block that may not exist: it holds a transaction that may be in no block. `index`: which one; `reason`: why."""

    def __init__(self, index: int, reason: str) -> None:
        self.index = index
        self.reason = reason
        super().__init__(f"transaction {index}: {reason}")


@dataclass(frozen=True)
class ChainParams:
    """What all nodes agree on about time and size of blocks."""

    timeouts: Timeouts
    synchrony: Synchrony
    empty_block_interval_ms: int
    block_bytes_max: int
    block_gas_max: int
    block_transactions_max: int


class Application(Protocol):
    """One chain's execution over one store."""

    @property
    def genesis_hash(self) -> Hash: ...

    @property
    def params(self) -> ChainParams: ...

    def execute(self, inputs: BlockInputs) -> BlockResult:
        """Run a block on the committed state without changing it. Raises InvalidBlock."""
        ...

    def commit(self, result: BlockResult, extra: Mapping[bytes, bytes | None]) -> None:
        """Make it the state, with the extra records, durably, all or nothing."""
        ...

    def check(self, data: bytes) -> Checked:
        """Whether a transaction may wait for a block; `hash` is its wire_hash. Raises CallerError with the reason."""
        ...

    def recheck(self, checked: Checked) -> int | Rejected:
        """The sender's next nonce in the present state, or why the transaction can be in no block now."""
        ...

    def moved_nonces(self, transactions: Sequence[bytes]) -> Mapping[Any, int]:
        """The next nonce, in the present state, of each sender of these transactions (of a decided block)."""
        ...
