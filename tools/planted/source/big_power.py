"""The vault, and a bug: a power whose exponent the caller says."""

from __future__ import annotations

from runtime import U64, Signed, call
from tools.planted.vault import Put, Vault


class BigPower(Vault):
    """A number of as many digits as the caller likes, for one price."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        self._add(origin.account, 3**amount % 1_000_003)
        self.emit(Put(account=origin.account, amount=amount))
