"""How long module code may keep its author from reloading or leaving: a loop without end must not hold the chain.

A validator waits for every thread, so that nothing is left half-watched; a developer's chain waits STUCK_S.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

T = TypeVar("T")
STUCK_S: Final = 3.0


async def patiently(work: Callable[[], T]) -> T:
    """A Runner (runtime.node.executor): in a thread; when cancelled, it waits STUCK_S for the work to end and then
    leaves the thread to itself, until the process ends."""
    results: list[T] = []
    faults: list[Exception] = []
    done = trio.Event()
    shield = trio.CancelScope(shield=True)

    def capture() -> None:
        try:
            results.append(work())
        except Exception as fault:  # noqa: BLE001  # raised below, in the task that asked
            faults.append(fault)

    async def run() -> None:
        with shield:
            await trio.to_thread.run_sync(capture, abandon_on_cancel=True)  # type: ignore[call-arg]  # older stubs
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        try:
            await done.wait()
        except trio.Cancelled:
            shield.deadline = trio.current_time() + STUCK_S
            raise
    if faults:
        raise faults[0]
    return results[0]
