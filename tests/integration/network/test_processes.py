"""Hosts in processes of their own: killed, stopped, flooded."""

import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime.errors import PeerError
from runtime.network.addresses import PeerAddress
from runtime.network.framing import Kind
from runtime.network.hello import PROTOCOL_VERSION, Hello, begin_as_dialer
from runtime.network.limits import BULK_WINDOW_BYTES, HEARTBEAT_S, YAMUX_WINDOW_BYTES
from runtime.network.transport import Channel, PeerDisconnected
from runtime.network.upgrade import Upgrader

SCRIPT = Path(__file__).with_name("peer_process.py")


class Host:
    """A host that echoes, as peer 1, at one port over its lives."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heartbeat_s = HEARTBEAT_S
        self.process: subprocess.Popen[str] | None = None

    def start(self, *peers: object) -> PeerAddress:
        arguments = [sys.executable, str(SCRIPT), "1", str(self.port), str(self.heartbeat_s), *map(str, peers)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        return PeerAddress.parse(self.process.stdout.readline().strip())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout
            self.process.stdout.close()
            self.process = None

    def rss_kib(self) -> int:
        assert self.process
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


@pytest.fixture
def host(ports: Callable[[], int]) -> Iterator[Host]:
    host = Host(ports())
    yield host
    host.stop()


@pytest.fixture
def quiet_host(host: Host, no_heartbeats: None) -> Host:
    """One that takes nobody for silent, and is taken for silent by nobody, however long it is busy."""
    host.heartbeat_s = 3600.0
    return host


async def test_a_killed_host_is_missed_before_it_is_silent_and_met_again(net: Any, quiet_host: Host) -> None:
    """No heartbeat tells: the connection's end does."""
    address = await trio.to_thread.run_sync(quiet_host.start)
    node = await net.node(2, [address])
    await net.until(node.transport.peers)
    quiet_host.stop()
    await net.until(lambda: len(node.history) == 2)
    await trio.to_thread.run_sync(quiet_host.start)
    await net.until(node.transport.peers)
    assert node.transport.send(address.peer_id, Channel.CONSENSUS, b"again")
    assert await node.receive(Channel.CONSENSUS) == b"again"


async def test_a_suspended_host_is_disconnected_and_met_again_when_it_goes_on(net: Any, host: Host) -> None:
    address = await trio.to_thread.run_sync(host.start)
    node = await net.node(2, [address])
    await net.until(node.transport.peers)
    assert host.process
    host.process.send_signal(signal.SIGSTOP)
    await net.until(lambda: len(node.history) == 2)
    assert PeerDisconnected(address.peer_id, "silent for 2.5 s") in node.events
    host.process.send_signal(signal.SIGCONT)
    await net.until(node.transport.peers)


async def test_a_node_that_was_suspended_itself_does_not_take_its_peers_for_silent(net: Any) -> None:
    a, b = await net.mesh(2)
    time.sleep(3.5)  # noqa: ASYNC251 - both nodes' only thread, as a stopped process
    await trio.sleep(0.7)
    assert a.history == ["+" + b.id[-4:]]


async def test_a_flood_that_ignores_the_window_takes_no_memory(net: Any, quiet_host: Host) -> None:
    """64 MB on one stream, past the window and past what anyone reads: the connection ends, the memory stays."""
    host = quiet_host
    address = await trio.to_thread.run_sync(host.start)
    witness = await net.node(2, [address])
    await net.until(witness.transport.peers)
    before = host.rss_kib()
    for _ in range(8):
        tcp = await trio.open_tcp_stream(address.host, address.port)
        session = await Upgrader(net.key(9)).outbound(tcp, address.peer_id)
        hello = Hello(version=PROTOCOL_VERSION, instance=1, handshake=net.handshake()())
        async with tcp, trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            _, streams = await begin_as_dialer(session, hello, lambda: None)
            stream = streams.channels[Channel.BLOCK_PARTS]
            await stream.write(struct.pack(">IB", 1000, Kind.DATA)[:4])  # a frame that never becomes whole
            header = struct.pack("!BBHII", 0, 0, 0, stream.stream_id, BULK_WINDOW_BYTES)
            with suppress(PeerError):
                for _ in range(8):
                    async with session._write_lock:
                        await session._channel.send(header + bytes(BULK_WINDOW_BYTES))
            await net.until(lambda session=session: session._ended)
            nursery.cancel_scope.cancel()
    assert host.rss_kib() - before < 40 * 1024
    assert witness.transport.send(address.peer_id, Channel.CONSENSUS, b"alive")
    assert await witness.receive(Channel.CONSENSUS) == b"alive"
    assert len(witness.history) == 1


async def test_frames_that_are_begun_and_never_ended_hold_no_more_than_their_windows(
    net: Any, quiet_host: Host
) -> None:
    """Unknown peers to the allowance, each with every window filled by one unfinished frame."""
    host = quiet_host
    address = await trio.to_thread.run_sync(host.start)
    witness = await net.node(2, [address])
    await net.until(witness.transport.peers)
    before = host.rss_kib()
    async with trio.open_nursery() as nursery:
        for number in range(10, 20):
            tcp = await trio.open_tcp_stream(address.host, address.port)
            session = await Upgrader(net.key(number)).outbound(tcp, address.peer_id)
            hello = Hello(version=PROTOCOL_VERSION, instance=1, handshake=net.handshake()())
            nursery.start_soon(session.run)
            _, streams = await begin_as_dialer(session, hello, lambda: None)
            for channel, stream in streams.channels.items():
                size = channel.bounds.frame_bytes_max
                await stream.write(struct.pack(">IB", size, Kind.DATA) + bytes(size - 1))
        assert host.rss_kib() - before < 10 * 3 * 400 + 10 * 5 * YAMUX_WINDOW_BYTES // 1024
        assert witness.transport.send(address.peer_id, Channel.CONSENSUS, b"alive")
        assert await witness.receive(Channel.CONSENSUS) == b"alive"
        nursery.cancel_scope.cancel()
