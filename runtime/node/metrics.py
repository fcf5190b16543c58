"""What Prometheus learns of a node: every name, its help, and how it is observed.

Rules: one registry for each node, nothing global. Names end in their unit; counters in _total. Labels have few values,
none of them from outside. Observing costs microseconds and never waits; what takes long (looking at the disk, making
the text) happens in a worker thread, when somebody asks. Nothing here decides anything: a node without readers is the
same node. docs/operating.md has the table of these names, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from runtime.consensus import ValidatorSet
from runtime.node.files import disk_bytes
from runtime.node.tip import Tip
from runtime.types import PublicKey

if TYPE_CHECKING:
    from runtime.node.consensus_parts import AppliedBlock  # whose parts are timed here

FAST_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
SLOW_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STATE_PARTS: Final = ("lmdb", "wal", "blobs")


@dataclass(frozen=True)
class Standing:
    """What a node looks like at one moment."""

    tip: Tip
    key: PublicKey | None
    round: int
    behind: int
    peers: int
    block_gas_max: int
    mempool_transactions: int
    mempool_bytes: int
    mempool_journal_bytes: int
    oldest_height: int
    chunks_removed: int


class NodeMetrics:
    """The metrics of one node. Methods that observe may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gauges()
        self._counters()
        self._histograms()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._sat_before = False  # whether this validator was in the set of the block before

    def _gauges(self) -> None:
        def gauge(name: str, help_: str, *labels: str) -> Gauge:
            return Gauge(f"armillary_{name}", help_, labels, registry=self.registry)

        self._node = Info(
            "armillary_node", "The node: its name, version, chain and genesis hash.", registry=self.registry
        )
        self._height = gauge("height", "Height of the last block that was applied.")
        self._round = gauge(
            "round", "Round of consensus being worked on; -1 while waiting for a reason to make a block."
        )
        self._behind = gauge("behind_blocks", "Blocks that peers are ahead.")
        self._peers = gauge("peers", "Peers connected.")
        self._time = gauge("last_block_time_seconds", "Unix time of the last block.")
        self._validators = gauge("validators", "Validators at the next height.")
        self._power = gauge(
            "validator_power", "Voting power of this node's key at the next height; 0: it does not vote."
        )
        self._total = gauge("validators_power", "Voting power of all validators at the next height.")
        self._gas_max = gauge("block_gas_limit", "Gas that a block may use.")
        self._waiting = gauge("mempool_transactions", "Transactions that wait for a block.")
        self._waiting_bytes = gauge("mempool_bytes", "Bytes of the transactions that wait for a block.")
        self._journal = gauge("mempool_journal_bytes", "Size of the journal of acknowledged transactions.")
        self._oldest = gauge("oldest_height", "The oldest height whose state can be queried and proven.")
        self._state = gauge("state_bytes", "Disk space of the state store, by part.", "part")

    def _counters(self) -> None:
        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"armillary_{name}", help_, labels, registry=self.registry)

        self._blocks = counter("blocks", "Blocks applied: decided by counting votes, or fetched from peers.", "source")
        self._proposed = counter("blocks_proposed", "Blocks applied that this validator proposed.")
        self._precommits = counter(
            "precommits", "Blocks whose record holds this validator's precommit, or lacks it.", "outcome"
        )
        self._transactions = counter("transactions", "Transactions in applied blocks, by how they ended.", "outcome")
        self._gas = counter("gas_used", "Gas used by applied blocks.")
        self._rounds = counter("rounds_failed", "Rounds of applied blocks' heights that decided nothing.")
        self._removed = counter("blob_chunks_removed", "Chunks removed because no kept height refers to them.")
        for outcome in ("signed", "missed"):
            self._precommits.labels(outcome)
        for outcome in ("ok", "failed"):
            self._transactions.labels(outcome)
        for source in ("consensus", "sync"):
            self._blocks.labels(source)
        self._removed_before = 0

    def _histograms(self) -> None:
        def histogram(name: str, help_: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(f"armillary_{name}", help_, labels, registry=self.registry, buckets=tuple(buckets))

        self._execution = histogram(
            "block_execution_seconds", "Executing one block, to propose it or to judge it.", SLOW_S, "purpose"
        )
        self._commit = histogram("block_commit_seconds", "Making one block the state, durably.", SLOW_S)
        self._inference = histogram("inference_seconds", "One run of a model; a batch is one run.", FAST_S)
        self._finality = histogram(
            "finality_seconds", "From when this node first had a transaction to when its block was applied.", SLOW_S
        )
        self._sync = histogram("sync_seconds", "Writing to a journal until it is on disk.", FAST_S, "journal")
        for purpose in ("propose", "judge"):
            self._execution.labels(purpose)
        for journal in ("consensus", "mempool"):
            self._sync.labels(journal)

    # --- observing --------------------------------------------------------------------------------------------------

    @contextmanager
    def executing(self, purpose: str) -> Iterator[None]:
        """Around the execution of a block."""
        with self._execution.labels(purpose).time():
            yield

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Around the commit of a block."""
        with self._commit.time():
            yield

    @contextmanager
    def inferring(self) -> Iterator[None]:
        """Around a run of a model."""
        with self._inference.time():
            yield

    @contextmanager
    def syncing(self, journal: str) -> Iterator[None]:
        """Around a write that waits for the disk."""
        with self._sync.labels(journal).time():
            yield

    def begins(self, tip: Tip, key: PublicKey | None, **facts: str) -> None:
        """A node begins at this tip. facts: what it is."""
        self._node.info(facts)
        self._sat_before = _sits(key, tip.last_validators)

    def final(self, seconds: float) -> None:
        """A transaction's block was applied so long after this node first had the transaction."""
        self._finality.observe(seconds)

    def applied(self, block: AppliedBlock, key: PublicKey | None) -> None:
        """A block is part of the chain. key: this node's, if it signs."""
        header, tip = block.whole.block.header, block.tip
        self._blocks.labels("sync" if block.synced else "consensus").inc()
        self._gas.inc(block.result.gas_used)
        ok = sum(receipt.is_ok for receipt in block.result.receipts)
        self._transactions.labels("ok").inc(ok)
        self._transactions.labels("failed").inc(len(block.result.receipts) - ok)
        if tip.certificate is not None:
            self._rounds.inc(tip.certificate.round)
        self._signed(block, key)
        if header.proposer == key:
            self._proposed.inc()

    def _signed(self, block: AppliedBlock, key: PublicKey | None) -> None:
        """Each block holds the certificate of the one before: that is what the chain knows of who signed."""
        certificate = block.whole.block.last_certificate
        if self._sat_before and certificate is not None:
            self._precommits.labels("signed" if key in certificate.signers else "missed").inc()
        self._sat_before = _sits(key, block.tip.last_validators)

    # --- showing ----------------------------------------------------------------------------------------------------

    def look(self, node: Standing) -> None:
        """Take what is in memory: quick."""
        tip = node.tip
        self._height.set(tip.height)
        self._round.set(node.round)
        self._behind.set(node.behind)
        self._peers.set(node.peers)
        self._time.set(tip.time_ms / 1000)
        self._validators.set(len(tip.validators))
        self._power.set(sum(each.power for each in tip.validators if each.public_key == node.key))
        self._total.set(tip.validators.total_power)
        self._gas_max.set(node.block_gas_max)
        self._waiting.set(node.mempool_transactions)
        self._waiting_bytes.set(node.mempool_bytes)
        self._journal.set(node.mempool_journal_bytes)
        self._oldest.set(node.oldest_height)
        removed, self._removed_before = node.chunks_removed - self._removed_before, node.chunks_removed
        self._removed.inc(removed)

    def text(self, state: Path) -> bytes:
        """The exposition format. Blocking: looks through the state store's folder."""
        for part in STATE_PARTS:
            self._state.labels(part).set(disk_bytes(state / part))
        return generate_latest(self.registry)


def _sits(key: PublicKey | None, validators: ValidatorSet | None) -> bool:
    return key is not None and validators is not None and key in validators
