"""Inputs that are texts: categories. A graph has numbers: the place of a text in the list of those that the file knows,
one place more for any other.

What lives here: that list, and texts to places. Must not: how operators read them (ops/).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from tools.lowering.errors import DataRefused
from tools.lowering.protobuf import TEXT
from tools.lowering.source import Array, Node

KNOWN_MAX: Final = 1 << 16
SHOWN: Final = 8


def known(nodes: Iterable[Node]) -> tuple[str, ...]:
    """The texts that nodes look for, in order."""
    found: set[str] = set()
    for node in nodes:
        if node.op == "OneHotEncoder":
            found.update(node.texts("cats_strings") or ())
        if node.op == "LabelEncoder":
            given = node.attributes.get("keys_tensor")
            if isinstance(given, np.ndarray) and given.dtype == TEXT:
                found.update(map(str, given.reshape(-1)))
            found.update(node.texts("keys_strings") or ())
    return tuple(sorted(found))


def with_other(texts: Sequence[str]) -> tuple[str, ...]:
    """The texts, and behind them one that stands for any other."""
    return (*texts, "?" * (1 + max(map(len, texts), default=0)))


def places(texts: Sequence[str], given: Array, where: str) -> Array:
    """Each text's place among the known ones, their number for any other. Raises DataRefused where one is no text."""
    if given.dtype.kind not in "OUST" or not all(isinstance(item, str) for item in given.reshape(-1)):
        raise DataRefused(where, f"elements of type {given.dtype}; texts are needed")
    numbers = {text: place for place, text in enumerate(texts)}
    flat = [numbers.get(str(item), len(texts)) for item in given.reshape(-1)]
    return np.array(flat, np.int64).reshape(given.shape)


def told(name: str, texts: Sequence[str]) -> str:
    """What the report says of such an input."""
    shown = ", ".join(f"{place} for {text!r}" for place, text in enumerate(texts[:SHOWN]))
    rest = f", and so on in alphabetical order up to {texts[-1]!r}" if len(texts) > SHOWN else ""
    return f"input {name!r} takes texts; in the graph they are numbers: {shown}{rest}, {len(texts)} for any other"
