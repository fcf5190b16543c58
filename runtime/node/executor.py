"""Execution and commits: one at a time, outside the event loop, results cached by block id over the rounds of a height.

Rules: a block is judged once; the committed state and the blobs beside it change only here, and never while a block is
being executed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import trio

from runtime.consensus import (
    HEADER_VERSION,
    Block,
    CommitCertificate,
    Equivocation,
    Header,
    MessageRefused,
    Parent,
    encode_block,
    evidence_hash,
    last_certificate_hash,
    transactions_root,
)
from runtime.consensus import check_block as check
from runtime.execution.block import BlockInputs, Dropped, Executed
from runtime.execution.errors import InvalidBlock
from runtime.module.block import Offence
from runtime.node.application import ChainApplication
from runtime.node.blob_sweep import BlobSweep
from runtime.node.flight import WholeBlock
from runtime.node.metrics import NodeMetrics
from runtime.types import Hash, PublicKey

T = TypeVar("T")


class Runner(Protocol):
    """Runs a blocking function so that the event loop goes on, and waits for it."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What `work` returns; what it raises is raised here."""
        ...


async def in_thread(work: Callable[[], T]) -> T:
    """The Runner of a real node. Not abandoned when cancelled: what writes is never left half-watched."""
    return await trio.to_thread.run_sync(work)


async def inline(work: Callable[[], T]) -> T:
    """The Runner of simulations, where a thread would race with virtual time."""
    await trio.lowlevel.checkpoint()
    return work()


@dataclass(frozen=True)
class Verdict:
    """What this node found of a block. `reason` is empty when it is valid. `result`: what its execution gave, if it was
    executed; `diverged`: everything is right but the roots that execution gave."""

    reason: str
    result: Executed | None
    diverged: bool = False

    @property
    def ok(self) -> bool:
        """Whether this node may prevote for the block."""
        return not self.reason


@dataclass(frozen=True)
class Proposable:
    """A block that was built and executed here, and the candidates that it left out."""

    whole: WholeBlock
    dropped: tuple[Dropped, ...]


class Executor:
    """The one way to the application's `execute` and `commit`."""

    def __init__(self, app: ChainApplication, runner: Runner, sweep: BlobSweep, metrics: NodeMetrics) -> None:
        self._app = app
        self._run = runner
        self._sweep = sweep
        self._metrics = metrics
        self._lock = trio.Lock()
        self._verdicts: dict[Hash, Verdict] = {}

    async def judge(self, whole: WholeBlock, parent: Parent) -> Verdict:
        """Whether a block may follow `parent`, by every rule and by its roots. The first answer stands."""
        async with self._lock:
            if whole.id not in self._verdicts:
                self._verdicts[whole.id] = await self._run(lambda: self._judge(whole.block, parent))
            return self._verdicts[whole.id]

    async def build(
        self,
        parent: Parent,
        *,
        proposer: PublicKey,
        time_ms: int,
        transactions: Sequence[bytes],
        evidence: Sequence[Equivocation],
        last_certificate: CommitCertificate | None,
    ) -> Proposable:
        """A block of those transactions that are valid and fit, in their order."""
        draft = _Draft(parent, proposer, time_ms, tuple(evidence), last_certificate)
        async with self._lock:
            built, verdict = await self._run(lambda: self._build(draft, transactions))
            self._verdicts[built.whole.id] = verdict
            return built

    async def commit(self, block_id: Hash, extra: Mapping[bytes, bytes | None]) -> None:
        """Make a judged, valid block the state, with the records beside it. Forgets all other results."""
        async with self._lock:
            result = self._verdicts[block_id].result
            assert result is not None, "only valid blocks are committed"
            await self._run(lambda: self._commit(result, extra))
            self._verdicts.clear()

    def _commit(self, result: Executed, extra: Mapping[bytes, bytes | None]) -> None:
        with self._metrics.committing():
            self._app.commit(result, extra=extra)
        self._sweep.committed(result.blobs)

    def _judge(self, block: Block, parent: Parent) -> Verdict:
        try:
            check(block, parent)
            with self._metrics.executing("judge"):
                result = self._app.execute(inputs_of(block))
        except (MessageRefused, InvalidBlock) as error:
            return Verdict(str(error), None)
        for field in ("state_root", "receipts_root"):
            said, found = getattr(block.header, field), getattr(result, field)
            if said != found:
                reason = f"{field}: the header says {said.hex()}, executing it here gave {found.hex()}"
                return Verdict(reason, result, diverged=True)
        return Verdict("", result)

    def _build(self, draft: _Draft, transactions: Sequence[bytes]) -> tuple[Proposable, Verdict]:
        with self._metrics.executing("propose"):
            executed, dropped = self._app.propose(draft.inputs, transactions)
        block = draft.block(executed)
        whole = WholeBlock(block, encode_block(block), block.id)
        return Proposable(whole, dropped), Verdict("", executed)


@dataclass(frozen=True)
class _Draft:
    """Everything of a block that is known before its transactions are."""

    parent: Parent
    proposer: PublicKey
    time_ms: int
    evidence: tuple[Equivocation, ...]
    last_certificate: CommitCertificate | None

    @property
    def inputs(self) -> BlockInputs:
        return BlockInputs(
            height=self.parent.height + 1,
            time_ms=self.time_ms,
            proposer=self.proposer,
            evidence=_offences(self.evidence),
            last_signers=_signers(self.last_certificate),
        )

    def block(self, executed: Executed) -> Block:
        header = Header(
            version=HEADER_VERSION,
            genesis_hash=self.parent.genesis_hash,
            height=self.parent.height + 1,
            time_ms=self.time_ms,
            proposer=self.proposer,
            last_block_id=self.parent.block_id,
            last_certificate_hash=last_certificate_hash(self.last_certificate),
            evidence_hash=evidence_hash(self.evidence),
            transactions_root=transactions_root(executed.transactions),
            state_root=executed.state_root,
            receipts_root=executed.receipts_root,
            validators_hash=self.parent.validators.hash,
            next_validators_hash=self.parent.next_validators.hash,
        )
        return Block(header, executed.transactions, self.evidence, self.last_certificate)


def inputs_of(block: Block) -> BlockInputs:
    """What executing a block depends on."""
    return BlockInputs(
        height=block.header.height,
        time_ms=block.header.time_ms,
        proposer=block.header.proposer,
        transactions=block.transactions,
        evidence=_offences(block.evidence),
        last_signers=_signers(block.last_certificate),
    )


def _offences(evidence: Sequence[Equivocation]) -> tuple[Offence, ...]:
    return tuple(Offence(piece.offender, piece.height) for piece in evidence)


def _signers(certificate: CommitCertificate | None) -> tuple[PublicKey, ...]:
    return () if certificate is None else certificate.signers
