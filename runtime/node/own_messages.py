"""This node's own votes and proposals: signed, logged and on disk before anyone sees them."""

from __future__ import annotations

from collections.abc import Callable

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
from runtime.node.consensus_parts import ConsensusParts, SigningRole
from runtime.node.errors import DoubleSignRefused
from runtime.node.flight import WholeBlock
from runtime.node.records import encode_record
from runtime.node.signer import SignStep
from runtime.types import PublicKey


class OwnMessages:
    """Makes them. None of a method: the signer refused, because it signed something else there before."""

    def __init__(self, parts: ConsensusParts, signer: SigningRole) -> None:
        self._p = parts
        self._signer = signer
        self._genesis_hash = parts.app.genesis_hash

    @property
    def public_key(self) -> PublicKey:
        """What this node votes with."""
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
            await self._p.runner(lambda: self._append(work))
        except DoubleSignRefused as error:
            self._p.log.error("signing refused", reason=str(error))
            return False
        return True

    def _append(self, work: Callable[[], DriverInput]) -> None:
        with self._p.metrics.syncing("consensus"):
            self._p.wal.append_synced(encode_record(work()))
