"""Fits runtime.inference to what the runtime needs of it (core.ModelEngine). Import it where a chain shall run models.

Lives here: conversion between the wire's tensors and arrays, and of refusals into call errors. Must not: compute, or
judge anything that runtime.inference does not.
"""

from __future__ import annotations

from collections.abc import Callable

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
from runtime.module import InputRefused, ModelInfo, ModelRefused, Tensor, TensorInfo
from runtime.module.services import LABELS_CHARACTERS_MAX, NOTE_CHARACTERS_MAX
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
        try:
            arrays = to_arrays([EngineTensor(tensor.name, tensor.shape, tensor.data) for tensor in inputs])
            outputs = self.engine.run_by_hash(model, load, arrays)
        except InvalidInput as refused:
            raise InputRefused(tensor=_note(refused.tensor), reason=_note(refused.reason)) from refused
        except (OurError, MemoryError):
            raise
        except Exception as error:
            raise ExecutionFault(f"the proven model {model.hex()} does not run here: {error}") from error
        return tuple(Tensor(tensor.name, tensor.shape, tensor.data) for tensor in from_arrays(outputs))


def _info(spec: TensorSpec) -> TensorInfo:
    return TensorInfo(spec.name, spec.shape, spec.frac_bits, spec.low, spec.high)


def _note(text: str) -> str:
    return text[:NOTE_CHARACTERS_MAX]
