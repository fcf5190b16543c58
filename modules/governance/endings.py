"""The end of each block: votes are counted, and what has passed and is due is done.

Lives here: the second layer of the module `governance`, its hook. Must not: decide by anything but tallies and rules
(protocol.py); know what calls do.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from modules.governance.events import Closed, Enacted
from modules.governance.proposals import Proposals
from modules.governance.protocol import Status, outcome
from runtime import ValidatorPower, hook

CLOSED_PER_BLOCK: Final = 2
ENACTED_PER_BLOCK: Final = 2
ENACTMENT_GAS: Final = 25_000_000
"""What the calls of one proposal may use together: 25 ms on the reference machine."""


class Endings(Proposals):
    """Each proposal ends once: by its votes, and where it passed, by its calls. Nothing can make the hook fail."""

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
