"""What the consensus task is wired to, what it is told, what it tells: values and narrow Protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from runtime.consensus import CommitCertificate, Parent, TimeoutExpired
from runtime.execution.block import Executed
from runtime.mempool import Mempool
from runtime.node.application import ChainApplication
from runtime.node.block_store import BlockStore
from runtime.node.evidence_pool import EvidencePool
from runtime.node.executor import Executor, Proposable, Runner, Verdict
from runtime.node.flight import WholeBlock
from runtime.node.metrics import NodeMetrics
from runtime.node.signer import SignStep
from runtime.node.tip import Tip
from runtime.node.wal import ConsensusWal
from runtime.node.wire import ConsensusMessage, PartMessage
from runtime.types import Hash, PublicKey, Signature


@dataclass(frozen=True, slots=True)
class FromPeer:
    """A decoded message. A fault in it is the peer's."""

    peer: str
    message: ConsensusMessage | PartMessage


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A timeout that the driver asked for is over."""

    event: TimeoutExpired


@dataclass(frozen=True, slots=True)
class Built:
    """A block for this node to propose is ready. It is of no use once the driver left that height and round."""

    height: int
    round: int
    block: Proposable


@dataclass(frozen=True, slots=True)
class Judged:
    """A whole block was executed and checked; the driver's prevote waits for the verdict."""

    height: int
    whole: WholeBlock
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Fetched:
    """A block that was asked for came whole. Not judged yet."""

    height: int
    whole: WholeBlock


@dataclass(frozen=True, slots=True)
class Wake:
    """Look again: a transaction waits, a synced block is there, or it is time for an empty block."""


Event = FromPeer | TimedOut | Built | Judged | Fetched | Wake


@dataclass(frozen=True)
class Decision:
    """A block to apply. synced: it came from block sync, not from this node's own count of votes."""

    whole: WholeBlock
    certificate: CommitCertificate
    synced: bool


@dataclass(frozen=True)
class AppliedBlock:
    """A block that is now part of the persisted chain. transaction_hashes: the chain's names of its transactions."""

    whole: WholeBlock
    tip: Tip
    transaction_hashes: tuple[Hash, ...]
    result: Executed
    synced: bool


class SigningRole(Protocol):
    """The validator key, behind its guard."""

    @property
    def public_key(self) -> PublicKey:
        """The validator's, as it stands in validator sets."""
        ...

    def sign(self, height: int, round_: int, step: SignStep, message: bytes) -> Signature:
        """The signature over `message`, durable before it is returned. Blocking. Raises DoubleSignRefused."""
        ...


class Outside(Protocol):
    """The node around the task."""

    def broadcast(self, message: ConsensusMessage) -> None:
        """Send to every connected peer; who misses it is sent it again later."""
        ...

    def broadcast_part(self, message: PartMessage) -> None:
        """The same of a part of a block, on a channel of its own."""
        ...

    def blame(self, peer: str, reason: str) -> None:
        """A peer broke the protocol."""
        ...

    async def fetch_block(self, height: int, block_id: Hash) -> bytes | None:
        """Ask some peer for an undecided block; None when it does not have it."""
        ...

    def next_synced(self, parent: Parent) -> Decision | None:
        """The next block from block sync, verified against `parent`."""
        ...

    def behind(self) -> int:
        """By how many blocks peers are ahead."""
        ...

    def applied(self, block: AppliedBlock) -> None:
        """A block was applied: tell mempool, sync and peers."""
        ...


@dataclass(frozen=True)
class ConsensusParts:
    """Everything that the task is wired to. now_ms: Unix time. bundles: the folder for what a divergence leaves."""

    app: ChainApplication
    executor: Executor
    store: BlockStore
    wal: ConsensusWal
    signer: SigningRole | None
    mempool: Mempool
    evidence: EvidencePool
    outside: Outside
    runner: Runner
    now_ms: Callable[[], int]
    bundles: Path
    metrics: NodeMetrics
    log: Any
