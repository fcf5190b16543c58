"""An engine whose runs are timed: the execution itself knows no clock."""

from __future__ import annotations

from collections.abc import Callable

from runtime.execution.core import ModelEngine
from runtime.module import ModelInfo, Tensor
from runtime.node.metrics import NodeMetrics
from runtime.types import Hash


class TimedEngine:
    """A ModelEngine whose runs are timed."""

    def __init__(self, engine: ModelEngine, metrics: NodeMetrics) -> None:
        self._engine = engine
        self._metrics = metrics

    def verification_gas(self, size_bytes: int, nodes: int) -> int:
        """As ModelEngine."""
        return self._engine.verification_gas(size_bytes, nodes)

    def verify(self, model: bytes, blob: Hash, nodes_max: int) -> ModelInfo:
        """As ModelEngine."""
        return self._engine.verify(model, blob, nodes_max)

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """As ModelEngine."""
        with self._metrics.inferring():
            return self._engine.run(model, load, inputs)

    def run_many(
        self, model: Hash, load: Callable[[], bytes], batch: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[tuple[Tensor, ...] | None, ...]:
        """As ModelEngine."""
        with self._metrics.inferring():
            return self._engine.run_many(model, load, batch)
