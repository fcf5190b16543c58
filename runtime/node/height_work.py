"""What a node knows of the height it works on: the driver, blocks in flight, what must be judged; and of the next one.

What lives here: verifying messages before the driver sees them, and turning them into its inputs. No effects: `take`
returns inputs, the consensus task logs and feeds them. A message that breaks a rule is raised as its sender's fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from runtime.consensus import (
    CertificateReceived,
    CommitCertificate,
    Driver,
    DriverInput,
    PolkaCertificate,
    PolkaReceived,
    Proposal,
    ProposalContradicted,
    ProposalReceived,
    UpcomingHeight,
    Vote,
    VoteReceived,
    verify_certificate,
    verify_proposal,
    verify_vote,
    weighted_proposers,
)
from runtime.node.application import ChainParams
from runtime.node.block_store import BlockStore
from runtime.node.flight import Flight, WholeBlock, misstates
from runtime.node.tip import Tip
from runtime.node.wire import (
    CertificateMessage,
    ConsensusMessage,
    PartMessage,
    PolkaMessage,
    ProposalMessage,
    VoteMessage,
)
from runtime.types import Hash, PublicKey

UPCOMING_PARTS_MAX: Final = 128
UPCOMING_ROUNDS_MAX: Final = 8  # working out whose turn a round is costs its number in steps


class Upcoming:
    """Verified messages, and parts, of the height after the one being worked on."""

    def __init__(self, tip: Tip, genesis_hash: Hash) -> None:
        self.height = tip.height + 2
        self._genesis_hash = genesis_hash
        self._validators = tip.next_validators
        self._proposer_of = weighted_proposers(tip.next_validators)
        self._messages = UpcomingHeight(height=self.height, validators=tip.next_validators)
        self._parts: list[PartMessage] = []

    def take(self, message: ConsensusMessage | PartMessage) -> None:
        """Keep it if it is of this height and there is room. Raises MessageRefused."""
        match message:
            case VoteMessage(vote) if self._messages.wants(vote):
                verify_vote(vote, genesis_hash=self._genesis_hash, validators=self._validators)
                self._messages.keep(vote)
            case ProposalMessage(proposal) if self._messages.wants(proposal) and proposal.round < UPCOMING_ROUNDS_MAX:
                turn = self._proposer_of(proposal.round)
                verify_proposal(proposal, genesis_hash=self._genesis_hash, proposer=turn)
                self._messages.keep(proposal)
            case PartMessage(height=height) if height == self.height and len(self._parts) < UPCOMING_PARTS_MAX:
                self._parts.append(message)
            case _:
                return

    def release(self) -> tuple[tuple[Vote | Proposal, ...], list[PartMessage]]:
        """Everything kept; nothing is kept afterwards."""
        parts, self._parts = self._parts, []
        return self._messages.release(), parts


class HeightWork:
    """One height. wanted: blocks that the driver wants judged, with the round that asked."""

    def __init__(
        self, tip: Tip, *, key: PublicKey | None, genesis_hash: Hash, params: ChainParams, store: BlockStore
    ) -> None:
        self.height = tip.height + 1
        self.driver = Driver(
            height=self.height,
            validators=tip.validators,
            proposer_of=weighted_proposers(tip.validators),
            public_key=key,
        )
        self.parent = tip.parent(genesis_hash, store.validators_at)
        self.flight = Flight()
        self.wanted: dict[Hash, int] = {}
        self.judging: set[Hash] = set()
        self.heard = False  # others work on this height already
        self._genesis_hash = genesis_hash
        self._params = params

    def take(self, message: ConsensusMessage | PartMessage, now_ms: int) -> list[DriverInput]:
        """What the driver should be fed for a peer's message. Raises MessageRefused or CertificateRefused."""
        match message:
            case VoteMessage(vote) if self.driver.wants(vote):
                verify_vote(vote, genesis_hash=self._genesis_hash, validators=self.driver.validators)
                return self.verified(vote, now_ms)
            case ProposalMessage(proposal) if self.driver.wants(proposal):
                turn = self.driver.proposer_of(proposal.round)
                verify_proposal(proposal, genesis_hash=self._genesis_hash, proposer=turn)
                return self.verified(proposal, now_ms)
            case CertificateMessage(commit) if self.driver.wants(commit):
                self._verify(commit)
                return [CertificateReceived(commit)]
            case PolkaMessage(polka) if self.driver.wants(polka):
                self._verify(polka)
                return [PolkaReceived(polka)]
            case PartMessage(height, part_root, part) if height == self.height:
                self.flight.add_part(part_root, part)
                return []
            case _:
                return []

    def verified(self, message: Vote | Proposal, now_ms: int) -> list[DriverInput]:
        """The same for a vote or proposal that was verified before, if the driver still wants it."""
        if not self.driver.wants(message):
            return []
        self.heard = True
        if isinstance(message, Vote):
            return [VoteReceived(message)]
        self.flight.add_proposal(message)
        return [ProposalReceived(message, self._is_timely(message, now_ms))]

    def to_judge(self) -> Iterator[WholeBlock | ProposalContradicted]:
        """Blocks that are wanted and whole now, each once; proposals that their blocks contradict."""
        for block_id, round_ in self.wanted.items():
            if self.flight.contradicts(round_, block_id):
                yield ProposalContradicted(self.height, round_, block_id)
            whole = self.flight.whole.get(block_id)
            if whole is not None and block_id not in self.judging:
                self.judging.add(block_id)
                yield whole

    def _is_timely(self, proposal: Proposal, now_ms: int) -> bool:
        if proposal.valid_round is not None:
            return True  # the time of a block that had its polka is not judged again
        known = self.flight.whole.get(proposal.block_id)
        if known is not None and misstates(proposal, known.block):
            return False  # the driver's word for a fresh proposal that is not to be voted for
        synchrony = self._params.synchrony
        return synchrony.is_timely(time_ms=proposal.time_ms, received_ms=now_ms, round_=proposal.round)

    def _verify(self, certificate: CommitCertificate | PolkaCertificate) -> None:
        verify_certificate(certificate, genesis_hash=self._genesis_hash, validators=self.driver.validators)
        self.heard = True
