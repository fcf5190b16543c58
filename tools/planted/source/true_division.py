"""The vault, and a bug: half and half by `/` is not the whole."""

from __future__ import annotations

from runtime import U64, AccountId, Signed, call
from tools.planted.vault import Sent, Vault


class TrueDivision(Vault):
    """Splits what is sent. The half of an odd amount loses a point, and the half of a large one loses many."""

    @call(gas=20_000)
    def send(self, origin: Signed, *, to: AccountId, amount: U64) -> None:
        """Send half of the points to another account, keep half."""
        self._check(amount)
        self._remove(origin.account, amount)
        half = int(amount / 2)
        self._add(origin.account, half)
        self._add(to, half)
        self.emit(Sent(sender=origin.account, recipient=to, amount=half))
