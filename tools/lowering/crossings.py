"""Where a feature's grid moves a threshold of a tree across a value: a value that the float model has on one side and
the exact one on the other. Counted on calibration rows, for trees that look at the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tools.lowering.source import Array


@dataclass(frozen=True)
class Thresholds:
    """Branches of an ensemble on a tensor: features, the float model's numbers, the exact bounds; `including`: whether
    a value that equals the number goes with those below it. x <= number, or x < number, is n <= bound."""

    name: str
    frac_bits: int
    features: Array
    numbers: Array
    including: Array
    bounds: Array


def crossings(found: Sequence[Thresholds], rows: Mapping[str, Array], integers: Mapping[str, Array]) -> list[str]:
    """A sentence for each input with such values. `rows`: in the float model's element types; `integers`: the same on
    the grid, both by source name. Rounding keeps order, so a threshold has crossed as many values as lie on one side of
    it more or fewer."""
    notes = []
    for one in found:
        if one.name not in rows:
            continue
        crossed: dict[int, int] = {}
        for feature in np.unique(one.features):
            here = one.features == feature
            there = ~np.isnan(rows[one.name][:, feature])
            values, exact = (np.sort(array[there, feature]) for array in (rows[one.name], integers[one.name]))
            numbers, including = one.numbers[here], one.including[here]
            below = np.where(
                including, np.searchsorted(values, numbers, "right"), np.searchsorted(values, numbers, "left")
            )
            crossed[int(feature)] = int(np.abs(below - np.searchsorted(exact, one.bounds[here], "right")).sum())
        worst = max(crossed, key=lambda feature: crossed[feature])
        if crossed[worst]:
            notes.append(
                f"input {one.name!r}: its grid of 2**-{one.frac_bits} moves thresholds of trees across "
                f"{sum(crossed.values())} calibration values, most of feature {worst}"
            )
    return notes
