"""Einsum: sums of products by named dimensions, as transpositions, reshapes and matrix products.

Operands are taken one after another from the left. A label that neither a later operand nor the result names is summed
as soon as both operands that hold it have met; one that a single operand holds, before. Where two meet, labels of both
that stay are the batch of a matrix product, labels of both that go are summed by it; without these it is a product
element by element. N is each computed operand's first label and the result's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from string import ascii_letters
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops.columns import dense, floating, scaled
from tools.lowering.ops.elementwise import product
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.linear import multiplied, weights_of
from tools.lowering.ops.reduce import summed
from tools.lowering.source import Node

ELLIPSIS: Final = "..."
MEND: Final = "write it as Transpose, Reshape and MatMul"


@dataclass(frozen=True)
class Operand:
    """A computed tensor, or an array that is the same in every row; a label for each dimension of a row."""

    value: Tensor | Floats
    labels: str

    @property
    def sizes(self) -> dict[str, int]:
        """Of each label."""
        return dict(zip(self.labels, self.value.shape, strict=True))


def einsum(node: Node, b: Builder) -> None:
    """Of any number of operands, at least one computed."""
    if all(b.is_constant(name) for name in node.inputs):
        raise node.refuse("all of its operands are constants", "fold it before exporting")
    terms, result = _equation(node, b)
    operands = [_operand(node, b, place, labels) for place, labels in enumerate(terms)]
    if not result or any(isinstance(o.value, Tensor) and not o.labels for o in operands):
        raise node.refuse("a dimension that it needs is missing: the batch comes first in operands and result", MEND)
    lead = next(o.labels[0] for o in operands if isinstance(o.value, Tensor))
    rows = [_row(node, operand, lead) for operand in operands]
    if result[0] != lead or lead in result[1:]:
        raise node.refuse("the batch is not the first label of its result, so rows would be mixed", MEND)
    _check_sizes(node, rows, result[1:])
    while len(rows) > 1:
        later = "".join(row.labels for row in rows[2:]) + result
        rows[:2] = [_met(node, b, rows[0], rows[1], later)]
    found = _summed(node, b, rows[0], result)
    b.bind(node, _ordered(b, found, result[1:]))


# ---- reading


def _equation(node: Node, b: Builder) -> tuple[list[str], str]:
    """The labels of each operand and of the result, the ellipsis as labels of its own."""
    text = node.text("equation", "").replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    plain = text.replace(ELLIPSIS, "").replace("->", "").replace(",", "")
    if len(terms) != len(node.inputs) or "" in node.inputs or not (plain.isascii() and (plain.isalpha() or not plain)):
        raise node.refuse(f"its equation {text!r} does not fit {len(node.inputs)} operands", MEND)
    spare = "".join(letter for letter in ascii_letters if letter not in text)
    ranks = [_rank(node, b, place) for place in range(len(terms))]
    hidden = [rank - len(term.replace(ELLIPSIS, "")) for rank, term in zip(ranks, terms, strict=True)]
    most = max((count for count, term in zip(hidden, terms, strict=True) if ELLIPSIS in term), default=0)
    if most > len(spare) or min(hidden) < 0:
        raise node.refuse(f"its equation {text!r} does not fit operands of {ranks} dimensions", MEND)
    dots = spare[:most]
    full = [
        term.replace(ELLIPSIS, dots[most - count :] if count else "", 1)
        for term, count in zip(terms, hidden, strict=True)
    ]
    if not arrow:
        joined = "".join(terms).replace(ELLIPSIS, "")
        right = ELLIPSIS + "".join(sorted(letter for letter in set(joined) if joined.count(letter) == 1))
    result = right.replace(ELLIPSIS, dots, 1)
    fits = all(len(labels) == rank and "." not in labels for labels, rank in zip(full, ranks, strict=True))
    if not fits or "." in result or set(result) - set("".join(full)) or len(set(result)) != len(result):
        raise node.refuse(f"its equation {text!r} does not fit operands of {ranks} dimensions", MEND)
    return full, result


def _rank(node: Node, b: Builder, place: int) -> int:
    """With N, as the equation counts."""
    if b.is_constant(node.inputs[place]):
        return b.constant(node, place, "an operand").ndim
    return len(b.tensor(node, place).shape) + 1


def _operand(node: Node, b: Builder, place: int, labels: str) -> Operand:
    if len(set(labels)) != len(labels):
        raise node.refuse(f"its operand {place} has one label twice: a diagonal", MEND)
    if b.is_constant(node.inputs[place]):
        return Operand(b.constant(node, place, "an operand").astype(np.float64), labels)
    return Operand(floating(node, b.tensor(node, place)), labels)


def _row(node: Node, operand: Operand, lead: str) -> Operand:
    """Without N: a computed operand begins with it, a constant has it with size 1 or not at all."""
    value, labels = operand.value, operand.labels
    if isinstance(value, Tensor):
        if labels[0] != lead or lead in labels[1:]:
            raise node.refuse("the batch is not the first label of an operand, so rows would be mixed", MEND)
        return Operand(value, labels[1:])
    if lead not in labels:
        return operand
    place = labels.index(lead)
    if value.shape[place] != 1:
        raise node.refuse(f"a constant of shape {list(value.shape)} has rows of its own; the batch is open")
    return Operand(np.squeeze(value, place), labels.replace(lead, ""))


def _check_sizes(node: Node, rows: Sequence[Operand], result: str) -> None:
    sizes: dict[str, int] = {}
    for row in rows:
        for label, size in row.sizes.items():
            if sizes.setdefault(label, size) != size:
                raise node.refuse(f"label {label!r} has sizes {sizes[label]} and {size}", MEND)
    if set(result) - set(sizes):
        raise node.refuse(f"its result {result!r} has labels that no row of an operand has", MEND)


# ---- computing


def _met(node: Node, b: Builder, x: Operand, y: Operand, later: str) -> Operand:
    """The two as one, without the labels that nothing later names."""
    x, y = _summed(node, b, x, y.labels + later), _summed(node, b, y, x.labels + later)
    if not isinstance(x.value, Tensor):
        x, y = y, x
    if not isinstance(x.value, Tensor) and not isinstance(y.value, Tensor):
        kept = "".join(label for label in dict.fromkeys(x.labels + y.labels) if label in later)
        return Operand(np.einsum(f"{x.labels},{y.labels}->{kept}", x.value, y.value), kept)
    both = "".join(label for label in x.labels if label in y.labels)
    batch = "".join(label for label in both if label in later)
    gone = "".join(label for label in both if label not in later)
    left, right = ("".join(label for label in one.labels if label not in both) for one in (x, y))
    if isinstance(y.value, Tensor):
        return _product(node, b, x, y, batch, gone, left, right)
    return _with_constant(node, b, x, y, batch, gone, left, right)


def _with_constant(
    node: Node, b: Builder, x: Operand, y: Operand, batch: str, gone: str, left: str, right: str
) -> Operand:
    sizes = x.sizes | y.sizes
    if batch and (gone or right):
        like = _tensor(x)
        weights = weights_of(node, b, like, np.asarray(y.value).reshape(y.value.shape or (1,)))
        return _product(node, b, x, Operand(weights, y.labels), batch, gone, left, right)
    if not gone and not right:
        along = _array(y, "".join(label for label in x.labels if label in y.labels))
        shape = tuple(sizes[label] if label in y.labels else 1 for label in x.labels)
        return Operand(scaled(node, b, _tensor(x), along.reshape(shape), None), x.labels)
    flat = _grouped(b, x, (left, gone), sizes, apart=1)
    columns = _array(y, right + gone).reshape(_size(right, sizes), _size(gone, sizes))
    made = dense(node, b, flat, columns, None)
    return Operand(reshaped(b, made, tuple(sizes[label] for label in left + right)), left + right)


def _product(node: Node, b: Builder, x: Operand, y: Operand, batch: str, gone: str, left: str, right: str) -> Operand:
    sizes = x.sizes | y.sizes
    labels = batch + left + right
    shape = tuple(sizes[label] for label in labels)
    if gone:
        lead = (batch,) if batch else ()
        a = _grouped(b, x, (*lead, left, gone), sizes)
        c = _grouped(b, y, (*lead, gone, right), sizes)
        made = multiplied(node, b, a, c, b.wanted_frac_bits(node.outputs[0]))
        return Operand(reshaped(b, made, shape), labels)
    a = _ordered(b, x, batch + left)
    c = _ordered(b, y, batch + right)
    a = reshaped(b, a, tuple(sizes[label] if label not in right else 1 for label in labels))
    c = reshaped(b, c, tuple(sizes[label] if label not in left else 1 for label in labels))
    return Operand(product(node, b, a, c), labels)


def _summed(node: Node, b: Builder, x: Operand, kept: str) -> Operand:
    """Without the labels that are not among `kept`."""
    axes = tuple(place for place, label in enumerate(x.labels) if label not in kept)
    if not axes:
        return x
    labels = "".join(label for label in x.labels if label in kept)
    if not isinstance(x.value, Tensor):
        return Operand(x.value.sum(axis=axes), labels)
    found = summed(node, b, x.value, axes)
    return Operand(reshaped(b, found, tuple(x.sizes[label] for label in labels)), labels)


def _grouped(b: Builder, x: Operand, groups: Sequence[str], sizes: dict[str, int], apart: int = 0) -> Tensor:
    """x with the labels of each group as one dimension; those of the first `apart` groups stay apart."""
    turned = _ordered(b, x, "".join(groups))
    first = [sizes[label] for label in "".join(groups[:apart])]
    return reshaped(b, turned, (*first, *(_size(group, sizes) for group in groups[apart:])))


def _size(labels: str, sizes: dict[str, int]) -> int:
    return prod(sizes[label] for label in labels)


def _array(x: Operand, labels: str) -> Floats:
    """A constant with its dimensions in this order."""
    if isinstance(x.value, Tensor):
        raise TypeError(f"operand {x.labels!r} is computed")
    return x.value.transpose(tuple(map(x.labels.index, labels)))


def _ordered(b: Builder, x: Operand, labels: str) -> Tensor:
    """x's dimensions in this order."""
    value = _tensor(x)
    if x.labels == labels:
        return value
    return b.derive(value, ir.Transpose(x=value.index, permutation=tuple(map(x.labels.index, labels))))


def _tensor(x: Operand) -> Tensor:
    """The value of an operand that is computed, as those are that a computed one has met."""
    if isinstance(x.value, Tensor):
        return x.value
    raise TypeError(f"operand {x.labels!r} is a constant")
