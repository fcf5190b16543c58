"""The vault, and a bug: an amount that is written as text."""

from __future__ import annotations

from typing import Annotated

from runtime import MaxLen, Signed, call
from tools.planted.vault import Put, Vault


class NumberFromText(Vault):
    """Takes " 1_0 " and the digits of every script; what int() refuses depends on a setting of the process."""

    @call(gas=20_000)
    def put_text(self, origin: Signed, *, amount: Annotated[str, MaxLen(32)]) -> None:
        """Put points in."""
        points = int(amount)
        self._check(points)
        self._add(origin.account, points)
        self.emit(Put(account=origin.account, amount=points))
