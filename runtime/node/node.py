"""One node in one nursery: how the parts are wired, how it starts and how it stops.

What lives here: the wiring. It knows no configuration file, no keystore, no libp2p: those come in by protocols, so that
the same node runs in a simulation under virtual time and as a process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import trio

from runtime.consensus import Parent
from runtime.errors import UsageError
from runtime.mempool import Mempool, MempoolLimits
from runtime.network.transport import Handshake, RequestHandler, Transport
from runtime.node.application import ChainApplication, consensus_validators
from runtime.node.blob_sweep import BlobSweep
from runtime.node.block_store import BlockStore
from runtime.node.consensus_parts import AppliedBlock, ConsensusParts, Decision, SigningRole
from runtime.node.consensus_task import ConsensusTask
from runtime.node.digest import program_version
from runtime.node.evidence_pool import EvidencePool
from runtime.node.executor import Executor, Runner
from runtime.node.logs import positioned
from runtime.node.mempool_journal import MempoolJournal
from runtime.node.mempool_task import MempoolTask
from runtime.node.metrics import NodeMetrics, Standing
from runtime.node.peers import PeerGossip
from runtime.node.requests import RequestHandlers
from runtime.node.run_ahead import RunAhead
from runtime.node.sync_task import SyncTask
from runtime.node.tip import Tip
from runtime.node.wal import ConsensusWal
from runtime.node.wire import ConsensusMessage, PartMessage
from runtime.state import Store
from runtime.types import ZERO_HASH, Hash, PublicKey

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p brings stubs of trio that are older than trio.TaskStatus

TransportOf = Callable[[Callable[[], Handshake], RequestHandler], Transport]


@dataclass(frozen=True)
class NodeSetup:
    """What a node is made of. `app` is started and stands on `store`.

    transport_of: makes the transport, given what to say in handshakes and who answers requests. now_ms: Unix time.
    sweep_interval_blocks: see BlobSweep.
    """

    name: str
    app: ChainApplication
    store: Store
    data: Path
    transport_of: TransportOf
    signer: SigningRole | None
    runner: Runner
    now_ms: Callable[[], int]
    mempool_limits: MempoolLimits = field(default_factory=MempoolLimits)
    runtime_digest: Hash = ZERO_HASH
    sweep_interval_blocks: int = 1
    metrics: NodeMetrics = field(default_factory=NodeMetrics)
    on_applied: Callable[[AppliedBlock], None] | None = None


def genesis_tip(app: ChainApplication) -> Tip:
    """Where a chain stands before its first block. Raises UsageError for one without validators."""
    powers = consensus_validators(app.validators(0))
    if not powers:
        raise UsageError("this chain binds no module to the role validators: nobody could decide its blocks")
    return Tip.genesis(app.genesis.time_ms, app.state_root, powers)


class Node:
    """A wired node. `run` serves until cancelled or until a fault of this node is raised."""

    def __init__(self, setup: NodeSetup, log: Any = None) -> None:
        self.setup = setup
        plain = log or structlog.get_logger()
        self.log = positioned(plain, self._position)
        self.store = BlockStore(setup.store)
        self.advanced = trio.Event()
        """Set, and replaced, when the next block is applied."""
        tip = self.store.tip() or genesis_tip(setup.app)
        self.pool = Mempool(setup.mempool_limits, height=tip.height)
        setup.data.mkdir(parents=True, exist_ok=True)
        requests = RequestHandlers(self.store, self._undecided)
        self.transport = setup.transport_of(self._handshake, requests.handle)
        self._wal = ConsensusWal(setup.data / "wal")
        self._journal = MempoolJournal(setup.data, self.pool, setup.runner, setup.metrics, plain)
        self.ahead = RunAhead(setup.app, setup.runner, self.log)
        self.mempool = MempoolTask(
            setup.app, self.pool, self._journal, self.transport, setup.metrics, self.ahead.offer, self.log
        )
        self.sync = SyncTask(tip.height, self.transport, self.log)
        self.gossip = PeerGossip(self.transport, self.store, self.log)
        self.sweep = BlobSweep(setup.app, setup.store, setup.sweep_interval_blocks, self.log)
        self.consensus = ConsensusTask(
            ConsensusParts(
                app=setup.app,
                executor=Executor(setup.app, setup.runner, self.sweep, setup.metrics),
                store=self.store,
                wal=self._wal,
                signer=setup.signer,
                mempool=self.pool,
                evidence=EvidencePool(self.store.has_evidence),
                outside=self,
                runner=setup.runner,
                now_ms=setup.now_ms,
                bundles=setup.data / "diverged",
                metrics=setup.metrics,
                log=self.log,
            ),
            tip,
        )
        facts = {"name": setup.name, "chain": setup.app.genesis.chain, "genesis_hash": setup.app.genesis_hash.hex()}
        setup.metrics.begins(tip, self.key, version=program_version(), **facts)
        self.mempool.attach(self.consensus)
        self.sync.attach(self.consensus)
        self.gossip.attach(self.consensus, self.mempool, self.sync)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve; started once the transport listens. On leaving, the logs are closed."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.transport.run)
                task_status.started()
                nursery.start_soon(self.gossip.run)
                nursery.start_soon(self.mempool.run)
                nursery.start_soon(self.ahead.run)
                nursery.start_soon(self.sync.run)
                nursery.start_soon(self.consensus.run)
        finally:
            self._wal.close()
            self._journal.close()

    # --- Outside: what the consensus task needs of the node --------------------------------------------------------

    def broadcast(self, message: ConsensusMessage) -> None:
        """As Outside."""
        self.gossip.broadcast(message)

    def broadcast_part(self, message: PartMessage) -> None:
        """As Outside."""
        self.gossip.broadcast_part(message)

    def blame(self, peer: str, reason: str) -> None:
        """As Outside."""
        self.gossip.blame(peer, reason)

    async def fetch_block(self, height: int, block_id: Hash) -> bytes | None:
        """As Outside."""
        return await self.gossip.fetch_block(height, block_id)

    def next_synced(self, parent: Parent) -> Decision | None:
        """As Outside."""
        return self.sync.next_block(parent)

    def behind(self) -> int:
        """As Outside."""
        return self.sync.behind()

    @property
    def key(self) -> PublicKey | None:
        """What this node votes with; None for one that does not sign."""
        return None if self.setup.signer is None else self.setup.signer.public_key

    async def metrics(self) -> bytes:
        """What Prometheus reads."""
        setup = self.setup
        standing = Standing(
            tip=self.consensus.tip,
            key=self.key,
            round=self.consensus.round,
            behind=self.behind(),
            peers=len(self.transport.peers()),
            block_gas_max=setup.app.params().block_gas_max,
            mempool_transactions=len(self.pool),
            mempool_bytes=self.pool.bytes,
            mempool_journal_bytes=self._journal.size_bytes,
            oldest_height=setup.store.oldest_height,
            chunks_removed=self.sweep.removed,
        )
        setup.metrics.look(standing)
        return await setup.runner(lambda: setup.metrics.text(setup.data / "state"))

    def applied(self, block: AppliedBlock) -> None:
        """As Outside; then logs it and tells the setup's `on_applied`."""
        self.setup.metrics.applied(block, self.key)
        self.mempool.applied(block)
        self.ahead.applied()
        self.sync.applied(block.tip.height)
        self.gossip.announce()
        self.advanced.set()
        self.advanced = trio.Event()
        self.log.info(
            "block applied",
            height=block.tip.height,
            round=0 if block.tip.certificate is None else block.tip.certificate.round,
            transactions=len(block.transaction_hashes),
            gas_used=block.result.gas_used,
            state_root=block.tip.state_root.hex()[:16],
            synced=block.synced,
        )
        for fault in block.result.faults:
            self.log.error("module code broke", height=block.tip.height, traceback=fault)
        if self.setup.on_applied is not None:
            self.setup.on_applied(block)

    def _position(self) -> Mapping[str, int]:
        return {"height": self.consensus.tip.height, "round": self.consensus.round}

    # --- what peers learn -------------------------------------------------------------------------------------------

    def _handshake(self) -> Handshake:
        return Handshake(self.setup.app.genesis_hash, self.setup.runtime_digest, self.consensus.tip.height)

    def _undecided(self, block_id: Hash) -> bytes | None:
        return self.consensus.undecided_block(block_id)
