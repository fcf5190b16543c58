"""The simulated network delivers the same things at the same moments for the same seed, and parts and heals as told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import CallerError, OurError
from runtime.network.errors import FrameTooLarge, RequestFailed
from runtime.network.simulated import Conditions, SimulatedNetwork, SimulatedTransport, run_simulation
from runtime.network.transport import (
    Channel,
    ConnectionFailed,
    Handshake,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerId,
    Transport,
)
from runtime.types import Hash

A, B, C, D = (PeerId(name) for name in "abcd")


def handshake(genesis: bytes = b"g") -> Callable[[], Handshake]:
    return lambda: Handshake(genesis_hash=Hash(genesis * 32), runtime_digest=Hash(b"r" * 32), height=1)


async def answer(peer_id: PeerId, body: bytes) -> bytes:
    if body == b"slow":
        await trio.sleep(3600)
    if body == b"bad":
        raise CallerError("no such block")
    return peer_id.encode() + body


@asynccontextmanager
async def network_of(
    names: str, seed: int = 1, conditions: Conditions | None = None
) -> AsyncIterator[tuple[SimulatedNetwork, list[SimulatedTransport]]]:
    network = SimulatedNetwork(seed, conditions)
    nodes = [network.transport(name, handshake=handshake(), handler=answer) for name in names]
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: network.run(task_status=task_status))
        for node in nodes:
            nursery.start_soon(node.run)
        await trio.sleep(0.5)
        yield network, nodes
        nursery.cancel_scope.cancel()


def events_of(node: SimulatedTransport) -> list[PeerEvent]:
    events = []
    while True:
        try:
            events.append(node.events.receive_nowait())
        except trio.WouldBlock:
            return events


def test_it_is_a_transport() -> None:
    transport: Transport = SimulatedNetwork(1).transport("a", handshake=handshake(), handler=answer)
    assert transport.peer_id == A


async def chatter(seed: int, loss: float) -> list[tuple[float, str, str, Channel, bytes]]:
    """Four nodes that send and answer in several tasks each, through a partition; everything received, and when."""
    log: list[tuple[float, str, str, Channel, bytes]] = []
    start = trio.current_time()

    async def hear(node: SimulatedTransport, channel: Channel) -> None:
        async for received in node.incoming(channel):
            moment = round(trio.current_time() - start, 9)
            log.append((moment, node.peer_id, received.peer_id, channel, received.payload))
            if not received.payload.startswith(b"re "):
                node.send(received.peer_id, channel, b"re " + received.payload)

    async def talk(node: SimulatedTransport, index: int) -> None:
        for number in range(20):
            await trio.sleep(0.05 + index / 100)
            node.broadcast(Channel(1 + number % 3), b"%d" % number)

    async with network_of("abcd", seed, Conditions(loss=loss)) as (network, nodes), trio.open_nursery() as nursery:
        for index, node in enumerate(nodes):
            for channel in Channel:
                nursery.start_soon(hear, node, channel)
            nursery.start_soon(talk, node, index)
        await trio.sleep(0.4)
        network.partition("ab", "cd")
        await trio.sleep(0.3)
        network.heal()
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    return sorted(log, key=lambda entry: entry[:2])


@given(st.integers(0, 1 << 32), st.sampled_from([0.0, 0.2]))
@settings(max_examples=5)
def test_a_seed_decides_every_delivery_whatever_order_trio_runs_tasks_in(seed: int, loss: float) -> None:
    clock = trio.testing.MockClock
    runs = [trio.run(chatter, seed, loss, clock=clock(autojump_threshold=0)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 300


def test_another_seed_gives_other_deliveries() -> None:
    assert run_simulation(chatter, 1, 0.0, seed=1) != run_simulation(chatter, 2, 0.0, seed=1)


def test_a_simulation_repeats_the_order_of_tasks() -> None:
    async def order() -> list[int]:
        seen: list[int] = []

        async def task(number: int) -> None:
            for _ in range(5):
                await trio.sleep(0.001)
                seen.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(task, number)
        return seen

    runs = {tuple(run_simulation(order, seed=seed)) for seed in (7, 7, 7)}
    assert len(runs) == 1
    assert len({tuple(run_simulation(order, seed=seed)) for seed in range(10)}) > 1


def test_a_virtual_hour_costs_nothing() -> None:
    async def main() -> float:
        start = trio.current_time()
        async with network_of("ab"):
            await trio.sleep(3600)
        return trio.current_time() - start

    assert run_simulation(main, seed=1) >= 3600


async def test_frames_of_a_channel_keep_their_order(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("ab", conditions=Conditions(latency_s=(0.001, 1.0))) as (_, (a, b)):
        for number in range(50):
            assert a.send(B, Channel.BLOCK_PARTS, bytes([number]))
        got = [(await b.incoming(Channel.BLOCK_PARTS).receive()).payload for _ in range(50)]
    assert got == [bytes([number]) for number in range(50)]


@pytest.mark.parametrize("channel", Channel)
async def test_a_slow_reader_fills_the_senders_queue_and_loses_nothing(
    channel: Channel, autojump_clock: trio.abc.Clock
) -> None:
    async with network_of("ab") as (_, (a, b)):
        sent = 0
        for _ in range(100):
            while a.send(B, channel, b"%d" % sent):
                sent += 1
            await trio.sleep(0.1)
        assert sent == channel.bounds.inbox_frames_max + channel.bounds.queue_frames_max
        got = [(await b.incoming(channel).receive()).payload for _ in range(sent)]
    assert got == [b"%d" % number for number in range(sent)]


async def test_loss_drops_about_that_share(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("ab", conditions=Conditions(loss=0.5)) as (_, (a, b)):
        for number in range(200):
            assert a.send(B, Channel.CONSENSUS, b"%d" % number)
        await trio.sleep(5)
        got = 0
        while b.incoming(Channel.CONSENSUS).statistics().current_buffer_used:
            await b.incoming(Channel.CONSENSUS).receive()
            got += 1
    assert 60 < got < 140


async def test_a_partition_is_noticed_after_the_silence_and_ends_with_healing(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("abc") as (network, (a, b, c)):
        for node in (a, b, c):
            events_of(node)
        network.partition("ab", "c")
        assert a.send(C, Channel.CONSENSUS, b"lost")
        await trio.sleep(1)
        assert set(a.peers()) == {B, C}
        await trio.sleep(3)
        assert (set(a.peers()), set(c.peers())) == ({B}, set())
        assert events_of(a) == [PeerDisconnected(C, "silent for 2.5 s")]
        assert not a.send(C, Channel.CONSENSUS, b"refused")
        network.heal()
        await trio.sleep(3)
        assert set(c.peers()) == {A, B}
        assert isinstance(events_of(a)[0], PeerConnected)
        assert not c.incoming(Channel.CONSENSUS).statistics().current_buffer_used


async def test_a_short_partition_delays_frames_and_loses_none(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("ab") as (network, (a, b)):
        events_of(a)
        network.partition("a", "b")
        assert a.send(B, Channel.CONSENSUS, b"late")
        await trio.sleep(1)
        network.heal()
        with trio.fail_after(0.1):
            assert (await b.incoming(Channel.CONSENSUS).receive()).payload == b"late"
        await trio.sleep(5)
        assert events_of(a) == []


async def test_a_stopped_node_is_gone_at_once_and_may_come_back(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("ab") as (network, (a, _)), trio.open_nursery() as nursery:
        third = network.transport("c", handshake=handshake(), handler=answer)
        with trio.move_on_after(1):
            await third.run()
        connected, gone = [event for event in events_of(a) if getattr(event, "peer_id", C) == C][-2:]
        assert (type(connected), gone) == (PeerConnected, PeerDisconnected(C, "closed by the peer"))
        again = network.transport("c", handshake=handshake(), handler=answer)
        nursery.start_soon(again.run)
        await trio.sleep(1)
        assert set(again.peers()) == {A, B}
        nursery.cancel_scope.cancel()


async def test_invalid_two_nodes_of_one_name_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("a") as (network, _):
        with pytest.raises(BaseExceptionGroup) as caught:
            await network.transport("a", handshake=handshake(), handler=answer).run()
    assert caught.group_contains(OurError)


async def test_invalid_genesis_is_refused_on_both_sides(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("a") as (network, (a,)), trio.open_nursery() as nursery:
        stranger = network.transport("b", handshake=handshake(b"x"), handler=answer)
        nursery.start_soon(stranger.run)
        await trio.sleep(20)
        assert events_of(a) == [ConnectionFailed(B, "/memory/b", "another chain")]
        assert not a.peers()
        assert not stranger.peers()
        nursery.cancel_scope.cancel()


async def test_requests_are_answered_refused_or_fail_with_a_reason(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("ab") as (network, (a, b)):
        assert await a.request(B, b"x", 1) == b"ax"
        assert await b.request(A, b"y", 1) == b"by"
        with pytest.raises(RequestFailed, match="refused: no such block"):
            await a.request(B, b"bad", 1)
        with pytest.raises(RequestFailed, match="no answer within 1 s"):
            await a.request(B, b"slow", 1)
        with pytest.raises(RequestFailed, match="not connected"):
            await a.request(D, b"x", 1)
        network.partition("a", "b")
        with pytest.raises(RequestFailed, match="the connection ended: silent"):
            await a.request(B, b"x", 10)


async def test_a_disconnected_peer_is_told_and_comes_back_after_the_ban(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("ab") as (_, (a, b)):
        events_of(b)
        a.disconnect(B, "forged a vote")
        assert events_of(b) == [PeerDisconnected(A, "the peer said: forged a vote")]
        await trio.sleep(9)
        assert not a.peers()
        await trio.sleep(2)
        assert set(a.peers()) == {B}


async def test_invalid_too_large_a_frame_is_the_senders_own_fault(autojump_clock: trio.abc.Clock) -> None:
    async with network_of("ab") as (_, (a, _b)):
        with pytest.raises(FrameTooLarge):
            a.send(B, Channel.CONSENSUS, bytes(Channel.CONSENSUS.bounds.frame_bytes_max + 1))


@pytest.mark.parametrize("bad", [{"latency_s": (0.0, 1.0)}, {"latency_s": (2.0, 1.0)}, {"loss": 1.1}, {"loss": -0.1}])
def test_invalid_conditions_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Conditions(**bad)  # type: ignore[arg-type] # wrong on purpose
