"""Work is waited for as in a node; only work that does not end is left behind, and then nothing hangs."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from tools.dev.patience import STUCK_S, patiently


async def test_what_work_gives_is_given() -> None:
    assert await patiently(lambda: 7) == 7


async def test_invalid_work_raises_what_it_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await patiently(lambda: 1 // 0)


async def test_work_that_ends_soon_is_waited_for() -> None:
    may_end, ended = threading.Event(), threading.Event()
    started = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def work() -> None:
        trio.from_thread.run_sync(started.set, trio_token=token)
        may_end.wait()
        ended.set()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(patiently, work)
            await started.wait()
            scope.cancel()
            may_end.set()
    assert ended.is_set()
    assert scope.cancelled_caught


def test_work_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    async def main() -> float:
        with trio.move_on_after(1):
            await patiently(release.wait)
        return trio.current_time()

    clock = trio.testing.MockClock(rate=1000)
    try:
        spent = trio.run(main, clock=clock)
    finally:
        release.set()
    assert spent >= 1 + STUCK_S
