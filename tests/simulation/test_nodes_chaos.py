"""Crashes, partitions, loss and latency by chance: afterwards all nodes agree, and nothing was signed twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio

from modules.validators import Validators
from runtime.crypto import SigningKey
from runtime.execution.chain import BareAccounts
from runtime.execution.composition import module_genesis
from runtime.execution.genesis import DEFAULT_CONSENSUS, FREE, GENESIS_VERSION, ChainGenesis, Roles
from runtime.execution.transaction import build_transaction, encode_transaction
from runtime.network.identity import NetworkKey
from runtime.network.simulated import Conditions, run_simulation
from runtime.testing.node_simulator import SimulatedNodes
from runtime.types import AccountId, Name

KEYS = tuple(SigningKey.from_seed(bytes([index + 1]) * 32) for index in range(4))
USER = SigningKey.from_seed(b"\x77" * 32)
MODULES = (BareAccounts, Validators)
NODES = 5  # four validators and a full node
TRANSACTIONS = 10


def make_genesis() -> ChainGenesis:
    members = tuple(
        {
            "public_key": key.public_key,
            "operator": AccountId(key.public_key),
            "power": 10,
            "peer": NetworkKey(key.seed).peer_id,
        }
        for key in KEYS
    )
    entries = (module_genesis(BareAccounts), module_genesis(Validators, genesis={"validators": members}))
    roles = Roles(auth=Name("accounts"), fees=None, validators=Name("validators"), governance=None)
    return ChainGenesis(
        GENESIS_VERSION, Name("chaos"), "arm", 1_700_000_000_000, entries, DEFAULT_CONSENSUS, FREE, roles
    )


GENESIS = make_genesis()


def transaction(nonce: int) -> bytes:
    """Its sender operates no validator, so the call fails; its nonce counts all the same."""
    made = build_transaction(
        [Validators.set_peer.build(public_key=KEYS[0].public_key, peer=NetworkKey(b"\5" * 32).peer_id)],
        genesis_hash=GENESIS.hash,
        key=USER,
        nonce=nonce,
        gas_limit=10_000_000,
        max_fee=0,
    )
    return encode_transaction(made)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seed", range(3))
def test_chaos_ends_in_agreement(tmp_path: Path, seed: int) -> None:
    run_simulation(chaos, tmp_path, seed, seed=seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 300))
def test_much_chaos_ends_in_agreement(tmp_path: Path, seed: int) -> None:
    run_simulation(chaos, tmp_path, seed, seed=seed)


async def chaos(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    conditions = Conditions(latency_s=(0.001, rng.choice([0.02, 0.1, 0.3])), loss=rng.choice([0, 0, 0.02]))
    async with SimulatedNodes(GENESIS, MODULES, KEYS, folder, seed=seed, conditions=conditions, observers=1) as nodes:
        await nodes.start_all()
        down: set[int] = set()
        for nonce in range(TRANSACTIONS):
            up = [index for index in range(NODES) if index not in down]
            await nodes.acknowledged(rng.choice(up), transaction(nonce))
            await trio.sleep(rng.choice([0, 0.01, 0.05, 0.2, 1]))
            await disturb(nodes, rng, down)
            await trio.sleep(rng.choice([0, 0.1, 1, 4]))
        nodes.network.heal()
        for index in sorted(down):
            await nodes.start(index)
        await trio.sleep(8)
        await nodes.reach(max(nodes.height(index) for index in range(NODES)) + 2, within_s=120)
        nodes.check()
        user = {"account": AccountId(USER.public_key)}
        counts = [nodes.application(index).query("accounts", "nonce_of", user) for index in range(NODES)]
        assert counts == [TRANSACTIONS] * NODES


async def disturb(nodes: SimulatedNodes, rng: random.Random, down: set[int]) -> None:
    up = [index for index in range(NODES) if index not in down]
    if rng.random() < 0.6 and len(up) > 1:
        victim = rng.choice(up)
        await nodes.crash(victim)
        down.add(victim)
    if down and rng.random() < 0.6:
        back = rng.choice(sorted(down))
        down.discard(back)
        await nodes.start(back)
    if rng.random() < 0.3:
        names = rng.sample(nodes.names, NODES)
        cut = rng.randrange(1, NODES)
        nodes.network.partition(names[:cut], names[cut:])
    if rng.random() < 0.5:
        nodes.network.heal()
