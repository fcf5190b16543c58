"""Yamux by its specification, and what a hostile peer can do with it: nothing but end its own connection."""

import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.network.errors import ConnectionLost
from runtime.network.limits import YAMUX_CONTROL_FRAMES_MAX, YAMUX_STREAMS_MAX, YAMUX_WINDOW_BYTES
from runtime.network.yamux import YamuxSession

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


class MemoryChannel:
    """A SecureChannel over trio's memory streams, which hold `capacity` bytes per direction like a socket."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(65536))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost("reset") from error

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost("reset") from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def frame(kind: int, flags: int, stream_id: int, length: int, body: bytes = b"") -> bytes:
    return struct.pack("!BBHII", 0, kind, flags, stream_id, length) + body


@asynccontextmanager
async def sessions(lockstep: bool = False) -> AsyncIterator[tuple[YamuxSession, YamuxSession]]:
    make = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
    ends = [MemoryChannel(stream) for stream in make()]
    dialer = YamuxSession(ends[0], is_dialer=True, accepts=True)
    listener = YamuxSession(ends[1], is_dialer=False, accepts=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dialer.run)
        nursery.start_soon(listener.run)
        yield dialer, listener
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def under_attack() -> AsyncIterator[tuple[YamuxSession, Any, list[str]]]:
    """A listener's session, the raw end that speaks to it, and the reasons it ended for."""
    raw, stream = trio.testing.memory_stream_pair()
    session = YamuxSession(MemoryChannel(stream), is_dialer=False, accepts=True)
    reasons: list[str] = []

    async def run() -> None:
        reasons.append(await session.run())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield session, raw, reasons
        nursery.cancel_scope.cancel()


async def read_exactly(stream: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await stream.read(size - len(data))
        assert piece
        data += piece
    return data


@given(st.lists(st.binary(min_size=1, max_size=70_000), min_size=1, max_size=8), st.integers(1, 70_000), st.booleans())
@settings(max_examples=12)
def test_both_ends_read_what_the_other_wrote(pieces: list[bytes], read_size: int, lockstep: bool) -> None:
    async def main() -> None:
        async with sessions(lockstep) as (dialer, listener):
            ours = await dialer.open()
            theirs = await listener.accept()
            expected = b"".join(pieces)

            async def write(stream: Any) -> None:
                for piece in pieces:
                    await stream.write(piece)

            async def read(stream: Any) -> None:
                got = bytearray()
                while len(got) < len(expected):
                    got += await stream.read(max(read_size, len(expected) // 50))
                assert got == expected

            async with trio.open_nursery() as nursery:
                for stream in (ours, theirs):
                    nursery.start_soon(write, stream)
                    nursery.start_soon(read, stream)

    trio.run(main)


async def test_both_ends_may_write_more_than_fits_without_waiting_for_each_other() -> None:
    async with sessions(lockstep=True) as (dialer, listener):
        streams = [(await dialer.open(), await listener.accept()) for _ in range(4)]
        size = 3 * YAMUX_WINDOW_BYTES
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for pair in streams:
                    for stream in pair:
                        nursery.start_soon(stream.write, bytes(size))
                        nursery.start_soon(read_exactly, stream, size)


async def test_a_stream_that_is_not_read_holds_up_its_writer_and_no_other_stream() -> None:
    async with sessions() as (dialer, listener):
        slow, fast = await dialer.open(), await dialer.open()
        slow_end, fast_end = await listener.accept(), await listener.accept()
        with trio.move_on_after(0.1) as scope:
            await slow.write(bytes(YAMUX_WINDOW_BYTES + 1))
        assert scope.cancelled_caught
        await fast.write(b"vote")
        assert await fast_end.read(100) == b"vote"
        assert len(await read_exactly(slow_end, YAMUX_WINDOW_BYTES)) == YAMUX_WINDOW_BYTES


async def test_a_wider_window_lets_that_much_go_ahead_of_the_reader() -> None:
    async with sessions() as (dialer, listener):
        stream = await dialer.open()
        (await listener.accept()).widen(2 * YAMUX_WINDOW_BYTES)
        with trio.fail_after(60):
            await stream.write(bytes(2 * YAMUX_WINDOW_BYTES))
        with trio.move_on_after(0.05) as scope:
            await stream.write(b"1")
        assert scope.cancelled_caught


async def test_credit_is_returned_once_per_half_window() -> None:
    async with under_attack() as (session, raw, _):
        await raw.send_all(frame(WINDOW_UPDATE, SYN, 1, 0))
        stream = await session.accept()
        assert await raw.receive_some(100) == frame(WINDOW_UPDATE, ACK, 1, 0)
        half = YAMUX_WINDOW_BYTES // 2
        await raw.send_all(frame(DATA, 0, 1, half, bytes(half)))
        for _ in range(half):
            assert await stream.read(1)
        await trio.testing.wait_all_tasks_blocked()
        assert await raw.receive_some(1000) == frame(WINDOW_UPDATE, 0, 1, half)


async def test_ping_is_answered() -> None:
    async with under_attack() as (_, raw, _reasons):
        await raw.send_all(frame(PING, SYN, 0, 77))
        assert await raw.receive_some(100) == frame(PING, ACK, 0, 77)


async def test_unwanted_and_too_many_streams_are_reset() -> None:
    async with under_attack() as (session, raw, reasons):
        for number in range(YAMUX_STREAMS_MAX + 1):
            await raw.send_all(frame(WINDOW_UPDATE, SYN, 2 * number + 1, 0))
        answers = b""
        while len(answers) < 12 * (YAMUX_STREAMS_MAX + 1):
            answers += await raw.receive_some(1000)
        assert answers.endswith(frame(WINDOW_UPDATE, RST, 2 * YAMUX_STREAMS_MAX + 1, 0))
        session.accepts = False
        (await session.accept()).reset()
        await raw.send_all(frame(WINDOW_UPDATE, SYN, 101, 0))
        assert frame(WINDOW_UPDATE, RST, 101, 0) in await raw.receive_some(1000) + await raw.receive_some(1000)
        assert not reasons


async def test_reset_ends_one_stream_for_the_peer_and_leaves_the_others() -> None:
    async with sessions() as (dialer, listener):
        first, second = await dialer.open(), await dialer.open()
        first_end, second_end = await listener.accept(), await listener.accept()
        await first.write(b"last words")
        await trio.testing.wait_all_tasks_blocked()
        first.reset()
        await trio.testing.wait_all_tasks_blocked()
        assert await first_end.read(100) == b"last words"
        with pytest.raises(ConnectionLost, match="reset by the peer"):
            await first_end.read(100)
        with pytest.raises(ConnectionLost, match="reset by this node"):
            await first.write(b"1")
        await second.write(b"alive")
        assert await second_end.read(100) == b"alive"


async def test_readers_and_writers_learn_why_the_session_ended() -> None:
    async with sessions() as (dialer, listener):
        stream = await dialer.open()
        other = await listener.accept()
        await stream.write(bytes(YAMUX_WINDOW_BYTES))

        async def blocked_write() -> None:
            with pytest.raises(ConnectionLost, match="closed by the peer"):
                await stream.write(b"1")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocked_write)
            await trio.testing.wait_all_tasks_blocked()
            listener._scope.cancel()
        assert len(await read_exactly(other, YAMUX_WINDOW_BYTES)) == YAMUX_WINDOW_BYTES
        for step in (dialer.open(), dialer.accept(), other.read(1), other.write(b"1")):
            with pytest.raises(ConnectionLost):
                await step


HOSTILE = {
    "window": (
        frame(DATA, SYN, 1, YAMUX_WINDOW_BYTES, bytes(YAMUX_WINDOW_BYTES)) + frame(DATA, 0, 1, 1, b"1"),
        "1 bytes on a stream whose window has 0 left",
    ),
    "a frame above the window": (frame(DATA, SYN, 1, 0xFFFFFFFF), "4294967295 bytes on a stream"),
    "version": (b"\x01" + bytes(11), "version 1"),
    "type": (frame(9, 0, 0, 0), "type 9"),
    "id of the other parity": (frame(WINDOW_UPDATE, SYN, 2, 0), "id 2"),
    "id 0": (frame(WINDOW_UPDATE, SYN, 0, 0), "id 0"),
    "id again": (2 * frame(WINDOW_UPDATE, SYN, 1, 0), "id 1"),
    "id going back": (frame(WINDOW_UPDATE, SYN, 5, 0) + frame(WINDOW_UPDATE, SYN, 3, 0), "id 3"),
    "a stream that never was": (frame(DATA, 0, 7, 1, b"1"), "stream 7, which was never opened"),
    "one of ours that never was": (frame(WINDOW_UPDATE, 0, 2, 1), "stream 2, which was never opened"),
    "window beyond 32 bits": (frame(WINDOW_UPDATE, SYN, 1, 0xFFFFFFFF), "beyond 32 bits"),
    "bytes behind the end": (frame(WINDOW_UPDATE, SYN | FIN, 1, 0) + frame(DATA, 0, 1, 1, b"1"), "had finished"),
    "pings": ((YAMUX_CONTROL_FRAMES_MAX + 1) * frame(PING, SYN, 0, 1), "control frames wait"),
    "streams that are reset": (
        frame(WINDOW_UPDATE, SYN, 1, 0)
        + frame(WINDOW_UPDATE, RST, 1, 0)
        + (YAMUX_STREAMS_MAX + 1) * frame(DATA, 0, 1, YAMUX_WINDOW_BYTES, bytes(YAMUX_WINDOW_BYTES)),
        "too many bytes for streams that were reset",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_invalid_frames_end_the_session_with_the_reason(name: str) -> None:
    data, reason = HOSTILE[name]
    async with under_attack() as (_, raw, reasons):
        with trio.fail_after(60):
            await raw.send_all(data)
            answers = b""
            while piece := await raw.receive_some(65536):
                answers += piece
    assert answers.endswith(frame(GO_AWAY, 0, 0, 1))
    assert len(reasons) == 1
    assert reason in reasons[0]


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                frame,
                st.integers(0, 4),
                st.integers(0, 15),
                st.integers(0, 6),
                st.integers(0, 50),
                st.binary(max_size=50),
            ),
        ),
        max_size=30,
    )
)
def test_any_bytes_leave_the_session_serving_or_ended_with_a_reason(pieces: list[bytes]) -> None:
    async def main() -> None:
        async with under_attack() as (session, raw, reasons):
            with trio.fail_after(60):
                try:
                    for piece in pieces:
                        await raw.send_all(piece)
                except trio.BrokenResourceError:
                    pass
                await trio.testing.wait_all_tasks_blocked()
            assert not reasons or reasons[0]
            held = sum(len(stream._buffer) for stream in session._streams.values()) + len(session._buffer)
            assert held <= YAMUX_STREAMS_MAX * YAMUX_WINDOW_BYTES + 12

    trio.run(main)


def test_random_junk_ends_the_session() -> None:
    async def main() -> None:
        async with under_attack() as (_, raw, reasons):
            await raw.send_all(b"\x99" + random.Random(1).randbytes(3000))
            await trio.testing.wait_all_tasks_blocked()
            assert reasons

    trio.run(main)
