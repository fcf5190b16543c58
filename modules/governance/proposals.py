"""Proposals as they are stored: what they wait for, their votes and deposits, the parameters, and how others read them.

Lives here: the first layer of the module `governance`. Must not: end a proposal (endings.py), or say who may do what
(module.py).
"""

from __future__ import annotations

from typing import Annotated, Final

from modules.governance.errors import NotVoting, ParamOutOfRange, UnknownDepositDenom, UnknownProposal
from modules.governance.events import DepositLost
from modules.governance.protocol import (
    PAGE_MAX,
    PARTS,
    Choice,
    Content,
    Proposal,
    ProposalEntry,
    Status,
    Tally,
    VoteEntry,
)
from modules.tokens.protocol import BurningLedger
from modules.validators.protocol import Electorate
from runtime import (
    U8,
    U16,
    U32,
    U64,
    U128,
    CallError,
    Denom,
    Item,
    Map,
    MaxLen,
    Module,
    ModuleParams,
    Name,
    PublicKey,
    RootCalls,
    Uses,
    ValidatorPower,
    query,
)

EVERYTHING: Final = 1 << 62
BLOCKS_MAX: Final = 10_000_000
"""The longest period of voting, the longest delay, and how far ahead an enactment may be."""

ProposalPage = Annotated[tuple[ProposalEntry, ...], MaxLen(PAGE_MAX)]
VotePage = Annotated[tuple[VoteEntry, ...], MaxLen(PAGE_MAX)]


class Proposals(Module):
    """Proposals, numbered from 0, queued by what they wait for."""

    name = "governance"
    next_id: Item[U64] = Item(default=0)
    proposals: Map[U64, Proposal] = Map()
    contents: Map[U64, Content] = Map()
    ballots: Map[tuple[U64, PublicKey], Choice] = Map()
    closing: Map[tuple[U64, U64], bool] = Map()
    enacting: Map[tuple[U64, U64], bool] = Map()
    deposits: Map[Denom, U128] = Map(default=0)

    root: Uses[RootCalls]
    ledger: Uses[BurningLedger]
    electorate: Uses[Electorate]

    class Params(ModuleParams):
        """voting_blocks: how long votes count. delay_blocks: at least so long from there to the enactment. Shares out
        of 10,000: quorum, of all voting power; threshold, of yes, no and veto, which yes must exceed; veto, of the
        votes, which vetoes must exceed to reject and burn the deposit; cancel_burn, of the deposit, on cancelling."""

        deposit_denom: Denom = Denom("arm")
        deposit: U128 = 1_000_000_000
        voting_blocks: U32 = 20_000
        delay_blocks: U32 = 1_000
        quorum: U16 = 3_340
        threshold: U16 = 5_000
        veto: U16 = 3_340
        cancel_burn: U16 = 5_000
        burns_without_quorum: bool = False

    def check_params(self) -> None:
        """Whatever is decided, the next decision stays possible."""
        params = self.params
        if not self.ledger.has_denom(params.deposit_denom):
            raise UnknownDepositDenom(denom=params.deposit_denom)
        for name, value, low, high in (
            ("voting_blocks", params.voting_blocks, 1, BLOCKS_MAX),
            ("delay_blocks", params.delay_blocks, 1, BLOCKS_MAX),
            ("quorum", params.quorum, 0, PARTS),
            ("threshold", params.threshold, 0, PARTS - 1),
            ("veto", params.veto, 0, PARTS),
            ("cancel_burn", params.cancel_burn, 0, PARTS),
        ):
            if not low <= value <= high:
                raise ParamOutOfRange(param=Name(name), low=low, high=high)

    # --- queries

    @query
    def count(self) -> U64:
        """How many proposals there are; they are numbered from 0."""
        return self.next_id

    @query
    def proposal(self, *, id: U64) -> Proposal | None:
        """The proposal of this number; nothing where there is none."""
        return self.proposals.get(id)

    @query
    def content(self, *, id: U64) -> Content | None:
        """Text and calls of the proposal; nothing where there is none."""
        return self.contents.get(id)

    @query
    def page(self, *, after: U64 | None, limit: U8) -> ProposalPage:
        """Proposals by ascending number, from behind `after`, at most `limit` and 64."""
        found = self.proposals.items(limit=min(limit, PAGE_MAX), after=after)
        return tuple(ProposalEntry(id=number, proposal=each) for number, each in found)

    @query
    def votes(self, *, id: U64, after: PublicKey | None, limit: U8) -> VotePage:
        """Votes on a proposal by ascending key of the validator, from behind `after`, at most `limit` and 64."""
        start = None if after is None else (id, after)
        found = self.ballots.items((id,), limit=min(limit, PAGE_MAX), after=start)
        return tuple(VoteEntry(validator=validator, choice=choice) for (_, validator), choice in found)

    @query
    def tally(self, *, id: U64) -> Tally | None:
        """The votes as they were counted; while they may change, as they would be counted now. Nothing where there is
        no such proposal, and of a cancelled one."""
        found = self.proposals.get(id)
        if found is None or found.status is not Status.VOTING:
            return None if found is None else found.tally
        return self._count(id, self.electorate.validators())

    # --- for the layers above

    def _begin(self, number: int, made: Proposal, content: Content) -> None:
        """Keep the next proposal, queued by what it waits for."""
        self.next_id = number + 1
        self.proposals[number] = made
        self.contents[number] = content
        if made.status is Status.VOTING:
            self._keep(made.deposit_denom, made.deposit)
            self.closing[made.voting_ends, number] = True
        elif made.status is Status.PASSED:
            self.enacting[made.enact_at, number] = True

    def _voted_on(self, number: int) -> Proposal:
        found = self.proposals.get(number)
        if found is None:
            raise UnknownProposal(proposal=number)
        if found.status is not Status.VOTING or self.height > found.voting_ends:
            raise NotVoting(proposal=number, voting_ends=found.voting_ends)
        return found

    def _count(self, number: int, powers: tuple[ValidatorPower, ...]) -> Tally:
        """One lookup for each validator that votes: bounded by the protocol's number of validators."""
        sums = dict.fromkeys(Choice, 0)
        for each in powers:
            choice = self.ballots.get((number, each.public_key))
            if choice is not None:
                sums[choice] += each.power
        return Tally(
            yes=sums[Choice.YES],
            no=sums[Choice.NO],
            abstain=sums[Choice.ABSTAIN],
            veto=sums[Choice.VETO],
            total=sum(each.power for each in powers),
        )

    def _release(self, number: int, found: Proposal, burned: int) -> int:
        """Burn so much of the deposit, return the rest. Returns what was burned. Where it is gone (Root may take any
        account's tokens) the proposal still ends: a hook that cannot go on would end all governance."""
        self._keep(found.deposit_denom, -found.deposit)
        try:
            with self.checkpoint():
                self.ledger.destroy(self.account, found.deposit_denom, burned)
                self.ledger.move(self.account, found.proposer, found.deposit_denom, found.deposit - burned)
        except CallError:
            self.emit(DepositLost(proposal=number, deposit=found.deposit))
            return 0
        return burned

    def _keep(self, denom: Denom, change: int) -> None:
        held = self.deposits[denom] + change
        if held:
            self.deposits[denom] = held
        elif denom in self.deposits:
            del self.deposits[denom]
