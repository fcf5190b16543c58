"""The vault, and a bug: as deep as the caller likes."""

from __future__ import annotations

from runtime import U64, Signed, call
from tools.planted.vault import Put, Vault


class Recursion(Vault):
    """Where Python's stack ends depends on what called the module: a query, a block, a test."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        self._add(origin.account, self._digits(amount))
        self.emit(Put(account=origin.account, amount=amount))

    def _digits(self, amount: int) -> int:
        return 1 if amount < 2 else 1 + self._digits(amount - 1)
