"""Which layers lose: each tensor's relative error beside that of what it reads. Arithmetic on a Report, no text."""

from __future__ import annotations

from dataclasses import dataclass

from tools.lowering.report import LayerReport, Report


@dataclass(frozen=True)
class Loss:
    """Of one computed tensor. relative: its largest error over the float model's largest magnitude; added: how much
    more that is than of the worst tensor that it reads; times: the same as a ratio, None where it reads exact ones."""

    layer: LayerReport
    relative: float
    added: float
    times: float | None


def losses(report: Report) -> list[Loss]:
    """Of all tensors that were measured, what adds most first."""
    known: dict[str, float] = {}
    found = []
    for layer in report.layers:
        before = max((known.get(name, 0.0) for name in layer.reads), default=0.0)
        if layer.error_max is None:
            known[layer.tensor] = before
            continue
        relative = layer.error_max / layer.magnitude if layer.magnitude else 0.0
        known[layer.tensor] = relative
        if layer.is_new:
            found.append(Loss(layer, relative, relative - before, relative / before if before else None))
    return sorted(found, key=lambda loss: -loss.added)
