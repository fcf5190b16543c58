"""What a transaction does, seen from below: which storage it touched, how often, and how many lines of Python it ran.

Lives here: counting. Must not: judge (rules.py). A line of Python that a module runs stands for work that gas must pay.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from runtime.errors import OurError
from runtime.execution.block import BlockInputs, BlockRun, Executed
from runtime.execution.dispatch import dispatch
from runtime.execution.executor import Outcome
from runtime.module import Call, CallError, EventRecord, Module, Root
from runtime.module.body import layers
from runtime.state import Overlay

Changes = Mapping[str, Mapping[bytes, bytes | None]]


LINE_GAS: Final = 50
"""A line of Python takes at least so many nanoseconds on the reference machine: what gas must cover."""
LINES_AHEAD_MAX: Final = 10_000
"""How many more lines than the gas so far pays for may run before they are stopped."""


class EndlessWork(OurError):
    """A module ran many more lines of Python than it had charged for, and was stopped."""


@dataclass(slots=True)
class Work:
    """What was done while something ran. written: modules, by how many writes and deletions. lines: of Python, in the
    watched files."""

    written: dict[str, int] = field(default_factory=dict)
    lines: int = 0


class CountedState:
    """An overlay that counts what is written (runtime.module.context.State)."""

    def __init__(self, overlay: Overlay, work: Work) -> None:
        self._overlay = overlay
        self.work = work

    def set(self, module: str, key: bytes, value: bytes) -> None:
        """Counted as a write."""
        self.work.written[module] = self.work.written.get(module, 0) + 1
        self._overlay.set(module, key, value)

    def delete(self, module: str, key: bytes) -> None:
        """Counted as a write."""
        self.work.written[module] = self.work.written.get(module, 0) + 1
        self._overlay.delete(module, key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._overlay, name)


@dataclass(frozen=True, slots=True)
class Seen:
    """One transaction, or one call as the chain itself. changes: by module and key, the value afterwards; before: the
    same keys' values before it. error: of a call under Root."""

    outcome: Outcome | None
    events: tuple[EventRecord, ...]
    error: CallError | None
    work: Work
    changes: Changes
    before: Changes


def watched_block(
    make: Callable[[], BlockRun], steps: Callable[[BlockRun], list[Callable[[], Outcome | None]]], files: Files
) -> tuple[Executed, list[Seen]]:
    """Runs a block's steps one by one, each counted."""
    run = make()
    seen = []
    for step in steps(run):
        before = run.overlay.changes()
        work = Work()
        run.environment.context.state = CountedState(run.overlay, work)
        error: CallError | None = None
        outcome: Outcome | None = None
        events: tuple[EventRecord, ...] = ()
        try:
            with files.traced(work, lambda: run.environment.context.gas_used):
                outcome = step()
            events = run.environment.context.take_events() if outcome is None else outcome.receipt.events
        except CallError as failed:
            error = failed
            run.environment.context.drop_events()
        finally:
            run.environment.context.state = run.overlay
        changes, values = _changed(run, before)
        seen.append(Seen(outcome, events, error, work, changes, values))
    return run.finish(), seen


def transactions(run: BlockRun, inputs: BlockInputs, prepare: Callable[[bytes], Any]) -> list[Callable[[], Outcome]]:
    """The block's transactions, as steps."""

    def step(data: bytes) -> Outcome:
        run.take(prepare(data))
        return run.outcomes[-1]

    return [lambda data=data: step(data) for data in inputs.transactions]  # type: ignore[misc] # bound early


def root_calls(run: BlockRun, calls: tuple[Call, ...]) -> list[Callable[[], None]]:
    """Calls under Root, as steps."""
    return [lambda call=call: dispatch(run.environment, Root(), call) for call in calls]  # type: ignore[misc]


def _changed(run: BlockRun, before: Changes) -> tuple[Changes, Changes]:
    """What has another value than before, and what it had."""
    new: dict[str, dict[bytes, bytes | None]] = {}
    old: dict[str, dict[bytes, bytes | None]] = {}
    for module, table in run.overlay.changes().items():
        known = before.get(module, {})
        for key, value in table.items():
            had = known[key] if key in known else run.store.get(module, key)
            if had != value:
                new.setdefault(module, {})[key] = value
                old.setdefault(module, {})[key] = had
    return new, old


class Files:
    """The source files whose lines are counted: those of some modules, their packages' included."""

    def __init__(self, modules: tuple[type[Module], ...]) -> None:
        self._names: set[str] = set()
        for module in modules:
            for layer in layers(module):
                source = inspect.getsourcefile(layer)
                if source is not None:
                    file = Path(source)
                    package = file.parent.glob("*.py") if (file.parent / "__init__.py").exists() else [file]
                    self._names.update(str(each) for each in package)

    @contextmanager
    def traced(self, work: Work, gas_used: Callable[[], int]) -> Iterator[None]:
        """Counts lines into `work`. Raises EndlessWork, inside of what runs, where they are far more than gas paid."""
        names = self._names

        def line(frame: FrameType, event: str, arg: Any) -> Any:
            if event == "line":
                work.lines += 1
                if work.lines % LINES_AHEAD_MAX == 0 and (work.lines - LINES_AHEAD_MAX) * LINE_GAS > gas_used():
                    place = f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
                    raise EndlessWork(
                        f"{work.lines} lines of Python ran for {gas_used()} gas so far, and it is still at {place}: "
                        "charge for work that grows with the input, self.charge(...), before doing it"
                    )
            return line

        def enter(frame: FrameType, event: str, arg: Any) -> Any:
            return line if frame.f_code.co_filename in names else None

        previous = sys.gettrace()
        sys.settrace(enter)
        try:
            yield
        finally:
            sys.settrace(previous)
