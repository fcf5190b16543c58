"""Messages of the next height, kept until this one is decided: peers may be a step ahead. Bounded per validator."""

from __future__ import annotations

from typing import Final

from runtime.consensus.messages import Proposal, Vote
from runtime.consensus.validators import ValidatorSet
from runtime.types import PublicKey

MESSAGES_PER_VALIDATOR_MAX: Final = 8


class UpcomingHeight:
    """Holds verified messages of one height, each once; a validator that filled its room has its later ones dropped.

    The set of the next height is known (updates returned at H act at H + 2), so its messages can be verified early.
    """

    def __init__(self, *, height: int, validators: ValidatorSet) -> None:
        self.height = height
        self.validators = validators
        self._kept: dict[PublicKey, list[Vote | Proposal]] = {}

    def wants(self, message: Vote | Proposal) -> bool:
        """Whether there is room for a message, so that verifying its signature is worth it."""
        author = _author(message)
        if message.height != self.height or author not in self.validators:
            return False
        kept = self._kept.get(author, [])
        return message not in kept and len(kept) < MESSAGES_PER_VALIDATOR_MAX

    def keep(self, message: Vote | Proposal) -> bool:
        """Keep a verified message; False when it is not wanted."""
        if not self.wants(message):
            return False
        self._kept.setdefault(_author(message), []).append(message)
        return True

    def release(self) -> tuple[Vote | Proposal, ...]:
        """All kept messages, proposals first, by round; the buffer is empty afterwards."""
        messages = [message for kept in self._kept.values() for message in kept]
        self._kept.clear()
        return tuple(sorted(messages, key=lambda message: (message.round, isinstance(message, Vote))))


def _author(message: Vote | Proposal) -> PublicKey:
    return message.validator if isinstance(message, Vote) else message.proposer
