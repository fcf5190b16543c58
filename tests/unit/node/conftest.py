"""A chain of four validators, for tests of whole nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime import Map, Module, Signed, ValidatorPower, call
from runtime.crypto import SigningKey
from runtime.execution.chain import BareAccounts
from runtime.execution.composition import module_genesis
from runtime.execution.genesis import DEFAULT_CONSENSUS, FREE, GENESIS_VERSION, ChainGenesis, Roles
from runtime.execution.transaction import build_transaction, encode_transaction
from runtime.testing.node_simulator import SimulatedNodes
from runtime.types import U64, AccountId, Name

KEYS = tuple(SigningKey.from_seed(bytes([index + 0x51]) * 32) for index in range(4))
USER = SigningKey.from_seed(b"\x77" * 32)


class FourValidators(Module):
    """Always the same."""

    name = "validators"

    def validators(self) -> tuple[ValidatorPower, ...]:
        """As ValidatorSource."""
        return tuple(ValidatorPower(key.public_key, 10) for key in KEYS)


class Odd(Module):
    """Takes odd numbers."""

    name = "odd"
    taken: Map[AccountId, U64] = Map(default=0)

    @call(gas=1_000)
    def take(self, origin: Signed, *, number: U64) -> None:
        """Take it: an even one gives a value that cannot be."""
        self.taken[origin.account] = number if number % 2 else -1


MODULES = (BareAccounts, FourValidators, Odd)
GENESIS = ChainGenesis(
    GENESIS_VERSION,
    Name("four"),
    "arm",
    1_700_000_000_000,
    tuple(module_genesis(module) for module in MODULES),
    DEFAULT_CONSENSUS,
    FREE,
    Roles(auth=Name("accounts"), fees=None, validators=Name("validators"), governance=None),
)


def take(nonce: int) -> bytes:
    made = build_transaction(
        [Odd.take.build(number=nonce)],
        genesis_hash=GENESIS.hash,
        key=USER,
        nonce=nonce,
        gas_limit=10_000_000,
        max_fee=0,
    )
    return encode_transaction(made)


@dataclass(frozen=True)
class FourNodes:
    """keys: of the validators. take: the user's transaction of this nonce; it fails where the nonce is even."""

    keys: Sequence[SigningKey]
    take: Callable[[int], bytes]

    def simulated(self, folder: Path, seed: int) -> SimulatedNodes:
        """The four, not started yet."""
        return SimulatedNodes(GENESIS, MODULES, self.keys, folder, seed=seed)


@pytest.fixture
def four() -> FourNodes:
    """The chain and its user."""
    return FourNodes(KEYS, take)
