"""The module `governance`: the runtime's role `governance`. What the chain does by itself, decided by its validators.

Lives here: who may do what - the calls - and what must always hold. The rest, a layer each: proposals.py (what is
stored, parameters, queries), endings.py (votes are counted, calls run), beginning.py (genesis and export). Must not:
know what the calls do, who is a validator, or how calls are run.

A proposal: `propose` takes a deposit and a list of calls (or none: words); validators' operators `vote`, and may change
their vote, up to the last block of the period; at its end votes are counted by the voting power of that moment; what
passes waits for its height, and its calls then run, all or none. Each end and each enactment is an event.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from modules.governance.beginning import Beginning
from modules.governance.errors import (
    ContentTooLarge,
    EnactmentTooEarly,
    EnactmentTooLate,
    NoTitle,
    NotProposer,
    NotVoter,
)
from modules.governance.events import Cancelled, Proposed, Voted
from modules.governance.proposals import BLOCKS_MAX, EVERYTHING
from modules.governance.protocol import (
    PARTS,
    Choice,
    Content,
    Proposal,
    ProposalCalls,
    ProposalText,
    Rules,
    Status,
    Title,
    follows,
)
from runtime import U64, Denom, Signed, call, invariant

CONTENT_BYTES_MAX: Final = 48 * 1024


class Governance(Beginning):
    """Proposals, voted on by validators, enacted as Root.
    Invariant: deposits of what is voted on are held, and each outcome follows from its tally."""

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

    def _enactment(self, wanted: int | None, earliest: int) -> int:
        if wanted is None:
            return earliest
        if wanted < earliest:
            raise EnactmentTooEarly(enact_at=wanted, earliest=earliest)
        if wanted > earliest + BLOCKS_MAX:
            raise EnactmentTooLate(enact_at=wanted, latest=earliest + BLOCKS_MAX)
        return wanted

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


def _rules(params: Governance.Params) -> Rules:
    return Rules(
        quorum=params.quorum,
        threshold=params.threshold,
        veto=params.veto,
        cancel_burn=params.cancel_burn,
        burns_without_quorum=params.burns_without_quorum,
    )
