"""What the verifier knows of a tensor, what running an op costs, and the place where a rule asks for both.

A rule is a pure function (node, place) -> Proof, or Refused raised by `place.demand`. Rules are in rules_*.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import prod
from typing import Final, TypeVar

import numpy as np

from runtime.inference.arithmetic import Int64Array
from runtime.inference.constants import byte_size, smallest_kind, unpack
from runtime.inference.errors import Refused
from runtime.inference.graph import Constant
from runtime.inference.limbs import Weights, weights_of
from runtime.inference.limits import DOUBLE_EXACT_MAX, WEIGHTS_MAX

Dims = tuple[int, ...]
NEAR_ELEMENTS = 1 << 18
"""What fits near the core: reading it in any order is cheap."""
FAR_UNITS = 45
"""Of one place in memory that nothing near it was read before: beyond the caches and the tables of pages."""
TURNED_UNITS: Final = {True: 2, False: 10}
"""Of each element, where one axis moves past the others; by whether the tensor is near."""
ENDS_AT_ONCE: Final = 16
"""How many numbers of a constant are compared with each other in the time of one that a rule looks at by itself."""
PRODUCT_UNITS = 180
"""Of each matrix product of a kernel that makes several: it is set up anew."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Fact:
    """An exact tensor: every element of every row is an integer in [low, high], both within 2**53; so each is a
    float64. The sign of a zero is not known and no op can observe it: sums, products, comparisons and roundings do
    not tell -0 from +0, no op divides by a value that can be 0, and outputs leave as int64."""

    shape: Dims
    low: int
    high: int

    @property
    def elements(self) -> int:
        """Of one row."""
        return prod(self.shape)

    @property
    def magnitude(self) -> int:
        """The largest absolute value that any element can have."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True, slots=True)
class Work:
    """What the engine does for one row. Elements are float64 values read or written, whichever is more per kernel."""

    kernels: int = 0  # launched per run, whatever the rows
    macs_double: int = 0  # multiply-adds of a float64 matrix product
    macs_single: int = 0  # of a float32 convolution
    macs_byte: int = 0  # of a product of bytes
    streamed: int = 0  # elements passed through in order
    strided: int = 0  # elements moved, compared or divided one at a time
    scratch: int = 0  # elements that live only inside the op
    weights: int = 0  # elements of constants read per run
    decisions: int = 0  # branches of trees passed from the roots to the deepest leaves, where the forest is small
    branches: int = 0  # of trees: built when the model is loaded, whatever the rows
    constants: int = 0  # named by nodes: the verifier looks at them, the engine reads them, whatever their size
    turned: int = 0  # tensors that are stored in both layouts
    numbers: int = 0  # small constants of its own that a kernel is given: bounds, shapes, places

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Work)))


def channels_last(values: Sequence[_T]) -> list[_T]:
    """One value for each dimension of a row [channels, spatial...], in the order [spatial..., channels]."""
    return [*values[1:], *values[:1]]


def span(shape: Sequence[int], other: Sequence[int]) -> int:
    """How many elements in a row an element-by-element kernel handles before one operand repeats: the product of the
    last dimensions in which both shapes are equal, or in which the same one is repeated. A last dimension of 1 makes
    the kernel step element by element."""
    if shape and shape[-1] == other[-1] == 1:
        return 1
    length, kinds = 1, set()
    for size, repeated in zip(reversed(shape), reversed(other), strict=True):
        if size != repeated or size > 1:
            kinds.add((size == 1, repeated == 1))
        if len(kinds) > 1:
            break
        length *= max(size, repeated)
    return length


@dataclass(frozen=True, slots=True)
class Proof:
    """What a rule gives: the tensor that the node makes, and the work of making it."""

    fact: Fact
    work: Work


@dataclass(frozen=True, slots=True)
class Sums:
    """Of a constant [O, ...]: for each o the sums of its positive and of its negative elements."""

    positive: Int64Array
    negative: Int64Array


@dataclass(slots=True)
class Place:
    """Where a rule stands: the facts so far, the constants, and who was used. One for a whole verification. `last`:
    whether the present node is written channels last; `stored`: in which layouts each tensor is; `stored_twice`: from
    which node on which tensor is there in another form too, of so many elements."""

    constants: tuple[Constant, ...]
    visits_left: int
    where: str = "graph"
    node: int = 0
    facts: list[Fact] = field(default_factory=list)
    last_use: dict[int, int] = field(default_factory=dict)
    named: set[int] = field(default_factory=set)
    sums_of: dict[int, Sums] = field(default_factory=dict)
    weights_at: dict[int, Weights | None] = field(default_factory=dict)
    expansions: set[tuple[object, ...]] = field(default_factory=set)
    expanded: int = 0
    gone_through: int = 0
    largest: int = 0
    constants_named: int = 0
    tree_nodes: int = 0
    last: bool = False
    stored: list[set[bool]] = field(default_factory=list)
    stored_twice: list[tuple[int, int, int]] = field(default_factory=list)
    numbers_given: set[tuple[bool, object]] = field(default_factory=set)

    def refuse(self, rule: str, values: Mapping[str, object]) -> Refused:
        """The error to raise about the present node. values: what broke the rule, for people."""
        return Refused(self.where, rule, values)

    def demand(self, holds: bool, rule: str, **values: object) -> None:
        """Refuses the graph unless `holds`: `rule` says what must hold, `values` what was found."""
        if not holds:
            raise Refused(self.where, rule, values)

    def fact(self, index: int) -> Fact:
        """What is known of an operand; it exists only if it was made before."""
        self.demand(index < len(self.facts), "an operand is made before it is used", tensor=index, made=len(self.facts))
        self.last_use[index] = self.node
        return self.facts[index]

    def shape_of(self, index: int) -> Dims:
        """The shape of a constant, which then counts as used. Refuses a number that no constant has."""
        self.demand(
            index < len(self.constants), "a named constant exists", constant=index, constants=len(self.constants)
        )
        self.named.add(index)
        return self.constants[index].shape

    def values_of(self, index: int) -> Int64Array:
        """A small constant (bias, shifts, scales) as int64; what a rule looks at is counted against the budget."""
        shape = self.shape_of(index)
        self.visit(prod(shape))
        return unpack(self.constants[index]).astype(np.int64)

    def ends_of(self, index: int, rows: slice) -> tuple[int, int]:
        """The least and the greatest number in these rows of a constant; ENDS_AT_ONCE count as one."""
        shape = self.shape_of(index)
        first, end, _ = rows.indices(shape[0])
        self.visit(1 + (end - first) * prod(shape[1:]) // ENDS_AT_ONCE)
        values = unpack(self.constants[index])[rows]
        return int(values.min()), int(values.max())

    # ---- the layout in which the engine stores rows (layout.py)

    def laid(self, shape: Dims) -> Sequence[int]:
        """A shape as the present node's kernels see it."""
        return channels_last(shape) if self.last else shape

    def is_only_last(self, tensor: int) -> bool:
        """Whether a tensor is stored channels last and in no other way."""
        if tensor >= len(self.stored):
            self.fact(tensor)  # refuses it
        return False not in self.stored[tensor]

    def keep_beside(self, tensor: int, elements: int) -> None:
        """From the present node to its last use, a tensor is stored in another way as well, in so many elements."""
        self.stored_twice.append((self.node, tensor, elements))

    def is_turned(self, tensor: int) -> bool:
        """Whether an operand is not in the present layout yet."""
        return self.last not in self.stored[tensor]

    def turn(self, tensor: int) -> Work:
        """What it takes to have an operand in the present layout as well."""
        fact = self.facts[tensor]
        self.stored[tensor].add(self.last)
        self.keep_beside(tensor, fact.elements)
        return Work(kernels=1, turned=1, strided=TURNED_UNITS[fact.elements <= NEAR_ELEMENTS] * fact.elements)

    def numbers(self, fact: Fact, times: int) -> Work:
        """Kernels over a tensor and a single number, so many: slow where the last dimension is 1 (see `span`)."""
        laid = self.laid(fact.shape)
        slow = 5 if laid and laid[-1] == 1 else 0
        return Work(
            kernels=times,
            streamed=times * fact.elements,
            strided=slow * times * fact.elements,
            numbers=times,
        )

    def sums_along(self, shape: Dims, axes: Dims) -> Work:
        """Of a kernel that adds up along `axes`. Where the last dimension stays, it multiplies by ones: a product, set
        up anew for each index of the dimensions before."""
        laid = self.laid(tuple(axis in axes for axis in range(len(shape))))
        first = list(laid).index(True)
        products = 0 if laid[-1] else prod(self.laid(shape)[:first])
        kept = prod(size for axis, size in enumerate(shape) if axis not in axes)
        return Work(kernels=1, strided=prod(shape) + kept + PRODUCT_UNITS * products, numbers=1)

    def given(self, *values: object) -> int:
        """How many of these small constants no kernel before was given."""
        new = {(self.last, value) for value in values} - self.numbers_given
        self.numbers_given |= new
        return len(new)

    def visit(self, columns: int) -> None:
        """Take so many numbers of constants from the verifier's budget, before looking at them."""
        self.visits_left -= columns
        self.demand(
            self.visits_left >= 0, "constants are shared within the verifier's budget", visits_over=-self.visits_left
        )

    def sums(self, index: int) -> Sums:
        """Signed sums of each output column of a weight, computed once per constant.

        Sums are of at most 2**27 elements (WEIGHTS_MAX) below 2**31 each, so int64 cannot overflow; wider elements
        are summed as high and low halves, and a half that betrays a sum beyond 2**53 is refused before they are joined.
        """
        shape = self.shape_of(index)
        self.visit(shape[0])
        if index not in self.sums_of:
            flat = unpack(self.constants[index]).reshape(shape[0], -1)
            self.sums_of[index] = Sums(self._sum(np.maximum(flat, 0)), self._sum(np.minimum(flat, 0)))
        return self.sums_of[index]

    def weights_of(self, index: int) -> Weights | None:
        """What products by bytes ask of a weight, looked at once per constant."""
        if index not in self.weights_at:
            self.weights_at[index] = weights_of(self.constants[index])
        return self.weights_at[index]

    def _sum(self, flat: np.ndarray[tuple[int, int], np.dtype[np.signedinteger]]) -> Int64Array:
        if flat.dtype.itemsize <= 4:
            total: Int64Array = flat.sum(axis=1, dtype=np.int64)
            return total
        high = (flat >> 31).sum(axis=1, dtype=np.int64)
        self.demand(
            int(high.min()) > -(1 << 31) and int(high.max()) < 1 << 31,
            "the sum of a column's weights is exact: within 2**53",
            limit=DOUBLE_EXACT_MAX,
        )
        joined: Int64Array = (high << 31) + (flat & (2**31 - 1)).sum(axis=1, dtype=np.int64)
        return joined

    def keep_rows(self, index: int) -> None:
        """Counts a table of rows, which the engine keeps in the width in which it is stored."""
        self.shape_of(index)
        self.expand(-(-len(self.constants[index].data) // 8), "table", index)

    def expand(self, elements: int, *key: object, goes_through: int | None = None) -> None:
        """Counts a copy of a constant that the engine keeps, in elements of eight bytes, and what making it goes
        through where that is more; equal keys share one copy."""
        if key in self.expansions:
            return
        self.expansions.add(key)
        through = elements if goes_through is None else goes_through
        self.expanded += elements
        self.gone_through += through
        self.largest = max(self.largest, through)
        self.demand(
            self.expanded <= WEIGHTS_MAX, "expanded constants fit", elements=self.expanded, elements_max=WEIGHTS_MAX
        )


def repeated(place: Place, a: Dims, b: Dims) -> Dims:
    """The shape of two operands together: of one rank, each dimension equal, or 1 in one of them and repeated."""
    place.demand(
        len(a) == len(b) and all(x == y or 1 in (x, y) for x, y in zip(a, b, strict=True)),
        "operands have one rank and each dimension is equal or 1",
        a=a,
        b=b,
    )
    return tuple(max(x, y) for x, y in zip(a, b, strict=True))


def check_constants(constants: tuple[Constant, ...]) -> None:
    """Shapes without zeros, bytes of the right number, the smallest width, and not too many elements in all. Raises
    Refused."""
    elements = 0
    for number, constant in enumerate(constants):
        where = f"constants[{number}]"
        if 0 in constant.shape:
            raise Refused(where, "every dimension is at least 1", {"shape": constant.shape})
        elements += prod(constant.shape)
        if elements > WEIGHTS_MAX:
            raise Refused(
                where, "constants hold few enough elements", {"elements": elements, "elements_max": WEIGHTS_MAX}
            )
        if len(constant.data) != byte_size(constant):
            raise Refused(
                where,
                "data has the bytes of its shape and kind",
                {"bytes": len(constant.data), "expected": byte_size(constant)},
            )
        values = unpack(constant)
        kind = smallest_kind(int(values.min()), int(values.max()))
        if kind != constant.kind:
            raise Refused(
                where, "integers are stored in the smallest kind", {"kind": constant.kind.name, "smallest": kind.name}
            )
