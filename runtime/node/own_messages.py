"""This node's own votes and proposals: signed, logged and on disk before anyone sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.consensus import (
    DriverInput,
    ProposalReceived,
    Propose,
    SplitBlock,
    UnsignedProposal,
    UnsignedVote,
    Vote,
    VoteKind,
    VoteReceived,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from runtime.node.consensus_parts import SigningRole
from runtime.node.errors import DoubleSignRefused
from runtime.node.executor import Runner
from runtime.node.flight import WholeBlock
from runtime.node.records import encode_record
from runtime.node.signer import SignStep
from runtime.node.wal import ConsensusWal
from runtime.types import Hash, PublicKey


class OwnMessages:
    """Makes them. None of a method: the signer refused, because it signed something else there before."""

    def __init__(self, signer: SigningRole, wal: ConsensusWal, runner: Runner, genesis_hash: Hash, log: Any) -> None:
        self._signer = signer
        self._wal = wal
        self._run = runner
        self._genesis_hash = genesis_hash
        self._log = log

    @property
    def public_key(self) -> PublicKey:
        return self._signer.public_key

    async def vote(self, unsigned: UnsignedVote) -> VoteReceived | None:
        """The vote, logged as the driver's input."""
        step = SignStep.PREVOTE if unsigned.kind is VoteKind.PREVOTE else SignStep.PRECOMMIT
        message = vote_sign_bytes(self._genesis_hash, unsigned)
        made: list[Vote] = []

        def work() -> DriverInput:
            made.append(unsigned.signed(self._signer.sign(unsigned.height, unsigned.round, step, message)))
            return VoteReceived(made[0])

        return VoteReceived(made[0]) if await self._durably(work) else None

    async def proposal(self, effect: Propose, whole: WholeBlock, split: SplitBlock) -> ProposalReceived | None:
        """The proposal, logged as the driver's input."""
        unsigned = UnsignedProposal(
            height=effect.height,
            round=effect.round,
            valid_round=effect.valid_round,
            block_id=whole.id,
            part_count=split.part_count,
            part_root=split.part_root,
            block_bytes=split.block_bytes,
            time_ms=whole.block.header.time_ms,
            proposer=self.public_key,
        )
        message = proposal_sign_bytes(self._genesis_hash, unsigned)
        made: list[ProposalReceived] = []

        def work() -> DriverInput:
            signature = self._signer.sign(effect.height, effect.round, SignStep.PROPOSAL, message)
            made.append(ProposalReceived(unsigned.signed(signature), timely=True))
            return made[0]

        return made[0] if await self._durably(work) else None

    async def _durably(self, work: Callable[[], DriverInput]) -> bool:
        """Sign and log in one go outside the event loop: two waits for the disk, one for the loop."""
        try:
            await self._run(lambda: self._wal.append_synced(encode_record(work())))
        except DoubleSignRefused as error:
            self._log.error("signing refused", reason=str(error))
            return False
        return True
