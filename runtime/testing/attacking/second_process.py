"""The same steps in other processes, whose sets and dicts of bytes are ordered otherwise: the roots must not differ.

Lives here: the child process, and what it is told by a pipe. Must not: choose steps.
"""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from typing import Final

from runtime.execution import Chain
from runtime.execution.core import ModelEngine
from runtime.execution.errors import GenesisError
from runtime.testing.attacking.rules import RuleBroken
from runtime.testing.attacking.shrink import Genesis, plainer_genesis
from runtime.testing.attacking.steps import Step, perform
from runtime.testing.attacking.world import World

TIMEOUT_S: Final = 120
SHORTEN_MAX: Final = 16
"""Processes that a shorter list of steps may take to find."""
RULE: Final = "every process has the same state"


@dataclass(frozen=True, slots=True)
class Played:
    """What was done on one chain, and the mark that each step left."""

    world: World
    steps: tuple[Step, ...]
    trail: tuple[str, ...]

    @property
    def root(self) -> bytes:
        """The state root at the end, here."""
        return bytes.fromhex(self.trail[-1].rpartition(" ")[2]) if self.trail else b""


class Diverged(RuleBroken):
    """Another process came to another state. played: until there; seed: its PYTHONHASHSEED."""

    def __init__(self, detail: str, played: Played, seed: str) -> None:
        self.played, self.seed = played, seed
        super().__init__(RULE, detail)


def check_second_process(played: Sequence[Played], processes: int) -> None:
    """Plays it all again. Raises Diverged where a process with another PYTHONHASHSEED comes to another state. Modules
    that are defined inside a function or a script cannot be found by another process: they are judged in this one
    alone."""
    kinds = played[0].world.modules
    if any("<locals>" in kind.__qualname__ or kind.__module__ == "__main__" for kind in kinds):
        return
    told = _told(played)
    seeds = [str(number) for number in range(1, processes + 1)]
    children = [_start(seed) for seed in seeds]
    try:
        for child, seed in zip(children, seeds, strict=True):
            for each, there in zip(played, _answer(child, told, played[0], seed), strict=True):
                _compare(each, there, seed)
    finally:
        _end(children)


def shortened(diverged: Diverged, given: Genesis) -> Diverged:
    """With steps left out, as long as the other process still comes to another state: all lists that lack a run of so
    many steps are played by one process together. Then with less of a genesis. given: what of it stays."""
    tries, size = SHORTEN_MAX, len(diverged.played.steps) // 2
    while size and tries:
        tries -= 1
        found = _first_diverged(diverged, [*_lacking(diverged.played, size)])
        diverged, size = (found, min(size, len(found.played.steps) // 2)) if found else (diverged, size // 2)
    found = diverged
    while found and tries:
        tries -= 1
        diverged = found
        found = _first_diverged(diverged, [*_emptier(diverged.played, given)])
    return diverged


def _emptier(played: Played, given: Genesis) -> Iterator[Played]:
    for genesis in plainer_genesis(played.world.genesis, given):
        world = replace(played.world, genesis=genesis)
        with suppress(GenesisError):
            yield Played(world, played.steps, tuple(trail(world, played.steps)))


def _lacking(played: Played, size: int) -> Iterator[Played]:
    for at in range(0, len(played.steps), size):
        steps = played.steps[:at] + played.steps[at + size :]
        if steps:
            yield Played(played.world, steps, tuple(trail(played.world, steps)))


def _first_diverged(diverged: Diverged, candidates: Sequence[Played]) -> Diverged | None:
    if not candidates:
        return None
    child = _start(diverged.seed)
    try:
        answers = _answer(child, _told(candidates), diverged.played, diverged.seed)
        for each, there in zip(candidates, answers, strict=True):
            _compare(each, there, diverged.seed)
    except Diverged as found:
        return found
    finally:
        _end([child])
    return None


def _told(played: Sequence[Played]) -> bytes:
    """What a child is told: where modules are, whether there is an engine, what to play."""
    kinds = played[0].world.modules
    files = {kind.__module__: inspect.getsourcefile(kind) for kind in kinds}
    games = pickle.dumps([(_bare(each.world), each.steps) for each in played])
    return pickle.dumps((files, played[0].world.engine is not None, games))


def _answer(child: subprocess.Popen[bytes], told: bytes, first: Played, seed: str) -> list[list[str]]:
    out, problem = child.communicate(told, timeout=TIMEOUT_S)
    if child.returncode != 0:
        said = problem.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise Diverged(f"with PYTHONHASHSEED={seed} the process ended with: {said[-1]}", first, seed)
    answer: list[list[str]] = pickle.loads(out)  # noqa: S301 # from our own child
    return answer


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        with child:  # closes its pipes
            child.kill()


def _compare(played: Played, there: list[str], seed: str) -> None:
    for place, (mine, other) in enumerate(zip(played.trail, there, strict=True)):
        if mine != other:
            short = Played(played.world, played.steps[: place + 1], played.trail[: place + 1])
            said = f"with PYTHONHASHSEED={seed} the last step comes to {other}, and here to {mine}"
            raise Diverged(said, short, seed)


def mark(chain: Chain, ended: str) -> str:
    """What a step ended with, and the state root after it."""
    return f"{ended}, state root {chain.application.state_root.hex()}"


def trail(world: World, steps: Iterable[Step]) -> list[str]:
    """The marks of all steps."""
    chain = world.plain()
    return [mark(chain, perform(chain, step)) for step in steps]


def _bare(world: World) -> World:
    """Without what cannot travel; the engine as whether there is one."""
    return replace(world, engine=None, rules=(), model=None)


def _start(seed: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 # this very interpreter and this very file
        [sys.executable, "-c", f"from {__name__} import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def main() -> None:
    """The child: does the steps that it is told on its standard input, and writes its trail."""
    files, has_engine, rest = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 # from our own parent
    for name, file in files.items():
        if name not in sys.modules and file is not None:
            _load(name, file)
    played = pickle.loads(rest)  # noqa: S301 # likewise
    engine: ModelEngine | None = None
    if has_engine:
        from runtime.execution.inference_port import EnginePort  # slow to import, and rarely needed

        engine = EnginePort()
    sys.stdout.buffer.write(pickle.dumps([trail(replace(world, engine=engine), steps) for world, steps in played]))


def _load(name: str, file: str) -> None:
    """The file as the parent knows it, also where its name is none that an import would find."""
    try:
        __import__(name)
    except ImportError:
        spec = spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
