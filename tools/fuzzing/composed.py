"""Traffic over the composed chain of a spec: calls of all modules, runs of models among them, several transactions a
block, on two nodes (pair.py); in the middle one is reopened from disk, later a new chain begins with an export.

Lives here: choosing the traffic, what it reached, the program of what broke. Must not: execute blocks.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from modules.registry import Registry
from runtime.errors import CodecError
from runtime.execution.block import Executed
from runtime.execution.core import NAME as CORE
from runtime.execution.errors import InvalidTransaction
from runtime.module import CallInfo, Module, Signed
from runtime.testing import RuleBroken
from runtime.testing.attacking.machine import learnt
from runtime.testing.attacking.pools import Pools, known_schema
from runtime.testing.attacking.shrink import without
from runtime.testing.attacking.steps import Made, Source, Submit
from runtime.testing.attacking.writing import NAMES, PEOPLE
from runtime.types import PublicKey
from tools.fuzzing.models import small_models, upload
from tools.fuzzing.modules import Fuzzed
from tools.fuzzing.pair import STEP_MS, Pair
from tools.fuzzing.standard import ARGUMENTS, ARM

STEPS: Final = 1_000
PER_BLOCK_MAX: Final = 6
QUIET_BLOCKS_MAX: Final = 24
"""Blocks without transactions in a row: as long as a vote on a local chain takes."""
SHRINK_TRIES_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Deliver:
    """A block of these transactions. accused: a validator that it proves guilty."""

    transactions: tuple[Submit, ...] = ()
    step_ms: int = STEP_MS
    accused: PublicKey | None = None


@dataclass(frozen=True, slots=True)
class Reopen:
    """The node on disk ends and comes back."""


@dataclass(frozen=True, slots=True)
class Restart:
    """A new chain begins with the export."""


Step = Deliver | Reopen | Restart


@dataclass
class Reached:
    """What the traffic did. ends: by call; errors: by full name, of the transactions that failed."""

    ends: dict[str, Counter[str]] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def note(self, submit: Submit, end: str) -> None:
        """How a transaction ended, for each of its calls."""
        for made in submit.calls:
            self.ends.setdefault(f"{made.module.name}.{made.name}", Counter())[end] += 1
        if end != "ok" and not end.startswith("refused"):
            self.errors[end] += 1

    def unreached(self, modules: Sequence[type[Module]]) -> Iterator[str]:
        """In words."""
        for module in modules:
            metadata = module.metadata()
            for info in metadata.calls.values():
                if Signed in info.origins and not self.ends.get(info.full_name, Counter())["ok"]:
                    yield f"{info.full_name} never succeeded"
            for kind, names, seen in (
                ("emitted", metadata.events, self.events),
                ("raised", metadata.errors, self.errors),
            ):
                yield from (
                    f"{module.name}.{name} was never {kind}" for name in names if not seen[f"{module.name}.{name}"]
                )


def fuzz_spec(spec: Path, steps: int | None, seed: int | None) -> Fuzzed:
    """Drives the chain with so many transactions. Raises SpecError."""
    began = time.perf_counter()
    traffic = _Traffic(spec, STEPS if steps is None else steps, seed or 0)
    broken = traffic.run()
    seconds = time.perf_counter() - began
    failed = None
    if broken is not None:
        done = _shorter(spec, tuple(traffic.done), broken)
        again = _broken(spec, done) or broken
        failed = {"rule": again.rule, "detail": str(again), "program": program_of(spec, done)}
    reached = traffic.reached
    unreached = tuple(reached.unreached(traffic.modules))
    return Fuzzed(
        str(spec), traffic.seed, traffic.steps, seconds, reached.ends, reached.events, unreached, failed, reached.errors
    )


class _Traffic:
    """One drive while it runs."""

    def __init__(self, spec: Path, steps: int, seed: int) -> None:
        self.spec, self.steps_max, self.seed = spec, steps, seed
        self.random = Random(seed)  # noqa: S311 # a drive is repeated by its seed
        self.reached = Reached()
        self.done: list[Step] = []
        self.steps = 0
        self.modules: tuple[type[Module], ...] = ()
        self.pools = Pools(tuple(NAMES), self.random)

    def run(self) -> RuleBroken | None:
        """All of it; what broke."""
        with tempfile.TemporaryDirectory(prefix="armillary-fuzz-") as folder, Pair(self.spec, Path(folder)) as pair:
            self.modules = pair.modules
            self.calls = [
                (module, info)
                for module in pair.modules
                for info in module.metadata().calls.values()
                if Signed in info.origins
            ]
            try:
                self._with_a_model(pair)
                while self.steps < self.steps_max:
                    for step in self._choose(pair):
                        self._do(pair, step)
                    self._turn(pair)
                pair.check_same()
            except RuleBroken as broken:
                return broken
        return None

    def _turn(self, pair: Pair) -> None:
        """What happens once on the way, each where its share of the traffic is done."""
        kinds = {type(step) for step in self.done}
        if Reopen not in kinds and self.steps * 2 >= self.steps_max:
            self._do(pair, Reopen())
        if Restart not in kinds and self.steps * 4 >= self.steps_max * 3:
            self._do(pair, Restart())
            self._with_a_model(pair)

    def _with_a_model(self, pair: Pair) -> None:
        if Registry not in pair.modules:
            return
        made = upload(self.random, small_models()[0], ARM)
        for name, arguments in made.items():
            self._do(pair, Deliver((Submit(PEOPLE[0], (Made(Registry, name, arguments),)),)))

    def _do(self, pair: Pair, step: Step) -> None:
        self.done.append(step)
        executed, sent = perform(pair, step)
        if executed is None:
            return
        self.steps += len(sent)
        for submit, end in sent:
            self.reached.note(submit, end)
            if end == "ok":
                for made in submit.calls:
                    for item in made.module.metadata().calls[made.name].fields:
                        self.pools.keep(known_schema(item.type), made.arguments[item.name])
        self.reached.events.update(f"{event.module}.{event.name}" for event in executed.events)
        self.pools.see_state(learnt(pair.first.store, self.modules))

    def _choose(self, pair: Pair) -> Iterator[Step]:
        if not self.random.randrange(24):
            pause = self.random.choice((STEP_MS, STEP_MS, 60_000))
            yield from (Deliver((), pause) for _ in range(self.random.randrange(1, QUIET_BLOCKS_MAX + 1)))
            return
        voting = pair.first.validators()
        accused = self.random.choice(voting).public_key if voting and not self.random.randrange(40) else None
        yield Deliver(
            tuple(self._submit() for _ in range(self.random.randrange(1, PER_BLOCK_MAX + 1))), STEP_MS, accused
        )

    def _submit(self) -> Submit:
        chosen = [self.random.choice(self.calls) for _ in range(1 if self.random.randrange(6) else 2)]
        self.pools.focus([item.name for item in chosen[0][1].fields])
        signer = PEOPLE[self.pools.account()]
        return Submit(signer, tuple(self._made(*each, signer) for each in chosen))

    def _made(self, module: type[Module], info: CallInfo, signer: str) -> Made:
        given: Any = ARGUMENTS.get(info.full_name)
        chosen = {} if given is None else given(self.random, signer)
        drawn = {
            item.name: chosen[item.name] if item.name in chosen else self.pools.draw(known_schema(item.type))
            for item in info.fields
        }
        return Made(module, info.name, drawn)


def perform(pair: Pair, step: Step) -> tuple[Executed | None, list[tuple[Submit, str]]]:
    """Does it: the block, and how each transaction ended. Raises RuleBroken."""
    match step:
        case Reopen():
            pair.reopen()
        case Restart():
            pair.restart()
        case Deliver():
            ends: list[tuple[Submit, str]] = []
            data: dict[bytes, Submit] = {}
            for submit in step.transactions:
                try:
                    calls = [made.verb.build(**made.arguments) for made in submit.calls]
                    data[pair.transaction(*calls, signer=submit.signer)] = submit
                except InvalidTransaction as refused:
                    ends.append((submit, f"refused: {refused.rule}"))
                except CodecError:
                    ends.append((submit, "refused: codec"))
            executed = pair.block(*data, step_ms=step.step_ms, accused=step.accused)
            for each, receipt in zip(executed.transactions, executed.receipts, strict=True):
                error = receipt.error
                ends.append((data[each], "ok" if error is None else f"{error.module or CORE}.{error.name}"))
            return executed, ends
    return None, []


def _broken(spec: Path, steps: Sequence[Step]) -> RuleBroken | None:
    with tempfile.TemporaryDirectory(prefix="armillary-fuzz-") as folder, Pair(spec, Path(folder)) as pair:
        try:
            for step in steps:
                perform(pair, step)
        except RuleBroken as broken:
            return broken
    return None


def _shorter(spec: Path, steps: tuple[Step, ...], broken: RuleBroken) -> tuple[Step, ...]:
    """Blocks left out, then transactions, within a bounded number of tries."""
    tries = SHRINK_TRIES_MAX

    def fails(candidate: tuple[Step, ...]) -> bool:
        nonlocal tries
        tries -= 1
        found = _broken(spec, candidate) if tries >= 0 else None
        return found is not None and found.rule == broken.rule

    steps = without(steps, fails)
    alone = tuple(part for step in steps for part in _apart(step))
    return without(alone, fails) if len(alone) > len(steps) and fails(alone) else steps


def _apart(step: Step) -> Iterator[Step]:
    """Each transaction in a block of its own."""
    if isinstance(step, Deliver) and len(step.transactions) > 1:
        yield from (Deliver((submit,), step.step_ms, step.accused) for submit in step.transactions)
    else:
        yield step


def program_of(spec: Path, steps: Sequence[Step]) -> str:
    """A test that does the steps again."""
    source = Source()
    lines = [line for step in steps for line in _lines(source, step)]
    people = [f'    {name} = Chain.account_named("{name}")' for name in sorted(source.used)]
    if people:
        source.imports.add(("runtime.execution", "Chain"))
    source.imports |= {("pathlib", "Path"), ("tools.fuzzing.pair", "Pair")}
    imports = "\n".join(f"from {module} import {name}" for module, name in sorted(source.imports))
    body = "\n".join([*people, f"    with Pair(Path({str(spec)!r}), tmp_path) as chain:", *lines])
    return f"{imports}\n\n\ndef test_the_chain(tmp_path: Path) -> None:\n{body}\n"


def _lines(source: Source, step: Step) -> Iterator[str]:
    match step:
        case Reopen():
            yield "        chain.reopen()"
        case Restart():
            yield "        chain.restart()"
        case Deliver():
            made = [_submitted(source, submit) for submit in step.transactions]
            made += [] if step.step_ms == STEP_MS else [f"step_ms={step.step_ms}"]
            made += [] if step.accused is None else [f"accused={step.accused!r}"]
            yield f"        chain.block({', '.join(made)})"


def _submitted(source: Source, submit: Submit) -> str:
    calls = ", ".join(source.call(made) for made in submit.calls)
    return f"chain.transaction({calls}, signer={submit.signer!r})"
