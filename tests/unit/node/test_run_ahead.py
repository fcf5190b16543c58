"""Inference ahead of blocks: each transaction once, in pieces, for one block's gas between two blocks, and no fault of
it is the node's."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import structlog
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import OurError
from runtime.node.executor import inline
from runtime.node.run_ahead import OFFERED_MAX, PIECE_TRANSACTIONS_MAX, RunAhead

GAS = 100


class Application:
    """Each transaction's first byte is the gas of what it infers; 255 breaks."""

    def __init__(self) -> None:
        self.pieces: list[list[bytes]] = []
        self.between: list[int] = [0]

    def params(self) -> Any:
        return SimpleNamespace(block_gas_max=GAS)

    def run_ahead(self, transactions: Iterable[bytes], *, gas_max: int) -> int:
        self.pieces.append(list(transactions))
        if any(data[0] == 255 for data in self.pieces[-1]):
            raise OurError("a chunk is gone")
        gas = min(gas_max, sum(data[0] for data in self.pieces[-1]))
        self.between[-1] += gas
        return gas


@given(st.lists(st.none() | st.lists(st.integers(0, 255).map(lambda byte: bytes([byte])), max_size=40), max_size=12))
def test_a_blocks_gas_is_never_exceeded_and_order_is_kept(steps: list[list[bytes] | None]) -> None:
    """Offers, and blocks (None) between them."""
    app = Application()

    async def play() -> None:
        ahead = RunAhead(app, inline, structlog.get_logger())  # type: ignore[arg-type] # what it needs of one
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ahead.run)
            await trio.testing.wait_all_tasks_blocked()
            for step in steps:
                if step is None:
                    app.between.append(0)
                    ahead.applied()
                for data in step or ():
                    ahead.offer(data)
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(play)
    offered = [data for step in steps for data in step or ()]
    run = [data for piece in app.pieces for data in piece]
    assert run == offered[: len(run)]
    assert all(0 < len(piece) <= PIECE_TRANSACTIONS_MAX for piece in app.pieces)
    assert max(app.between) <= GAS
    if app.between[-1] < GAS and not any(data[0] == 255 for data in offered):
        assert run == offered


async def test_more_than_it_can_hold_forgets_the_oldest() -> None:
    app = Application()
    ahead = RunAhead(app, inline, structlog.get_logger())  # type: ignore[arg-type] # what it needs of one
    for number in range(OFFERED_MAX + 3):
        ahead.offer(b"\x00" + number.to_bytes(4, "big"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ahead.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    run = [data for piece in app.pieces for data in piece]
    assert [int.from_bytes(data[1:], "big") for data in run] == list(range(3, OFFERED_MAX + 3))
