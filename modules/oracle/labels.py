"""From a model's outputs to the names of its classes.

Lives here: which output says the class of a row. Must not: know records, or how a model runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Protocol

from runtime import Tensor


class OutputSpec(Protocol):
    """What must be known of an output: runtime.TensorInfo, and runtime.inference.TensorSpec likewise."""

    @property
    def name(self) -> str:
        """Unique among the model's outputs."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row: without the leading dimension of rows."""
        ...

    @property
    def frac_bits(self) -> int:
        """A stored integer v stands for v / 2**frac_bits."""
        ...

    @property
    def low(self) -> int:
        """The least stored integer that the proof allows."""
        ...

    @property
    def high(self) -> int:
        """The greatest stored integer that the proof allows."""
        ...


def label_output(specs: Sequence[OutputSpec], classes: int) -> str | None:
    """The output that says which of so many classes (1 or more) a row is of: the first, by name, that is one whole
    number from 0 to classes - 1, as proven; else the first that has one number for each of several classes, a score, of
    which the highest counts. None where there is neither."""
    by_name = sorted(specs, key=lambda spec: spec.name)
    for spec in by_name:
        if prod(spec.shape) == 1 and (spec.frac_bits, spec.low, spec.high) == (0, 0, classes - 1):
            return spec.name
    return next((spec.name for spec in by_name if prod(spec.shape) == classes > 1), None)


def labels_of(output: Tensor, labels: Sequence[str]) -> tuple[str, ...]:
    """The class of each row by the output that `label_output` named. Of equal scores the first counts, as in ONNX."""
    rows, values = output.shape[0], integers_of(output)
    width = len(values) // rows
    if width == 1 and len(labels) > 1:
        return tuple(labels[value] for value in values)
    scores = (values[at : at + width] for at in range(0, len(values), width))
    return tuple(labels[row.index(max(row))] for row in scores)


def integers_of(tensor: Tensor) -> list[int]:
    """A tensor's integers in row-major order."""
    data = tensor.data
    return [int.from_bytes(data[at : at + 8], "little", signed=True) for at in range(0, len(data), 8)]
