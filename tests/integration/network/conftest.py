"""Real transports on 127.0.0.1, in this process. Tests reach all of it by the fixture `net`."""

import socket
from collections.abc import Callable, Iterable, Iterator

import pytest
import trio
import trio.testing

from runtime.network import link
from runtime.network.addresses import PeerAddress
from runtime.network.identity import NetworkKey
from runtime.network.libp2p_transport import Libp2pTransport, NetworkConfig
from runtime.network.transport import (
    Channel,
    Handshake,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerId,
    RequestHandler,
)
from runtime.types import Hash

PATIENCE_S = 60.0
"""For what happens within milliseconds on a quiet machine: a test fails here, not by being slow."""
CALM_S = 0.3
"""Without anything to do in this process, which serves both ends: then nothing is under way between them either."""


def key(number: int) -> NetworkKey:
    return NetworkKey(bytes([number]) * 32)


def handshake(genesis: bytes = b"g") -> Callable[[], Handshake]:
    return lambda: Handshake(genesis_hash=Hash(genesis * 32), runtime_digest=Hash(b"r" * 32), height=7)


async def reverse(peer_id: PeerId, body: bytes) -> bytes:
    return body[::-1]


class Node:
    """A running transport, and the events it has reported."""

    def __init__(self, transport: Libp2pTransport) -> None:
        self.transport = transport
        self.events: list[PeerEvent] = []
        self.scope = trio.CancelScope()

    @property
    def id(self) -> PeerId:
        return self.transport.peer_id

    @property
    def history(self) -> list[str]:
        """Connections only: + and - for each peer, by the last characters of its id."""
        return [
            f"+{event.info.peer_id[-4:]}" if isinstance(event, PeerConnected) else f"-{event.peer_id[-4:]}"
            for event in self.events
            if isinstance(event, PeerConnected | PeerDisconnected)
        ]

    async def run(self, *, task_status: "trio.TaskStatus[None]") -> None:
        async def note_events() -> None:
            async for event in self.transport.events:
                self.events.append(event)

        with self.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(note_events)
                await self.transport.run(task_status=task_status)

    async def receive(self, channel: Channel) -> bytes:
        with trio.fail_after(PATIENCE_S):
            return (await self.transport.incoming(channel).receive()).payload


async def until(holds: Callable[[], object]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for is another host's doing
            await trio.sleep(0.005)


class Net:
    """Makes nodes; they are stopped when the test ends."""

    key = staticmethod(key)
    handshake = staticmethod(handshake)
    until = staticmethod(until)

    def __init__(self, nursery: trio.Nursery, ports: Callable[[], int]) -> None:
        self._nursery = nursery
        self.port = ports

    @staticmethod
    async def calm() -> None:
        """Until nothing happens any more. Only where heartbeats are far apart (the fixture `no_heartbeats`)."""
        with trio.fail_after(PATIENCE_S):
            await trio.testing.wait_all_tasks_blocked(CALM_S)

    async def node(
        self,
        number: int,
        peers: Iterable[Node | PeerAddress] = (),
        *,
        port: int = 0,
        genesis: bytes = b"g",
        handler: RequestHandler = reverse,
        unknown_peers_max: int = 16,
    ) -> Node:
        config = NetworkConfig(
            key=key(number),
            listen_host="127.0.0.1",
            listen_port=port,
            peers=tuple(peer if isinstance(peer, PeerAddress) else peer.transport.address for peer in peers),
            unknown_peers_max=unknown_peers_max,
        )
        node = Node(Libp2pTransport(config, handshake=handshake(genesis), handler=handler))
        await self._nursery.start(node.run)
        return node

    async def mesh(self, count: int) -> list[Node]:
        nodes: list[Node] = []
        for number in range(1, count + 1):
            nodes.append(await self.node(number, nodes))
        await until(lambda: all(len(node.history) == count - 1 for node in nodes))
        return nodes

    def inside(self, nursery: trio.Nursery) -> "Net":
        """The same for another nursery."""
        return Net(nursery, self.port)


@pytest.fixture
def ports() -> Iterator[Callable[[], int]]:
    """Each call: a port that is nobody else's while the test runs. A node may listen on it, and again later: it is
    bound here, which keeps the kernel from giving it away, but not listened on."""
    held: list[socket.socket] = []

    def port() -> int:
        held.append(socket.socket())
        held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held[-1].bind(("127.0.0.1", 0))
        return int(held[-1].getsockname()[1])

    yield port
    for each in held:
        each.close()


@pytest.fixture
async def net(nursery: trio.Nursery, ports: Callable[[], int]) -> Net:
    return Net(nursery, ports)


@pytest.fixture
def no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of links that begin from now on: a peer that answers none is no silent one, and a node can be calm."""
    monkeypatch.setattr(link, "HEARTBEAT_S", 3600.0)
