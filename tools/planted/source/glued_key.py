"""The vault, and a bug: two names glued to one key."""

from __future__ import annotations

from typing import Annotated

from runtime import AccountId, Map, MaxLen, Signed, call
from tools.planted.vault import Ticketed, Vault

Text = Annotated[str, MaxLen(16)]
Both = Annotated[str, MaxLen(32)]


class GluedKey(Vault):
    """Shelf "a", box "bc" is shelf "ab", box "c": who comes second owns what the first has claimed."""

    claimed: Map[Both, AccountId] = Map()

    @call(gas=20_000)
    def claim(self, origin: Signed, *, shelf: Text, box: Text) -> None:
        """Claim a box."""
        self.claimed[shelf + box] = origin.account
        self.emit(Ticketed(ticket=0))
