"""The same steps in other processes, whose sets and dicts of bytes are ordered otherwise: the roots must not differ.

Lives here: the child process, and what it is told by a pipe. Must not: choose steps.
"""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from typing import Final

from runtime.execution import Chain
from runtime.execution.core import ModelEngine
from runtime.testing.attacking.rules import RuleBroken
from runtime.testing.attacking.steps import Step, perform
from runtime.testing.attacking.world import World

TIMEOUT_S: Final = 120
RULE: Final = "every process has the same state"


@dataclass(frozen=True, slots=True)
class Played:
    """What was done on one chain, and the mark that each step left."""

    world: World
    steps: tuple[Step, ...]
    trail: tuple[str, ...]


class Diverged(RuleBroken):
    """Another process came to another state. played: until there."""

    def __init__(self, detail: str, played: Played) -> None:
        self.played = played
        super().__init__(RULE, detail)


def check_second_process(played: Sequence[Played], processes: int) -> None:
    """Plays it all again. Raises Diverged where a process with another PYTHONHASHSEED comes to another state. Modules
    that are defined inside a function or a script cannot be found by another process: they are judged in this one
    alone."""
    kinds = played[0].world.modules
    if any("<locals>" in kind.__qualname__ or kind.__module__ == "__main__" for kind in kinds):
        return
    files = {kind.__module__: inspect.getsourcefile(kind) for kind in kinds}
    games = pickle.dumps([(_bare(each.world), each.steps) for each in played])
    told = pickle.dumps((files, played[0].world.engine is not None, games))
    seeds = [str(number) for number in range(1, processes + 1)]
    children = [_start(seed) for seed in seeds]
    try:
        for child, seed in zip(children, seeds, strict=True):
            out, problem = child.communicate(told, timeout=TIMEOUT_S)
            if child.returncode != 0:
                said = problem.decode(errors="replace").strip().splitlines() or ["nothing"]
                raise Diverged(f"with PYTHONHASHSEED={seed} the process ended with: {said[-1]}", played[0])
            for each, there in zip(played, pickle.loads(out), strict=True):  # noqa: S301 # from our own child
                _compare(each, there, seed)
    finally:
        for child in children:
            with child:  # closes its pipes
                child.kill()


def _compare(played: Played, there: list[str], seed: str) -> None:
    for place, (mine, other) in enumerate(zip(played.trail, there, strict=True)):
        if mine != other:
            short = Played(played.world, played.steps[: place + 1], played.trail[: place + 1])
            raise Diverged(f"with PYTHONHASHSEED={seed} the last step comes to {other}, and here to {mine}", short)


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
