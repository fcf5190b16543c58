"""The vault, and a bug: the text of an object decides."""

from __future__ import annotations

from runtime import U64, Signed, call, hash_bytes
from tools.planted.vault import Put, Vault


class TextOfObject(Vault):
    """The text of the module holds its address in memory, which is another one in every process."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        self._add(origin.account, amount)
        self.rate = hash_bytes("vault/seed", f"{self}".encode())[0]
        self.emit(Put(account=origin.account, amount=amount))
