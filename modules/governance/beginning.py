"""How a chain begins with the proposals of another, and what one leaves to the next.

Lives here: the third layer of the module `governance`, its genesis and its export.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec.structs import replace

from modules.governance.endings import Endings
from modules.governance.errors import BadProposal, UnknownProposal
from modules.governance.proposals import EVERYTHING
from modules.governance.protocol import Choice, GenesisProposal, follows
from runtime import U64, DatedGenesis, MaxLen, PublicKey

GENESIS_PROPOSALS_MAX: Final = 1 << 20
"""More than fit into a genesis by their bytes."""


class Beginning(Endings):
    """What is voted on or waits goes on, heights anew."""

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
