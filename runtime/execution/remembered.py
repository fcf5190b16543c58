"""An engine that remembers what it ran: a result is a function of model and inputs alone, so it may be kept, and made
ahead of the block that asks for it.

Lives here: keeping and finding results, within a bound of memory. Must not: decide what is run ahead (planning.py), or
what a run costs: gas is charged before an engine is asked, whether it remembers or not.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final

from runtime.codec import codec
from runtime.crypto import hash_bytes
from runtime.execution.core import ModelEngine
from runtime.module.services import Tensor, Tensors
from runtime.types import Hash

RESULT_BYTES_MAX: Final = 256 * 1024 * 1024
ENTRY_BYTES: Final = 1024
"""Taken for what a result needs beside its data."""

Result = tuple[Tensor, ...]
_Key = tuple[Hash, Hash]


class RememberingEngine:
    """A ModelEngine whose results are kept, the longest unused dropped first. Who asks for a run that is under way in
    another thread waits for it. Errors are not kept."""

    def __init__(self, engine: ModelEngine, *, bytes_max: int = RESULT_BYTES_MAX) -> None:
        self._engine = engine
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._results: OrderedDict[_Key, Result] = OrderedDict()
        self._bytes = 0
        self._under_way: dict[_Key, Future[Result | None]] = {}
        self.verification_gas = engine.verification_gas
        self.verify = engine.verify

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> Result:
        """As ModelEngine."""
        found = self.run_many(model, load, (inputs,))[0]
        return self._engine.run(model, load, inputs) if found is None else found  # says what is wrong with them

    def run_many(
        self, model: Hash, load: Callable[[], bytes], batch: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[Result | None, ...]:
        """As ModelEngine: of the batch, only what is neither known nor under way is run."""
        keys = [(model, hash_bytes("armillary/remembered", codec(Tensors).encode(inputs))) for inputs in batch]
        with self._lock:
            known = {key: self._results[key] for key in keys if key in self._results}
            others = {key: self._under_way[key] for key in keys if key in self._under_way}
            mine = {key: inputs for key, inputs in zip(keys, batch, strict=True) if key not in known | others}
            for key in known:
                self._results.move_to_end(key)
            self._under_way |= {key: Future() for key in mine}
        made: dict[_Key, Result | None] = {**known, **self._made(model, load, mine)}
        failed = [key for key, future in others.items() if future.exception() is not None]
        made |= {key: future.result() for key, future in others.items() if key not in failed}
        if failed:  # there; here it may go well, and if not, the error is this caller's own
            again = tuple(batch[keys.index(key)] for key in failed)
            made |= zip(failed, self._engine.run_many(model, load, again), strict=True)
        return tuple(made[key] for key in keys)

    def _made(
        self, model: Hash, load: Callable[[], bytes], wanted: dict[_Key, tuple[Tensor, ...]]
    ) -> dict[_Key, Result | None]:
        if not wanted:
            return {}
        try:
            results = self._engine.run_many(model, load, tuple(wanted.values()))
        except BaseException as error:
            for future in self._finished(wanted):
                future.set_exception(error)
            raise
        made = dict(zip(wanted, results, strict=True))
        self._keep(made)
        for key, future in zip(wanted, self._finished(wanted), strict=True):
            future.set_result(made[key])
        return made

    def _finished(self, keys: Iterable[_Key]) -> list[Future[Result | None]]:
        with self._lock:
            return [self._under_way.pop(key) for key in keys]

    def _keep(self, made: dict[_Key, Result | None]) -> None:
        with self._lock:
            for key, result in made.items():
                if result is not None and key not in self._results:
                    self._results[key] = result
                    self._bytes += _size(result)
            while self._bytes > self._bytes_max:
                self._bytes -= _size(self._results.popitem(last=False)[1])


def _size(result: Result) -> int:
    return ENTRY_BYTES + sum(len(tensor.data) for tensor in result)
