"""The vault, and a bug: a lottery by the host's random numbers."""

from __future__ import annotations

import random

from runtime import hook
from tools.planted.vault import Vault


class RandomWinner(Vault):
    """Every validator draws another winner."""

    @hook(gas=5_000_000)
    def end_block(self) -> None:
        """Pays out one of those that wait."""
        waiting = list(self.waiting.keys(limit=8))
        if waiting:
            del self.waiting[random.choice(waiting)]  # noqa: S311 # the bug
