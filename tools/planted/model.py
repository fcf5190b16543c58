"""The vault as plain dicts: what an attack compares the module with, call by call.

Lives here: what each call does, without storage, gas or events. Must not: use the module's own code.
"""

from __future__ import annotations

from runtime import AccountId
from runtime.execution import Chain
from tools.planted.vault import Vault

MOST = 1 << 62


class VaultModel:
    """Each method takes the signer and a call's arguments and says whether the call succeeds. Begins empty."""

    def __init__(self) -> None:
        self.held: dict[bytes, int] = {}
        self.tickets: dict[int, bytes] = {}
        self.opened = 0
        self.boxes: set[tuple[str, str]] = set()

    def put(self, signer: bytes, *, amount: int) -> bool:
        """Into the signer's."""
        if not amount or self._total() + amount > MOST:
            return False
        self._give(signer, amount)
        return True

    def put_if_room(self, signer: bytes, *, amount: int) -> bool:
        """Succeeds where nothing happens, too."""
        self.put(signer, amount=amount)
        return amount > 0

    def send(self, signer: bytes, *, to: bytes, amount: int) -> bool:
        """From one to another."""
        if not self.take(signer, amount=amount):
            return False
        self._give(to, amount)
        return True

    def share(self, signer: bytes, *, left: bytes, right: bytes, amount: int) -> bool:
        """From one to two others."""
        if not self.take(signer, amount=amount):
            return False
        self._give(left, amount - amount // 2)
        self._give(right, amount // 2)
        return True

    def take(self, signer: bytes, *, amount: int) -> bool:
        """Out of the signer's."""
        if not amount or self.held.get(signer, 0) < amount:
            return False
        self.held[signer] -= amount
        return True

    def open_ticket(self, signer: bytes) -> bool:
        """Always."""
        self.tickets[self.opened] = signer
        self.opened += 1
        return True

    def close_ticket(self, signer: bytes, *, ticket: int) -> bool:
        """Its owner alone."""
        if self.tickets.get(ticket) != signer:
            return False
        del self.tickets[ticket]
        return True

    def name_box(self, signer: bytes, *, shelf: str, box: str) -> bool:
        """Once."""
        if (shelf, box) in self.boxes:
            return False
        self.boxes.add((shelf, box))
        return True

    def check(self, chain: Chain) -> None:
        """Raises AssertionError where the chain holds something else."""
        for account, held in self.held.items():
            found = chain.query(Vault.held_by, account=AccountId(account))
            assert found == held, f"held_by answers {found}, in the model it is {held}"
        for ticket in range(self.opened):
            owner, mine = chain.query(Vault.owner_of, ticket=ticket), self.tickets.get(ticket)
            assert owner == mine, f"ticket {ticket} is {_whose(owner)}, in the model {_whose(mine)}"

    def _give(self, account: bytes, amount: int) -> None:
        self.held[account] = self.held.get(account, 0) + amount

    def _total(self) -> int:
        return sum(self.held.values())


def _whose(account: bytes | None) -> str:
    return "nobody's" if account is None else f"{account.hex()[:8]}...'s"
