"""Grey images as characters, for a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np

SHADES = " .:-=+*#%@"
_DOUBLE = 2  # a character is about twice as high as wide


def draw(image: np.ndarray[Any, Any]) -> list[str]:
    """An image [height, width] of numbers 0..1 as one line of text per row, two characters per pixel."""
    levels = np.clip(np.rint(np.asarray(image) * (len(SHADES) - 1)), 0, len(SHADES) - 1).astype(int)
    return ["".join(SHADES[level] * _DOUBLE for level in row) for row in levels.tolist()]


def side_by_side(pictures: list[list[str]], captions: list[str], *, gap: str = "   ") -> list[str]:
    """Pictures of equal height in a row, each with its caption below."""
    widths = [max((len(line) for line in picture), default=0) for picture in pictures]
    rows = [gap.join(lines) for lines in zip(*pictures, strict=True)]
    below = gap.join(caption.center(width) for caption, width in zip(captions, widths, strict=True))
    return [*rows, below]
