"""The driver of one height: routes inputs to the vote keeper and the round machine, and asks the shell for the rest.

Rules. Pure: no clock, socket, disk or log; the same inputs in the same order give the same effects, so a write-ahead
log of inputs is all a restart needs (replay.py). Execute before voting: a proposal whose block has not been judged
waits (it is not voted on), at most until the propose timeout. Messages come verified. Memory is bounded: two proposals
a round, two votes per validator, kind and round; of rounds beyond the next, the latest two of each validator.

How: every input updates what is known, then `_settle` fires the paper's rules until none is enabled. A rule is enabled
at most once per state, so this ends. Which input of the round machine is due is decided here, its effect there.
"""

from __future__ import annotations

from typing import Final

from runtime.consensus.certificate import CommitCertificate, PolkaCertificate, votes_of
from runtime.consensus.errors import UnverifiedInput
from runtime.consensus.events import (
    CastVote,
    CertificateReceived,
    CommittedInvalid,
    Decide,
    DriverInput,
    Effect,
    Equivocated,
    PolkaReceived,
    ProposalContradicted,
    ProposalReceived,
    Propose,
    RequestValidation,
    RequestValue,
    ScheduleTimeout,
    Start,
    TimeoutExpired,
    Validated,
    ValueProposed,
    VoteReceived,
)
from runtime.consensus.messages import Proposal, UnsignedVote, Vote, VoteKind
from runtime.consensus.round import (
    NO_ROUND,
    CommitValue,
    Decided,
    FreshProposal,
    GetValue,
    InvalidProposal,
    InvalidProposalWithPolka,
    NewRound,
    PolkaAny,
    PolkaNil,
    PolkaValue,
    PrecommitAny,
    ProposalWithPolka,
    ProposeBlock,
    ProposeValue,
    RoundInput,
    RoundOutput,
    RoundSkip,
    RoundState,
    SkipTo,
    StartTimeout,
    Step,
    TimeoutElapsed,
    TimeoutKind,
    VoteFor,
    transition,
)
from runtime.consensus.validators import ProposerRule, ValidatorSet
from runtime.consensus.votes import VoteKeeper
from runtime.types import Hash, PublicKey

ROUNDS_AHEAD_KEPT: Final = 1  # votes of rounds up to current + this are all kept
FAR_ROUNDS_PER_VALIDATOR_MAX: Final = 2  # beyond: the latest rounds of each validator, so that a skip is noticed
PROPOSAL_ROUNDS_AHEAD_MAX: Final = 8
PROPOSALS_PER_ROUND_MAX: Final = 2  # only an equivocating proposer sends a second one


Message = Vote | Proposal | PolkaCertificate | CommitCertificate
"""What validators send each other within a height."""


class _Kept:
    """A proposal and what the shell said of it."""

    __slots__ = ("proposal", "sound")

    def __init__(self, proposal: Proposal, timely: bool) -> None:
        self.proposal = proposal
        self.sound = timely or proposal.valid_round is not None  # only a fresh block's time is judged

    @property
    def block_id(self) -> Hash:
        return self.proposal.block_id


class Driver:
    """One validator (or observer) at one height. `public_key` None, or of no member of the set: it never votes."""

    def __init__(
        self, *, height: int, validators: ValidatorSet, proposer_of: ProposerRule, public_key: PublicKey | None
    ) -> None:
        self.height = height
        self.validators = validators
        self.proposer_of = proposer_of
        self.public_key = public_key if public_key in validators else None
        self.state = RoundState(height)
        self.keeper = VoteKeeper(validators)
        self.decision: Decide | None = None
        self._proposals: dict[int, dict[Hash, _Kept]] = {}
        self._judged: dict[Hash, bool] = {}
        self._asked: set[Hash] = set()
        self._scheduled: set[tuple[TimeoutKind, int]] = set()
        self._far_rounds: dict[PublicKey, list[int]] = {}
        self._offenders: set[PublicKey] = set()
        self._contradictions: set[Hash] = set()
        self._proposed_round = NO_ROUND
        self._effects: list[Effect] = []

    def step(self, event: DriverInput) -> tuple[Effect, ...]:
        """Take one input; the effects to perform, in order. Inputs of another height have none."""
        self._effects = []
        match event:
            case VoteReceived(vote):
                self._on_vote(vote)
            case ProposalReceived(proposal, timely):
                self._on_proposal(proposal, timely)
            case _ if _height_of(event) != self.height:
                pass
            case CertificateReceived(certificate) | PolkaReceived(certificate):
                if self.keeper.merge(votes_of(certificate)) is not None:
                    self._settle()
            case Validated(_, block_id, ok):
                self._judged.setdefault(block_id, ok)
                self._settle()
            case TimeoutExpired(kind, height, round_):
                if self._active:
                    self._feed(TimeoutElapsed(kind, height, round_))
                self._settle()
            case ValueProposed():
                self._on_value(event)
            case ProposalContradicted(_, round_, block_id):
                kept = self._proposals.get(round_, {}).get(block_id)
                if kept is not None:
                    kept.sound = False
                    self._settle()
            case Start():
                if self.state.step is Step.NEW:
                    self._enter(0)
                    self._settle()
        return tuple(self._effects)

    # --- for the shell ---

    def wants(self, message: Message) -> bool:
        """Whether a message would be new here; ask before verifying its signature. Cheap and total."""
        if message.height != self.height:
            return False
        if isinstance(message, CommitCertificate):
            return self.decision is None and message.block_id not in self.keeper.commits.values()
        if isinstance(message, PolkaCertificate):
            return self.decision is None and self.keeper.polka(message.round) != message.block_id
        if isinstance(message, Vote):
            return message.validator in self.validators and not self.keeper.has(message)
        if message.round > self.state.round + PROPOSAL_ROUNDS_AHEAD_MAX:
            return False
        kept = self._proposals.get(message.round, {})
        return message.block_id not in kept and len(kept) < PROPOSALS_PER_ROUND_MAX

    def commit_certificate(self) -> CommitCertificate | None:
        """The certificate of the decision, with the precommits that came after it as well; None before it."""
        return None if self.decision is None else self._certificate(self.decision.round)

    def held_messages(self) -> tuple[Message, ...]:
        """What a peer at this height may lack: to be sent on connecting and now and then (gossip's part of liveness).

        The certificate of the decision if there is one; else the polka of the valid value, and the proposals and votes
        of this round and the one before.
        """
        decided = self.commit_certificate()
        if decided is not None:
            return (decided,)
        messages: list[Message] = []
        polka = self.keeper.certificate(VoteKind.PREVOTE, self.state.valid_round)
        if polka is not None:
            messages.append(polka)
        now = max(self.state.round, 0)
        for round_ in range(max(now - 1, 0), now + 1):
            messages += [kept.proposal for kept in self._proposals.get(round_, {}).values()]
            votes = self.keeper.round_votes(round_)
            if votes is not None:
                messages += votes.votes(VoteKind.PREVOTE) + votes.votes(VoteKind.PRECOMMIT)
        return tuple(messages)

    # --- inputs ---

    def _on_vote(self, vote: Vote) -> None:
        if vote.height != self.height or not self._make_room(vote):
            return
        known = len(self.keeper.equivocations)
        reached = self.keeper.apply(vote, self.state.round)
        for evidence in self.keeper.equivocations[known:]:
            if evidence.offender not in self._offenders:
                self._offenders.add(evidence.offender)
                self._effects.append(Equivocated(evidence))
        if reached is not None:
            self._settle()

    def _make_room(self, vote: Vote) -> bool:
        """Bound the rounds a validator can fill: of those beyond the next, its latest few. False: drop the vote."""
        near = self.state.round + ROUNDS_AHEAD_KEPT
        if vote.round <= max(near, 0):
            return True
        far = [round_ for round_ in self._far_rounds.get(vote.validator, ()) if round_ > near]
        if vote.round not in far:
            if len(far) == FAR_ROUNDS_PER_VALIDATOR_MAX:
                oldest = min(far)
                if vote.round < oldest:
                    return False
                self.keeper.forget(oldest, vote.validator)
                far.remove(oldest)
            far.append(vote.round)
        self._far_rounds[vote.validator] = far
        return True

    def _on_proposal(self, proposal: Proposal, timely: bool) -> None:
        if not self.wants(proposal):
            return
        if proposal.proposer != self.proposer_of(proposal.round):
            raise UnverifiedInput(f"round {proposal.round} is not the turn of {proposal.proposer.hex()}, who proposed")
        self._proposals.setdefault(proposal.round, {})[proposal.block_id] = _Kept(proposal, timely)
        self._settle()

    def _on_value(self, event: ValueProposed) -> None:
        self._judged.setdefault(event.block_id, True)
        due = self._active and event.round == self.state.round  # also late: others may still wait for it
        if due and self._proposed_round < event.round and self.proposer_of(event.round) == self.public_key:
            self._proposed_round = event.round
            self._feed(ProposeValue(event.block_id))
        self._settle()

    # --- rules ---

    @property
    def _active(self) -> bool:
        return self.state.step not in (Step.NEW, Step.COMMIT)

    def _settle(self) -> None:
        """Fire enabled rules until there is none; ask for the blocks that rules wait for."""
        while self._active:
            due = self._due_commit() or self._due_skip() or self._due_in_step() or self._due_timeout()
            if due is None:
                break
            self._feed(due)
        if self._active:
            round_ = self.state.round
            polka = self.keeper.polka(round_)
            wanted = [polka] if polka is not None else []
            for block_id in (*wanted, *self._proposals.get(round_, {})):
                self._ask(round_, block_id)

    def _due_commit(self) -> RoundInput | None:
        """L49, for any round. A committed block that was found invalid here is reported instead."""
        for round_, block_id in self.keeper.commits.items():
            judged = self._judged.get(block_id)
            if judged:
                return CommitValue(round_, block_id)
            if judged is None:
                self._ask(round_, block_id)
            elif block_id not in self._contradictions:
                self._contradictions.add(block_id)
                certificate = self._certificate(round_)
                self._effects.append(CommittedInvalid(self.height, round_, block_id, certificate))
        return None

    def _due_skip(self) -> RoundInput | None:
        """L55."""
        later = self.keeper.skip_to(self.state.round)
        return None if later is None else RoundSkip(later)

    def _due_in_step(self) -> RoundInput | None:
        step, round_ = self.state.step, self.state.round
        if step is Step.PROPOSE:
            return self._due_proposal()
        if step is Step.PREVOTE or step is Step.PRECOMMIT:
            polka = self.keeper.polka(round_)
            if polka is not None and self.state.valid_round != round_ and self._judged.get(polka):
                return PolkaValue(polka)  # L36: "for the first time"
        if step is Step.PREVOTE and self.keeper.polka_nil(round_):  # L44
            return PolkaNil()
        return None

    def _due_proposal(self) -> RoundInput | None:
        """L22, L26, L28, L32: the first proposal of the round that can be judged."""
        for kept in self._proposals.get(self.state.round, {}).values():
            judged = self._judged.get(kept.block_id) if kept.sound else False
            valid_round = kept.proposal.valid_round
            if judged is None:
                continue
            if valid_round is None:
                return FreshProposal(kept.block_id) if judged else InvalidProposal()
            if self.keeper.polka(valid_round) == kept.block_id:
                if judged:
                    return ProposalWithPolka(kept.block_id, valid_round)
                return InvalidProposalWithPolka(kept.block_id)
        return None

    def _due_timeout(self) -> RoundInput | None:
        """L34, L47: "for the first time"."""
        if self.state.step is Step.PREVOTE and self._due(TimeoutKind.PREVOTE, VoteKind.PREVOTE):
            return PolkaAny()
        return PrecommitAny() if self._due(TimeoutKind.PRECOMMIT, VoteKind.PRECOMMIT) else None

    def _due(self, timeout: TimeoutKind, kind: VoteKind) -> bool:
        round_ = self.state.round
        return (timeout, round_) not in self._scheduled and self.keeper.has_quorum(kind, round_)

    # --- effects ---

    def _feed(self, event: RoundInput) -> None:
        self.state, output = transition(self.state, event)
        self._perform(output)

    def _perform(self, output: RoundOutput) -> None:
        round_ = self.state.round
        match output:
            case VoteFor(kind, block_id):
                if self.public_key is not None:
                    self._effects.append(CastVote(UnsignedVote(kind, self.height, round_, block_id, self.public_key)))
            case StartTimeout(kind):
                self._schedule(kind)
            case GetValue():
                self._schedule(TimeoutKind.PROPOSE)
                self._effects.append(RequestValue(self.height, round_))
            case ProposeBlock(block_id, valid_round):
                self._schedule(TimeoutKind.PROPOSE)  # should the signer refuse, the round still ends
                self._proposed_round = round_
                self._effects.append(self._proposal_of(round_, block_id, valid_round))
            case SkipTo(later):
                self._enter(later)
            case Decided(decided_round, block_id):
                certificate = self._certificate(decided_round)
                self.decision = Decide(self.height, decided_round, block_id, certificate)
                self._effects.append(self.decision)

    def _enter(self, round_: int) -> None:
        mine = self.public_key is not None and self.proposer_of(round_) == self.public_key
        self._feed(NewRound(round_, mine))

    def _schedule(self, kind: TimeoutKind) -> None:
        if (kind, self.state.round) not in self._scheduled:
            self._scheduled.add((kind, self.state.round))
            self._effects.append(ScheduleTimeout(kind, self.height, self.state.round))

    def _ask(self, round_: int, block_id: Hash) -> None:
        if block_id not in self._judged and block_id not in self._asked:
            self._asked.add(block_id)
            self._effects.append(RequestValidation(self.height, round_, block_id))

    def _certificate(self, round_: int) -> CommitCertificate:
        certificate = self.keeper.certificate(VoteKind.PRECOMMIT, round_)
        if not isinstance(certificate, CommitCertificate):
            raise AssertionError(f"round {round_} has a quorum of precommits but no certificate")
        return certificate

    def _proposal_of(self, round_: int, block_id: Hash, valid_round: int) -> Propose:
        if valid_round == NO_ROUND:
            return Propose(self.height, round_, block_id, None, None)
        polka = self.keeper.certificate(VoteKind.PREVOTE, valid_round)
        if not isinstance(polka, PolkaCertificate):
            raise AssertionError(f"round {valid_round} has a valid value but no polka")
        return Propose(self.height, round_, block_id, valid_round, polka)


def _height_of(event: DriverInput) -> int:
    return event.certificate.height if isinstance(event, CertificateReceived | PolkaReceived) else event.height  # type: ignore[union-attr] # votes and proposals were matched before
