"""Runs cases in a process of its own: one that hangs, crashes or takes too much costs that case; the rest goes on."""

from __future__ import annotations

import multiprocessing
import resource
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Final

from tools.conformance.cases import Case
from tools.conformance.judge import Outcome, Status, judge

SECONDS_MAX: Final = 20.0
"""For a case; the slowest that pass take about a second on one core."""
LIGHT_SECONDS_MAX: Final = 900.0
"""For one of the suite `light`; the largest that passes has 87 million weights and takes two minutes on one core."""
MEMORY_BYTES_MAX: Final = 12 << 30
"""Of address space; the largest case that passes touches a third of it."""
_START_SECONDS_MAX: Final = 60.0


def run_all(
    cases: Iterable[Case], seconds_max: float | None = None, memory_bytes_max: int = MEMORY_BYTES_MAX
) -> Iterator[Outcome]:
    """The outcome of each case, in order. A case that takes longer (where None: than its suite may), needs more memory,
    or ends the process has failed: only lowering refuses."""
    worker = Worker(memory_bytes_max)
    try:
        for case in cases:
            usual = LIGHT_SECONDS_MAX if case.suite == "light" else SECONDS_MAX
            seconds = usual if seconds_max is None else seconds_max
            outcome = worker.judge(case, seconds)
            if outcome is None:
                reason = f"it took longer than {seconds:g} s, or the process died"
                outcome = Outcome(case.suite, case.name, case.op, Status.FAILED, reason, seconds=seconds)
                worker.close()
                worker = Worker(memory_bytes_max)
            yield outcome
    finally:
        worker.close()


class Worker:
    """A process that judges one case at a time, with so much memory at most. `close` it."""

    def __init__(self, memory_bytes_max: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, memory_bytes_max), daemon=True)
        self._process.start()
        theirs.close()
        self._receive(_START_SECONDS_MAX)

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def judge(self, case: Case, seconds_max: float) -> Outcome | None:
        """None: it ran out of time, or the process died."""
        start = time.perf_counter()
        try:
            self._pipe.send(case)
        except OSError:
            return None
        outcome = self._receive(seconds_max)
        return None if outcome is None else replace(outcome, seconds=time.perf_counter() - start)

    def _receive(self, seconds_max: float) -> Outcome | None:
        try:
            found = self._pipe.recv() if self._pipe.poll(seconds_max) else None
        except (EOFError, OSError):
            return None
        return found if isinstance(found, Outcome) else None

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, memory_bytes_max: int) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes_max, memory_bytes_max))
    pipe.send("ready")
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(judge(case))
