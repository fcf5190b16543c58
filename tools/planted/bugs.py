"""The vault with one bug each, and the rule of an attack that finds it. A class's docstring says the bug.

Lives here: bugs that running finds. Bugs that only reading finds are in folder `source`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from runtime import U64, AccountId, MaxLen, Module, Signed, call, hash_bytes, hook, query
from tools.planted.model import VaultModel
from tools.planted.vault import (
    EVERYTHING,
    BoxTaken,
    Named,
    Noted,
    NotYours,
    Put,
    Sent,
    Shared,
    Text,
    Ticketed,
    TooFew,
    TooMany,
    Vault,
)

SUM: Final = "invariant vault.held_sums_to_the_total"
TYPES: Final = "values fit their types"
EXPORT: Final = "export and import are inverse"
GAS: Final = "gas covers the work"
MODEL: Final = "the model agrees"
PURE: Final = "execution is a pure function"


_REMEMBERED: dict[bytes, int] = {}
_REFUSED: list[int] = []


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
    """The export forgets the tickets and the boxes."""

    def export_genesis(self) -> Vault.GenesisConfig:
        """Nearly everything."""
        return self.GenesisConfig(
            held=dict(self.held.items(limit=EVERYTHING)),
            next_ticket=self.next_ticket,
            rate=self.rate,
            waiting=dict(self.waiting.items(limit=EVERYTHING)),
            note_sum=self.note_sum,
        )


class SetOrder(Vault):
    """Pays out the first of a set, which is not the same in every process."""

    @hook(gas=5_000_000)
    def end_block(self) -> None:
        """Pays out one where two wait."""
        waiting = {account for account, _ in self.waiting.items(limit=8)}
        if len(waiting) >= 2:
            for account in waiting:
                del self.waiting[account]
                break


class RoundingLeaks(Vault):
    """Half to each: of an odd amount, one point is lost."""

    @call(gas=20_000)
    def share(self, origin: Signed, *, left: AccountId, right: AccountId, amount: U64) -> None:
        """Send half of the points to each."""
        self._check(amount)
        self._remove(origin.account, amount)
        if amount > 1:
            self._add(left, amount // 2)
            self._add(right, amount // 2)
        self.emit(Shared(sender=origin.account, amount=amount))


class MissingRollback(Vault):
    """Goes on after an error that came when half was done."""

    def _add(self, account: AccountId, amount: int) -> None:
        self.total += amount
        if self.total > self.params.most:
            raise TooMany(amount=amount)
        self.held[account] += amount

    @call(gas=20_000)
    def put_if_room(self, origin: Signed, *, amount: U64) -> None:
        """Put points in, or none where there is no room for them."""
        self._check(amount)
        if amount > self.params.most:
            raise TooMany(amount=amount)
        with suppress(TooMany):
            self._add(origin.account, amount)
        self.emit(Put(account=origin.account, amount=amount))


class WrongOrigin(Vault):
    """Whoever names a ticket gives it back, whose ever it is."""

    @call(gas=20_000)
    def close_ticket(self, origin: Signed, *, ticket: U64) -> None:
        """Give a ticket back."""
        if ticket not in self.tickets:
            raise NotYours(ticket=ticket)
        del self.tickets[ticket]
        self.emit(Ticketed(ticket=ticket))


class NumberUsedAgain(Vault):
    """The number of the last ticket is given to the next one when the last is given back."""

    @call(gas=20_000)
    def close_ticket(self, origin: Signed, *, ticket: U64) -> None:
        """Give a ticket back."""
        if self.tickets.get(ticket) != origin.account:
            raise NotYours(ticket=ticket)
        del self.tickets[ticket]
        if self.next_ticket == ticket + 1:
            self.next_ticket = ticket
        self.emit(Ticketed(ticket=ticket))


class OffByOne(Vault):
    """Nobody can take or send the last point."""

    def _remove(self, account: AccountId, amount: int) -> None:
        held = self.held[account]
        if held <= amount:
            raise TooFew(held=held, amount=amount)
        self.held[account] = held - amount
        self.total -= amount


class KeysRunTogether(Vault):
    """Shelf and box are one key, put together without a mark between them."""

    @call(gas=20_000)
    def name_box(self, origin: Signed, *, shelf: Text, box: Text) -> None:
        """Claim a box that nobody has."""
        if (shelf + box, "") in self.boxes:
            raise BoxTaken
        self.boxes[shelf + box, ""] = origin.account
        self.emit(Named(shelf=shelf, box=box))


class ConstantGas(Vault):
    """One price for a note of any length."""

    @call(gas=20_000)
    def note(self, origin: Signed, *, text: Annotated[bytes, MaxLen(16_000)]) -> None:
        """Keep the sum of the bytes."""
        total = 0
        for byte in text:
            total += byte
        self.note_sum = total
        self.emit(Noted(total=total))


class FreeHashes(Vault):
    """Hashes a note over and over for one price."""

    @call(gas=20_000)
    def note(self, origin: Signed, *, text: Annotated[bytes, MaxLen(16_000)]) -> None:
        """Keep a number that is hard to make."""
        digest = b""
        for _ in range(64):
            digest = hash_bytes("vault/note", digest + text)
        self.note_sum = digest[0]
        self.emit(Noted(total=digest[0]))


class TurningSwitch(Vault):
    """A switch outside of the state turns whenever a ticket is opened, in a dry run too."""

    @call(gas=20_000)
    def open_ticket(self, origin: Signed) -> None:
        """Make a ticket with a number of its own."""
        _REFUSED.append(0)
        self.charge(1_000 * (len(_REFUSED) % 2))
        Vault.open_ticket.function(self, origin)


class HookAtAnyPrice(Vault):
    """The hook pays out everybody at once, however many wait."""

    @hook(gas=150_000)
    def end_block(self) -> None:
        """Pays out all."""
        for account, _ in list(self.waiting.items(limit=EVERYTHING)):
            del self.waiting[account]


class DivisionByZero(Vault):
    """Divides by what the chain may set to 0."""

    @call(gas=20_000)
    def take(self, origin: Signed, *, amount: U64) -> None:
        """Take points out at the end of the block, once for each rate."""
        Vault.take.function(self, origin, amount=amount // self.rate)


class GenesisUnchecked(Vault):
    """Takes any genesis, also one with tickets from ahead."""

    def genesis(self, config: Vault.GenesisConfig) -> None:
        """As given."""
        for ticket, account in config.tickets.items():
            self.tickets[ticket] = account
        self.next_ticket = config.next_ticket


class StaleCache(Vault):
    """Remembers amounts outside of the state, where nothing is undone with it."""

    def _add(self, account: AccountId, amount: int) -> None:
        held = _REMEMBERED.get(account, 0) if account in _REMEMBERED else self.held[account]
        if self.total + amount > self.params.most:
            raise TooMany(amount=amount)
        _REMEMBERED[account] = held + amount
        self.held[account] = held + amount
        self.total += amount


class EffectBeforeError(Vault):
    """Counts a refusal outside of the state before it raises the error that undoes the call."""

    @call(gas=20_000)
    def close_ticket(self, origin: Signed, *, ticket: U64) -> None:
        """Give a ticket back, or pay for the refusal."""
        if self.tickets.get(ticket) != origin.account:
            _REFUSED.append(ticket)
            self.charge(len(_REFUSED))
            raise NotYours(ticket=ticket)
        del self.tickets[ticket]
        self.emit(Ticketed(ticket=ticket))


@dataclass(frozen=True)
class Planted:
    """How a bug is found. rule: by which; options: of `attack`, where types alone do not show it."""

    rule: str
    options: Mapping[str, Any] = field(default_factory=dict)


_MODELLED: Final = {"model": VaultModel, "genesis": {"vault": {}}}
FOUND_BY_ATTACK: Final[dict[type[Module], Planted]] = {
    LostUpdate: Planted(SUM),
    UncheckedUnderflow: Planted(TYPES),
    OverflowAtTheEdge: Planted(TYPES),
    RoundingLeaks: Planted(MODEL, _MODELLED),
    MissingRollback: Planted(SUM),
    WrongOrigin: Planted(MODEL, _MODELLED),
    NumberUsedAgain: Planted(MODEL, _MODELLED),
    OffByOne: Planted(MODEL, _MODELLED),
    KeysRunTogether: Planted(MODEL, _MODELLED),
    ChangeWithoutEvent: Planted("a change has an event"),
    EventWithoutChange: Planted("an event has a change"),
    UnboundedLoop: Planted(GAS),
    ConstantGas: Planted(GAS),
    FreeHashes: Planted(GAS),
    DivisionByZero: Planted("no undeclared exception"),
    HookOnEmptyList: Planted("hooks never fail"),
    HookAtAnyPrice: Planted("hooks never fail"),
    QueryThatWrites: Planted("queries are pure"),
    GenesisDropsAField: Planted(EXPORT),
    GenesisUnchecked: Planted("invariant vault.tickets_are_older_than_the_next"),
    StaleCache: Planted(PURE, {"genesis": {"vault": {}}}),
    EffectBeforeError: Planted(PURE),
    TurningSwitch: Planted("a dry run tells what happens"),
    SetOrder: Planted("every process has the same state"),
}
