"""Fits runtime.inference to what the runtime needs of it (core.ModelEngine). Import it where a chain shall run models.

Lives here: conversion between the wire's tensors and arrays, and of refusals into call errors. Must not: compute, or
judge anything that runtime.inference does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from runtime.codec import codec
from runtime.errors import OurError
from runtime.execution.errors import ExecutionFault
from runtime.inference import (
    Engine,
    InvalidInput,
    Refused,
    TensorSpec,
    from_arrays,
    to_arrays,
    verification_gas,
    verify,
)
from runtime.inference import Tensor as EngineTensor
from runtime.inference.arithmetic import Int64Array
from runtime.module import CallError, InputRefused, ModelInfo, ModelRefused, Tensor, TensorInfo
from runtime.module.services import LABELS_CHARACTERS_MAX, NOTE_CHARACTERS_MAX, Tensors
from runtime.types import Hash


class EnginePort:
    """A ModelEngine over runtime.inference.Engine, shared by everything that runs models in this process."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine or Engine()

    def verification_gas(self, size_bytes: int, nodes: int) -> int:
        """As ModelEngine."""
        return verification_gas(size_bytes, nodes)

    def verify(self, model: bytes, blob: Hash, nodes_max: int) -> ModelInfo:
        """As ModelEngine. Never from the engine's memory: whether `nodes_max` suffices must not depend on the past."""
        try:
            proven = verify(model, nodes_max=nodes_max)
        except Refused as refused:
            raise ModelRefused(node=_note(refused.node), rule=_note(refused.rule)) from refused
        labels = proven.graph.labels
        return ModelInfo(
            model=proven.model_hash,
            blob=blob,
            size_bytes=len(model),
            inputs=tuple(_info(spec) for spec in proven.inputs),
            outputs=tuple(_info(spec) for spec in proven.outputs),
            labels=labels if sum(map(len, labels)) <= LABELS_CHARACTERS_MAX else (),
            source_hash=proven.graph.source_hash,
            gas_load=proven.cost.gas_load,
            gas_fixed=proven.cost.gas_fixed,
            gas_per_row=proven.cost.gas_per_row,
            memory_bytes=proven.cost.memory_bytes,
        )

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """As ModelEngine. Raises ExecutionFault where a proven model does not load or run: the proof says that it does,
        so it is this machine's memory, its library or its copy of the model; a receipt would be one that others do not
        have."""
        codec(Tensors).encode(inputs)
        with _running(model):
            try:
                return _tensors(self.engine.run_by_hash(model, load, _arrays(inputs)))
            except InvalidInput as refused:
                raise InputRefused(tensor=_note(refused.tensor), reason=_note(refused.reason)) from refused

    def run_many(
        self, model: Hash, load: Callable[[], bytes], batch: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[tuple[Tensor, ...] | None, ...]:
        """As ModelEngine. Raises ExecutionFault as `run` does."""
        made: list[tuple[Tensor, ...] | None] = [None] * len(batch)
        fitting: dict[int, dict[str, Int64Array]] = {}
        for place, inputs in enumerate(batch):
            codec(Tensors).encode(inputs)
            with suppress(InvalidInput):
                fitting[place] = _arrays(inputs)
        with _running(model):
            outputs = self.engine.run_many_by_hash(model, load, list(fitting.values()))
            for place, each in zip(fitting, outputs, strict=True):
                made[place] = None if each is None else _tensors(each)
        return tuple(made)


@contextmanager
def _running(model: Hash) -> Iterator[None]:
    """What breaks in the engine is this machine's fault."""
    try:
        yield
    except (OurError, CallError, MemoryError):
        raise
    except Exception as error:
        raise ExecutionFault(f"the proven model {model.hex()} does not run here: {error}") from error


def _arrays(inputs: tuple[Tensor, ...]) -> dict[str, Int64Array]:
    return to_arrays([EngineTensor(tensor.name, tensor.shape, tensor.data) for tensor in inputs])


def _tensors(arrays: Mapping[str, Int64Array]) -> tuple[Tensor, ...]:
    return tuple(Tensor(tensor.name, tensor.shape, tensor.data) for tensor in from_arrays(arrays))


def _info(spec: TensorSpec) -> TensorInfo:
    return TensorInfo(spec.name, spec.shape, spec.frac_bits, spec.low, spec.high)


def _note(text: str) -> str:
    return text[:NOTE_CHARACTERS_MAX]
