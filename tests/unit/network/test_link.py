"""A link's end: what the peer is told of it. The rest of a link is tested over real sockets (tests/integration)."""

from typing import Any, cast

import trio
import trio.testing

from runtime.network.framing import FrameReader, Kind
from runtime.network.hello import PROTOCOL_VERSION, Farewell, Hello, Streams, farewell_frame
from runtime.network.limits import GOODBYE_TIMEOUT_S
from runtime.network.link import Link
from runtime.network.transport import Channel, Handshake, PeerId, PeerInfo, Received
from runtime.types import Hash

HANDSHAKE = Handshake(genesis_hash=Hash(b"g" * 32), runtime_digest=Hash(b"r" * 32), height=7)


class Session:
    """What a link asks of its session, which hears nothing."""

    is_over = False
    bytes_received = 0


class Stream:
    """Nothing comes; what is written takes its time once `way` is open, and is noted then."""

    def __init__(self) -> None:
        self.way = trio.Event()
        self.writing = trio.Event()
        self.written = b""

    async def read(self, size_max: int) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async def write(self, data: bytes) -> None:
        self.writing.set()
        await self.way.wait()
        await trio.sleep(GOODBYE_TIMEOUT_S / 10)
        self.written += data


async def nobody(peer_id: PeerId, body: bytes) -> bytes:
    raise AssertionError


def link_over(control: Any) -> Link:
    bounds = {Kind.PING: 8, Kind.PONG: 8, Kind.GOODBYE: 256}
    streams = Streams(control, FrameReader(control, bounds), cast(Any, {each: Stream() for each in Channel}), control)
    hello = Hello(version=PROTOCOL_VERSION, instance=1, handshake=HANDSHAKE)
    info = PeerInfo(peer_id=PeerId("peer"), address="", known=True, dialled=True, handshake=HANDSHAKE)
    inboxes = {channel: trio.open_memory_channel[Received](1)[0] for channel in Channel}
    return Link(cast(Any, Session()), streams, hello, info, inboxes, nobody)


async def test_the_goodbye_is_written_also_where_a_ping_is_under_way(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """The first heartbeat waits for the way to the peer when the link is closed: it is not the goodbye."""
    control = Stream()
    link = link_over(control)
    nursery.start_soon(link.run)
    await control.writing.wait()
    link.close("forged a vote", Farewell.REFUSED)
    await trio.testing.wait_all_tasks_blocked()
    control.way.set()
    await trio.sleep(GOODBYE_TIMEOUT_S)
    assert control.written.endswith(farewell_frame(Farewell.REFUSED, "forged a vote"))


async def test_a_goodbye_that_nobody_takes_is_not_waited_for(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    control = Stream()
    link = link_over(control)
    ended = trio.Event()

    async def run() -> None:
        await link.run()
        ended.set()

    nursery.start_soon(run)
    await control.writing.wait()
    link.close("stopped", Farewell.CLOSING)
    with trio.fail_after(2 * GOODBYE_TIMEOUT_S):
        await ended.wait()
    assert link.reason == "stopped"
