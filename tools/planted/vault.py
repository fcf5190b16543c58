"""The module that the bugs are planted in, without any: points that people put in, send each other and take out.

Lives here: the sound module. Must not: have a bug.
"""

from __future__ import annotations

from typing import Annotated

from runtime import (
    U64,
    AccountId,
    CallError,
    Event,
    Genesis,
    Item,
    Map,
    MaxLen,
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
BYTE_GAS = 200
"""What a byte of a note takes to count, nanoseconds."""
Text = Annotated[str, MaxLen(16)]
Label = Annotated[str, MaxLen(32)]


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


class Shared(Event):
    """Points went from one account to two others."""

    sender: AccountId
    amount: U64


class Ticketed(Event):
    """A ticket was made or given back."""

    ticket: U64


class Named(Event):
    """A shelf's box belongs to somebody from now on."""

    shelf: Text
    box: Text


class Noted(Event):
    """The sum of a note's bytes was kept."""

    total: U64


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


class BoxTaken(CallError):
    """The box belongs to somebody already."""


class Vault(Module):
    """Points. Invariant: what accounts hold sums to the total."""

    name = "vault"
    events = (Put, Sent, Shared, Taken, Ticketed, Named, Noted, RateSet)  # listed, for the copies are in other files
    errors = (TooFew, TooMany, Nothing, NotYours, BoxTaken)
    held: Map[AccountId, U64] = Map(default=0)
    total: Item[U64] = Item(default=0)
    next_ticket: Item[U64] = Item(default=0)
    tickets: Map[U64, AccountId] = Map()
    rate: Item[U64] = Item(default=1)
    waiting: Map[AccountId, U64] = Map()
    boxes: Map[tuple[Label, Text], AccountId] = Map()
    note_sum: Item[U64] = Item(default=0)

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
        boxes: dict[Label, dict[Text, AccountId]] = {}
        note_sum: U64 = 0

    def genesis(self, config: GenesisConfig) -> None:
        """As exported. Numbers of tickets that could run out are refused."""
        if config.next_ticket > EVERYTHING:
            raise TooMany(amount=config.next_ticket)
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
        for shelf, boxes in config.boxes.items():
            for box, account in boxes.items():
                self.boxes[shelf, box] = account
        self.next_ticket = config.next_ticket
        self.rate = config.rate
        self.note_sum = config.note_sum

    def export_genesis(self) -> GenesisConfig:
        """Everything."""
        boxes: dict[Label, dict[Text, AccountId]] = {}
        for (shelf, box), account in self.boxes.items(limit=EVERYTHING):
            boxes.setdefault(shelf, {})[box] = account
        return self.GenesisConfig(
            held=dict(self.held.items(limit=EVERYTHING)),
            tickets=dict(self.tickets.items(limit=EVERYTHING)),
            next_ticket=self.next_ticket,
            rate=self.rate,
            waiting=dict(self.waiting.items(limit=EVERYTHING)),
            boxes=boxes,
            note_sum=self.note_sum,
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
    def put_if_room(self, origin: Signed, *, amount: U64) -> None:
        """Put points in, or none where there is no room for them."""
        self._check(amount)
        try:
            with self.checkpoint():
                self._add(origin.account, amount)
        except TooMany:
            return
        self.emit(Put(account=origin.account, amount=amount))

    @call(gas=20_000)
    def share(self, origin: Signed, *, left: AccountId, right: AccountId, amount: U64) -> None:
        """Send half of the points to each; the odd one goes to the left."""
        self._check(amount)
        self._remove(origin.account, amount)
        half = amount // 2
        self._add(left, amount - half)
        if half:
            self._add(right, half)
        self.emit(Shared(sender=origin.account, amount=amount))

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
    def name_box(self, origin: Signed, *, shelf: Text, box: Text) -> None:
        """Claim a box that nobody has."""
        if (shelf, box) in self.boxes:
            raise BoxTaken
        self.boxes[shelf, box] = origin.account
        self.emit(Named(shelf=shelf, box=box))

    @call(gas=20_000)
    def note(self, origin: Signed, *, text: Annotated[bytes, MaxLen(16_000)]) -> None:
        """Keep the sum of the bytes."""
        self.charge(BYTE_GAS * len(text))
        total = 0
        for byte in text:
            total += byte
        self.note_sum = total
        self.emit(Noted(total=total))

    @call(gas=20_000)
    def set_rate(self, origin: Root, *, rate: U64) -> None:
        """Set the rate."""
        self.rate = rate
        self.emit(RateSet(rate=rate))

    @query
    def owner_of(self, *, ticket: U64) -> AccountId | None:
        """Whose the ticket is; nobody's where it is not there."""
        return self.tickets.get(ticket)

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
