"""Real transports on 127.0.0.1, in this process. Tests reach all of it by the fixture `net`."""

from collections.abc import Callable, Iterable

import pytest
import trio

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
        with trio.fail_after(5):
            return (await self.transport.incoming(channel).receive()).payload


async def until(holds: Callable[[], object], seconds: float = 5.0) -> None:
    with trio.fail_after(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for is another host's doing
            await trio.sleep(0.005)


class Net:
    """Makes nodes; they are stopped when the test ends."""

    key = staticmethod(key)
    handshake = staticmethod(handshake)
    until = staticmethod(until)

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

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
        await until(lambda: all(len(node.transport.peers()) == count - 1 for node in nodes))
        return nodes

    def inside(self, nursery: trio.Nursery) -> "Net":
        """The same for another nursery."""
        return Net(nursery)


@pytest.fixture
async def net(nursery: trio.Nursery) -> Net:
    return Net(nursery)
