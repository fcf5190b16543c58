"""Answers with proofs. A query is a pure function of the state: it is answered through a Recorder, and what it read is
the proof; whoever has the modules answers it again from the proven reads alone and compares the bytes.

Lives here: answering with a proof, and again from one. Must not: know headers and certificates (runtime.light).
What a query cannot read from a proof, it may not read for one: the bytes of blobs, and the outputs of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from runtime.errors import CallerError
from runtime.execution.application import Application
from runtime.module import BlockInfo, ModelInfo, QueryInfo, Tensor
from runtime.state import ModuleWitness, Overlay, ProvenState, Recorder
from runtime.types import Hash, Struct


class Unprovable(CallerError):
    """This query's answer has no proof: it reads what cannot be proven, or too much."""


class AnswerRefused(CallerError):
    """A proof from which the answer does not follow. part: the part of it that failed; reason: why."""

    def __init__(self, part: str, reason: str) -> None:
        self.part = part
        self.reason = reason
        super().__init__(f"{part}: {reason}")


@dataclass(frozen=True, slots=True)
class ProvenAnswer:
    """A query's answer after block `height`. value: as `Application.query` gives it; arguments, answer: canonical
    bytes; witness: all that was read, proven under that height's state root."""

    info: QueryInfo
    height: int
    value: Any
    arguments: bytes
    answer: bytes
    witness: tuple[ModuleWitness, ...]


def prove_query(
    app: Application, module: str, name: str, arguments: Mapping[str, Any] | bytes, *, height: int
) -> ProvenAnswer:
    """Answer a query at a retained height, with the proof. Raises Unprovable, and what `Application.query` raises."""
    info = app.query_info(module, name)
    record = app.query_record(info, arguments)
    recorder = Recorder(app.store.at(height))
    value = _run(app, recorder, app.block_at(height), info, record)
    if recorder.refused is not None:
        raise Unprovable(f"{info.full_name} cannot be proven: {recorder.refused}")
    return ProvenAnswer(
        info,
        height,
        value,
        info.codec.encode(record),
        info.result_codec.encode(value),
        recorder.witness(app.store, height),
    )


def check_answer(
    app: Application, state: ProvenState, block: BlockInfo, info: QueryInfo, arguments: bytes, answer: bytes
) -> tuple[Struct, Any]:
    """The arguments and the answer as values, where asking again from the proven reads alone gives this very answer.

    app: of the same chain, at any height: its modules count, not its state. Raises AnswerRefused naming the part.
    """
    try:
        record = app.query_record(info, arguments)
    except CallerError as error:
        raise AnswerRefused("arguments", str(error)) from None
    try:
        value = _run(app, state, block, info, record)
    except CallerError as error:
        raise AnswerRefused("answer", f"the query has none: {error}") from None
    if state.refused is not None:
        raise AnswerRefused("witness", str(state.refused))
    if state.unread:
        module, key = min(state.unread, key=str)
        what = f"module {module}" if key is None else f"key {key.hex()} of module {module}"
        raise AnswerRefused("witness", f"{what} is proven, and the query does not read it")
    if info.result_codec.encode(value) != answer:
        raise AnswerRefused("answer", "the query answers something else to these reads")
    return record, value


def _run(app: Application, state: Recorder | ProvenState, block: BlockInfo, info: QueryInfo, record: Struct) -> Any:
    try:
        with app.reading(_NoBlobs(state), block) as run:
            run.environment.core.connect("engine", _NoModels(state.refuse))
            return app.answer(run.environment, info, record)
    except CallerError:
        if state.refused is not None:
            return None  # whatever became of the refused read: the caller looks at `refused`
        raise


class _NoBlobs(Overlay):
    """An overlay without chunks."""

    __slots__ = ("_refuse",)

    def __init__(self, base: Recorder | ProvenState) -> None:
        super().__init__(base)
        self._refuse = base.refuse

    def get_blob(self, name: Hash) -> bytes | None:
        """Refuses."""
        self._refuse(f"it reads the bytes of chunk {name.hex()}, which are not in the state")


class _NoModels:
    """In place of the engine."""

    def __init__(self, refuse: Callable[[str], NoReturn]) -> None:
        self._refuse = refuse

    def verification_gas(self, size_bytes: int, nodes: int) -> int:
        """As ModelEngine; what comes of it is refused."""
        return 0

    def verify(self, model: bytes, blob: Hash, nodes_max: int) -> ModelInfo:
        """Refuses."""
        self._refuse("it verifies a model")

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Refuses."""
        self._refuse(f"it runs the model {model.hex()}")

    def run_many(
        self, model: Hash, load: Callable[[], bytes], batch: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[tuple[Tensor, ...] | None, ...]:
        """Refuses."""
        self._refuse(f"it runs the model {model.hex()}")
