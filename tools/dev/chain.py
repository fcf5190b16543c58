"""The dev chain while it runs: a real node, alone, on a real store; restarted with the new code when a source is saved.

Rules: the old code runs until the new one has loaded and can make a chain; a restart keeps the state where the module
says the same about it (home.py judges), and says so where it does not. What must not live here: files, imports.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import trio

from chain_spec.late_engine import LateEngine
from runtime.errors import UsageError
from runtime.execution import Application
from runtime.node.config import HttpConfig, LogConfig
from runtime.node.files import FileLock
from runtime.node.logs import configure_logs
from runtime.node.node import NodeSetup
from runtime.node.run import first_fault, serve
from runtime.node.signer import Signer
from runtime.state.disk import DiskStore
from tools.dev.alone import Alone
from tools.dev.home import DevHome, Plan
from tools.dev.patience import patiently
from tools.dev.report import of_block, of_invariants
from tools.dev.sources import Broken, Chosen, fingerprint, load, own_files

LOOK_S: Final = 0.2
"""How often sources are looked at; a save is taken once two looks see the same."""
Say = Callable[[str], None]


class DevChain:
    """A dev chain of the standard modules and those chosen. say: takes each line for the author. environment: what
    other commands need to know the modules too.

    Raises UsageError for a home or a module that cannot be.
    """

    def __init__(self, home: DevHome, chosen: Sequence[Chosen], port: int, say: Say) -> None:
        self.home, self.chosen, self.port = home, tuple(chosen), port
        self._say = say
        self._engine = LateEngine()
        try:
            modules = load(self.chosen)
            self._seen = fingerprint(own_files(self.chosen))
            self.environment = home.offer(self.chosen, modules)
            self._plan = home.plan(modules)
        except Broken as broken:
            raise UsageError(str(broken)) from None

    def run(self, on_ready: Callable[[], None]) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP. on_ready: called once, when the chain answers."""
        with FileLock(self.home.path / "dev.lock"):
            log = configure_logs(LogConfig(level="warning"), "dev")
            try:
                trio.run(self._run, on_ready, log)
            except BaseExceptionGroup as group:
                raise first_fault(group) from group

    async def _run(self, on_ready: Callable[[], None], log: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
            while True:
                await self._run_plan(on_ready, log)
                on_ready = partial(self._say_reloaded, time.monotonic())

    async def _run_plan(self, on_ready: Callable[[], None], log: Any) -> None:
        """Run what is planned until a save has made a new plan."""
        self.home.settle(self._plan)
        with ExitStack() as opened:
            store = DiskStore(self.home.data / "state")
            opened.callback(store.close)
            app = Application(self._plan.chain.genesis, self._plan.chain.modules, store, engine=self._engine)
            app.start()
            signer = Signer(self.home.data / "signer.journal", self.home.validator)
            opened.callback(signer.close)
            setup = NodeSetup(
                name="dev",
                app=app,
                store=store,
                data=self.home.data,
                transport_of=lambda handshake, handler: Alone(self.home.peer_id),
                signer=signer,
                runner=patiently,
                now_ms=lambda: time.time_ns() // 1_000_000,
                on_applied=lambda block: self._say_all(of_block(app, block)),
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(serve, setup, app, HttpConfig(listen=f"127.0.0.1:{self.port}"), log))
                on_ready()
                self._say_all(of_invariants(app))
                self._plan = await self._next_plan()
                nursery.cancel_scope.cancel()

    async def _next_plan(self) -> Plan:
        """Wait for a save that can run. One that cannot is told, once."""
        while True:
            await trio.sleep(LOOK_S)
            now = fingerprint(own_files(self.chosen))
            if now == self._seen:
                continue
            await trio.sleep(LOOK_S)
            if now != fingerprint(own_files(self.chosen)):
                continue  # it is still being written
            self._seen = now
            try:
                return await trio.to_thread.run_sync(self._load, abandon_on_cancel=True)  # type: ignore[call-arg]  # the stubs are older than it
            except Broken as broken:
                self._say(f"not reloaded, the code before goes on: {broken}")

    def _load(self) -> Plan:
        return self.home.plan(load(self.chosen))

    def _say_reloaded(self, since_s: float) -> None:
        afresh = self._plan.afresh
        state = "on the same state" if afresh is None else f"from a fresh genesis, as the state does not fit: {afresh}"
        self._say(f"reloaded in {time.monotonic() - since_s:.1f} s, {state}")

    def _say_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._say(line)


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return
