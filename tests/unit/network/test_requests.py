"""Requests meet their answers; a peer's requests cannot stop the node; a request ends by an answer or a reason."""

import pytest
import trio
import trio.testing

from runtime.errors import CallerError, OurError, PeerError
from runtime.network.errors import FrameTooLarge, RequestFailed
from runtime.network.framing import Frame, FrameDecoder, Kind
from runtime.network.limits import REQUEST_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX, REQUESTS_SERVED_MAX, RESPONSE_BYTES_MAX
from runtime.network.queues import SendQueue
from runtime.network.requests import REQUEST_FRAME_BOUNDS, Answer, Requests


class Pair:
    """Two ends, joined by their queues."""

    def __init__(self, answer: Answer, queue_bytes: int = 1 << 30) -> None:
        self.aborted: list[str] = []
        self.queues = [SendQueue(frames_max=100, bytes_max=queue_bytes) for _ in range(2)]
        self.asker, self.answerer = (Requests(queue, answer, self.aborted.append) for queue in self.queues)

    async def run(self, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, self.queues[0], self.answerer, nursery)
            nursery.start_soon(self._carry, self.queues[1], self.asker, nursery)
            task_status.started()

    async def _carry(self, queue: SendQueue, to: Requests, nursery: trio.Nursery) -> None:
        decoder = FrameDecoder(REQUEST_FRAME_BOUNDS)
        while True:
            for frame in decoder.feed(await queue.take(65536)):
                await to.on_frame(frame, nursery)


async def reverse(body: bytes) -> bytes:
    await trio.sleep(len(body) / 1000)  # later requests are answered first
    return body[::-1]


async def test_each_request_gets_its_own_answer(nursery: trio.Nursery, autojump_clock: trio.abc.Clock) -> None:
    pair = Pair(reverse)
    await nursery.start(pair.run)
    answers: dict[bytes, bytes] = {}

    async def ask(body: bytes) -> None:
        answers[body] = await pair.asker.ask(body, 10)

    bodies = [b"abcd", b"abc", b"ab", b""]
    async with trio.open_nursery() as asking:
        for body in bodies:
            asking.start_soon(ask, body)
    assert answers == {body: body[::-1] for body in bodies}


async def test_a_late_answer_is_ignored(nursery: trio.Nursery, autojump_clock: trio.abc.Clock) -> None:
    pair = Pair(reverse)
    await nursery.start(pair.run)
    with pytest.raises(RequestFailed, match=r"no answer within 0\.05 s"):
        await pair.asker.ask(bytes(100), 0.05)
    await trio.sleep(1)
    assert await pair.asker.ask(b"ab", 10) == b"ba"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CallerError("no such\nblock"), "refused: no such\\?block"),
        (RequestFailed("asked another in vain"), "refused: asked another in vain"),
        (ZeroDivisionError("bug"), "refused: internal error"),
        (FrameTooLarge("bug"), "refused: internal error"),
    ],
)
async def test_invalid_requests_are_refused_with_a_sentence(
    error: Exception, reason: str, nursery: trio.Nursery
) -> None:
    async def answer(body: bytes) -> bytes:
        raise error

    pair = Pair(answer)
    await nursery.start(pair.run)
    with pytest.raises(RequestFailed, match=reason):
        await pair.asker.ask(b"", 5)
    assert not pair.aborted


async def test_too_large_an_answer_is_an_internal_error_for_the_asker(nursery: trio.Nursery) -> None:
    async def answer(body: bytes) -> bytes:
        return bytes(RESPONSE_BYTES_MAX + (body == b"large"))

    pair = Pair(answer)
    await nursery.start(pair.run)
    assert len(await pair.asker.ask(b"", 5)) == RESPONSE_BYTES_MAX
    with pytest.raises(RequestFailed, match="internal error"):
        await pair.asker.ask(b"large", 5)


async def test_invalid_request_that_is_the_peers_fault_ends_the_connection(nursery: trio.Nursery) -> None:
    async def answer(body: bytes) -> bytes:
        raise PeerError("a forged request")

    pair = Pair(answer)
    await nursery.start(pair.run)
    with pytest.raises(RequestFailed, match="no answer"):
        await pair.asker.ask(b"", 0.05)
    assert pair.aborted == ["a forged request"]


async def test_our_own_fault_leaves_the_connection() -> None:
    async def answer(body: bytes) -> bytes:
        raise OurError("the disk is gone")

    pair = Pair(answer)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(pair.run)
            await pair.asker.ask(b"", 5)

    with pytest.raises(BaseExceptionGroup) as caught:
        await main()
    assert caught.group_contains(OurError)


async def test_a_peer_that_asks_too_much_at_once_hears_busy(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    pair = Pair(reverse)
    await nursery.start(pair.run)
    outcomes: list[str] = []

    async def ask() -> None:
        try:
            await pair.asker.ask(bytes(100), 10)
            outcomes.append("answered")
        except RequestFailed as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as asking:
        for _ in range(REQUESTS_SERVED_MAX + 3):
            asking.start_soon(ask)
    assert outcomes.count("answered") == REQUESTS_SERVED_MAX
    assert outcomes.count("refused: busy: too many requests at once") == 3
    assert await pair.asker.ask(b"ab", 10) == b"ba"


async def test_requests_in_flight_are_bounded_and_end_with_the_connection(nursery: trio.Nursery) -> None:
    pair = Pair(reverse)
    reasons: list[str] = []

    async def ask() -> None:
        with pytest.raises(RequestFailed) as caught:
            await pair.asker.ask(b"", 60)
        reasons.append(str(caught.value))

    async with trio.open_nursery() as asking:
        for _ in range(REQUESTS_IN_FLIGHT_MAX):
            asking.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RequestFailed, match="are in flight already"):
            await pair.asker.ask(b"", 60)
        pair.asker.fail_all("the connection ended")
    assert reasons == REQUESTS_IN_FLIGHT_MAX * ["the connection ended"]


async def test_invalid_frame_without_an_id_is_the_peers_fault(nursery: trio.Nursery) -> None:
    with pytest.raises(PeerError, match="REQUEST frame of 7 bytes has no request id"):
        await Pair(reverse).asker.on_frame(Frame(Kind.REQUEST, bytes(7)), nursery)


async def test_invalid_too_large_a_request_is_the_askers_own_fault() -> None:
    with pytest.raises(FrameTooLarge):
        await Pair(reverse).asker.ask(bytes(REQUEST_BYTES_MAX + 1), 1)
