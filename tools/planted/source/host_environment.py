"""The vault, and a bug: a limit from the environment."""

from __future__ import annotations

import os

from runtime import U64, Signed, call
from tools.planted.vault import Put, TooMany, Vault


class HostEnvironment(Vault):
    """Who runs the validator decides what is valid."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        if "VAULT_CLOSED" in os.environ:
            raise TooMany(amount=amount)
        self._add(origin.account, amount)
        self.emit(Put(account=origin.account, amount=amount))
