"""A node's network in a process of its own, for tests that kill, stop or flood it. Not a test.

usage: peer_process.py SEED_NUMBER PORT HEARTBEAT_S [PEER_ADDRESS...]

Prints its address once it listens. Every frame is sent back to its sender on the same channel; a request is answered
with its bytes reversed.
"""

import sys

import trio

from runtime.network import link
from runtime.network.addresses import PeerAddress
from runtime.network.identity import NetworkKey
from runtime.network.libp2p_transport import Libp2pTransport, NetworkConfig
from runtime.network.transport import Channel, Handshake, PeerId
from runtime.types import Hash


def key(number: int) -> NetworkKey:
    return NetworkKey(bytes([number]) * 32)


def handshake() -> Handshake:
    return Handshake(genesis_hash=Hash(b"g" * 32), runtime_digest=Hash(b"r" * 32), height=7)


async def answer(peer_id: PeerId, body: bytes) -> bytes:
    return body[::-1]


async def main(number: int, port: int, peers: list[str]) -> None:
    config = NetworkConfig(
        key=key(number),
        listen_host="127.0.0.1",
        listen_port=port,
        peers=tuple(PeerAddress.parse(peer) for peer in peers),
    )
    transport = Libp2pTransport(config, handshake=handshake, handler=answer)

    async def echo(channel: Channel) -> None:
        async for received in transport.incoming(channel):
            while not transport.send(received.peer_id, channel, received.payload):
                if received.peer_id not in transport.peers():
                    break
                await trio.sleep(0.001)

    async def drop_events() -> None:
        async for _ in transport.events:
            pass

    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: transport.run(task_status=task_status))
        for channel in Channel:
            nursery.start_soon(echo, channel)
        nursery.start_soon(drop_events)
        print(transport.address, flush=True)


if __name__ == "__main__":
    link.HEARTBEAT_S = float(sys.argv[3])  # type: ignore[misc] # a constant
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]), sys.argv[4:])
