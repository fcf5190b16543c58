"""What HTTP shows. Bytes are lower-case hex, amounts decimal strings, heights and gas numbers, times end in _ms.

The field names are relied on by programs outside this project: none is renamed or removed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from runtime.types import U32, U64, U128, Hash, PublicKey, Signature


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ValidatorView(_View):
    """A validator that votes on the next block, and its voting power."""

    public_key: PublicKey
    power: U64


class StatusView(_View):
    """A node at a glance. `height` is that of its last block; `behind`: by how many blocks peers are ahead."""

    name: str
    version: str
    runtime_digest: Hash = Field(
        description="of the node's runtime: sources, Python, libraries; of two nodes that diverge, the first suspect"
    )
    chain: str = Field(description="the chain's display name")
    genesis_hash: Hash
    address_prefix: str = Field(description="of the chain's bech32m addresses")
    fee_units: U64 = Field(description="base units of the fee denomination for every fee_per_gas gas, rounded up")
    fee_per_gas: U64
    block_gas_max: U64
    transaction_gas_max: U64 = Field(description="what hooks leave of it: the largest gas limit of a transaction")
    height: U64
    block_id: Hash
    state_root: Hash
    time_ms: U64 = Field(description="the last block's time")
    behind: U64
    round: int = Field(description="the round being worked on; -1 while waiting for transactions")
    peers: int
    peer_id: str
    validator: PublicKey | None = Field(description="the key this node votes with; null for a full node")
    voting: bool = Field(description="whether that key has voting power at the next height")
    validators: list[ValidatorView]
    mempool_transactions: int
    mempool_bytes: int
    oldest_height: U64 = Field(description="the oldest height whose state can be queried and proven")


class SubmitRequest(_View):
    """A signed transaction to take, or to run for trial."""

    transaction: str = Field(pattern="^([0-9a-f]{2})*$", description="a signed transaction's canonical bytes in hex")


class SubmitView(_View):
    """The transaction is taken. hash: its name, to ask by."""

    hash: Hash


class TransactionStatus(StrEnum):
    """pending: it waits here; committed, failed: a block holds it, its calls succeeded or not; unknown: neither."""

    PENDING = "pending"
    COMMITTED = "committed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class EventView(_View):
    """A fact that a module emitted. `fields` are as the module's declaration names them."""

    module: str
    name: str
    fields: dict[str, Any]


class ErrorView(_View):
    """Why a call failed: the module's error, its fields, one sentence."""

    module: str | None
    name: str
    fields: dict[str, Any]
    message: str


class TransactionView(_View):
    """Where a transaction stands. Everything after `status` is null until it is in a block."""

    hash: Hash
    status: TransactionStatus
    height: U64 | None = None
    index: U32 | None = None
    gas_used: U64 | None = None
    fee: U128 | None = None
    events: list[EventView] | None = None
    error: ErrorView | None = None


class SimulationView(_View):
    """What a transaction would do on the state after the last block. Nothing of it is kept."""

    hash: Hash
    height: U64
    succeeds: bool
    gas_used: U64
    fee: U128
    events: list[EventView]
    error: ErrorView | None


class CommitSignatureView(_View):
    """One validator's precommit."""

    public_key: PublicKey
    signature: Signature


class CertificateView(_View):
    """The precommits of more than two thirds of the voting power: why the block is final."""

    height: U64
    round: U32
    block_id: Hash
    signatures: list[CommitSignatureView]


class HeaderView(_View):
    """What the validators signed. time_ms: since 1970. state_root, receipts_root: after this block."""

    version: int
    genesis_hash: Hash
    height: U64
    time_ms: U64
    proposer: PublicKey
    last_block_id: Hash
    last_certificate_hash: Hash
    evidence_hash: Hash
    transactions_root: Hash
    state_root: Hash
    receipts_root: Hash
    validators_hash: Hash
    next_validators_hash: Hash


class BlockView(_View):
    """A decided block. `transactions` are their hashes, in order."""

    height: U64
    block_id: Hash
    header: HeaderView
    transactions: list[Hash]
    evidence: list[PublicKey] = Field(description="validators whose equivocation the block proves")
    certificate: CertificateView
    bytes: int


class QueryView(_View):
    """A query's result on the state after block `height`."""

    height: U64
    state_root: Hash
    result: Any


class ProvenQueryView(QueryView):
    """The same with its proof: canonical bytes in hex, to be written to a file and checked offline."""

    proof: str


class RecordCertificateView(_View):
    """A decision certificate: canonical bytes in hex, to be written to a file and checked offline."""

    record: str
    height: U64
    certificate: str


class BlockSummary(_View):
    """A decided block in a list. `transactions`, `bytes`: how many."""

    height: U64
    block_id: Hash
    time_ms: U64
    proposer: PublicKey
    transactions: U32
    bytes: int


class EventMessage(_View):
    """An event where it was emitted. `index`: its number among all events of the block, whatever the filter; height and
    index together name it for ever. `during`: transaction, or the hooks at the block's begin and end. `transaction`:
    null for events of hooks."""

    type: Literal["event"] = "event"
    height: U64
    index: U32
    during: Literal["begin_block", "transaction", "end_block"]
    transaction: Hash | None
    module: str
    name: str
    fields: dict[str, Any]


class BlockMessage(_View):
    """All events of this block that the filter lets through have been sent; `from_height` of the next goes on here.
    `transactions`, `events`: how many the block has, whatever the filter."""

    type: Literal["block"] = "block"
    height: U64
    block_id: Hash
    time_ms: U64
    transactions: U32
    events: U32
