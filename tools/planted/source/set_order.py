"""The vault, and a bug: who is paid first depends on the order of a set."""

from __future__ import annotations

from runtime import hook
from tools.planted.vault import Vault


class SetOrder(Vault):
    """Every process salts its hashes: each validator pays out others."""

    @hook(gas=5_000_000)
    def end_block(self) -> None:
        """Pays out two of those that wait."""
        waiting = {account for account, _ in self.waiting.items(limit=8)}
        for number, account in enumerate(waiting):
            if number < 2:
                del self.waiting[account]
