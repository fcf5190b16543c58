"""The vault, and a bug: a default argument that remembers."""

from __future__ import annotations

from runtime import U64, AccountId, Signed, call
from tools.planted.vault import Put, Vault


class SharedDefault(Vault):
    """The list of all calls is one: the first caller of a process pays nothing, which of them that is differs."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        self._add(origin.account, amount - self._fee(origin.account))
        self.emit(Put(account=origin.account, amount=amount))

    def _fee(self, account: AccountId, seen: list[AccountId] = []) -> int:  # noqa: B006 # the bug
        seen.append(account)
        return min(len(seen) - 1, 1)
