"""The module `governance`: the runtime's role `governance`. What the chain does by itself, decided by its validators.

Lives here: proposals, deposits, votes, when and whether calls run as Root. Must not: know what the calls do, who is a
validator, or how calls are run.

A proposal: `propose` takes a deposit and a list of calls (or none: words); validators' operators `vote`, and may change
their vote, up to the last block of the period; at its end votes are counted by the voting power of that moment; what
passes waits for its height, and its calls then run, all or none. Each end and each enactment is an event.
"""

from __future__ import annotations

from typing import Annotated

from msgspec.structs import replace

from modules.governance.protocol import (
    PAGE_MAX,
    PARTS,
    Choice,
    Content,
    GenesisProposal,
    Proposal,
    ProposalCalls,
    ProposalEntry,
    ProposalText,
    Rules,
    Status,
    Tally,
    Title,
    VoteEntry,
    follows,
    outcome,
)
from modules.tokens.protocol import BurningLedger
from modules.validators.protocol import Electorate
from runtime import (
    U8,
    U16,
    U32,
    U64,
    U128,
    AccountId,
    CallError,
    CallFailure,
    DatedGenesis,
    Denom,
    Event,
    Item,
    Map,
    MaxLen,
    Module,
    ModuleParams,
    Name,
    PublicKey,
    RootCalls,
    Signed,
    Uses,
    ValidatorPower,
    call,
    hook,
    invariant,
    query,
)

EVERYTHING = 1 << 62
CONTENT_BYTES_MAX = 48 * 1024
BLOCKS_MAX = 10_000_000
"""The longest period of voting, the longest delay, and how far ahead an enactment may be."""
GENESIS_PROPOSALS_MAX = 1 << 20
"""More than fit into a genesis by their bytes."""
CLOSED_PER_BLOCK = 2
ENACTED_PER_BLOCK = 2
ENACTMENT_GAS = 25_000_000
"""What the calls of one proposal may use together: 25 ms on the reference machine."""

ProposalPage = Annotated[tuple[ProposalEntry, ...], MaxLen(PAGE_MAX)]
VotePage = Annotated[tuple[VoteEntry, ...], MaxLen(PAGE_MAX)]


class Proposed(Event):
    """Votes count up to the end of block `voting_ends`."""

    proposal: U64
    proposer: AccountId
    voting_ends: U64
    enact_at: U64


class Voted(Event):
    """The validator's vote, or its new one."""

    proposal: U64
    validator: PublicKey
    choice: Choice


class Cancelled(Event):
    """The proposer took it back; of the deposit so much was burned, the rest returned."""

    proposal: U64
    burned: U128


class Closed(Event):
    """The votes are counted. burned: the deposit, or 0 where it was returned."""

    proposal: U64
    status: Status
    tally: Tally
    burned: U128


class Enacted(Event):
    """The calls ran as Root. failure: None where all succeeded; else which failed, and nothing of them is left."""

    proposal: U64
    gas_used: U64
    failure: CallFailure | None


class DepositLost(Event):
    """The deposit could be neither returned nor burned: it is not on the module's account any more."""

    proposal: U64
    deposit: U128


class UnknownProposal(CallError):
    """There is no proposal of this number."""

    proposal: U64


class NotVoting(CallError):
    """The proposal is not, or no longer, voted on."""

    proposal: U64
    voting_ends: U64


class NotVoter(CallError):
    """Only an account that answers for a validator votes."""

    account: AccountId


class NotProposer(CallError):
    """Only its proposer may do this."""

    proposer: AccountId


class EnactmentTooEarly(CallError):
    """Between voting and enactment is time to prepare."""

    enact_at: U64
    earliest: U64


class EnactmentTooLate(CallError):
    """What is decided now is not for so distant a height."""

    enact_at: U64
    latest: U64


class ContentTooLarge(CallError):
    """Text and calls together are too many bytes."""

    size_bytes: U32
    limit: U32


class NoTitle(CallError):
    """A proposal has a title."""


class BadProposal(CallError):
    """Status, tally and failure of a proposal that the chain begins with contradict each other, or its rules."""

    proposal: U64


class ParamOutOfRange(CallError):
    """A parameter is outside of what it can be."""

    param: Name
    low: U64
    high: U64


class UnknownDepositDenom(CallError):
    """Deposits are in a denomination of this chain."""

    denom: Denom


class Governance(Module):
    """Proposals, voted on by validators, enacted as Root.
    Invariant: deposits of what is voted on are held, and each outcome follows from its tally."""

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

    class GenesisConfig(DatedGenesis):
        """proposals: of a chain before this one, in the order of their numbers; what is voted on or waits goes on.
        votes: by number and validator."""

        proposals: Annotated[tuple[GenesisProposal, ...], MaxLen(GENESIS_PROPOSALS_MAX)] = ()
        votes: dict[U64, dict[PublicKey, Choice]] = {}

    def genesis(self, config: GenesisConfig) -> None:
        """Proposals and votes as they are, queued by what they wait for. Raises BadProposal, UnknownProposal for a
        vote on none."""
        for number, entry in enumerate(config.proposals):
            found = entry.proposal
            if not follows(found):
                raise BadProposal(proposal=number)
            self._begin(
                number,
                replace(
                    found,
                    submitted=config.at(found.submitted),
                    voting_ends=config.at(found.voting_ends),
                    enact_at=config.at(found.enact_at),
                ),
                entry.content,
            )
        for number, votes in config.votes.items():
            if number not in self.proposals:
                raise UnknownProposal(proposal=number)
            for validator, choice in votes.items():
                self.ballots[number, validator] = choice

    def export_genesis(self) -> GenesisConfig:
        """Every proposal with its content and votes; the queues and the deposits follow from them."""
        votes: dict[int, dict[PublicKey, Choice]] = {}
        for (number, validator), choice in self.ballots.items(limit=EVERYTHING):
            votes.setdefault(number, {})[validator] = choice
        proposals = self.proposals.items(limit=EVERYTHING)
        return self.GenesisConfig(
            proposals=tuple(GenesisProposal(proposal=each, content=self.contents[n]) for n, each in proposals),
            votes=votes,
        )

    @hook(gas=80_000_000)
    def end_block(self) -> None:
        """Enact what is due, then count the votes of what ends: the oldest first, a few of each in one block."""
        for enact_at, number in tuple(self.enacting.keys(limit=ENACTED_PER_BLOCK)):
            if enact_at <= self.height:
                self._enact(enact_at, number)
        ending = [key for key in self.closing.keys(limit=CLOSED_PER_BLOCK) if key[0] <= self.height]
        if ending:
            powers = self.electorate.validators()
            for _, number in ending:
                self._close(number, powers)

    # --- calls

    @call(gas=40_000)
    def propose(
        self, origin: Signed, *, title: Title, text: ProposalText, calls: ProposalCalls, enact_at: U64 | None
    ) -> None:
        """Propose calls that the chain shall run as Root, all or none, or words alone. Takes the deposit. enact_at: at
        the end of which block, `delay_blocks` after the voting or later; without it, the first that is possible."""
        if not title:
            raise NoTitle()
        size = len(text.encode()) + sum(len(each.arguments) for each in calls)
        if size > CONTENT_BYTES_MAX:
            raise ContentTooLarge(size_bytes=size, limit=CONTENT_BYTES_MAX)
        self.root.check_root_calls(calls)
        params, number = self.params, self.next_id
        voting_ends = self.height + params.voting_blocks
        enact_at = self._enactment(enact_at, voting_ends + params.delay_blocks)
        self.ledger.move(origin.account, self.account, params.deposit_denom, params.deposit)
        made = Proposal(
            proposer=origin.account,
            title=title,
            submitted=self.height,
            voting_ends=voting_ends,
            enact_at=enact_at,
            deposit=params.deposit,
            deposit_denom=params.deposit_denom,
            rules=_rules(params),
            status=Status.VOTING,
            tally=None,
            failure=None,
        )
        self._begin(number, made, Content(text=text, calls=calls))
        self.emit(Proposed(proposal=number, proposer=origin.account, voting_ends=voting_ends, enact_at=enact_at))

    @call(gas=20_000)
    def vote(self, origin: Signed, *, proposal: U64, choice: Choice) -> None:
        """Vote for the validator that the signer answers for, or change its vote. It has the voting power that the
        validator has when the voting ends; a jailed one has none."""
        self._voted_on(proposal)
        validator = self.electorate.key_of(origin.account)
        if validator is None:
            raise NotVoter(account=origin.account)
        self.ballots[proposal, validator] = choice
        self.emit(Voted(proposal=proposal, validator=validator, choice=choice))

    @call(gas=20_000)
    def cancel(self, origin: Signed, *, proposal: U64) -> None:
        """Take a proposal back while it is voted on. A part of the deposit, `cancel_burn`, is burned."""
        found = self._voted_on(proposal)
        if origin.account != found.proposer:
            raise NotProposer(proposer=found.proposer)
        burned = self._release(proposal, found, found.deposit * found.rules.cancel_burn // PARTS)
        del self.closing[found.voting_ends, proposal]
        self.proposals[proposal] = replace(found, status=Status.CANCELLED)
        self.emit(Cancelled(proposal=proposal, burned=burned))

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

    # --- rules

    @invariant
    def deposits_are_held(self) -> None:
        """The deposits of what is voted on are counted right and on the module's account."""
        owed: dict[str, int] = {}
        for _, each in self.proposals.items(limit=EVERYTHING):
            if each.status is Status.VOTING and each.deposit:
                owed[each.deposit_denom] = owed.get(each.deposit_denom, 0) + each.deposit
        assert dict(self.deposits.items(limit=EVERYTHING)) == owed, "deposits are not those of the open proposals"
        for denom, amount in owed.items():
            held = self.ledger.held(self.account, Denom(denom))
            assert held >= amount, f"the open proposals' deposits are {amount} {denom}, held are {held}"

    @invariant
    def outcomes_follow_from_tallies(self) -> None:
        """What was counted is no more than there was, and decided as the proposal's rules say."""
        for number, each in self.proposals.items(limit=EVERYTHING):
            assert follows(each), f"proposal {number} should not be {each.status.name}, with {each.tally}"

    @invariant
    def queues_name_what_waits(self) -> None:
        """Numbers have no gap; each proposal has a content; what is voted on and what waits is queued, nothing else."""
        proposals = dict(self.proposals.items(limit=EVERYTHING))
        assert list(proposals) == list(range(self.next_id)), "the proposals' numbers have a gap"
        assert list(self.contents.keys(limit=EVERYTHING)) == list(proposals), "contents are not those of the proposals"
        voting = {(each.voting_ends, n) for n, each in proposals.items() if each.status is Status.VOTING}
        passed = {(each.enact_at, n) for n, each in proposals.items() if each.status is Status.PASSED}
        assert set(self.closing.keys(limit=EVERYTHING)) == voting, "closing is not what is voted on"
        assert set(self.enacting.keys(limit=EVERYTHING)) == passed, "enacting is not what has passed"
        assert all(n in proposals for n, _ in self.ballots.keys(limit=EVERYTHING)), "a vote on nothing"

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

    def _enactment(self, wanted: int | None, earliest: int) -> int:
        if wanted is None:
            return earliest
        if wanted < earliest:
            raise EnactmentTooEarly(enact_at=wanted, earliest=earliest)
        if wanted > earliest + BLOCKS_MAX:
            raise EnactmentTooLate(enact_at=wanted, latest=earliest + BLOCKS_MAX)
        return wanted

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

    def _close(self, number: int, powers: tuple[ValidatorPower, ...]) -> None:
        found = self.proposals[number]
        tally = self._count(number, powers)
        status = outcome(tally, found.rules)
        burns = status is Status.VETOED or (status is Status.NO_QUORUM and found.rules.burns_without_quorum)
        burned = self._release(number, found, found.deposit if burns else 0)
        del self.closing[found.voting_ends, number]
        self.proposals[number] = replace(found, status=status, tally=tally)
        if status is Status.PASSED:
            self.enacting[found.enact_at, number] = True
        self.emit(Closed(proposal=number, status=status, tally=tally, burned=burned))

    def _enact(self, enact_at: int, number: int) -> None:
        """The proposal leaves the queue first: whatever its calls do, it runs once."""
        del self.enacting[enact_at, number]
        done = self.root.run_as_root(self.contents[number].calls, gas_limit=ENACTMENT_GAS)
        status = Status.ENACTED if done.failure is None else Status.FAILED
        self.proposals[number] = replace(self.proposals[number], status=status, failure=done.failure)
        self.emit(Enacted(proposal=number, gas_used=done.gas_used, failure=done.failure))

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


def _rules(params: Governance.Params) -> Rules:
    return Rules(
        quorum=params.quorum,
        threshold=params.threshold,
        veto=params.veto,
        cancel_burn=params.cancel_burn,
        burns_without_quorum=params.burns_without_quorum,
    )
