"""Grey images as characters: half blocks in shades of grey on a terminal, letters where there is no colour."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.text import Text

SHADES = " .:-=+*#%@"
Image = np.ndarray[Any, Any]


def draw(image: Image) -> list[Text]:
    """An image [height, width] of numbers 0..1, a line for each row, two letters for each pixel."""
    levels = np.clip(np.rint(np.asarray(image) * (len(SHADES) - 1)), 0, len(SHADES) - 1).astype(int)
    return [Text("".join(SHADES[level] * 2 for level in row)) for row in levels.tolist()]


def draw_grey(image: Image) -> list[Text]:
    """The same in half blocks: a line for two rows, a character for each column; needs a terminal with colour."""
    grey = np.clip(np.rint(np.asarray(image) * 255), 0, 255).astype(int).tolist()
    return [
        Text.assemble(*(("▀", f"rgb({a},{a},{a}) on rgb({b},{b},{b})") for a, b in zip(upper, lower, strict=True)))
        for upper, lower in zip(grey[::2], grey[1::2], strict=True)
    ]


def side_by_side(pictures: list[list[Text]], captions: list[Text], *, gap: str) -> list[Text]:
    """Pictures of equal height in a row, each as wide as its caption needs, the captions below."""
    cells = [[*picture, caption] for picture, caption in zip(pictures, captions, strict=True)]
    for cell in cells:
        width = max(line.cell_len for line in cell)
        for line in cell:
            line.align("center", width)
    return [Text(gap).join(row) for row in zip(*cells, strict=True)]
