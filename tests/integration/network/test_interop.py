"""libp2p's own host and Yamux at the other end: what is spoken here is libp2p, not a dialect."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import multiaddr
import pytest
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.config import ConnectionConfig
from libp2p.peer.id import ID
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux

from runtime.codec import codec
from runtime.network.framing import FrameReader, Kind, encode_frame
from runtime.network.hello import CONTROL, PROTOCOL_VERSION, Hello
from runtime.network.limits import YAMUX_WINDOW_BYTES
from runtime.network.transport import Channel
from runtime.network.upgrade import Upgrader, confirm, propose

LATER = ("/armillary/consensus/1", "/armillary/block-parts/1", "/armillary/transactions/1", "/armillary/requests/1")


@asynccontextmanager
async def stock_host(net: Any, number: int) -> AsyncIterator[Any]:
    """As libp2p makes it, with its identify and ping, on a free port."""
    keys = create_new_key_pair(net.key(number).seed)
    host = new_host(
        key_pair=keys,
        sec_opt={NOISE: Noise(keys, noise_privkey=create_noise_key_pair().private_key)},
        muxer_opt={YAMUX: Yamux},
        connection_config=ConnectionConfig(min_connections=0, low_watermark=0),
    )
    async with host.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        yield host
        await host.close()


async def test_a_stock_host_becomes_a_peer(net: Any, no_heartbeats: None) -> None:
    """It answers no heartbeat, so that none but the first is sent."""
    node = await net.node(1)
    async with stock_host(net, 2) as host:
        peer = ID.from_base58(node.id)
        where = multiaddr.Multiaddr(f"/ip4/127.0.0.1/tcp/{node.transport.address.port}")
        await host.get_network().dial_addr(where, peer)
        control = await host.new_stream(peer, [CONTROL])
        hello = Hello(version=PROTOCOL_VERSION, instance=1, handshake=net.handshake()())
        await control.write(encode_frame(Kind.HELLO, codec(Hello).encode(hello), 512))
        frames = FrameReader(control, {Kind.HELLO: 512, Kind.PING: 8})
        assert codec(Hello).decode((await frames.next()).payload).handshake == net.handshake()()
        streams = {protocol: await host.new_stream(peer, [protocol]) for protocol in LATER}
        await net.until(node.transport.peers)
        assert (await frames.next()).kind is Kind.PING

        await streams[LATER[0]].write(encode_frame(Kind.DATA, b"vote", 100))
        assert await node.receive(Channel.CONSENSUS) == b"vote"
        payload = bytes(Channel.BLOCK_PARTS.bounds.frame_bytes_max)
        for _ in range(5):
            assert node.transport.send(net.key(2).peer_id, Channel.BLOCK_PARTS, payload)
        parts = FrameReader(streams[LATER[1]], {Kind.DATA: len(payload)})
        for _ in range(5):
            assert (await parts.next()).payload == payload
        with trio.fail_after(60):
            await streams[LATER[1]].write(encode_frame(Kind.DATA, payload, len(payload)))
        assert await node.receive(Channel.BLOCK_PARTS) == payload
        await streams[LATER[3]].write(encode_frame(Kind.REQUEST, bytes(8) + b"ab", 100))
        answers = FrameReader(streams[LATER[3]], {Kind.RESPONSE: 100})
        assert (await answers.next()).payload == bytes(8) + b"ba"


async def test_a_stock_host_that_wants_nothing_of_ours_gets_nothing(net: Any) -> None:
    node = await net.node(1)
    witness = await net.node(3, [node])
    await net.until(lambda: node.history and witness.history)
    async with stock_host(net, 2) as host:
        peer = ID.from_base58(node.id)
        where = multiaddr.Multiaddr(f"/ip4/127.0.0.1/tcp/{node.transport.address.port}")
        await host.get_network().dial_addr(where, peer)
        for protocol in ("/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", "/meshsub/1.1.0"):
            with pytest.raises(BaseLibp2pError):
                await host.new_stream(peer, [protocol])
    assert set(node.transport.peers()) == {witness.id}
    assert len(witness.history) == 1


async def test_this_yamux_dials_a_stock_host(net: Any) -> None:
    async def echo(stream: Any) -> None:
        while True:
            await stream.write(await stream.read(65536))

    async with stock_host(net, 2) as host:
        host.set_stream_handler("/echo/1", echo)
        port = int(host.get_addrs()[0].value_for_protocol("tcp"))
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        session = await Upgrader(net.key(1)).outbound(tcp, net.key(2).peer_id)
        async with tcp, trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            stream = await session.open()
            await propose(stream, "/echo/1")
            await confirm(stream, "/echo/1")
            data = bytes(range(256)) * (3 * YAMUX_WINDOW_BYTES // 256)
            nursery.start_soon(stream.write, data)
            got = b""
            with trio.fail_after(60):
                while len(got) < len(data):
                    got += await stream.read(65536)
            assert got == data
            nursery.cancel_scope.cancel()
