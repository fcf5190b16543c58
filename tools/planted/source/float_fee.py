"""The vault, and a bug: a float rounds a fee."""

from __future__ import annotations

from runtime import U64, Signed, call
from tools.planted.vault import Put, Vault


class FloatFee(Vault):
    """Keeps one percent. Above 2^53 the fee is off by whole points."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        self._add(origin.account, amount - int(amount * 0.01))
        self.emit(Put(account=origin.account, amount=amount))
