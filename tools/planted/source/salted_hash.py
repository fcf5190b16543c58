"""The vault, and a bug: a bucket by hash()."""

from __future__ import annotations

from runtime import U64, Signed, call
from tools.planted.vault import Put, Vault


class SaltedHash(Vault):
    """The hash of bytes is another one in every process: each validator gives the points to another bucket."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        self._add(origin.account, amount)
        self.rate = hash(origin.account) % 16
        self.emit(Put(account=origin.account, amount=amount))
