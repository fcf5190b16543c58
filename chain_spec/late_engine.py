"""An engine that is loaded, and tested as a validator's is, when a first model is verified or run: most specs and most
chains of a developer never need one, and its library takes a good part of a second to load."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from runtime.execution.core import ModelEngine
from runtime.module import ModelInfo, Tensor
from runtime.types import Hash


class LateEngine:
    """A ModelEngine. Its first use raises SelfTestFailed on a machine that does not compute exactly."""

    @cached_property
    def _engine(self) -> ModelEngine:
        from runtime.execution.inference_port import EnginePort
        from runtime.inference import self_test

        self_test()
        return EnginePort()

    def verification_gas(self, size_bytes: int, nodes: int) -> int:
        """As ModelEngine."""
        return self._engine.verification_gas(size_bytes, nodes)

    def verify(self, model: bytes, blob: Hash, nodes_max: int) -> ModelInfo:
        """As ModelEngine."""
        return self._engine.verify(model, blob, nodes_max)

    def run(self, model: Hash, load: Callable[[], bytes], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """As ModelEngine."""
        return self._engine.run(model, load, inputs)

    def run_many(
        self, model: Hash, load: Callable[[], bytes], batch: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[tuple[Tensor, ...] | None, ...]:
        """As ModelEngine."""
        return self._engine.run_many(model, load, batch)
