"""Whole nodes in one process under virtual time: real execution, real files, simulated network and clock.

    async with SimulatedNodes(genesis, modules, keys, folder, seed=7) as nodes:
        await nodes.start_all()
        nodes.submit(0, transaction)
        await nodes.reach(2)
        nodes.check()

Run it inside runtime.network.simulated.run_simulation: then a seed gives the same run again. A crash takes a node down
at whatever point it has reached; what it had written is all that the next start finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import structlog
import trio

from runtime.crypto import SigningKey
from runtime.errors import OurError
from runtime.execution.application import Application
from runtime.execution.core import ModelEngine
from runtime.execution.genesis import ChainGenesis
from runtime.module import Module
from runtime.network.simulated import Conditions, SimulatedNetwork
from runtime.node.executor import inline
from runtime.node.node import Node, NodeSetup
from runtime.node.signer import Signed, Signer, read_signed
from runtime.state.disk import DiskStore
from runtime.types import Hash

STEP_S: Final = 0.02


class SimulationFailed(AssertionError):
    """Something that must hold of all nodes does not."""


@dataclass
class _Running:
    node: Node
    application: Application
    store: DiskStore
    signer: Signer | None
    scope: trio.CancelScope
    stopped: trio.Event
    fault: BaseException | None = None


class SimulatedNodes:
    """Nodes 0 to len(keys) - 1 hold the validators' keys; `observers` more hold none. engine: what runs models; log:
    structlog's own where it is left out."""

    def __init__(
        self,
        genesis: ChainGenesis,
        modules: Sequence[type[Module]],
        keys: Sequence[SigningKey],
        folder: Path,
        *,
        seed: int,
        conditions: Conditions | None = None,
        observers: int = 0,
        engine: ModelEngine | None = None,
        log: Any = None,
    ) -> None:
        self.network = SimulatedNetwork(seed, conditions)
        self._engine = engine
        self._log = log or structlog.get_logger()
        self._genesis = genesis
        self._modules = modules
        self._keys = keys
        self._folder = folder
        self._count = len(keys) + observers
        self._running: dict[int, _Running] = {}
        self._roots: dict[int, tuple[Hash, Hash]] = {}  # height -> block id, state root, as the first node applied it

    async def __aenter__(self) -> SimulatedNodes:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        await self._nursery.start(self.network.run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        for index in list(self._running):
            await self.crash(index)
        self._nursery.cancel_scope.cancel()
        return await self._manager.__aexit__(kind, error, trace)

    @property
    def names(self) -> tuple[str, ...]:
        """What the network knows the nodes by, for partitions."""
        return tuple(f"node{index}" for index in range(self._count))

    @property
    def running(self) -> tuple[int, ...]:
        """The numbers of those that are up."""
        return tuple(sorted(self._running))

    # --- lifecycle --------------------------------------------------------------------------------------------------

    async def start_all(self) -> None:
        """Start validators and observers, in the order of their numbers."""
        for index in range(self._count):
            await self.start(index)

    async def start(self, index: int, *, modules: Sequence[type[Module]] | None = None) -> None:
        """Start a node from whatever its folder holds; with other modules than the rest, for a node gone wrong."""
        folder = self._folder / self.names[index]
        folder.mkdir(parents=True, exist_ok=True)
        store = DiskStore(folder / "state")
        application = Application(self._genesis, modules or self._modules, store, engine=self._engine)
        application.start()
        signer = Signer(folder / "signer.journal", self._keys[index]) if index < len(self._keys) else None
        setup = NodeSetup(
            name=self.names[index],
            app=application,
            store=store,
            data=folder,
            transport_of=lambda handshake, handler: self.network.transport(
                self.names[index], handshake=handshake, handler=handler
            ),
            signer=signer,
            runner=inline,
            now_ms=lambda: self._genesis.time_ms + 1 + int(trio.current_time() * 1000),
            on_applied=lambda block: self._compare(index, block.tip.height, block.tip.block_id, block.tip.state_root),
        )
        node = Node(setup, self._log.bind(node=index))
        running = _Running(node, application, store, signer, trio.CancelScope(), trio.Event())
        self._running[index] = running
        await self._nursery.start(self._serve, running)

    async def crash(self, index: int) -> None:
        """Take a node down where it stands."""
        running = self._running.pop(index)
        running.scope.cancel()
        with trio.CancelScope(shield=True):
            await running.stopped.wait()

    async def _serve(self, running: _Running, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        try:
            with running.scope:
                await running.node.run(task_status=task_status)
        except* OurError as group:
            running.fault = first_leaf(group)
        finally:
            running.store.close()
            if running.signer is not None:
                running.signer.close()
            running.stopped.set()

    # --- use --------------------------------------------------------------------------------------------------------

    def node(self, index: int) -> Node:
        """Raises KeyError for one that is down."""
        return self._running[index].node

    def application(self, index: int) -> Application:
        """Its execution, for queries. Raises KeyError for one that is down."""
        return self._running[index].application

    def submit(self, index: int, transaction: bytes) -> Hash:
        """As a client of that node who does not wait for its word: a crash may lose the transaction.

        Raises InvalidTransaction or TransactionRefused.
        """
        return self.node(index).mempool.admit(transaction).transaction

    async def acknowledged(self, index: int, transaction: bytes) -> Hash:
        """As a client who waits until the node answers: from then on no crash loses the transaction."""
        return await self.node(index).mempool.submit(transaction)

    def fault(self, index: int) -> BaseException | None:
        """Why a node halted by itself; None while it runs."""
        return self._running[index].fault

    def height(self, index: int) -> int:
        """Of the last block that this node applied."""
        return self.node(index).consensus.tip.height

    async def reach(self, height: int, *, of: Iterable[int] | None = None, within_s: float = 60) -> None:
        """Wait, in virtual time, until these nodes (all that run) have applied that height."""
        await self._until(
            lambda index: self.sound(index).consensus.tip.height >= height, f"height {height}", of, within_s
        )

    async def committed(self, hash_: Hash, *, of: Iterable[int] | None = None, within_s: float = 60) -> None:
        """Wait until these nodes (all that run) have that transaction in a block."""
        name = f"transaction {hash_.hex()[:16]}"
        await self._until(lambda index: self.sound(index).store.location(hash_) is not None, name, of, within_s)

    def sound(self, index: int) -> Node:
        """Raises SimulationFailed where the node has halted by itself: it will reach nothing any more."""
        fault = self.fault(index)
        if fault is not None:
            raise SimulationFailed(f"node {index} has halted: {type(fault).__name__}: {fault}")
        return self.node(index)

    async def _until(self, holds: Any, what: str, of: Iterable[int] | None, within_s: float) -> None:
        waiting = sorted(self._running if of is None else of)
        deadline = trio.current_time() + within_s
        while trio.current_time() < deadline:
            if all(holds(index) for index in waiting):
                return
            await trio.sleep(STEP_S)
        stands = {index: (self.height(index), self.node(index).consensus.progress) for index in waiting}
        raise SimulationFailed(f"{what} was not reached within {within_s} s; the nodes are at {stands}")

    def root(self, height: int) -> Hash:
        """The state root after a block, as every node that has it came to. Raises KeyError where none has."""
        return self._roots[height][1]

    async def halted(self, index: int, *, within_s: float = 60) -> None:
        """Wait until a node has halted by itself."""
        await self._until(lambda one: self.fault(one) is not None, "a halt", (index,), within_s)

    # --- what must hold ---------------------------------------------------------------------------------------------

    def signed(self, index: int) -> tuple[Signed, ...]:
        """Everything the node ever signed for consensus."""
        path = self._folder / self.names[index] / "signer.journal"
        return read_signed(path) if path.exists() else ()

    def check(self) -> None:
        """No validator ever signed two things for one moment. That blocks and roots agree is checked as they come.
        Raises SimulationFailed."""
        for index in range(len(self._keys)):
            moments: dict[tuple[int, int, int], bytes] = {}
            for signed in self.signed(index):
                if moments.setdefault(signed.moment, signed.message) != signed.message:
                    raise SimulationFailed(f"node {index} signed two things at {signed.moment}")

    def _compare(self, index: int, height: int, block_id: Hash, state_root: Hash) -> None:
        expected = self._roots.setdefault(height, (block_id, state_root))
        if expected != (block_id, state_root):
            raise SimulationFailed(
                f"node {index} has another block or state at height {height} than the first one there"
            )


def first_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a group of groups is about: the first error in it."""
    first = group.exceptions[0]
    return first_leaf(first) if isinstance(first, BaseExceptionGroup) else first
