"""What a transaction does, seen from below: which storage it touched, how often, how many lines of Python it ran, what
it hashed and which models it had run.

Lives here: counting, beside the meter and not by it. Must not: judge (rules.py). A line of Python that a module runs
stands for work that gas must pay.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from runtime.codec import codec
from runtime.crypto import hash_bytes
from runtime.errors import OurError
from runtime.execution.block import BlockInputs, BlockRun, Executed
from runtime.execution.core import NAME as CORE
from runtime.execution.core import Core, ModelEngine, ModelRecord
from runtime.execution.dispatch import dispatch
from runtime.execution.executor import Outcome
from runtime.execution.params import RuntimeParams
from runtime.execution.transaction import Prepared
from runtime.module import Call, CallError, EventRecord, Map, Module, Root, Tensor, gas
from runtime.module.body import layers
from runtime.module.context import UNLIMITED
from runtime.state import Overlay
from runtime.types import Hash

Changes = Mapping[str, Mapping[bytes, bytes | None]]


HASH_BYTE_GAS: Final = 3
"""A byte takes at least so many nanoseconds to hash on the reference machine."""
LINE_GAS: Final = 50
"""A line of Python takes at least so many nanoseconds on the reference machine: what gas must cover."""
LINES_AHEAD_MAX: Final = 10_000
"""How many more lines than the gas so far pays for may run before they are stopped."""


class EndlessWork(OurError):
    """A module ran many more lines of Python than it had charged for, and was stopped."""


@dataclass(slots=True)
class Work:
    """What was done while something ran. written: modules, by how many writes and deletions. kept: what was written off
    the meter, as nonces and fees are. lines: of Python, in the watched files. operations: on storage, by modules on the
    meter, and storage_gas: what these and their bytes cost at least. hashed: bytes, by the watched files. runs: of
    models, and inference_gas: what these cost."""

    written: dict[str, int] = field(default_factory=dict)
    kept: set[tuple[str, bytes]] = field(default_factory=set)
    lines: int = 0
    operations: int = 0
    storage_gas: int = 0
    hashed: int = 0
    runs: int = 0
    inference_gas: int = 0

    @property
    def least_gas(self) -> int:
        """What all of it but the lines costs at least."""
        return self.storage_gas + self.inference_gas + HASH_BYTE_GAS * self.hashed


class CountedState:
    """An overlay that counts what is read and written (runtime.module.context.State). What the runtime itself reads is
    not counted: its prices hold it."""

    def __init__(self, overlay: Overlay, work: Work, is_metered: Callable[[], bool]) -> None:
        self._overlay = overlay
        self._is_metered = is_metered
        self.work = work

    def get(self, module: str, key: bytes) -> bytes | None:
        """Counted as a read."""
        value = self._overlay.get(module, key)
        self._count(module, gas.READ_GAS + gas.READ_BYTE_GAS * len(value or b""))
        return value

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Counted as a scan, and each item as a read."""
        self._count(module, gas.SCAN_GAS)
        for key, value in self._overlay.iterate(module, prefix, limit=limit, start=start):
            self._count(module, gas.READ_GAS + gas.READ_BYTE_GAS * (len(key) + len(value)))
            yield key, value

    def set(self, module: str, key: bytes, value: bytes) -> None:
        """Counted as a write."""
        self._note(module, key, gas.WRITE_GAS + gas.WRITE_BYTE_GAS * (len(key) + len(value)))
        self._overlay.set(module, key, value)

    def delete(self, module: str, key: bytes) -> None:
        """Counted as a write."""
        self._note(module, key, gas.DELETE_GAS)
        self._overlay.delete(module, key)

    def _note(self, module: str, key: bytes, price: int) -> None:
        self.work.written[module] = self.work.written.get(module, 0) + 1
        if not self._is_metered():
            self.work.kept.add((module, key))
        self._count(module, price)

    def _count(self, module: str, price: int) -> None:
        if module != CORE and self._is_metered():
            self.work.operations += 1
            self.work.storage_gas += price

    def __getattr__(self, name: str) -> Any:
        return getattr(self._overlay, name)


class CountedEngine:
    """An engine that counts what is run (runtime.execution.core.ModelEngine)."""

    def __init__(self, engine: ModelEngine, work: Work, overlay: Overlay, params: RuntimeParams) -> None:
        self._engine, self._overlay, self._params = engine, overlay, params
        self.work = work

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Counted, at the proven cost of the model that stands in the state."""
        declared = Core.metadata().storage["models"].declared
        assert isinstance(declared, Map)
        stored = self._overlay.get(CORE, declared.storage_key(model))
        info = codec(ModelRecord).decode(stored or b"").info
        rows = inputs[0].shape[0] if inputs and inputs[0].shape else 1
        self.work.runs += 1
        self.work.inference_gas += self._params.inference_gas(
            info.gas_load + info.gas_fixed + max(rows, 1) * info.gas_per_row
        )
        return self._engine.run(model, load, inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@dataclass(frozen=True, slots=True)
class Seen:
    """One transaction, or one call as the chain itself. changes: by module and key, the value afterwards; before: the
    same keys' values before it. error: of a call under Root. prepared: of a transaction."""

    outcome: Outcome | None
    events: tuple[EventRecord, ...]
    error: CallError | None
    work: Work
    changes: Changes
    before: Changes
    prepared: Prepared | None = None


def watched_block(
    make: Callable[[], BlockRun], steps: Callable[[BlockRun], list[WatchedStep]], files: Files
) -> tuple[Executed, list[Seen]]:
    """Runs a block's steps one by one, each counted."""
    run = make()
    context, engine = run.environment.context, run.environment.composition.engine
    seen = []
    for step in steps(run):
        before = run.overlay.changes()
        work = Work()
        context.state = CountedState(run.overlay, work, lambda: context.gas_limit < UNLIMITED)
        run.environment.core.connect("engine", CountedEngine(engine, work, run.overlay, run.environment.params))
        error: CallError | None = None
        outcome: Outcome | None = None
        events: tuple[EventRecord, ...] = ()
        try:
            with files.traced(work, lambda: context.gas_used):
                outcome = step.do()
            events = context.take_events() if outcome is None else outcome.receipt.events
        except CallError as failed:
            error = failed
            context.drop_events()
        finally:
            context.state = run.overlay
            run.environment.core.connect("engine", engine)
        changes, values = _changed(run, before)
        seen.append(Seen(outcome, events, error, work, changes, values, step.prepared))
    return run.finish(), seen


@dataclass(frozen=True, slots=True)
class WatchedStep:
    """A transaction, or a call as the chain itself."""

    do: Callable[[], Outcome | None]
    prepared: Prepared | None = None


def transactions(run: BlockRun, inputs: BlockInputs, prepare: Callable[[bytes], Prepared]) -> list[WatchedStep]:
    """The block's transactions, as steps."""

    def take(prepared: Prepared) -> Outcome:
        run.take(prepared)
        return run.outcomes[-1]

    made = [prepare(data) for data in inputs.transactions]
    return [WatchedStep(functools.partial(take, prepared), prepared) for prepared in made]


def root_calls(run: BlockRun, calls: tuple[Call, ...]) -> list[WatchedStep]:
    """Calls under Root, as steps."""
    return [WatchedStep(functools.partial(dispatch, run.environment, Root(), call)) for call in calls]


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
        """Counts lines, and what they hash, into `work`. Raises EndlessWork, inside of what runs, where lines are far
        more than gas paid."""
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
            if frame.f_code is hash_bytes.__code__ and frame.f_back and frame.f_back.f_code.co_filename in names:
                work.hashed += len(frame.f_locals["data"])
            return line if frame.f_code.co_filename in names else None

        previous = sys.gettrace()
        sys.settrace(enter)
        try:
            yield
        finally:
            sys.settrace(previous)
