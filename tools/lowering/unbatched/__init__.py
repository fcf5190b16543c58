"""Source -> Source for a model whose first dimension is no batch: N is put in front of every computed tensor.

rows.py     the new model in the making: what rules ask of it and do with it
rules.py    op -> rule
axes.py layout.py indexing.py products.py pictures.py   the rules, by what an op does to dimensions

A rule says what becomes of a node when its computed operands get one more dimension in front. What a constant is stays
as it is, since it is the same in every row. All shapes are numbers, so Shape and what follows from it are constants.
An op that has no rule is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from tools.lowering.builder import Builder
from tools.lowering.source import Node, Source
from tools.lowering.unbatched.rows import Rows
from tools.lowering.unbatched.rules import RULES

__all__ = ["with_rows"]


def with_rows(source: Source, limits: dict[str, float], lower_node: Callable[[Node, Builder], None]) -> Source:
    """The same function of each row, in a form that has N first. `lower_node` translates a node, so that its result
    has a shape. Raises OpRefused."""
    return Rows(source, limits, lower_node, RULES).run()
