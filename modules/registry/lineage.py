"""Lineage: which models a model was made from, and which were made from it, as trees.

Lives here: the second layer of the module `registry` - the index of children and the walk. Must not: decide who may
name a parent (uploads.py).

A model's parents are registered before it, so there is no cycle. A model that is reached on several ways stands in the
tree once for each; a page and its work are bounded, however large the tree is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import Annotated, Final

from modules.registry.catalogue import Catalogue
from modules.registry.errors import NotRelated
from modules.registry.protocol import PAGE_MAX, Standing
from runtime import U8, AccountId, Hash, Map, MaxLen, Struct, query

DEPTH_MAX: Final = 16

Path = Annotated[tuple[Hash, ...], MaxLen(DEPTH_MAX)]
Next = Callable[[Hash, Hash | None], Hash | None]
"""The relative of a model that comes next behind another by ascending hash; None where none does."""


class Relative(Struct):
    """A model in the tree. path: how it is reached, one relative after another, from the model that was asked about
    (left out) to this one; also where the next page begins."""

    path: Path
    owner: AccountId
    standing: Standing


RelativePage = Annotated[tuple[Relative, ...], MaxLen(PAGE_MAX)]


class Lineage(Catalogue):
    """Models and what they were made from."""

    children: Map[tuple[Hash, Hash], bool] = Map()

    @query
    def ancestors(self, *, model: Hash, depth: U8, after: Path | None, limit: U8) -> RelativePage:
        """What the model was made from, and what that was made from: at most `depth` and 16 steps away. A model comes
        before what it was made from, siblings by ascending hash; from behind the path `after`, at most `limit` and 64.
        """
        for child, parent in _steps(model, after):
            self._check_related(parent, child, NotRelated(model=child, relative=parent))
        return self._page(walk(self._next_parent, model, min(depth, DEPTH_MAX), after or ()), limit)

    @query
    def descendants(self, *, model: Hash, depth: U8, after: Path | None, limit: U8) -> RelativePage:
        """What was made from the model, and what was made from that: ordered and bounded as `ancestors`."""
        for parent, child in _steps(model, after):
            self._check_related(parent, child, NotRelated(model=parent, relative=child))
        return self._page(walk(self._next_child, model, min(depth, DEPTH_MAX), after or ()), limit)

    def _check_related(self, parent: Hash, child: Hash, error: NotRelated) -> None:
        if (parent, child) not in self.children:
            raise error

    def _page(self, paths: Iterator[Path], limit: int) -> RelativePage:
        return tuple(self._relative(path) for path in islice(paths, min(limit, PAGE_MAX)))

    def _relative(self, path: Path) -> Relative:
        record = self.models[path[-1]]
        return Relative(path=path, owner=record.owner, standing=self._standing(record))

    def _next_parent(self, model: Hash, after: Hash | None) -> Hash | None:
        record = self.models.get(model)
        parents = () if record is None else record.card.parents
        return min((parent for parent in parents if after is None or parent > after), default=None)

    def _next_child(self, model: Hash, after: Hash | None) -> Hash | None:
        start = None if after is None else (model, after)
        return next((child for _, child in self.children.keys((model,), limit=1, after=start)), None)


def _steps(model: Hash, path: Path | None) -> Iterator[tuple[Hash, Hash]]:
    """The steps of a path that begins at `model`."""
    return pairwise((model, *(path or ())))


def walk(following: Next, root: Hash, depth: int, after: Path) -> Iterator[Path]:
    """The paths of the tree below `root`, at most `depth` long, each before those that go on from it; from behind the
    path `after`. From one to the next `following` is asked once for each step of the path, and once more, at most."""
    path = list(after)
    while True:  # arm: allow[ARM041] each round ends or yields: the page's limit bounds it
        found = following(path[-1] if path else root, None) if len(path) < depth else None
        while found is None and path:
            last = path.pop()
            found = following(path[-1] if path else root, last) if len(path) < depth else None
        if found is None:
            return
        path.append(found)
        yield tuple(path)
