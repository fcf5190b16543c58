"""The module that the bugs are planted in, without any: points that people put in, send each other and take out.

Lives here: the sound module. Must not: have a bug.
"""

from __future__ import annotations

from runtime import (
    U64,
    AccountId,
    CallError,
    Event,
    Genesis,
    Item,
    Map,
    Module,
    ModuleParams,
    Root,
    Signed,
    call,
    hook,
    invariant,
    query,
)

EVERYTHING = 1 << 62
WINNERS_MAX = 4


class Put(Event):
    """Points were put in."""

    account: AccountId
    amount: U64


class Sent(Event):
    """Points went from one account to another."""

    sender: AccountId
    recipient: AccountId
    amount: U64


class Taken(Event):
    """Points were taken out."""

    account: AccountId
    amount: U64


class Ticketed(Event):
    """A ticket was made or given back."""

    ticket: U64


class RateSet(Event):
    """The chain set another rate."""

    rate: U64


class TooFew(CallError):
    """The account has fewer points than that."""

    held: U64
    amount: U64


class TooMany(CallError):
    """More points than can be counted."""

    amount: U64


class Nothing(CallError):
    """No points at all are moved."""


class NotYours(CallError):
    """The ticket is not there, or another's."""

    ticket: U64


class Vault(Module):
    """Points. Invariant: what accounts hold sums to the total."""

    name = "vault"
    events = (Put, Sent, Taken, Ticketed, RateSet)  # listed, for the copies are in other files
    errors = (TooFew, TooMany, Nothing, NotYours)
    held: Map[AccountId, U64] = Map(default=0)
    total: Item[U64] = Item(default=0)
    next_ticket: Item[U64] = Item(default=0)
    tickets: Map[U64, AccountId] = Map()
    rate: Item[U64] = Item(default=1)
    waiting: Map[AccountId, U64] = Map()

    class Params(ModuleParams):
        """most: points in the whole vault."""

        most: U64 = 1 << 62

    class GenesisConfig(Genesis):
        """held: by account."""

        held: dict[AccountId, U64] = {}
        tickets: dict[U64, AccountId] = {}
        next_ticket: U64 = 0
        rate: U64 = 1
        waiting: dict[AccountId, U64] = {}

    def genesis(self, config: GenesisConfig) -> None:
        """As exported."""
        self.total = 0
        for account, amount in config.held.items():
            self._check(amount)
            self._add(account, amount)
        for ticket, account in config.tickets.items():
            if ticket >= config.next_ticket:
                raise NotYours(ticket=ticket)
            self.tickets[ticket] = account
        for account, amount in config.waiting.items():
            self.waiting[account] = amount
        self.next_ticket = config.next_ticket
        self.rate = config.rate

    def export_genesis(self) -> GenesisConfig:
        """Everything."""
        return self.GenesisConfig(
            held=dict(self.held.items(limit=EVERYTHING)),
            tickets=dict(self.tickets.items(limit=EVERYTHING)),
            next_ticket=self.next_ticket,
            rate=self.rate,
            waiting=dict(self.waiting.items(limit=EVERYTHING)),
        )

    @call(gas=20_000)
    def put(self, origin: Signed, *, amount: U64) -> None:
        """Put points in."""
        self._check(amount)
        self._add(origin.account, amount)
        self.emit(Put(account=origin.account, amount=amount))

    @call(gas=20_000)
    def send(self, origin: Signed, *, to: AccountId, amount: U64) -> None:
        """Send points to another account."""
        self._check(amount)
        self._remove(origin.account, amount)
        self._add(to, amount)
        self.emit(Sent(sender=origin.account, recipient=to, amount=amount))

    @call(gas=20_000)
    def take(self, origin: Signed, *, amount: U64) -> None:
        """Take points out at the end of the block."""
        self._check(amount)
        self._remove(origin.account, amount)
        self.waiting[origin.account] = self.waiting.get(origin.account) or amount
        self.emit(Taken(account=origin.account, amount=amount))

    @call(gas=20_000)
    def open_ticket(self, origin: Signed) -> None:
        """Make a ticket with a number of its own."""
        number = self.next_ticket
        self.tickets[number] = origin.account
        self.next_ticket = number + 1
        self.emit(Ticketed(ticket=number))

    @call(gas=20_000)
    def close_ticket(self, origin: Signed, *, ticket: U64) -> None:
        """Give a ticket back."""
        if self.tickets.get(ticket) != origin.account:
            raise NotYours(ticket=ticket)
        del self.tickets[ticket]
        self.emit(Ticketed(ticket=ticket))

    @call(gas=20_000)
    def set_rate(self, origin: Root, *, rate: U64) -> None:
        """Set the rate."""
        self.rate = rate
        self.emit(RateSet(rate=rate))

    @query
    def held_by(self, *, account: AccountId) -> U64:
        """What the account holds."""
        return self.held[account]

    @hook(gas=5_000_000)
    def end_block(self) -> None:
        """Pays out what waits, a few in each block."""
        for account, _ in list(self.waiting.items(limit=WINNERS_MAX)):
            del self.waiting[account]

    @invariant
    def held_sums_to_the_total(self) -> None:
        """Nothing is made or lost; nobody's entry is empty."""
        amounts = [amount for _, amount in self.held.items(limit=EVERYTHING)]
        assert sum(amounts) == self.total, f"accounts hold {sum(amounts)}, the total is {self.total}"
        assert 0 not in amounts, "an empty account is stored"

    @invariant
    def tickets_are_older_than_the_next(self) -> None:
        """No number is given twice."""
        assert all(number < self.next_ticket for number in self.tickets.keys(limit=EVERYTHING)), "a number from ahead"

    def _check(self, amount: int) -> None:
        if not amount:
            raise Nothing

    def _add(self, account: AccountId, amount: int) -> None:
        if self.total + amount > self.params.most:
            raise TooMany(amount=amount)
        self.held[account] += amount
        self.total += amount

    def _remove(self, account: AccountId, amount: int) -> None:
        held = self.held[account]
        if held < amount:
            raise TooFew(held=held, amount=amount)
        if held == amount:
            del self.held[account]
        else:
            self.held[account] = held - amount
        self.total -= amount
