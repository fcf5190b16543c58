"""The vault with one bug each. A class's docstring says the bug; `RULE` is the rule of an attack that finds it.

Lives here: bugs that running finds. Bugs that only reading finds are in folder `source`.
"""

from __future__ import annotations

from typing import Final

from runtime import U64, AccountId, Module, Signed, call, hook, query
from tools.planted.vault import EVERYTHING, Put, Sent, TooFew, Vault

SUM: Final = "invariant vault.held_sums_to_the_total"
TYPES: Final = "values fit their types"
EXPORT: Final = "export and import are inverse"
GAS: Final = "gas covers the work"


class LostUpdate(Vault):
    """A transfer to oneself writes the balance that it read first."""

    @call(gas=20_000)
    def send(self, origin: Signed, *, to: AccountId, amount: U64) -> None:
        """Send points to another account."""
        self._check(amount)
        sender, recipient = self.held[origin.account], self.held[to]
        if sender <= amount:
            raise TooFew(held=sender, amount=amount)
        self.held[origin.account] = sender - amount
        self.held[to] = recipient + amount
        self.emit(Sent(sender=origin.account, recipient=to, amount=amount))


class UncheckedUnderflow(Vault):
    """Takes more than is there."""

    def _remove(self, account: AccountId, amount: int) -> None:
        self.held[account] -= amount
        self.total -= amount


class OverflowAtTheEdge(Vault):
    """Adds without asking whether the sum fits its type."""

    def _add(self, account: AccountId, amount: int) -> None:
        self.held[account] += amount
        self.total += amount


class ChangeWithoutEvent(Vault):
    """Puts points in and does not say so."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        self._add(origin.account, amount)


class EventWithoutChange(Vault):
    """Says that points were put in, and puts none in where some are."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        if not self.held[origin.account]:
            self._add(origin.account, amount)
        self.emit(Put(account=origin.account, amount=amount))


class UnboundedLoop(Vault):
    """Works as often as the caller likes, for one price."""

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        for _ in range(amount):
            pass
        self._add(origin.account, amount)
        self.emit(Put(account=origin.account, amount=amount))


class HookOnEmptyList(Vault):
    """The hook fails where nobody waits."""

    @hook(gas=5_000_000)
    def end_block(self) -> None:
        """Pays out the largest."""
        account, _ = max(self.waiting.items(limit=4), key=lambda entry: entry[1])
        del self.waiting[account]


class QueryThatWrites(Vault):
    """A query counts how often it is asked."""

    @query
    def held_by(self, *, account: AccountId) -> U64:
        """What the account holds."""
        self.next_ticket += 1
        return self.held[account]


class GenesisDropsAField(Vault):
    """The export forgets the tickets."""

    def export_genesis(self) -> Vault.GenesisConfig:
        """Nearly everything."""
        return self.GenesisConfig(
            held=dict(self.held.items(limit=EVERYTHING)),
            next_ticket=self.next_ticket,
            rate=self.rate,
            waiting=dict(self.waiting.items(limit=EVERYTHING)),
        )


class SetOrder(Vault):
    """Pays out the first of a set, which is another one in every process."""

    @hook(gas=5_000_000)
    def end_block(self) -> None:
        """Pays out one where three wait."""
        waiting = {account for account, _ in self.waiting.items(limit=8)}
        if len(waiting) >= 3:
            for account in waiting:
                del self.waiting[account]
                break


FOUND_BY_ATTACK: Final[dict[type[Module], str]] = {
    LostUpdate: SUM,
    UncheckedUnderflow: TYPES,
    OverflowAtTheEdge: TYPES,
    ChangeWithoutEvent: "a change has an event",
    EventWithoutChange: "an event has a change",
    UnboundedLoop: GAS,
    HookOnEmptyList: "hooks never fail",
    QueryThatWrites: "queries are pure",
    GenesisDropsAField: EXPORT,
    SetOrder: "every process has the same state",
}
