"""Inference ahead of blocks: what waiting transactions say they will infer is run while consensus waits for its peers.

Rules: it changes nothing but what the engine remembers, so it may be late, wrong or absent. One piece at a time,
outside the event loop; between two blocks no more than one block's gas of it, so that nobody can keep a node busy for
free.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import trio

from runtime.errors import ArmillaryError
from runtime.node.application import ChainApplication
from runtime.node.executor import Runner

OFFERED_MAX: Final = 4096
PIECE_TRANSACTIONS_MAX: Final = 256


class RunAhead:
    """Takes transactions as they come into the mempool. `run` until cancelled."""

    def __init__(self, app: ChainApplication, runner: Runner, log: Any) -> None:
        self._app = app
        self._runner = runner
        self._log = log
        self._offered: deque[bytes] = deque(maxlen=OFFERED_MAX)
        self._gas_left = 0
        self._wanted = trio.Event()

    def offer(self, transaction: bytes) -> None:
        """One that waits for a block from now on. Of more than OFFERED_MAX the oldest are forgotten."""
        self._offered.append(transaction)
        self._wanted.set()

    def applied(self) -> None:
        """A block is part of the chain: there is room for another one's gas."""
        self._gas_left = self._app.params().block_gas_max
        self._wanted.set()

    async def run(self) -> None:
        """Serve."""
        self.applied()
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            while self._offered and self._gas_left > 0:
                piece = [self._offered.popleft() for _ in range(min(len(self._offered), PIECE_TRANSACTIONS_MAX))]
                self._gas_left -= await self._run(piece)

    async def _run(self, piece: list[bytes]) -> int:
        gas_max = self._gas_left
        try:
            return await self._runner(lambda: self._app.run_ahead(piece, gas_max=gas_max))
        except (
            ArmillaryError,
            MemoryError,
        ) as error:  # nothing rests on it: the block that needs the run says what is wrong with it
            self._log.debug("not run ahead", reason=f"{type(error).__name__}: {error}")
            return gas_max
