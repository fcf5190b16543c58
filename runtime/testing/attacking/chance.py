"""Where Hypothesis' choices come from in an attack: one seeded generator, and nothing of the process around it.

Hypothesis' own source of choices takes some from the constants in whatever sources are loaded, so one seed would be
another attack in another process. This is a backend as its documentation describes ("Alternative backends"): a
PrimitiveProvider under a name in AVAILABLE_PROVIDERS. Lives here: single choices. Must not: know types.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, PrimitiveProvider

if TYPE_CHECKING:
    from hypothesis.internal.intervalsets import IntervalSet

BACKEND: Final = "armillary"
LONG_MAX: Final = 256
"""Of texts and bytes that have no bound of their own."""
_WIDE: Final = 1 << 64


class SeededChance(PrimitiveProvider):
    """The same choices for each function that is drawn for. Edges of ranges come often, as do small numbers."""

    lifetime = "test_function"

    def __init__(self, data: Any, /) -> None:
        super().__init__(data)
        self._random = Random(0)  # noqa: S311 # repeatable, not secret

    def draw_boolean(self, p: float = 0.5) -> bool:
        """As PrimitiveProvider."""
        return p > 0 and (p >= 1 or self._random.random() < p)

    def draw_integer(
        self,
        min_value: int | None = None,
        max_value: int | None = None,
        *,
        weights: dict[int, float] | None = None,
        shrink_towards: int = 0,
    ) -> int:
        """As PrimitiveProvider; weights are hints, and not taken."""
        low = min_value if min_value is not None else min(-_WIDE, (max_value or 0) - _WIDE)
        high = max_value if max_value is not None else max(_WIDE, low + _WIDE)
        match self._random.randrange(8):
            case 0:
                return low
            case 1:
                return high
            case 2 | 3:  # few bits, from the low end
                return low + self._random.getrandbits(self._random.randrange((high - low).bit_length() + 1)) % (
                    high - low + 1
                )
        return self._random.randint(low, high)

    def draw_float(self, **bounds: Any) -> float:
        """Raises AssertionError: no wire type has floats."""
        raise AssertionError("no wire type has floats")

    def draw_string(self, intervals: IntervalSet, *, min_size: int = 0, max_size: int = LONG_MAX) -> str:
        """As PrimitiveProvider: of two characters, so that texts meet; of the plainest, or of the whole alphabet."""
        size = self._size(min_size, max_size) if len(intervals) else 0
        known = min(len(intervals), self._random.choice((2, 32, 128, len(intervals))))
        return "".join(intervals.char_in_shrink_order(self._random.randrange(known)) for _ in range(size))

    def draw_bytes(self, min_size: int = 0, max_size: int = LONG_MAX) -> bytes:
        """As PrimitiveProvider."""
        return self._random.randbytes(self._size(min_size, max_size))

    def _size(self, low: int, high: int) -> int:
        """Empty, full and short ones often."""
        return self.draw_integer(low, max(low, min(high, LONG_MAX)))


AVAILABLE_PROVIDERS[BACKEND] = SeededChance
