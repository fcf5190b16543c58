"""What calibration rows showed of a model's tensors. No models here."""

from __future__ import annotations

from collections.abc import Mapping

from tools.lowering.grids import Floats


class Limits(dict[str, float]):
    """The largest magnitude to expect of a tensor, by name. `away`: how near to 0 it may come, negative where all its
    values are; only of tensors that kept one sign. `ends`: of rows of numbers, the least and the greatest value to
    expect of each."""

    def __init__(
        self, limits: Mapping[str, float], away: Mapping[str, float], ends: Mapping[str, tuple[Floats, Floats]]
    ) -> None:
        super().__init__(limits)
        self.away = dict(away)
        self.ends = dict(ends)
