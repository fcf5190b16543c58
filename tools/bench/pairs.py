"""Two things timed side by side: in turn, over and over, so that whatever else the machine does meets both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

REPEATS_MIN: Final = 5


@dataclass(frozen=True)
class Pair:
    """Medians over the repeats, in seconds; `ratio`: the median of the repeats' own ratios, first over second."""

    first_s: float
    second_s: float
    ratio: float
    repeats: int


def paired(first: Callable[[], Any], second: Callable[[], Any], seconds: float) -> Pair:
    """Runs both for about so long, at least REPEATS_MIN times each, after once each unmeasured. A call that is shorter
    than the clock's steps is a caller's mistake."""
    first(), second()
    ends = time.perf_counter() + seconds
    times: list[tuple[float, float]] = []
    while len(times) < REPEATS_MIN or time.perf_counter() < ends:
        times.append((timed(first), timed(second)))
    firsts, seconds_ = zip(*times, strict=True)
    return Pair(median(firsts), median(seconds_), median(a / b for a, b in times), len(times))


def timed(call: Callable[[], Any]) -> float:
    """The seconds that one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
