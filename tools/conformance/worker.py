"""Runs cases in a process of its own: one that hangs or crashes costs that case, and the rest goes on."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Final

from tools.conformance.cases import Case
from tools.conformance.judge import Outcome, Status, judge

SECONDS_MAX: Final = 20.0
"""For one case; the slowest that pass take about a second on one core."""
_START_SECONDS_MAX: Final = 60.0


def run_all(cases: Iterable[Case], seconds_max: float = SECONDS_MAX) -> Iterator[Outcome]:
    """The outcome of each case, in order. A case that takes longer, or ends the process, has failed."""
    worker = _Worker()
    try:
        for case in cases:
            outcome = worker.judge(case, seconds_max)
            if outcome is None:
                reason = f"it took longer than {seconds_max:g} s, or the process died"
                outcome = Outcome(case.suite, case.name, case.op, Status.FAILED, reason, seconds=seconds_max)
                worker.close()
                worker = _Worker()
            yield outcome
    finally:
        worker.close()


class _Worker:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._receive(_START_SECONDS_MAX)

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


def _serve(pipe: Connection) -> None:
    warnings.simplefilter("ignore")
    pipe.send("ready")
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(judge(case))
