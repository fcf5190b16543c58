"""TreeEnsembleRegressor and TreeEnsembleClassifier: decision trees, forests, boosted trees.

A comparison of a feature with a threshold is one of integers: the feature is n * 2**-f, so x <= t is n <= floor(t *
2**f), and the other modes are that one with the threshold one lower, the sides exchanged, or a column of its own that
says whether a feature equals a number. What can differ from the float model is the feature's own rounding to its grid
(a value between the grid's points may pass a threshold), and a leaf's rounding. Missing values do not exist: no input
of an exact model is NaN, so nodes_missing_value_tracks_true says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.crossings import Thresholds
from tools.lowering.grids import Floats, Ints
from tools.lowering.ops.classes import arg_max_of, as_classes
from tools.lowering.ops.columns import shifted
from tools.lowering.ops.ensemble import LEAF, Branch, Tree, numbers, read_trees
from tools.lowering.ops.layout import gathered, joined
from tools.lowering.ops.missing import is_missing, with_missing
from tools.lowering.ops.scores import transformed
from tools.lowering.ops.tree_lists import as_regressor
from tools.lowering.source import Node

_Test = tuple[int, tuple[int, ...]]
"""A feature, and the integers that it may be equal to."""
LEAF_BITS: Final = 31
"""Of the largest leaf, where that leaves LEAF_FRAC_BITS_MIN: a leaf is stored in four bytes."""
LEAF_FRAC_BITS_MIN: Final = 12
LEAF_FRAC_BITS_MAX: Final = 40
SUM_BITS: Final = 51
SINGLE: Final = np.dtype(np.float32)


def tree_regressor(node: Node, b: Builder) -> None:
    """The sum over trees, or their average, and base_values, one column per target."""
    b.bind(node, _regressed(node, b))


def tree_ensemble(node: Node, b: Builder) -> None:
    """As `tree_regressor`, in x's type."""
    b.bind(node, replace(_regressed(as_regressor(node), b), dtype=b.tensor(node, 0).dtype))


def _regressed(node: Node, b: Builder) -> Tensor:
    targets = node.integer("n_targets", 1)
    kind = node.text("post_transform", "NONE")
    if kind != "NONE" and targets < 2:
        reason = f"post_transform {kind} of one target: onnxruntime and the standard do not agree on it"
        raise node.refuse(reason, "export with NONE")
    parts = _features(node, b)
    trees = read_trees(node, "target", targets, _count(parts))
    how = node.text("aggregate_function", "SUM")
    if how not in ("SUM", "AVERAGE"):
        raise node.refuse(f"aggregate_function {how} is not supported", "use SUM or AVERAGE")
    base, ids = _base(node, targets), set(node.integers("target_ids") or ())
    if base is not None and not ids >= set(range(targets)):
        lost = min(set(range(targets)) - ids)
        reason = f"no leaf adds to target {lost}, and onnxruntime then leaves out its base value: the export lost it"
        raise node.refuse(reason, "export one model for each target")
    scale = 1 / len(trees) if how == "AVERAGE" else 1.0
    return transformed(node, b, _summed(node, b, parts, trees, base, scale), kind)


def tree_classifier(node: Node, b: Builder) -> None:
    """The class of the largest score, and the scores after post_transform.

    Two classes may share one column s, as exporters write it: the second wins where s > 0, or, if no leaf is negative,
    where s > 1/2; scores are then [-s, s] or [1 - s, s], or the logistic function of [-s, s] (onnxruntime's reading;
    the standard says nothing). Of two columns, as CatBoost writes them, the second decides alone: it wins above 0.
    """
    names = node.texts("classlabels_strings") or node.integers("classlabels_int64s") or ()
    if len(names) < 2:
        raise node.refuse(f"it names {len(names)} classes, two are the least")
    kind = node.text("post_transform", "NONE")
    alone = len(names) == 2 and set(node.integers("class_ids") or ()) != {0, 1}
    if alone and kind not in ("NONE", "LOGISTIC"):
        raise node.refuse(f"post_transform {kind} is not supported for two classes")
    parts = _features(node, b)
    if alone:
        _one_column(node, b, parts, names, kind)
        return
    trees = read_trees(node, "class", len(names), _count(parts))
    base = _base(node, len(names))
    if len(names) == 2:
        _check_two(node, names, base)
    elif base is None:
        _check_scored(node, trees)
    scores = _summed(node, b, parts, trees, base)
    if b.is_read(node, 0):
        compared = _beside_zero(b, gathered(b, scores, [1], 0)) if len(names) == 2 else scores
        b.bind(node, as_classes(b, arg_max_of(b, compared, 0, keep=False), names), 0)
    if b.is_read(node, 1):
        b.bind(node, transformed(node, b, scores, kind), 1)


def _one_column(
    node: Node, b: Builder, parts: Sequence[Tensor], names: tuple[str, ...] | tuple[int, ...], kind: str
) -> None:
    if set(node.integers("class_ids") or ()) != {0}:
        raise node.refuse("its two classes share the column of class_ids 1", "export with class_ids 0")
    trees = read_trees(node, "class", 1, _count(parts))
    positive = all(tree.leaves.min() >= 0 for tree in trees)
    score = _summed(node, b, parts, trees, _base(node, 1))
    if b.is_read(node, 0):
        compared = shifted(node, b, score, np.array([-0.5])) if positive else score
        b.bind(node, as_classes(b, arg_max_of(b, _beside_zero(b, compared), 0, keep=False), names), 0)
    if b.is_read(node, 1):
        one = 1.0 if positive and kind == "NONE" else 0.0
        other = shifted(node, b, score, np.array([one]), sign=-1)
        b.bind(node, transformed(node, b, joined(b, [other, score], 0), kind), 1)


def _beside_zero(b: Builder, score: Tensor) -> Tensor:
    return b.derive(score, ir.Pad(x=score.index, before=(1,), after=(0,), value=0))


def _check_two(node: Node, names: tuple[str, ...] | tuple[int, ...], base: Floats | None) -> None:
    """What onnxruntime makes of two columns is clear only without base values, and where each row has a second score;
    the class is then 0 or 1, whatever numbers the file names."""
    if base is not None:
        raise node.refuse("its two classes have a column and a base value each", "put them into the leaves of a tree")
    if names != (0, 1) and not isinstance(names[0], str):
        reason = f"its two classes {list(names)} have a column each, of which onnxruntime makes 0 and 1"
        raise node.refuse(reason, "train with classes 0 and 1, or with texts")
    if not _always_scored(node, 2)[1]:
        raise node.refuse("its second class may get no score at all", "export with one column")


def _check_scored(node: Node, trees: Sequence[Tree]) -> None:
    """onnxruntime gives no class to a column to which no leaf that was reached adds. That is seen only where all
    others may be negative."""
    always = _always_scored(node, trees[0].leaves.shape[1])
    if not always.all() and min(tree.leaves.min() for tree in trees) < 0:
        reason = f"class {int(np.argmin(always))} may get no score at all, others negative ones"
        raise node.refuse(reason, "export with a base value for each class")


def _always_scored(node: Node, classes: int) -> npt.NDArray[np.bool_]:
    """The classes to which each leaf of some tree adds, be it 0."""
    modes, owners = node.texts("nodes_modes") or (), node.integers("nodes_treeids") or ()
    leaves = Counter(tree for tree, mode in zip(owners, modes, strict=True) if mode == LEAF)
    names = ("class_treeids", "class_nodeids", "class_ids")
    listed = Counter(
        (tree, kind) for tree, _, kind in set(zip(*(node.integers(name) or () for name in names), strict=True))
    )
    always = {kind for (tree, kind), count in listed.items() if count == leaves[tree]}
    return np.array([kind in always for kind in range(classes)])


def _features(node: Node, b: Builder) -> list[Tensor]:
    """What the trees look at, integers too: the columns of one tensor, or of several (`unscale`). Scores are float32,
    whatever it is."""
    parts = [replace(b.tensor(node, place, missing=True), dtype=SINGLE) for place in range(len(node.inputs))]
    for x in parts:
        if len(x.shape) != 1:
            raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    return parts


def _count(parts: Sequence[Tensor]) -> int:
    return sum(x.shape[0] for x in parts)


def _base(node: Node, targets: int) -> Floats | None:
    base = numbers(node, "base_values")
    if not base:
        return None
    if len(base) != targets or not np.isfinite(base).all():
        raise node.refuse(f"{len(base)} base_values do not fit {targets} columns of scores")
    return np.array(base)


def _summed(
    node: Node, b: Builder, read: Sequence[Tensor], trees: Sequence[Tree], base: Floats | None, scale: float = 1.0
) -> Tensor:
    """base + scale * the sum over trees, [targets]. Trees that all add to one target each are walked target by target,
    since the engine is faster with one column. The base is a tree of one leaf."""
    leaves = [tree.leaves * scale for tree in trees]
    if base is not None:
        trees = [*trees, Tree((0,), base[np.newaxis])]
        leaves.append(base[np.newaxis])
    targets = leaves[0].shape[1]
    frac_bits = _leaf_frac_bits(node, leaves)
    columns = [[int(target) for target in np.flatnonzero(rows.any(axis=0))] for rows in leaves]
    apart = targets > 1 and all(len(found) <= 1 for found in columns[: len(columns) - (base is not None)])
    x, decided = _compared(node, b, read, trees)
    parts = [[target] for target in range(targets)] if apart else [list(range(targets))]
    made = []
    for part in parts:
        chosen = [number for number, found in enumerate(columns) if not apart or set(found) & set(part)] or [0]
        integers = [np.rint(np.ldexp(leaves[number][:, part], frac_bits)).astype(np.int64) for number in chosen]
        emitted = _emitted(b, x, [decided[number] for number in chosen], integers)
        error = float("inf") if x.error else len(chosen) * 2.0**-frac_bits / 2
        made.append(b.derive(x, emitted, frac_bits=frac_bits, error=error, limit=None))
    return joined(b, made, 0)


def _leaf_frac_bits(node: Node, leaves: Sequence[Floats]) -> int:
    largest = max(float(np.abs(rows).max()) for rows in leaves)
    exponent = int(np.frexp(largest)[1])
    room = SUM_BITS - exponent - len(leaves).bit_length()
    if room < 0:
        raise node.refuse(f"its leaves reach {largest:g}, too large to be summed exactly", "scale the targets")
    return min(room, max(LEAF_BITS - exponent, LEAF_FRAC_BITS_MIN), LEAF_FRAC_BITS_MAX)


@dataclass(frozen=True)
class _Decided:
    """A tree as the graph writes it: the column that each node looks at, -1 for leaves, and its branches' bounds."""

    columns: list[int]
    bounds: list[int]


def _compared(node: Node, b: Builder, parts: Sequence[Tensor], trees: Sequence[Tree]) -> tuple[Tensor, list[_Decided]]:
    """One row of all parts' integers, with a column more for each number that a feature is tested to equal, and the
    trees over it."""
    row = _Row(b, parts, trees)
    decided: list[_Decided] = []
    moved: list[list[tuple[int, float, bool, int]]] = [[] for _ in parts]
    for tree in trees:
        columns, bounds = [], []
        for item in tree.nodes:
            if not isinstance(item, Branch):
                columns.append(-1)
                continue
            part, place = row.owners[item.feature]
            x = parts[part]
            low, high = x.fact.low - (x.missing is None), x.fact.high
            if item.mode == "BRANCH_EQ":
                if x.missing is not None and item.missing_left:
                    raise node.refuse("a feature that may be missing would have to equal a number then")
                values = np.array([item.value, *item.others])
                found = np.rint(np.clip(np.ldexp(values, x.frac_bits), low, high + 1)).astype(np.int64)
                columns.append(row.test(item.feature, found))
                bounds.append(0)
                continue
            columns.append(row.below[item.feature] if item.missing_left else row.above[item.feature])
            bounds.append(int(np.clip(_bound(x, item), low, high)))
            moved[part].append((place, item.value, item.mode == "BRANCH_LEQ", bounds[-1]))
        decided.append(_Decided(columns, bounds))
    for name, x, found in zip(node.inputs, parts, moved, strict=True):
        if found:
            b.note_thresholds(Thresholds(name, x.frac_bits, *map(np.array, zip(*found, strict=True))))
    return row.finished(), decided


def _bound(x: Tensor, branch: Branch) -> float:
    """The largest integer that goes left. Where x itself is rounded to its grid, a value that equals the threshold is
    what has to go where it goes: features of trees are often trained on that very value."""
    scaled = float(np.ldexp(branch.value, x.frac_bits))
    if branch.mode == "BRANCH_LEQ":
        return float(np.rint(scaled) if x.error else np.floor(scaled))
    return float(np.rint(scaled) if x.error else np.ceil(scaled)) - 1


class _Row:
    """The integers of all features side by side, whatever their grids, and the columns that are added: the same
    features with what is missing above all else, where some branch sends that right; tests of equality."""

    def __init__(self, b: Builder, parts: Sequence[Tensor], trees: Sequence[Tree]) -> None:
        self._b, self._tests = b, dict[_Test, int]()
        self.owners = [(part, place) for part, x in enumerate(parts) for place in range(x.shape[0])]
        right = {
            self.owners[item.feature][0]
            for tree in trees
            for item in tree.nodes
            if isinstance(item, Branch) and not item.missing_left
        }
        self._parts: list[Tensor] = []
        self.below: list[int] = []
        self.above: list[int] = []
        for part, x in enumerate(parts):
            self.below += self._added(x)
            if x.missing is None or part not in right:
                self.above += self.below[-x.shape[0] :]
            else:
                self.above += self._added(with_missing(b, x, is_missing(b, x), x.fact.high + 1 - x.missing))

    def _added(self, x: Tensor) -> list[int]:
        first = _count(self._parts)
        self._parts.append(replace(x, missing=None))
        return list(range(first, first + x.shape[0]))

    def test(self, feature: int, integers: Ints) -> int:
        """The column that is 0 where the feature is one of these integers, else 1."""
        test = self.below[feature], tuple(np.unique(integers).tolist())
        return _count(self._parts) + self._tests.setdefault(test, len(self._tests))

    def finished(self) -> Tensor:
        """The row. No number of it can be read but by who knows its column's grid."""
        return _with_tests(self._b, joined(self._b, self._parts, 0), list(self._tests))


def _with_tests(b: Builder, x: Tensor, tests: Sequence[_Test]) -> Tensor:
    """x and behind it, for each test, 0 where the feature is one of the integers, else 1."""
    if not tests:
        return x
    singles = {single: place for place, single in enumerate(dict.fromkeys(_singles(tests)))}
    found = gathered(b, x, [feature for feature, _ in singles], 0)
    minus = b.store(np.array([-number for _, number in singles]))
    distance = b.derive(found, ir.Affine(x=found.index, weights=None, bias=minus, shifts=None))
    sign = b.derive(distance, ir.Clip(x=distance.index, low=-1, high=1))
    apart = b.derive(sign, ir.Mul(a=sign.index, b=sign.index, shift=0))
    if len(singles) == len(tests) == len(_singles(tests)):
        return joined(b, [x, apart], 0)
    members = np.zeros((len(tests), len(singles)), np.int64)
    for row, test in enumerate(tests):
        members[row, [singles[single] for single in _singles([test])]] = 1
    bias = b.store(1 - members.sum(axis=1))  # at most one is equal
    sets = b.derive(apart, ir.Gemm(x=apart.index, weights=b.store(members), bias=bias, shifts=None))
    return joined(b, [x, b.derive(sets, ir.Clip(x=sets.index, low=0, high=1))], 0)


def _singles(tests: Sequence[_Test]) -> list[tuple[int, int]]:
    return [(feature, number) for feature, integers in tests for number in integers]


def _emitted(b: Builder, x: Tensor, trees: Sequence[_Decided], leaves: Sequence[Ints]) -> ir.Node:
    """The node. Leaves alone become a tree of one branch, of which both sides add 0."""
    columns = [column for tree in trees for column in tree.columns]
    bounds = [bound for tree in trees for bound in tree.bounds]
    rows = np.concatenate(leaves)
    if not bounds:
        columns, bounds = [0, -1, -1, *columns], [0]
        rows = np.concatenate([np.zeros((2, rows.shape[1]), np.int64), rows])
    return ir.Trees(
        x=x.index, features=b.store(np.array(columns)), thresholds=b.store(np.array(bounds)), leaves=b.store(rows)
    )
