"""Four whole nodes under virtual time: they agree, survive crashes and partitions, and never sign twice."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio

from modules.validators import Validators
from runtime import Map, Module, Name, Signed, call
from runtime.consensus import UnsignedVote, VoteKind, vote_sign_bytes
from runtime.crypto import SigningKey
from runtime.execution.chain import BareAccounts
from runtime.execution.composition import module_genesis
from runtime.execution.genesis import DEFAULT_CONSENSUS, FREE, GENESIS_VERSION, ChainGenesis, Roles
from runtime.execution.transaction import build_transaction, encode_transaction
from runtime.network.identity import NetworkKey
from runtime.network.simulated import Conditions, run_simulation
from runtime.node.consensus_parts import FromPeer
from runtime.node.errors import Diverged
from runtime.node.wire import VoteMessage
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
        {
            "public_key": key.public_key,
            "operator": AccountId(key.public_key),
            "power": 10,
            "peer": NetworkKey(key.seed).peer_id,
        }
        for key in keys
    ]
    entries = tuple(
        module_genesis(module, genesis={"validators": tuple(members)} if module is Validators else None)
        for module in MODULES
    )
    roles = Roles(auth=Name("accounts"), fees=None, validators=Name("validators"), governance=None)
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


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    async def main(folder: Path) -> list[Hash]:
        async with simulated(folder, 3, Conditions(latency_s=(0.001, 0.05))) as nodes:
            await nodes.start_all()
            for nonce in range(3):
                nodes.submit(nonce, bump(0, nonce))
                await trio.sleep(0.2)
            await nodes.reach(3)
            certificates = [nodes.node(0).store.certificate(height) for height in (1, 2, 3)]
            return [certificate.block_id for certificate in certificates if certificate]

    runs = [run_simulation(main, tmp_path / name, seed=3) for name in ("one", "two")]
    assert len(runs[0]) == 3
    assert runs[0] == runs[1]


@pytest.mark.parametrize("seed", range(4))
def test_crashes_at_any_moment_lose_nothing_and_sign_nothing_twice(tmp_path: Path, seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        async with simulated(tmp_path, seed, Conditions(latency_s=(0.001, 0.03))) as nodes:
            await nodes.start_all()
            await nodes.reach(1, within_s=10)
            sent: list[Hash] = []
            for nonce in range(12):
                victim = rng.randrange(4)
                sent.append(await nodes.acknowledged(rng.randrange(4), bump(0, nonce)))
                await trio.sleep(rng.uniform(0, 0.12))
                await nodes.crash(victim)
                await trio.sleep(rng.uniform(0, 1.5))
                await nodes.start(victim)
                await trio.sleep(rng.uniform(0, 0.5))
            for hash_ in sent:
                await nodes.committed(hash_, within_s=60)
            nodes.check()

    run_simulation(main, seed=seed)


def test_all_nodes_crash_at_once_and_go_on_from_their_files(tmp_path: Path) -> None:
    async def main() -> None:
        rng = random.Random(5)
        async with simulated(tmp_path, 5) as nodes:
            await nodes.start_all()
            for nonce in range(6):
                hash_ = await nodes.acknowledged(rng.randrange(4), bump(0, nonce))
                await trio.sleep(rng.choice([0, rng.uniform(0, 0.06)]))
                for index in range(4):
                    await nodes.crash(index)
                await nodes.start_all()
                await nodes.committed(hash_, within_s=30)
            nodes.check()

    run_simulation(main, seed=5)


def test_a_partition_without_a_quorum_stops_and_heals(tmp_path: Path) -> None:
    async def main() -> None:
        async with simulated(tmp_path, 6) as nodes:
            await nodes.start_all()
            await nodes.reach(1)
            one, two, three, four = nodes.names
            nodes.network.partition((one, two), (three, four))
            hash_ = nodes.submit(0, bump(0, 0))
            await trio.sleep(20)
            heights = {nodes.height(index) for index in range(4)}
            assert len(heights) == 1
            assert nodes.node(0).store.location(hash_) is None
            nodes.network.heal()
            await nodes.committed(hash_, within_s=60)
            nodes.check()

    run_simulation(main, seed=6)


def test_a_node_cut_off_catches_up_by_block_sync_while_the_others_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with simulated(tmp_path, 7, observers=1) as nodes:
            await nodes.start_all()
            await nodes.reach(1)
            nodes.network.partition((*nodes.names[:3], nodes.names[4]))
            for nonce in range(60):
                hash_ = nodes.submit(nonce % 3, bump(1, nonce))
                await nodes.committed(hash_, of=(0, 1, 2, 4), within_s=60)
            height = nodes.height(0)
            assert nodes.height(3) < height - 50
            nodes.network.heal()
            await nodes.reach(height, of=(3,), within_s=30)
            for nonce in range(60, 64):
                hash_ = nodes.submit(3, bump(1, nonce))
                await nodes.committed(hash_, within_s=10)
                await trio.sleep(0.5)
            assert nodes.signed(3)[-1].height > height, "it takes part again"
            nodes.check()

    run_simulation(main, seed=7)


def test_a_lossy_slow_network_still_decides(tmp_path: Path) -> None:
    async def main() -> None:
        async with simulated(tmp_path, 8, Conditions(latency_s=(0.01, 0.3), loss=0.05)) as nodes:
            await nodes.start_all()
            for nonce in range(5):
                hash_ = nodes.submit(nonce % 4, bump(2, nonce))
                await nodes.committed(hash_, within_s=120)
            nodes.check()

    run_simulation(main, seed=8)


class BrokenCounter(Module):
    """Counter, but for one bit."""

    name = "counter"
    counts: Map[AccountId, U64] = Map(default=0)

    @call(gas=1_000)
    def bump(self, origin: Signed) -> None:
        """Count two."""
        self.counts[origin.account] += 2


def test_a_diverging_node_halts_with_its_bundle_and_never_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with simulated(tmp_path, 9) as nodes:
            for index in range(3):
                await nodes.start(index)
            await nodes.start(3, modules=(BareAccounts, Validators, BrokenCounter))
            await nodes.reach(1)
            hash_ = nodes.submit(0, bump(0, 0))
            await nodes.committed(hash_, of=range(3), within_s=30)
            await nodes.halted(3)
            assert isinstance(nodes.fault(3), Diverged)
            assert "state_root" in str(nodes.fault(3))
            await nodes.reach(nodes.height(0) + 1, of=range(3))
            nodes.check()

    run_simulation(main, seed=9)
    bundles = [json.loads(path.read_text()) for path in (tmp_path / "node3" / "diverged").iterdir()]
    assert all(bundle["computed"]["module_roots"]["counter"] for bundle in bundles)
    assert bundles[-1]["block"]


def test_an_equivocating_validator_is_proven_guilty_in_a_block_and_loses_its_vote(tmp_path: Path) -> None:
    async def main() -> None:
        async with simulated(tmp_path, 10) as nodes:
            for index in range(3):
                await nodes.start(index)
            await nodes.reach(1, within_s=30)
            await trio.sleep(1)
            height = nodes.height(0) + 1
            for block in (b"\1" * 32, b"\2" * 32):
                unsigned = UnsignedVote(VoteKind.PREVOTE, height, 0, Hash(block), KEYS[3].public_key)
                signature = KEYS[3].sign(vote_sign_bytes(GENESIS.hash, unsigned))
                await nodes.node(0).consensus.inbox.send(FromPeer("liar", VoteMessage(unsigned.signed(signature))))
            await nodes.reach(height + 4, of=range(3), within_s=60)
            assert KEYS[3].public_key not in nodes.node(1).consensus.tip.validators
            found = [nodes.node(2).store.block(at).evidence for at in range(height, height + 5)]
            assert sum(map(len, found)) == 1, "once, and no more"
            await trio.sleep(1)
            before = trio.current_time()
            for nonce in range(4):
                await nodes.committed(nodes.submit(nonce % 3, bump(0, nonce)), within_s=5)
            assert trio.current_time() - before < 1, "nobody waits for the one that is out"
            nodes.check()

    run_simulation(main, seed=10)
