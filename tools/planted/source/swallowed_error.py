"""The vault, and a bug: an error after an effect, swallowed."""

from __future__ import annotations

from runtime import U64, AccountId, CallError, Signed, call
from tools.planted.vault import Sent, Vault


class SwallowedError(Vault):
    """Where the recipient's part fails, the sender's points are gone, and the call succeeds."""

    @call(gas=20_000)
    def send(self, origin: Signed, *, to: AccountId, amount: U64) -> None:
        """Send points to another account."""
        self._check(amount)
        try:
            self._remove(origin.account, amount)
            self._add(to, amount)
        except CallError:
            return
        self.emit(Sent(sender=origin.account, recipient=to, amount=amount))
