"""Rules of the ops that move, select or reduce: Reshape, Transpose, Concat, Slice, Pad, Take, reductions,
ArgMax, TopK.

Moving and comparing are exact. What is proven here is that every index stays inside, and that sums fit.
"""

from __future__ import annotations

from math import prod

from runtime.inference.facts import FAR_UNITS, NEAR_ELEMENTS, TURNED_UNITS, Dims, Fact, Place, Proof, Work, span
from runtime.inference.graph import (
    ArgMax,
    Concat,
    Pad,
    ReduceMax,
    ReduceSum,
    Reshape,
    Slice,
    Take,
    TopK,
    Transpose,
)
from runtime.inference.limits import DOUBLE_EXACT_MAX


def reshape(node: Reshape, place: Place) -> Proof:
    """The same elements in the same order, within a row."""
    x = place.fact(node.x)
    place.demand(prod(node.shape) == x.elements, "a Reshape keeps the number of elements", x=x.shape, shape=node.shape)
    return Proof(
        Fact(node.shape, x.low, x.high), Work(kernels=1, streamed=-(-x.elements // 2), numbers=place.given(node.shape))
    )


def _transpose_units(permutation: Dims, x: Fact) -> int:
    """Of each element. Memory is the cost: what fits near the core is cheap, one axis moved past the others walks in
    order, any other permutation may come to a new place with each element."""
    near = x.elements <= NEAR_ELEMENTS
    for axis in range(len(permutation)):
        rest = [other for other in permutation if other != axis]
        if rest == sorted(rest):
            return TURNED_UNITS[near]
    return 3 if near else FAR_UNITS


def transpose(node: Transpose, place: Place) -> Proof:
    """Axes of a row, permuted."""
    x = place.fact(node.x)
    place.demand(
        sorted(node.permutation) == list(range(len(x.shape))),
        "a permutation names each axis once",
        permutation=node.permutation,
        rank=len(x.shape),
    )
    return Proof(
        Fact(tuple(x.shape[axis] for axis in node.permutation), x.low, x.high),
        Work(kernels=1, strided=_transpose_units(node.permutation, x) * x.elements),
    )


def concat(node: Concat, place: Place) -> Proof:
    """Operands that differ in one dimension only; the interval is the hull of theirs."""
    parts = [place.fact(index) for index in node.tensors]
    place.demand(len(parts) >= 1, "a Concat has an operand")
    first = parts[0].shape
    place.demand(node.axis < len(first), "the axis exists", axis=node.axis, rank=len(first))

    def others(shape: Dims) -> Dims:
        return (*shape[: node.axis], *shape[node.axis + 1 :])

    for part in parts[1:]:
        place.demand(
            len(part.shape) == len(first) and others(part.shape) == others(first),
            "operands agree in all other dimensions",
            first=first,
            found=part.shape,
            axis=node.axis,
        )
    total = sum(part.shape[node.axis] for part in parts)
    shape = (*first[: node.axis], total, *first[node.axis + 1 :])
    fact = Fact(shape, min(part.low for part in parts), max(part.high for part in parts))
    runs = len(parts) * prod(first[1:] if place.last and node.axis == 0 else first[place.last : node.axis])
    return Proof(fact, Work(kernels=1 + len(parts) // 8, strided=fact.elements + runs))


def slice_(node: Slice, place: Place) -> Proof:
    """In each dimension `count` positions from `start` in steps of `step`, which may be negative; none outside x."""
    x = place.fact(node.x)
    rank = len(x.shape)
    place.demand(
        len(node.starts) == len(node.counts) == len(node.steps) == rank,
        "starts, counts and steps have one number per dimension",
        rank=rank,
        starts=node.starts,
        counts=node.counts,
        steps=node.steps,
    )
    for axis, (start, count, step) in enumerate(zip(node.starts, node.counts, node.steps, strict=True)):
        last = start + (count - 1) * step
        place.demand(
            count >= 1 and step != 0 and 0 <= start < x.shape[axis] and 0 <= last < x.shape[axis],
            "first and last position lie inside x",
            axis=axis,
            first=start,
            last=last,
            size=x.shape[axis],
        )
    fact = Fact(node.counts, x.low, x.high)
    runs = fact.elements // place.laid(node.counts)[-1] if rank else 0
    step = place.laid(node.steps)[-1] if rank else 1
    per_element = min(5, abs(step) + (step != 1))
    numbers = place.given(("from", node.starts), ("to", node.starts, node.counts, node.steps), node.steps, rank)
    return Proof(fact, Work(kernels=1, strided=per_element * fact.elements + 5 * runs, numbers=numbers))


def pad(node: Pad, place: Place) -> Proof:
    """Elements of one value around a row; the interval takes it in where anything is added."""
    x = place.fact(node.x)
    place.demand(
        len(node.before) == len(node.after) == len(x.shape),
        "before and after have one number per dimension",
        rank=len(x.shape),
        before=node.before,
        after=node.after,
    )
    place.demand(abs(node.value) <= DOUBLE_EXACT_MAX, "the value is exact: within 2**53", value=node.value)
    shape = tuple(b + size + a for b, size, a in zip(node.before, x.shape, node.after, strict=True))
    low, high = min(x.low, node.value), max(x.high, node.value)
    if shape == x.shape:
        low, high = x.low, x.high
    runs = prod(place.laid(shape)[:-1])
    return Proof(Fact(shape, low, high), Work(kernels=1, strided=prod(shape) + 6 * runs, numbers=2))


def _reduced(place: Place, x: Fact, axes: Dims) -> Dims:
    place.demand(
        len(axes) >= 1 and list(axes) == sorted(set(axes)) and axes[-1] < len(x.shape),
        "axes exist and ascend strictly",
        axes=axes,
        rank=len(x.shape),
    )
    return tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))


def reduce_sum(node: ReduceSum, place: Place) -> Proof:
    """Any partial sum is of some of the count elements: within count * max(|low|, |high|)."""
    x = place.fact(node.x)
    shape = _reduced(place, x, node.axes)
    count = x.elements // prod(shape)
    worst = count * x.magnitude
    place.demand(
        worst <= DOUBLE_EXACT_MAX, "every partial sum is exact: within 2**53", sum=worst, limit=DOUBLE_EXACT_MAX
    )
    return Proof(Fact(shape, count * x.low, count * x.high), place.sums_along(x.shape, node.axes))


def reduce_max(node: ReduceMax, place: Place) -> Proof:
    """The largest element along axes, which stay with size 1. A selection."""
    x = place.fact(node.x)
    shape = _reduced(place, x, node.axes)
    return Proof(Fact(shape, x.low, x.high), Work(kernels=1, strided=x.elements + prod(shape)))


def arg_max(node: ArgMax, place: Place) -> Proof:
    """The engine takes the first of equal maxima (select_last_index = 0); -0 and +0 compare equal."""
    x = place.fact(node.x)
    shape = _reduced(place, x, (node.axis,))
    return Proof(
        Fact(shape, 0, x.shape[node.axis] - 1),
        Work(kernels=2, strided=x.elements + 2 * prod(shape), scratch=prod(shape)),
    )


def take(node: Take, place: Place) -> Proof:
    """A selection. Every place that index can name lies inside, as its interval does: no error, and no negative place
    that would count from the end."""
    x, index = place.fact(node.x), place.fact(node.index)
    place.demand(node.axis < len(x.shape), "the axis exists", axis=node.axis, rank=len(x.shape))
    place.demand(
        len(index.shape) == len(x.shape)
        and all(
            axis == node.axis or found in (1, full)
            for axis, (found, full) in enumerate(zip(index.shape, x.shape, strict=True))
        ),
        "an index has x's rank, and each dimension but the axis is x's or 1",
        x=x.shape,
        index=index.shape,
    )
    size = x.shape[node.axis]
    place.demand(
        index.low >= 0 and index.high < size, "an index lies inside x", low=index.low, high=index.high, size=size
    )
    shape = (*x.shape[: node.axis], index.shape[node.axis], *x.shape[node.axis + 1 :])
    fact = Fact(shape, x.low, x.high)
    per_element = 5 if x.elements <= NEAR_ELEMENTS else 8
    repeats = 0 if shape == index.shape else fact.elements // span(shape, index.shape)
    lines = fact.elements // shape[-1]  # in each the kernel works out anew where it is
    return Proof(
        fact,
        Work(
            kernels=3,
            streamed=index.elements + fact.elements,
            strided=per_element * fact.elements + 10 * repeats + 15 * lines,
            scratch=index.elements + fact.elements,
            numbers=1,
        ),
    )


def top_k(node: TopK, place: Place) -> Proof:
    """Comparisons and selections. The engine orders by value, then by index: a total order, in which k elements come
    first in one way only; -0 and +0 compare equal. A heap or a sort: some comparisons for each bit of k."""
    x = place.fact(node.x)
    place.demand(node.axis < len(x.shape), "the axis exists", axis=node.axis, rank=len(x.shape))
    size = x.shape[node.axis]
    place.demand(1 <= node.k <= size, "k is 1 to x's size along the axis", k=node.k, size=size)
    fact = Fact((*x.shape[: node.axis], node.k, *x.shape[node.axis + 1 :]), 0, size - 1)
    per_bit = 3 if x.elements <= NEAR_ELEMENTS else 12
    return Proof(
        fact,
        Work(
            kernels=2,
            streamed=fact.elements,
            strided=per_bit * node.k.bit_length() * x.elements,
            scratch=2 * x.elements + 2 * fact.elements,
            numbers=1,
        ),
    )
