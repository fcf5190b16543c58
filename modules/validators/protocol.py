"""What other modules may ask of validators, and what is stored of each."""

from __future__ import annotations

from typing import Annotated, Protocol

from runtime import U64, AccountId, PublicKey, Struct, ValidatorPower
from runtime.types import Pattern

PeerId = Annotated[str, Pattern(r"12D3KooW[1-9A-HJ-NP-Za-km-z]{44}", 52)]
"""A node's libp2p identity, of an Ed25519 key: apart from the validator key."""


class Validator(Struct):
    """operator: the account that answers for it. power: its voting power, kept while it is jailed, when it counts as
    none. peer: where its node is found. offences_after: an equivocation at this height or below is settled."""

    operator: AccountId
    power: U64
    jailed: bool
    peer: PeerId
    offences_after: U64


class Operators(Protocol):
    """Who answers for a validator."""

    def operator_of(self, public_key: PublicKey) -> AccountId | None:
        """The account of the validator with this key; None where there is no such validator."""
        ...


class Electorate(Protocol):
    """Who votes in governance, with what power."""

    def validators(self) -> tuple[ValidatorPower, ...]:
        """Everyone who is not jailed, with power above 0."""
        ...

    def key_of(self, operator: AccountId) -> PublicKey | None:
        """The key of the validator that this account answers for, jailed or not; None where there is none."""
        ...
