"""Four whole nodes under virtual time: they agree, survive crashes and partitions, and never sign twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio

from modules.validators import Validators
from runtime import Map, Module, Name, Signed, call
from runtime.crypto import SigningKey
from runtime.execution.chain import BareAccounts
from runtime.execution.composition import module_genesis
from runtime.execution.genesis import DEFAULT_CONSENSUS, FREE, GENESIS_VERSION, ChainGenesis, Roles
from runtime.execution.transaction import build_transaction, encode_transaction, prepare_transaction
from runtime.network.identity import NetworkKey
from runtime.network.simulated import Conditions, run_simulation
from runtime.testing.node_simulator import SimulatedNodes
from runtime.types import U64, AccountId, Hash

KEYS = tuple(SigningKey.from_seed(bytes([index + 1]) * 32) for index in range(4))
USERS = tuple(SigningKey.from_seed(bytes([index + 101]) * 32) for index in range(3))
TIME_MS = 1_700_000_000_000


class Counter(Module):
    """Counts how often each account asked."""

    name = "counter"
    counts: Map[AccountId, U64] = Map(default=0)

    @call(gas=1_000)
    def bump(self, origin: Signed) -> None:
        """Count one."""
        self.counts[origin.account] += 1


MODULES = (BareAccounts, Validators, Counter)


def make_genesis(keys: tuple[SigningKey, ...] = KEYS) -> ChainGenesis:
    members = [
        {"public_key": key.public_key, "operator": AccountId(key.public_key), "power": 10, "peer": NetworkKey(key.seed).peer_id}
        for key in keys
    ]
    entries = tuple(
        module_genesis(module, genesis={"validators": tuple(members)} if module is Validators else None) for module in MODULES
    )
    roles = Roles(auth=Name("accounts"), fees=None, validators=Name("validators"))
    return ChainGenesis(GENESIS_VERSION, Name("sim"), "arm", TIME_MS, entries, DEFAULT_CONSENSUS, FREE, roles)


GENESIS = make_genesis()


def bump(user: int, nonce: int) -> bytes:
    transaction = build_transaction(
        [Counter.bump.build()], genesis_hash=GENESIS.hash, key=USERS[user], nonce=nonce, gas_limit=10_000_000, max_fee=0
    )
    return encode_transaction(transaction)


def simulated(folder: Path, seed: int, conditions: Conditions | None = None, observers: int = 0) -> SimulatedNodes:
    return SimulatedNodes(GENESIS, MODULES, KEYS, folder, seed=seed, conditions=conditions, observers=observers)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


def test_four_nodes_agree_and_a_transaction_is_final_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with simulated(tmp_path, 1) as nodes:
            await nodes.start_all()
            await nodes.reach(1, within_s=5)
            for index in range(4):
                await trio.sleep(0.3)
                before = trio.current_time()
                hash_ = nodes.submit(index, bump(0, index))
                await nodes.committed(hash_, within_s=5)
                assert trio.current_time() - before < 0.3
            nodes.check()

    run_simulation(main, seed=1)


def test_an_idle_chain_makes_an_empty_block_per_interval_and_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with simulated(tmp_path, 2) as nodes:
            await nodes.start_all()
            await nodes.reach(1, within_s=5)
            await trio.sleep(21)
            assert {nodes.height(index) for index in range(4)} <= {4, 5}

    run_simulation(main, seed=2)


if __name__ == "__main__":
    import sys, tempfile
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(20))
    for name in sys.argv[1:]:
        globals()[name](Path(tempfile.mkdtemp()))
