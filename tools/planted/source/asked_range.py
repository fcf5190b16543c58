"""The vault, and a bug: as many rounds as the caller likes."""

from __future__ import annotations

from runtime import U64, Signed, call
from tools.planted.vault import Put, Vault


class AskedRange(Vault):
    """The price of a call is fixed, its work is not."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        for _ in range(amount):
            self._add(origin.account, 1)
        self.emit(Put(account=origin.account, amount=amount))
