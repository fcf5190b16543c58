"""A send queue keeps order and bounds, and never loses or doubles a frame that it took."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from runtime.network.errors import ConnectionLost
from runtime.network.queues import SendQueue


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=40), st.integers(1, 8), st.integers(1, 60))
def test_what_was_taken_is_what_was_offered_in_order_and_within_bounds(
    offered: list[bytes], frames_max: int, bytes_max: int
) -> None:
    async def main() -> None:
        queue = SendQueue(frames_max=frames_max, bytes_max=bytes_max)
        accepted, taken = b"", b""
        for frame in offered:
            waiting = len(accepted) - len(taken)
            if queue.offer(frame):
                accepted += frame
                assert len(queue) <= frames_max
                assert waiting == 0 or waiting + len(frame) <= bytes_max
            else:
                assert len(queue) == frames_max or waiting + len(frame) > bytes_max
                batch = await queue.take(25)
                taken += batch
        while len(queue):
            taken += await queue.take(25)
        assert taken == accepted

    trio.run(main)


async def test_take_joins_what_fits_and_takes_a_larger_frame_alone() -> None:
    queue = SendQueue(frames_max=10, bytes_max=1000)
    for frame in (b"a" * 50, b"b", b"c", b"d" * 30):
        assert queue.offer(frame)
    assert [await queue.take(10), await queue.take(10), await queue.take(10)] == [b"a" * 50, b"bc", b"d" * 30]


async def test_an_empty_queue_takes_a_frame_above_its_bytes() -> None:
    queue = SendQueue(frames_max=2, bytes_max=4)
    assert queue.offer(b"12345678")
    assert not queue.offer(b"1")


async def test_put_waits_for_room_in_every_waiting_task(autojump_clock: trio.abc.Clock) -> None:
    queue = SendQueue(frames_max=1, bytes_max=100)
    async with trio.open_nursery() as nursery:
        for frame in (b"a", b"b", b"c"):
            nursery.start_soon(queue.put, frame)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(1):
            taken = [await queue.take(1) for _ in range(3)]
    assert sorted(taken) == [b"a", b"b", b"c"]


async def test_invalid_put_into_a_closed_queue_fails_also_when_it_waits(autojump_clock: trio.abc.Clock) -> None:
    queue = SendQueue(frames_max=1, bytes_max=100)
    assert queue.offer(b"a")

    async def put() -> None:
        with pytest.raises(ConnectionLost):
            await queue.put(b"b")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await trio.testing.wait_all_tasks_blocked()
        queue.close()
    assert not queue.offer(b"c")
    assert len(queue) == 0
