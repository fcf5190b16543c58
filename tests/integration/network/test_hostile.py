"""What a hostile peer sends at every layer. It ends its own connection; the host serves another peer all the while."""

import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from runtime.codec import codec
from runtime.network import libp2p_transport, link
from runtime.network.framing import FrameReader, Kind, encode_frame
from runtime.network.hello import (
    CONTROL,
    PROTOCOL_VERSION,
    Farewell,
    Hello,
    Streams,
    begin_as_dialer,
    farewell_frame,
)
from runtime.network.limits import HALF_OPEN_MAX, YAMUX_WINDOW_BYTES
from runtime.network.transport import Channel, ConnectionFailed, PeerDisconnected
from runtime.network.upgrade import Upgrader, confirm, propose
from runtime.network.yamux import YamuxSession

JUNK = random.Random(7).randbytes(3000)


class Victim:
    """A host, a peer that is served throughout, and the attacker's ways in."""

    def __init__(self, net: Any, host: Any, witness: Any) -> None:
        self.net = net
        self.host = host
        self.sockets: list[trio.SocketStream] = []
        self._witness = witness

    async def tcp(self) -> trio.SocketStream:
        self.sockets.append(await trio.open_tcp_stream("127.0.0.1", self.host.transport.address.port))
        return self.sockets[-1]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[YamuxSession]:
        """Authenticated, not a word said."""
        async with trio.open_nursery() as nursery:
            session = await Upgrader(self.net.key(99)).outbound(await self.tcp(), self.host.id)
            nursery.start_soon(session.run)
            yield session
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[Streams]:
        """A peer as good as any so far."""
        async with self.session() as session:
            _, streams = await begin_as_dialer(session, self.hello(), lambda: None)
            await self.net.until(lambda: self.net.key(99).peer_id in self.host.transport.peers())
            yield streams

    def hello(self, genesis: bytes = b"g", version: int = PROTOCOL_VERSION) -> Hello:
        return Hello(version=version, instance=1, handshake=self.net.handshake(genesis)())

    async def reason(self) -> str:
        """Why the host ended the attacker's connection."""

        def ends() -> list[str]:
            return [
                event.reason
                for event in self.host.events
                if isinstance(event, ConnectionFailed)
                or (isinstance(event, PeerDisconnected) and event.peer_id == self.net.key(99).peer_id)
            ]

        await self.net.until(ends)
        return ends()[-1]

    async def check_alive(self) -> None:
        """The witness was connected all the time and still is served."""
        assert self._witness.id in self.host.transport.peers()
        assert len(self._witness.history) == 1
        assert self.host.transport.send(self._witness.id, Channel.CONSENSUS, b"alive")
        assert await self._witness.receive(Channel.CONSENSUS) == b"alive"
        assert await self._witness.transport.request(self.host.id, b"ab", 60) == b"ba"


@pytest.fixture
async def victim(net: Any, no_heartbeats: None) -> AsyncIterator[Victim]:
    host = await net.node(1)
    witness = await net.node(2, [host])
    await net.until(lambda: host.history and witness.history)
    victim = Victim(net, host, witness)
    yield victim
    for tcp in victim.sockets:
        await tcp.aclose()


async def closed(tcp: trio.SocketStream) -> bytes:
    """What the host says until it closes."""
    said = b""
    with trio.fail_after(60), suppress(trio.BrokenResourceError):
        while data := await tcp.receive_some(65536):
            said += data
    return said


HEADER = b"\x13/multistream/1.0.0\n"
BEFORE_NOISE = {
    "random bytes": JUNK,
    "HTTP": b"GET / HTTP/1.1\r\nHost: " + b"a" * 100,
    "a length of 2**63": b"\xff" * 8 + b"\x7f" + b"x" * 100,
    "a length without end": b"\xff" * 100,
    "bad UTF-8": HEADER + b"\x04\xff\xfe\xfd\n",
    "no line feed": HEADER + b"\x06/noise",
    "an empty message": HEADER + b"\x00",
    "a long message": HEADER + b"\xff\x7f" + b"x" * 16383,
    "another greeting": b"\x0c/multistream\n",
    "too many proposals": HEADER + b"\x07/noisy\n" * 500,
    "noise junk": HEADER + b"\x07/noise\n" + struct.pack(">H", 32) + b"j" * 32 + struct.pack(">H", 200) + JUNK[:200],
    "a short noise message": HEADER + b"\x07/noise\n\x00\x01j",
    "an empty noise message": HEADER + b"\x07/noise\n\x00\x00",
    "a long noise message": HEADER + b"\x07/noise\n\xff\xff" + bytes(65535),
}


@pytest.mark.parametrize("name", BEFORE_NOISE)
async def test_invalid_bytes_before_the_peer_is_known(victim: Victim, name: str) -> None:
    tcp = await victim.tcp()
    await tcp.send_all(BEFORE_NOISE[name])
    await closed(tcp)
    assert await victim.reason()
    await victim.check_alive()


async def test_invalid_greetings_that_stop_half_way(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libp2p_transport, "UPGRADE_TIMEOUT_S", 0.2)
    for cut in (0, 1, 10, 20, 25):
        tcp = await victim.tcp()
        await tcp.send_all((HEADER + b"\x07/noise\n")[:cut])
        await closed(tcp)
        assert await victim.reason() == "the handshake took too long"
    for cut in (0, 5, 20, 24):
        tcp = await victim.tcp()
        await tcp.send_all((HEADER + b"\x07/noise\n")[:cut])
        await tcp.aclose()
    await victim.check_alive()


async def test_idle_half_open_connections_keep_nobody_out(victim: Victim) -> None:
    idle = [await victim.tcp() for _ in range(HALF_OPEN_MAX + 20)]
    newcomer = await victim.net.node(3, [victim.host])
    await victim.net.until(lambda: newcomer.transport.peers())
    assert len(victim.host.transport._half_open) <= HALF_OPEN_MAX
    for tcp in idle:
        await tcp.aclose()
    await victim.net.until(lambda: not victim.host.transport._half_open)
    await victim.check_alive()


async def test_invalid_connections_by_the_hundred_leave_nothing_behind(victim: Victim) -> None:
    await victim.net.calm()
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(100):
        tcp = await victim.tcp()
        await tcp.send_all(JUNK)
        await tcp.aclose()
    await victim.net.until(lambda: trio.lowlevel.current_statistics().tasks_living <= tasks)
    await victim.check_alive()


BEHIND_NOISE = {
    "yamux junk": (b"\x99" + JUNK, "version 153"),
    "a stream of no parity": (struct.pack("!BBHII", 0, 1, 1, 2, 0), "id 2"),
    "pings without end": (struct.pack("!BBHII", 0, 2, 1, 0, 5) * 5000, "control frames wait"),
}


@pytest.mark.parametrize("name", BEHIND_NOISE)
async def test_invalid_yamux(victim: Victim, name: str) -> None:
    data, reason = BEHIND_NOISE[name]
    async with victim.session() as session:
        for start in range(0, len(data), 60_000):
            await session._channel.send(data[start : start + 60_000])
        assert reason in await victim.reason()
    await victim.check_alive()


async def test_invalid_noise_behind_the_handshake(victim: Victim) -> None:
    tcp = await victim.tcp()
    session = await Upgrader(victim.net.key(99)).outbound(tcp, victim.host.id)
    await tcp.send_all(struct.pack(">H", 100) + JUNK[:100])
    assert "Noise" in await victim.reason()
    await session._channel.aclose()
    await victim.check_alive()


@pytest.mark.parametrize(
    "data",
    [
        b"\x05hello" + b"\xff" * 11,
        HEADER + b"\x04\xff\xfe\xfd\n",
        HEADER + b"\x11/ipfs/ping/1.0.0\n" + JUNK,
        HEADER + b"\x0f/ipfs/id/1.0.0\n",
        HEADER + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"",
    ],
)
async def test_invalid_negotiation_on_a_stream_costs_that_stream(victim: Victim, data: bytes) -> None:
    async with victim.session() as session:
        stream = await session.open()
        await stream.write(data)
        stream.reset()
        _, streams = await begin_as_dialer(session, victim.hello(), lambda: None)
        await streams.channels[Channel.CONSENSUS].write(encode_frame(Kind.DATA, b"well", 100))
        assert await victim.host.receive(Channel.CONSENSUS) == b"well"
    await victim.check_alive()


HELLOS = {
    "junk in place of a hello": (JUNK, "frame of"),
    "an oversize hello": (struct.pack(">IB", 513, Kind.HELLO), "HELLO frame of 513 bytes; at most 512"),
    "a hello that does not decode": (encode_frame(Kind.HELLO, b"\x93\x01", 512), "does not decode"),
    "a ping first": (encode_frame(Kind.PING, bytes(8), 8), "PING frame in place of a hello"),
    "goodbye": (farewell_frame(Farewell.CLOSING, "no\nthanks\x1b"), "the peer said: no?thanks?"),
    "an empty goodbye": (encode_frame(Kind.GOODBYE, b"", 256), "the peer said: goodbye"),
}


@pytest.mark.parametrize("name", HELLOS)
async def test_invalid_hello(victim: Victim, name: str) -> None:
    data, reason = HELLOS[name]
    async with victim.session() as session:
        stream = await session.open()
        await propose(stream, CONTROL)
        await confirm(stream, CONTROL)
        await stream.write(data)
        assert reason in await victim.reason()
    await victim.check_alive()


@pytest.mark.parametrize(
    ("genesis", "version", "reason"), [(b"x", 1, "another chain: genesis 7878"), (b"g", 2, "protocol version 2")]
)
async def test_invalid_chain_or_version_is_told_why(victim: Victim, genesis: bytes, version: int, reason: str) -> None:
    async with victim.session() as session:
        stream = await session.open()
        await propose(stream, CONTROL)
        await confirm(stream, CONTROL)
        hello = codec(Hello).encode(victim.hello(genesis, version))
        await stream.write(encode_frame(Kind.HELLO, hello, 512))
        frames = FrameReader(stream, {Kind.HELLO: 512, Kind.GOODBYE: 256})
        assert (await frames.next()).kind is Kind.HELLO
        goodbye = await frames.next()
        assert (goodbye.kind, goodbye.payload[0]) == (Kind.GOODBYE, Farewell.REFUSED)
        assert reason in goodbye.payload[1:].decode()
        assert reason in await victim.reason()
    await victim.check_alive()


def channel_of(streams: Streams) -> Any:
    return streams.channels[Channel.CONSENSUS]


FRAMES = {
    "an oversize frame": (channel_of, struct.pack(">IB", 65537, Kind.DATA), "DATA frame of 65537 bytes; at most 65536"),
    "a kind of no such stream": (channel_of, encode_frame(Kind.PING, b"", 8), "frame of kind 2"),
    "junk": (channel_of, JUNK, "frame of"),
    "a request of no id": (lambda s: s.requests, encode_frame(Kind.REQUEST, b"short", 8), "no request id"),
    "an oversize request": (lambda s: s.requests, struct.pack(">IB", 65536 + 9, Kind.REQUEST), "at most 65544"),
    "a second hello": (lambda s: s.control, encode_frame(Kind.HELLO, b"", 8), "HELLO frame behind the hello"),
    "an oversize ping": (lambda s: s.control, struct.pack(">IB", 9, Kind.PING), "PING frame of 9 bytes"),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_invalid_frames_of_a_connected_peer(victim: Victim, name: str) -> None:
    where, data, reason = FRAMES[name]
    async with victim.streams() as streams:
        await where(streams).write(data)
        assert reason in await victim.reason()
    await victim.check_alive()


async def test_invalid_answers_to_requests_that_were_never_made_are_ignored(victim: Victim) -> None:
    async with victim.streams() as streams:
        for kind in (Kind.RESPONSE, Kind.REFUSAL):
            await streams.requests.write(encode_frame(kind, bytes(8) + b"x", 100))
        await streams.requests.write(encode_frame(Kind.REQUEST, bytes(7) + b"\x05ab", 100))
        frames = FrameReader(streams.requests, {Kind.RESPONSE: 100})
        assert (await frames.next()).payload == bytes(7) + b"\x05ba"
    await victim.check_alive()


async def test_a_flood_of_pings_is_answered_as_far_as_the_peer_reads(victim: Victim) -> None:
    async with victim.streams() as streams:
        with trio.move_on_after(0.5):
            while True:
                await streams.control.write(encode_frame(Kind.PING, bytes(8), 8) * 1000)
        await victim.check_alive()


async def test_a_peer_that_finishes_or_resets_a_stream_is_disconnected(victim: Victim) -> None:
    async with victim.streams() as streams:
        streams.channels[Channel.BLOCK_PARTS].reset()
        assert "reset by the peer" in await victim.reason()
    await victim.check_alive()


async def test_a_peer_that_reads_nothing_fills_its_own_queue_only(victim: Victim) -> None:
    attacker = victim.net.key(99).peer_id
    async with victim.streams():
        payload = bytes(60_000)
        await victim.net.until(lambda: not victim.host.transport.send(attacker, Channel.CONSENSUS, payload))
        bounds = Channel.CONSENSUS.bounds
        queue = victim.host.transport._links[attacker]._queues[Channel.CONSENSUS]
        assert queue._bytes <= bounds.queue_bytes_max
        await victim.check_alive()


async def test_a_peer_that_reads_nothing_for_long_is_disconnected(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "STALL_TIMEOUT_S", 0.3)
    attacker = victim.net.key(99).peer_id
    async with victim.streams():
        payload = bytes(60_000)
        await victim.net.until(lambda: not victim.host.transport.send(attacker, Channel.CONSENSUS, payload))
        assert await victim.reason() == "took nothing of consensus for 0.3 s"
    await victim.check_alive()


async def test_a_silent_peer_is_disconnected_after_five_heartbeats(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HEARTBEAT_S", 0.1)
    tcp = await victim.tcp()
    session = await Upgrader(victim.net.key(99)).outbound(tcp, victim.host.id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        await begin_as_dialer(session, victim.hello(), lambda: None)
        await victim.net.until(lambda: len(victim.host.transport.peers()) == 2)
        assert await victim.reason() == "silent for 0.5 s"
        nursery.cancel_scope.cancel()
    await victim.check_alive()


async def test_a_full_inbox_holds_the_sender_back_and_no_other_channel(victim: Victim) -> None:
    """Nobody reads the host's BLOCK_PARTS: what it holds is bounded by the inbox, the frame and the window."""
    async with victim.streams() as streams:
        frame = encode_frame(Kind.DATA, bytes(300_000), 320 * 1024)
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await streams.channels[Channel.BLOCK_PARTS].write(frame)
                sent += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await victim.net.calm()
            inbox = Channel.BLOCK_PARTS.bounds.inbox_frames_max
            assert inbox <= sent <= inbox + 1 + 4 * YAMUX_WINDOW_BYTES // 300_000 + 1
            await victim.check_alive()
            nursery.cancel_scope.cancel()
