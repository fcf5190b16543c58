"""The vault, and a bug: a deadline by the host's clock."""

from __future__ import annotations

import time

from runtime import U64, Signed, call
from tools.planted.vault import Nothing, Put, Vault


class HostTime(Vault):
    """Takes points at certain times only. Each validator looks at its own clock, and replay at a later one."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        if int(time.time()) % 60 < 30:
            raise Nothing
        self._add(origin.account, amount)
        self.emit(Put(account=origin.account, amount=amount))
