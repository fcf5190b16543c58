"""Several validators of some modules in one process and in virtual time: what the fixture `localnet` makes.

    def test_all_count_alike(localnet: LocalnetOf) -> None:
        net = localnet(Counter, seed=7)

        async def story() -> None:
            receipt = await net.submit(Counter.bump.build(step=3), signer=net.account("alice"))
            assert receipt.is_ok
            assert net.query_at(2, Counter.value) == 3

        net.run(story)

Real consensus, execution and files (node_simulator.py), a simulated network and clock: a seed gives the same run again,
and a minute of it takes a second. Every block of every node must have the first node's hash and state root, nobody may
sign two things for one moment, and no node may halt: otherwise SimulationFailed. Lives here: what an author of modules
says and asks. Must not: simulate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from logging import CRITICAL
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec, Protocol, TypeVar

import structlog
import trio

from runtime.codec import codec
from runtime.crypto import SigningKey, hash_bytes
from runtime.errors import UsageError
from runtime.execution import Chain
from runtime.execution.chain import FREE_GAS, Account, chain_genesis, decode_error, sign_calls
from runtime.execution.core import ModelEngine
from runtime.execution.genesis import ChainGenesis
from runtime.execution.params import FeeParams
from runtime.execution.receipts import Receipt
from runtime.limits import VALIDATORS_MAX
from runtime.module import Call, CallError, Genesis, Item, Module, QueryMethod, ValidatorPower, ValidatorSource
from runtime.module.uses import missing
from runtime.network.simulated import Conditions, run_simulation
from runtime.testing.node_simulator import SimulatedNodes, first_leaf
from runtime.types import Hash, MaxLen, PublicKey

P = ParamSpec("P")
R = TypeVar("R")
VALIDATORS: Final = 4
POWER: Final = 10
WITHIN_S: Final = 60.0


class Founded(Protocol):
    """A chain made ready, such as chain_spec.resolve makes of a spec."""

    @property
    def genesis(self) -> ChainGenesis:
        """Its genesis."""
        ...

    @property
    def modules(self) -> Sequence[type[Module]]:
        """The classes to compose."""
        ...


class BareValidators(Module):
    """The validators of the genesis, for ever: where no other module has the role."""

    name = "validators"
    members: Item[Annotated[tuple[ValidatorPower, ...], MaxLen(VALIDATORS_MAX)]] = Item(default=())

    class GenesisConfig(Genesis):
        """members: with their powers."""

        members: Annotated[tuple[ValidatorPower, ...], MaxLen(VALIDATORS_MAX)] = ()

    def genesis(self, config: GenesisConfig) -> None:
        """As configured."""
        self.members = config.members

    def export_genesis(self) -> GenesisConfig:
        """As configured."""
        return self.GenesisConfig(members=self.members)

    def validators(self) -> tuple[ValidatorPower, ...]:
        """As ValidatorSource."""
        return self.members


def validator_key(number: int) -> SigningKey:
    """What node `number` of every localnet signs with: for the genesis of a validators' module of one's own."""
    return SigningKey.from_seed(hash_bytes("armillary/test-validator", str(number).encode()))


class Localnet:
    """Nodes 0 to validators - 1, each with a vote of equal power. What is done with them stands in a story, an async
    function that `run` runs; outside of it nothing runs.

    genesis, params, fees: as for Chain. of: a chain made ready instead, whose validators sign with `validator_key`.
    conditions: latency and loss of the network. engine: what runs models.
    """

    def __init__(
        self,
        *modules: type[Module],
        validators: int = VALIDATORS,
        seed: int = 0,
        genesis: Mapping[str, Mapping[str, Any]] | None = None,
        params: Mapping[str, Mapping[str, Any]] | None = None,
        fees: FeeParams = FREE_GAS,
        of: Founded | None = None,
        conditions: Conditions | None = None,
        engine: ModelEngine | None = None,
    ) -> None:
        if validators < 1:
            raise UsageError(f"validators={validators}: a localnet has at least one validator")
        self._keys = tuple(validator_key(number) for number in range(validators))
        self._seed, self._conditions, self._engine = seed, conditions, engine
        self._nodes: SimulatedNodes | None = None
        if of is not None:
            if modules or genesis or params:
                raise UsageError("of= is a whole chain: leave out modules, genesis and params")
            self.genesis, self.modules = of.genesis, tuple(of.modules)
            return
        given = dict(genesis or {})
        if all(missing(module, ValidatorSource) for module in modules):
            modules = (BareValidators, *modules)
            members = tuple(ValidatorPower(PublicKey(key.public_key), POWER) for key in self._keys)
            given[BareValidators.name] = {"members": members}
        self.genesis, self.modules = chain_genesis(modules, genesis=given, params=params, fees=fees)

    def run(self, story: Callable[[], Awaitable[R]]) -> R:
        """Starts all nodes, runs the story, stops them; returns what the story does. Each run is a new chain. Raises
        what the story raises, and SimulationFailed."""
        with tempfile.TemporaryDirectory(prefix="armillary-localnet-") as folder:
            result: R = run_simulation(self._play, story, Path(folder), seed=self._seed)
            return result

    async def _play(self, story: Callable[[], Awaitable[R]], folder: Path) -> R:
        log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
        nodes = SimulatedNodes(
            self.genesis,
            self.modules,
            self._keys,
            folder,
            seed=self._seed,
            conditions=self._conditions,
            engine=self._engine,
            log=log,
        )
        try:
            async with nodes:
                self._nodes = nodes
                await nodes.start_all()
                result = await story()
                nodes.check()
                for node in nodes.running:
                    nodes.sound(node)
            return result
        except BaseExceptionGroup as group:  # the nodes' nursery wraps also what the story alone raises
            raise first_leaf(group) from None
        finally:
            self._nodes = None

    @property
    def nodes(self) -> SimulatedNodes:
        """What the story drives, for whatever is not said here. Raises UsageError outside of a run."""
        if self._nodes is None:
            raise UsageError("a localnet runs while its story does: net.run(story)")
        return self._nodes

    @property
    def running(self) -> tuple[int, ...]:
        """The nodes that are up."""
        return self.nodes.running

    # --- accounts and transactions

    def account(self, name: str) -> Account:
        """The account of this name: the same key as on every test chain."""
        return Chain.account_named(name)

    def send(self, *calls: Call, signer: Account, at: int | None = None, **options: Any) -> Hash:
        """Gives a transaction to a node (at; the first that is up) and waits for nothing; its name. options: those of
        build_transaction. A further one of the same signer has the nonce behind it. Raises InvalidTransaction,
        TransactionRefused."""
        node = self._at(at)
        application = self.nodes.application(node)
        waiting = self.nodes.node(node).pool.next_nonce(signer.id)
        options.setdefault("nonce", application.next_nonce(signer.id) if waiting is None else waiting)
        return self.nodes.submit(node, sign_calls(application, calls, signer, **options))

    async def submit(
        self, *calls: Call, signer: Account, at: int | None = None, within_s: float = WITHIN_S, **options: Any
    ) -> Receipt:
        """The same, and waits until every node that is up has it in a block; its receipt."""
        name = self.send(*calls, signer=signer, at=at, **options)
        await self.nodes.committed(name, within_s=within_s)
        return self.receipt(name, at=at)

    def receipt(self, transaction: Hash, *, at: int | None = None) -> Receipt:
        """Of a transaction that this node has in a block. Raises UsageError where it has not."""
        store = self.nodes.node(self._at(at)).store
        location = store.location(transaction)
        if location is None:
            raise UsageError(f"transaction {transaction.hex()} is in no block of node {self._at(at)} yet")
        receipt: Receipt = codec(Receipt).decode(store.receipts(location.height)[location.index])
        return receipt

    def error(self, receipt: Receipt) -> CallError | None:
        """A failed receipt's error, as it was raised; None where the calls succeeded."""
        return decode_error(self.nodes.application(self._at(None)), receipt)

    def query(self, query: QueryMethod[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What the first node that is up answers."""
        return self.query_at(self._at(None), query, *args, **kwargs)

    def query_at(self, node: int, query: QueryMethod[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What this node answers."""
        module, _, name = query.full_name.partition(".")
        answer: R = self.nodes.application(node).query(module, name, kwargs)
        return answer

    # --- time, and what goes wrong

    async def advance(self, seconds: float) -> None:
        """Lets virtual time pass."""
        await trio.sleep(seconds)

    async def blocks(self, count: int = 1, *, within_s: float = WITHIN_S) -> None:
        """Waits until every node that is up has so many blocks more than the highest has now."""
        await self.nodes.reach(max(map(self.height, self.running)) + count, within_s=within_s)

    async def committed(self, *transactions: Hash, within_s: float = WITHIN_S) -> None:
        """Waits until every node that is up has these in a block."""
        for name in transactions:
            await self.nodes.committed(name, within_s=within_s)

    def partition(self, *groups: Collection[int]) -> None:
        """Only nodes of one group reach each other from now on; a node in none reaches nobody."""
        self.nodes.network.partition(*([self.nodes.names[node] for node in group] for group in groups))

    def heal(self) -> None:
        """Everybody reaches everybody again."""
        self.nodes.network.heal()

    async def crash(self, node: int) -> None:
        """Takes a node down where it stands."""
        await self.nodes.crash(node)

    async def restart(self, node: int) -> None:
        """Brings it back, from what it had written."""
        await self.nodes.start(node)

    # --- what the nodes came to

    def height(self, node: int) -> int:
        """Of the last block of this node."""
        return self.nodes.height(node)

    def root(self, height: int) -> Hash:
        """The state root after this block, the same on each node that has it. Raises KeyError where none has."""
        return self.nodes.root(height)

    def _at(self, node: int | None) -> int:
        if node is None:
            if not self.running:
                raise UsageError("no node is up: await net.restart(0)")
            return self.running[0]
        return node
