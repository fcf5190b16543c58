"""The vault, and a bug: a cache that no rollback reaches."""

from __future__ import annotations

from runtime import U64, AccountId, Signed, call
from tools.planted.vault import Sent, TooFew, Vault

_HELD: dict[AccountId, int] = {}


class StaleCache(Vault):
    """A transfer that fails after it has written the cache leaves there what never happened; a restart forgets it."""

    @call(gas=20_000)
    def send(self, origin: Signed, *, to: AccountId, amount: U64) -> None:
        """Send points to another account."""
        self._check(amount)
        held = _HELD.get(origin.account, self.held[origin.account])
        if held < amount:
            raise TooFew(held=held, amount=amount)
        _HELD[origin.account] = held - amount
        self._remove(origin.account, amount)
        self._add(to, amount)
        self.emit(Sent(sender=origin.account, recipient=to, amount=amount))
