"""From a home folder to a running node, and back down on SIGTERM or SIGINT: everything persisted, ports closed.

What lives here: opening what a node needs in the right order, and closing it. The chain spec is resolved and the
password asked for by the caller, so that this package knows neither.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from runtime.errors import OurError
from runtime.execution import Application, ChainGenesis
from runtime.execution.remembered import RememberingEngine
from runtime.mempool import MempoolLimits
from runtime.module import Module
from runtime.network.addresses import PeerAddress
from runtime.network.transport import Handshake, RequestHandler, Transport
from runtime.node.api import RunningNodeApi
from runtime.node.config import HttpConfig, parse_host_port
from runtime.node.digest import program_version, runtime_digest
from runtime.node.executor import in_thread
from runtime.node.files import FileLock
from runtime.node.home import NodeHome
from runtime.node.logs import configure_logs
from runtime.node.metrics import NodeMetrics
from runtime.node.node import Node, NodeSetup
from runtime.node.signer import Signer
from runtime.node.timed_engine import TimedEngine
from runtime.rpc import server
from runtime.rpc.metrics import HttpMetrics
from runtime.rpc.routes import build_app
from runtime.state import Retention
from runtime.state.disk import DiskStore

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p brings stubs of trio that are older than trio.TaskStatus


def run_node(
    home: NodeHome,
    genesis: ChainGenesis,
    modules: Sequence[type[Module]],
    *,
    password: Callable[[], str],
    bootnodes: Sequence[str] = (),
) -> None:
    """Run a node until SIGTERM or SIGINT. password: asked for once, if there is a validator key. bootnodes: addresses
    of peers besides those in the configuration.

    A machine that fails the self-test of exact inference runs without signing. Raises UsageError for a wrong home,
    KeystoreError for the key, OurError for a fault of this node; the log has said more by then.
    """
    from runtime.execution.inference_port import EnginePort  # brings onnxruntime: only when a node runs
    from runtime.inference import Engine

    log = configure_logs(home.config.log, home.config.name)
    home.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        opened.enter_context(FileLock(home.data / "node.lock"))
        key = home.validator_key(password)
        if key is not None and not _passes_self_test(log):
            key = None
        past = home.config.state
        retention = Retention(past.history_heights, past.history_bytes_max)
        store = DiskStore(home.data / "state", retention=retention)
        opened.callback(store.close)
        metrics = NodeMetrics()
        runs = TimedEngine(EnginePort(Engine(threads=len(os.sched_getaffinity(0)))), metrics)
        app = Application(genesis, modules, store, engine=RememberingEngine(runs))
        app.start()
        signer = None if key is None else Signer(home.data / "signer.journal", key)
        if signer is not None:
            opened.callback(signer.close)
        gc.freeze()  # what is loaded by now stays: collections while the node runs need not look at it
        try:
            trio.run(_serve, home, app, store, signer, tuple(bootnodes), metrics, log)
        except BaseExceptionGroup as group:
            raise first_fault(group) from group
        finally:
            log.info("node stopped", height=store.height)
            gc.freeze()  # half a second less to leave the process


async def _serve(
    home: NodeHome,
    app: Application,
    store: DiskStore,
    signer: Signer | None,
    bootnodes: tuple[str, ...],
    metrics: NodeMetrics,
    log: Any,
) -> None:
    config = home.config
    setup = NodeSetup(
        name=config.name,
        app=app,
        store=store,
        data=home.data,
        transport_of=_libp2p(home, bootnodes),
        signer=signer,
        runner=in_thread,
        now_ms=lambda: time.time_ns() // 1_000_000,
        mempool_limits=MempoolLimits(
            config.mempool.transactions_max, config.mempool.bytes_max, config.mempool.per_sender_max
        ),
        runtime_digest=runtime_digest(),
        sweep_interval_blocks=config.state.sweep_interval_blocks,
        metrics=metrics,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, nursery.cancel_scope, log)
        await nursery.start(partial(serve, setup, app, config.http, log))


async def serve(
    setup: NodeSetup,
    app: Application,
    http: HttpConfig,
    log: Any,
    *,
    task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """A node and its HTTP, until cancelled; started once both answer. app: of the setup, as its HTTP reads it."""
    node = Node(setup, log)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        if http.enabled:
            listener = server.bind(*parse_host_port(http.listen))
            web = build_app(
                RunningNodeApi(node, app),
                request_bytes_max=http.request_bytes_max,
                on_fault=lambda error: log.error("http fault", reason=repr(error)),
                version=program_version(),
                metrics=HttpMetrics(setup.metrics.registry, node.metrics) if http.metrics else None,
            )
            answer = partial(
                server.serve,
                web,
                listener,
                connections_max=http.connections_max,
                on_fault=lambda error: log.warning("http connection ended", reason=repr(error)),
            )
            await nursery.start(answer)
        log.info(
            "node started",
            chain=app.genesis.chain,
            height=setup.store.height,
            peer_id=node.transport.peer_id,
            validator=None if node.key is None else node.key.hex(),
            http=http.listen if http.enabled else None,
        )
        task_status.started()


def _libp2p(home: NodeHome, bootnodes: Sequence[str]) -> Callable[[Callable[[], Handshake], RequestHandler], Transport]:
    host, port = parse_host_port(home.config.network.listen)
    key = home.network_key()
    found = [PeerAddress.parse(text) for text in (*bootnodes, *home.config.network.persistent_peers)]
    peers = {peer.peer_id: peer for peer in found if peer.peer_id != key.peer_id}  # the node's own file wins

    def make(handshake: Callable[[], Handshake], handler: RequestHandler) -> Transport:
        from runtime.network.libp2p_transport import Libp2pTransport, NetworkConfig  # about a second: only when needed

        config = NetworkConfig(
            key=key,
            listen_host=host,
            listen_port=port,
            peers=tuple(peers.values()),
            unknown_peers_max=home.config.network.full_nodes_max,
        )
        return Libp2pTransport(config, handshake=handshake, handler=handler)

    return make


async def _stop_on_signal(scope: trio.CancelScope, log: Any) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("node stopping", signal=signal.Signals(number).name)
            scope.cancel()
            return


def _passes_self_test(log: Any) -> bool:
    """Whether this machine computes exactly. One that does not must not vouch for results."""
    from runtime.inference import self_test

    try:
        self_test()
    except OurError as error:
        log.error("self-test failed", signing=False, reason=str(error))
        return False
    return True


def first_fault(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a person should see: ours first, then the first of any kind."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, OurError)), leaves[0])
