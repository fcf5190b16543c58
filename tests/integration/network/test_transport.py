"""Real transports among themselves: frames, requests, who stays when two connect at once, who is refused and why."""

from typing import Any

import pytest
import trio

from runtime.errors import OurError, PeerError
from runtime.network import libp2p_transport
from runtime.network.addresses import PeerAddress
from runtime.network.errors import FrameTooLarge, ListenError, RequestFailed
from runtime.network.limits import REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX
from runtime.network.transport import Channel, ConnectionFailed, PeerDisconnected, PeerId, Transport


def lower_first(net: Any, *numbers: int) -> list[int]:
    return sorted(numbers, key=lambda number: net.key(number).peer_id)


def test_it_is_a_transport() -> None:
    transport: type[Transport] = libp2p_transport.Libp2pTransport
    assert transport


async def test_four_hosts_exchange_frames_on_every_channel(net: Any) -> None:
    nodes = await net.mesh(4)
    for channel in Channel:
        size = channel.bounds.frame_bytes_max
        for node in nodes:
            assert node.transport.broadcast(channel, node.id.encode().ljust(size, b".")) == 3
        for node in nodes:
            got = {(await node.receive(channel)).rstrip(b".").decode() for _ in range(3)}
            assert got == {other.id for other in nodes} - {node.id}
    assert all(len(node.history) == 3 for node in nodes)


async def test_frames_arrive_in_order_whole_and_once_while_other_channels_are_full(
    net: Any, no_heartbeats: None
) -> None:
    a, b = await net.mesh(2)
    await fill(net, a, b)

    async def send() -> None:
        for number in range(2000):
            payload = number.to_bytes(4, "big") * (number % 500)
            await net.until(lambda payload=payload: a.transport.send(b.id, Channel.CONSENSUS, payload))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        for number in range(2000):
            assert await b.receive(Channel.CONSENSUS) == number.to_bytes(4, "big") * (number % 500)
    assert not a.transport.send(b.id, Channel.TRANSACTIONS, bytes(390_000))


async def fill(net: Any, sender: Any, receiver: Any) -> None:
    """TRANSACTIONS, all the way to the receiver, who reads none: nothing moves, and nothing more is taken."""

    def refused() -> bool:
        return not sender.transport.send(receiver.id, Channel.TRANSACTIONS, bytes(390_000))

    while not refused():
        await net.until(refused)
        await net.calm()


async def test_requests_go_both_ways_at_their_largest(net: Any) -> None:
    async def answer(peer_id: PeerId, body: bytes) -> bytes:
        return peer_id.encode() + body if len(body) < 100 else bytes(RESPONSE_BYTES_MAX)

    a = await net.node(1, handler=answer)
    b = await net.node(2, [a], handler=answer)
    await net.until(lambda: a.transport.peers() and b.transport.peers())
    assert await a.transport.request(b.id, b"x", 60) == a.id.encode() + b"x"
    assert await b.transport.request(a.id, b"y", 60) == b.id.encode() + b"y"
    assert await b.transport.request(a.id, bytes(REQUEST_BYTES_MAX), 60) == bytes(RESPONSE_BYTES_MAX)


async def test_a_request_ends_with_the_connection(net: Any) -> None:
    asked = trio.Event()

    async def never(peer_id: PeerId, body: bytes) -> bytes:
        asked.set()
        await trio.sleep_forever()
        raise AssertionError

    a = await net.node(1, handler=never)
    b = await net.node(2, [a])
    await net.until(lambda: b.transport.peers())

    async def stop() -> None:
        await asked.wait()
        a.scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        with pytest.raises(RequestFailed, match="the connection ended"):
            await b.transport.request(a.id, b"", 60)
    with pytest.raises(RequestFailed, match="not connected"):
        await b.transport.request(a.id, b"", 60)


async def test_peers_tell_what_was_said_in_the_handshake(net: Any) -> None:
    a = await net.node(1)
    b = await net.node(2, [a])
    await net.until(lambda: a.transport.peers() and b.transport.peers())
    here, there = a.transport.peers()[b.id], b.transport.peers()[a.id]
    assert (here.known, here.dialled, here.handshake.height) == (False, False, 7)
    assert (there.known, there.dialled, there.address) == (True, True, str(a.transport.address))
    await net.until(lambda: a.transport.peers()[b.id].round_trip_ms is not None)


async def test_two_that_dial_each_other_at_once_keep_one_connection(
    net: Any, no_heartbeats: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the yield, so that both dial: several times, since it is a race."""
    monkeypatch.setattr(libp2p_transport, "DIAL_YIELD_S", 0.0)
    for number in range(1, 9, 2):
        low, high = lower_first(net, number, number + 1)
        ports = [net.port(), net.port()]
        where = zip(ports, (low, high), strict=True)
        addresses = [PeerAddress.of("127.0.0.1", port, net.key(number).peer_id) for port, number in where]
        a = await net.node(low, [addresses[1]], port=ports[0])
        b = await net.node(high, [addresses[0]], port=ports[1])
        await net.until(lambda a=a, b=b: a.transport.peers() and b.transport.peers())  # type: ignore[misc] # bound
        await net.calm()
        assert set(a.transport.peers()) == {b.id}
        assert set(b.transport.peers()) == {a.id}
        assert a.transport.peers()[b.id].dialled != b.transport.peers()[a.id].dialled
        assert a.transport.send(b.id, Channel.CONSENSUS, b"one")
        assert b.transport.send(a.id, Channel.CONSENSUS, b"other")
        assert (await b.receive(Channel.CONSENSUS), await a.receive(Channel.CONSENSUS)) == (b"one", b"other")
        for node, peer in ((a, b), (b, a)):  # never two at a time
            signs = [entry[0] for entry in node.history if entry[1:] == peer.id[-4:]]
            assert signs == (["+", "-"] * len(signs))[: len(signs)]
            assert signs[-1] == "+"


async def test_a_peer_that_restarts_is_met_again_and_its_old_connection_announced_as_gone(net: Any) -> None:
    a = await net.node(1)
    b = await net.node(2, [a])
    await net.until(lambda: a.transport.peers() and b.transport.peers())
    b.scope.cancel()
    await net.until(lambda: not a.transport.peers())
    again = await net.node(2, [a])
    await net.until(lambda: again.transport.peers())
    await net.until(lambda: a.history == [sign + b.id[-4:] for sign in "+-+"])


async def test_the_lower_id_dials_again_by_itself_however_often_it_was_in_vain(net: Any) -> None:
    low, high = lower_first(net, 1, 2)
    b = await net.node(high, port=net.port())
    a = await net.node(low, [b])
    await net.until(lambda: a.transport.peers() and b.transport.peers())
    b.scope.cancel()
    await net.until(lambda: sum(isinstance(event, ConnectionFailed) for event in a.events) > 3)
    again = await net.node(high, port=b.transport.address.port)
    await net.until(lambda: a.transport.peers() and again.transport.peers())


async def test_a_restarted_peer_displaces_its_connection_that_was_not_noticed_to_be_dead(net: Any) -> None:
    """The same key dials in while its former connection, dialled by the lower id, still stands."""
    low, high = lower_first(net, 1, 2)
    b = await net.node(high)
    a = await net.node(low, [b])
    await net.until(lambda: a.transport.peers() and b.transport.peers())
    twin = await net.node(high, [a])  # another instance
    await net.until(lambda: twin.transport.peers())
    await net.until(lambda: a.history[:3] == [sign + b.id[-4:] for sign in "+-+"])


async def test_invalid_genesis_is_refused_with_the_reason_and_not_dialled_at_once(net: Any) -> None:
    a = await net.node(1)
    stranger = await net.node(2, [a], genesis=b"x")
    await net.until(lambda: a.events and stranger.events)
    await trio.sleep(1)
    assert not a.transport.peers()
    assert not stranger.transport.peers()
    assert [event.reason for event in stranger.events if isinstance(event, ConnectionFailed)] == [
        f"another chain: genesis {b'g'.hex() * 8}, ours is {b'x'.hex() * 8}"
    ]
    assert len(a.events) == 1


async def test_invalid_peer_beyond_the_allowance_of_unknown_ones_hears_so_and_known_ones_get_in(net: Any) -> None:
    low, high = lower_first(net, 1, 2)
    known = await net.node(high)
    a = await net.node(low, [known], unknown_peers_max=1)
    first = await net.node(3, [a])
    await net.until(lambda: first.id in a.transport.peers() and first.transport.peers())
    second = await net.node(4, [a])
    await net.until(lambda: second.events)
    assert isinstance(second.events[0], ConnectionFailed)
    assert second.events[0].reason == "the peer said: no room for peers that are not configured"
    await net.until(lambda: set(a.transport.peers()) == {known.id, first.id})


async def test_a_disconnected_peer_hears_the_reason_and_is_kept_away(net: Any) -> None:
    a = await net.node(1)
    b = await net.node(2, [a])
    await net.until(lambda: a.transport.peers() and b.transport.peers())
    a.transport.disconnect(b.id, "forged a vote")
    assert not a.transport.peers()
    assert not a.transport.send(b.id, Channel.CONSENSUS, b"")
    await net.until(lambda: len(b.history) == 2)
    assert b.events[-1] == PeerDisconnected(a.id, "the peer said: forged a vote")
    await net.until(lambda: a.events[-1] == PeerDisconnected(b.id, "forged a vote"))
    again = await net.node(2, [a])
    await net.until(lambda: again.events)
    assert not again.transport.peers()


async def test_another_peer_than_the_address_names_is_refused(net: Any) -> None:
    a = await net.node(1)
    b = await net.node(2, [PeerAddress.of("127.0.0.1", a.transport.address.port, net.key(9).peer_id)])
    await net.until(lambda: b.events)
    assert "Noise handshake failed" in b.events[0].reason  # type: ignore[union-attr] # a failure
    assert not b.transport.peers()


async def test_invalid_port_in_use_is_told_also_by_another_node(net: Any) -> None:
    a = await net.node(1)
    port = a.transport.address.port
    with pytest.RaisesGroup(
        pytest.RaisesExc(ListenError, match=f"cannot listen on 127.0.0.1 port {port}: another program listens there"),
        allow_unwrapped=True,
        flatten_subgroups=True,
    ):
        await net.node(2, port=port)


async def test_our_own_fault_in_a_handler_leaves_run(net: Any) -> None:
    async def broken(peer_id: PeerId, body: bytes) -> bytes:
        raise OurError("the disk is gone")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            a = await net.inside(nursery).node(1, handler=broken)
            b = await net.inside(nursery).node(2, [a])
            await net.until(lambda: b.transport.peers())
            await b.transport.request(a.id, b"", 60)

    with pytest.raises(ExceptionGroup) as caught:
        await main()
    assert caught.group_contains(OurError, match="the disk is gone")


async def test_a_handler_may_declare_the_peer_at_fault(net: Any) -> None:
    async def strict(peer_id: PeerId, body: bytes) -> bytes:
        raise PeerError("a forged request")

    a = await net.node(1, handler=strict)
    b = await net.node(2, [a])
    await net.until(lambda: b.transport.peers())
    with pytest.raises(RequestFailed):
        await b.transport.request(a.id, b"", 60)
    await net.until(lambda: PeerDisconnected(b.id, "a forged request") in a.events)


async def test_invalid_too_large_a_frame_is_the_senders_own_fault(net: Any) -> None:
    a = await net.node(1)
    with pytest.raises(FrameTooLarge):
        a.transport.broadcast(Channel.CONSENSUS, bytes(Channel.CONSENSUS.bounds.frame_bytes_max + 1))


async def test_stopping_closes_every_socket_and_ends_the_inboxes(net: Any) -> None:
    a, b = await net.mesh(2)
    port = a.transport.address.port
    a.scope.cancel()
    with trio.fail_after(60):
        assert [received async for received in a.transport.incoming(Channel.CONSENSUS)] == []
    await net.until(lambda: not b.transport.peers())
    with pytest.raises(OSError, match=r"refused|failed"):
        await trio.open_tcp_stream("127.0.0.1", port)
