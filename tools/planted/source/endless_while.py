"""The vault, and a bug: a loop that an argument keeps going."""

from __future__ import annotations

from runtime import U64, Signed, call
from tools.planted.vault import Put, Vault


class EndlessWhile(Vault):
    """Collatz' sequence of the amount: nobody knows that it ends, and of 0 it does not."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        steps, number = 0, amount
        while number != 1:
            number = number // 2 if number % 2 == 0 else 3 * number + 1
            steps += 1
        self._add(origin.account, steps)
        self.emit(Put(account=origin.account, amount=steps))
