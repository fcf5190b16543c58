"""Hypothesis strategies of exact-grid graphs at their bounds, and of inputs that drive them there.

Every graph drawn is one that the verifier must accept: it is built op by op with the verifier's own rules, and weights
are chosen so that a column's partial sums come as close to 2**53 (or 2**24) as integers allow. That engine and
interpreter agree on them, that intervals hold, and that one step further is refused, are the properties to test.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from runtime.inference import graph as ops
from runtime.inference.constants import pack
from runtime.inference.errors import Refused
from runtime.inference.facts import Dims, Fact, Place
from runtime.inference.graph import GRAPH_VERSION, Constant, ConvForm, Graph, Node, Output, TensorSpec, operands
from runtime.inference.limbs import WEIGHT_MAX, limbs_sum_max
from runtime.inference.limits import DOUBLE_EXACT_MAX, SINGLE_EXACT_MAX
from runtime.inference.verifier import RULES
from runtime.types import ZERO_HASH

Draw = Callable[[st.SearchStrategy[Any]], Any]
_ELEMENTS_MAX = 256
_WIDE_ELEMENTS_MAX = 2048
_WIDE_SIZES = [1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129]
"""Around the sizes at which kernels change their blocking, and emission its way."""
_VISITS = 1 << 30


def limb_weights(random: np.random.Generator, shape: Dims) -> npt.NDArray[np.int64]:
    """Weights [O, ...] that products by bytes take, or just do not: around the ends of one and of two limbs, zeros, and
    one column whose magnitudes sum up to what 32 bits hold, or to one more."""
    width = prod(shape[1:])
    top = int(random.choice([1, 63, 64, 65, 128, WEIGHT_MAX, WEIGHT_MAX, WEIGHT_MAX + 1]))
    drawn = random.integers(-top, top, size=(shape[0], width), endpoint=True)
    ends = random.choice([-top, top], size=drawn.shape)
    weights: npt.NDArray[np.int64] = np.where(random.random(drawn.shape) < 0.5, ends, drawn)
    weights[:, random.random(width) < random.choice([0, 0, 0.5])] = 0
    room = limbs_sum_max(width) + int(random.integers(0, 1, endpoint=True))
    if random.random() < 0.5 and top * width > room > 0:
        weights[0] = np.minimum(top, np.maximum(0, room - top * np.arange(width))) * ends[0] // top
    return weights.reshape(shape)


def tight_weights(random: np.random.Generator, shape: Dims, budget: int) -> npt.NDArray[np.int64]:
    """Weights [O, ...] of random signs whose magnitudes sum, for each o, to `budget` (or, at random, to less)."""
    width = prod(shape[1:])
    rows = []
    for _ in range(shape[0]):
        spend = int(random.choice([budget, budget // 2, min(budget, 1000)]))
        cuts = np.sort(random.integers(0, spend, size=width - 1, endpoint=True))
        shares = np.diff(np.concatenate([[0], cuts, [spend]]))
        signs = random.choice([-1, 1], size=width) if random.random() < 0.7 else random.choice([-1, 1])
        rows.append(shares * signs)
    return np.array(rows, np.int64).reshape(shape)


class Builder:
    """A graph under construction. `grow` proposes an op on a tensor and keeps it if it is proven. `wide`: larger
    tensors, of sizes and intervals around those at which the engine computes in another way."""

    def __init__(self, draw: Draw, *, wide: bool = False) -> None:
        self.draw = draw
        self.wide = wide
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.constants: list[Constant] = []
        self.nodes: list[Node] = []
        self.inputs: list[TensorSpec] = []
        self.place = Place((), _VISITS)

    def fact(self, tensor: int) -> Fact:
        """Shape and interval of a tensor, as the rules proved them."""
        return self.place.facts[tensor]

    def constant(self, values: npt.ArrayLike) -> int:
        """Keep a constant of these integers, in the smallest type that holds them; its number."""
        self.constants.append(pack(values))
        return len(self.constants) - 1

    def add_input(self) -> None:
        """A tensor of rank 0 to 4 over any interval; before any node."""
        rank = self.draw(st.sampled_from([3, 2, 1, 4, 0]))
        sizes = st.sampled_from(_WIDE_SIZES) if self.wide else st.integers(1, 6 if rank < 4 else 3)
        shape = tuple(self.draw(st.lists(sizes, min_size=rank, max_size=rank)))
        if self.wide and prod(shape) > _WIDE_ELEMENTS_MAX:
            shape = tuple(min(size, 6) for size in shape)
        low, high = self.draw(near_bytes() if self.wide and self.draw(st.booleans()) else intervals())
        self.inputs.append(TensorSpec(f"x{len(self.inputs)}", shape, self.draw(st.integers(0, 30)), low, high))
        self.place.facts.append(Fact(shape, low, high))

    def grow(self, proposals: list[_Propose]) -> None:
        """Proposes ops on tensors, mostly the newest, until one is proven and small; at most four."""
        for _ in range(4):
            newest = len(self.place.facts) - 1
            x = self.draw(st.one_of(st.just(newest), st.integers(0, newest)))
            kept = len(self.constants)
            node = self.draw(st.sampled_from(proposals))(self, x)
            if node is not None and self.accept(node):
                return
            del self.constants[kept:]

    def accept(self, node: Node) -> bool:
        """Keep the node if the verifier's rule proves it and its rows are small. False: its constants are left,
        unused."""
        self.place.constants = tuple(self.constants)
        self.place.sums_of.clear()
        self.place.where = type(node).__name__
        try:
            proof = RULES[type(node)](node, self.place)
        except Refused:
            return False
        most = (_WIDE_ELEMENTS_MAX, 7) if self.wide else (_ELEMENTS_MAX, 5)
        if proof.fact.elements > most[0] or len(proof.fact.shape) > most[1]:
            return False
        self.place.facts.append(proof.fact)
        self.nodes.append(node)
        return True

    def made(self, node: Node) -> int:
        """The tensor of a node that prepares an operand and is proven on any: a Clip, a Transpose."""
        if not self.accept(node):
            raise ValueError(f"{node} is not proven")
        return len(self.place.facts) - 1

    def graph(self) -> Graph:
        """The graph so far; outputs are all tensors that no node uses."""
        used = {operand for node in self.nodes for operand in operands(node)}
        made = range(len(self.inputs), len(self.place.facts))
        outputs = []
        for tensor in made:
            if tensor not in used:
                fact = self.fact(tensor)
                outputs.append(Output(tensor, TensorSpec(f"y{tensor}", fact.shape, 0, fact.low, fact.high)))
        return Graph(
            version=GRAPH_VERSION,
            lowering_version="random",
            source_hash=ZERO_HASH,
            labels=(),
            inputs=tuple(self.inputs),
            outputs=tuple(outputs),
            constants=tuple(self.constants),
            nodes=tuple(self.nodes),
        )

    # ---- what the proposals share

    def shifts(self, shape: Dims) -> int | None:
        """The number of a constant of shifts, each 0 to 127, one for each place of `shape`; None: no rounding."""
        kind = self.draw(st.sampled_from(["none", "small", "any", "many"]))
        if kind == "none":
            return None
        high = {"small": 3, "any": 60, "many": 127}[kind]
        return self.constant(self.random.integers(0, high, size=shape, endpoint=True))

    def bias(self, shape: Dims, room: int) -> int | None:
        """The number of a constant of biases within [-room, room]; None: no bias."""
        kind = self.draw(st.sampled_from(["none", "small", "all"]))
        if kind == "none":
            return None
        size = room if kind == "all" else min(room, 5)
        return self.constant(self.random.choice([-size, size, size // 2, 0], size=shape))

    def weights(self, shape: Dims, x: Fact, limit: int = DOUBLE_EXACT_MAX) -> tuple[int, int]:
        """A tight weight constant, and how much of the bound is left for a bias."""
        budget = limit // max(x.magnitude, 1)
        if self.wide and self.draw(st.booleans()):
            found = limb_weights(self.random, shape)
            if int(np.abs(found).reshape(shape[0], -1).sum(axis=1).max()) <= budget // 2:
                return self.constant(found), limit // 2
        reserve = self.draw(st.sampled_from([0, budget // 2, budget // 1024]))
        return self.constant(tight_weights(self.random, shape, budget - reserve)), reserve * max(x.magnitude, 1)

    def window(self, sizes: Dims) -> tuple[Dims, Dims, Dims, Dims, Dims]:
        """kernel, strides, pads and dilations of a window that fits."""
        chosen = []
        for size in sizes:
            begin, end, stride = self.draw(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 3)))
            most = size + begin + end
            kernel = self.draw(st.integers(1, min(3, most)))
            if self.wide and self.draw(st.booleans()):
                kernel = self.draw(st.sampled_from([min(each, most) for each in (4, 5, 15, 16, 17, size, most)]))
            dilation = self.draw(st.integers(1, max(1, (size + begin + end - 1) // max(kernel - 1, 1))))
            chosen.append((kernel, stride, begin, end, dilation))
        kernels, strides, begins, ends, dilations = zip(*chosen, strict=True)
        return kernels, strides, begins, ends, dilations

    def axes(self, rank: int) -> Dims:
        """At least one of the axes of a row of this rank, ascending."""
        return tuple(sorted(self.draw(st.sets(st.integers(0, rank - 1), min_size=1))))


@st.composite
def intervals(draw: Draw) -> tuple[int, int]:
    """[low, high] within 2**53, mostly of a whole number of bits, often of one sign. Half the ends are odd, so that
    products reach the last bit."""
    bound = (1 << draw(st.sampled_from([8, 1, 16, 23, 24, 25, 30, 40, 52, 53]))) - draw(st.integers(0, 1))
    kind = draw(st.sampled_from(["symmetric", "positive", "negative", "any", "single"]))
    if kind == "single":
        value = draw(st.integers(-bound, bound))
        return value, value
    if kind == "any":
        ends = sorted(draw(st.tuples(st.integers(-bound, bound), st.integers(-bound, bound))))
        return ends[0], ends[1]
    return (0 if kind == "positive" else -bound), (0 if kind == "negative" else bound)


@st.composite
def near_bytes(draw: Draw) -> tuple[int, int]:
    """[low, high] of one or two bytes, or of just more."""
    width = draw(st.sampled_from([1, 255, 256, 65_535, 65_536]))
    low = draw(st.sampled_from([0, -width, -width // 2, -1, 1, 1000]))
    return low, low + width


def _gemm(to: Builder, x: int) -> Node | None:
    fact = to.fact(x)
    if not fact.shape:
        return None
    outputs = to.draw(st.sampled_from(_WIDE_SIZES) if to.wide else st.integers(1, 4))
    weights, room = to.weights((outputs, fact.shape[-1]), fact)
    return ops.Gemm(x, weights, to.bias((outputs,), room), to.shifts((outputs,)))


def _conv(to: Builder, x: int) -> Node | None:
    fact = to.fact(x)
    if not 2 <= len(fact.shape) <= 4:
        return None
    groups = to.draw(st.sampled_from([g for g in (1, 2, 3, 5, fact.shape[0]) if fact.shape[0] % g == 0]))
    outputs = groups * to.draw(st.sampled_from([1, 2, 3, 17]) if to.wide else st.integers(1, 2))
    kernel, strides, begin, end, dilations = to.window(fact.shape[1:])
    single = fact.magnitude <= SINGLE_EXACT_MAX and to.draw(st.booleans())
    weights, room = to.weights(
        (outputs, fact.shape[0] // groups, *kernel), fact, SINGLE_EXACT_MAX if single else DOUBLE_EXACT_MAX
    )
    form = ConvForm.SINGLE if single else ConvForm.DOUBLE
    bias, shifts = to.bias((outputs,), room), to.shifts((outputs,))
    return ops.Conv(x, weights, bias, shifts, strides, begin, end, dilations, groups, form)


def _affine(to: Builder, x: int) -> Node | None:
    fact = to.fact(x)
    shape = tuple(size if to.draw(st.booleans()) else 1 for size in fact.shape)
    budget = DOUBLE_EXACT_MAX // max(fact.magnitude, 1)
    weights, room = None, DOUBLE_EXACT_MAX - fact.magnitude
    if to.draw(st.booleans()):
        spend = to.draw(st.sampled_from([budget, budget // 2, min(budget, 7)]))
        weights = to.constant(to.random.integers(-spend, spend, size=shape, endpoint=True))
        room = DOUBLE_EXACT_MAX - spend * fact.magnitude
    bias = to.bias(shape, room)
    return None if weights is None and bias is None else ops.Affine(x, weights, bias, to.shifts(shape))


def _rescale(to: Builder, x: int) -> Node:
    return ops.Rescale(x, to.draw(st.one_of(st.integers(-6, 6), st.integers(0, 60), st.integers(-127, 127))))


def _pair(make: Callable[[int, int], Node]) -> Callable[[Builder, int], Node]:
    def propose(to: Builder, x: int) -> Node:
        return make(x, to.draw(st.integers(0, len(to.place.facts) - 1)))

    return propose


def _mul(to: Builder, x: int) -> Node:
    y = to.draw(st.integers(0, len(to.place.facts) - 1))
    return ops.Mul(x, y, to.draw(st.one_of(st.just(0), st.integers(0, 60), st.integers(0, 127))))


def _clip(to: Builder, x: int) -> Node:
    low, high = to.draw(intervals())
    return ops.Clip(x, low, high)


def _max_pool(to: Builder, x: int) -> Node | None:
    dims = len(to.fact(x).shape) - 1
    if not 1 <= dims <= 3:
        return None
    kernel, strides, begin, end, dilations = to.window(to.fact(x).shape[1:])
    begin = tuple(min(pad, d * (k - 1)) for pad, k, d in zip(begin, kernel, dilations, strict=True))
    end = tuple(0 if k == 1 else pad for pad, k in zip(end, kernel, strict=True))
    return ops.MaxPool(x, kernel, strides, begin, end, dilations)


def _reshape(to: Builder, x: int) -> Node:
    shape = list(to.fact(x).shape)
    if len(shape) >= 2 and to.draw(st.booleans()):
        shape[:2] = [shape[0] * shape[1]]
    elif to.draw(st.booleans()):
        shape.insert(to.draw(st.integers(0, len(shape))), 1)
    else:
        shape = [prod(shape)]
    return ops.Reshape(x, tuple(shape))


def _transpose(to: Builder, x: int) -> Node:
    return ops.Transpose(x, tuple(to.draw(st.permutations(range(len(to.fact(x).shape))))))


def _concat(to: Builder, x: int) -> Node | None:
    rank = len(to.fact(x).shape)
    others = to.draw(st.lists(st.integers(0, len(to.place.facts) - 1), max_size=2))
    return ops.Concat((x, *others), to.draw(st.integers(0, rank - 1))) if rank else None


def _slice(to: Builder, x: int) -> Node:
    starts, counts, steps = [], [], []
    for size in to.fact(x).shape:
        first, last = to.draw(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)))
        step = to.draw(st.integers(1, 2)) * (1 if first <= last else -1)
        starts.append(first)
        counts.append((last - first) // step + 1)
        steps.append(step)
    return ops.Slice(x, tuple(starts), tuple(counts), tuple(steps))


def _pad(to: Builder, x: int) -> Node:
    rank = len(to.fact(x).shape)
    before, after = (tuple(to.draw(st.lists(st.integers(0, 2), min_size=rank, max_size=rank))) for _ in range(2))
    return ops.Pad(x, before, after, to.draw(st.sampled_from([0, 1, -DOUBLE_EXACT_MAX, 1 << 20])))


def _reduce(make: Callable[[int, Dims], Node]) -> Callable[[Builder, int], Node | None]:
    def propose(to: Builder, x: int) -> Node | None:
        rank = len(to.fact(x).shape)
        return make(x, to.axes(rank)) if rank else None

    return propose


def _arg_max(to: Builder, x: int) -> Node | None:
    rank = len(to.fact(x).shape)
    return ops.ArgMax(x, to.draw(st.integers(0, rank - 1))) if rank else None


def _softmax(to: Builder, x: int) -> Node | None:
    rank = len(to.fact(x).shape)
    if not rank:
        return None
    return ops.Softmax(x, to.draw(st.integers(0, rank - 1)), to.draw(st.integers(0, 62)), to.draw(st.integers(0, 30)))


def _div(to: Builder, x: int) -> Node | None:
    """By a tensor whose interval starts at 1 or above: there may be one, or it is made."""
    positive = [index for index, fact in enumerate(to.place.facts) if fact.low >= 1]
    if not positive:
        high = to.draw(st.sampled_from([1, 3, 1 << 20, DOUBLE_EXACT_MAX]))
        return ops.Clip(x, to.draw(st.integers(1, high)), high)
    return ops.Div(
        x, to.draw(st.sampled_from(positive)), to.draw(st.one_of(st.integers(-53, 53), st.integers(-127, 127)))
    )


def _sqrt(to: Builder, x: int) -> Node:
    shift = to.draw(st.one_of(st.integers(-30, 10), st.integers(-127, 127)))
    return ops.Sqrt(x, shift) if to.fact(x).low >= 0 else ops.Mul(x, x, to.draw(st.integers(0, 30)))


def preorder(random: np.random.Generator, depth: int, width: int, leaf: float = 0.3) -> list[int]:
    """A random tree as graph.Trees writes its features: of `width`, in at most `depth` branches; `leaf`: how likely a
    node ends early."""
    if depth == 0 or random.random() < leaf:
        return [-1]
    left, right = (preorder(random, depth - 1, width, leaf) for _ in range(2))
    return [int(random.integers(width)), *left, *right]


def _trees(to: Builder, x: int) -> Node | None:
    """Thresholds at, next to and between the ends of x's interval; leaves whose sums meet the bound."""
    fact = to.fact(x)
    if len(fact.shape) != 1:
        return None
    count, depth = to.draw(st.integers(1, 5)), to.draw(st.integers(1, 5))
    features = [feature for _ in range(count) for feature in preorder(to.random, depth, fact.shape[0])]
    if max(features) < 0:
        features = [0, -1, -1, *features]
    branches, leaves = sum(f >= 0 for f in features), sum(f < 0 for f in features)
    trees = leaves - branches
    ends = [end + step for end in (fact.low, fact.high) for step in (-1, 0, 1) if abs(end + step) <= DOUBLE_EXACT_MAX]
    drawn = to.random.integers(fact.low, fact.high, size=branches, endpoint=True)
    thresholds = np.where(to.random.random(branches) < 0.5, to.random.choice(ends, size=branches), drawn)
    columns = to.draw(st.integers(1, 3))
    room = to.draw(st.sampled_from([DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX - 1, 1000])) // trees
    values = to.random.integers(-room, room, size=(leaves, columns), endpoint=True)
    values = np.where(to.random.random(values.shape) < 0.5, to.random.choice([-room, room], size=values.shape), values)
    return ops.Trees(x, to.constant(features), to.constant(thresholds), to.constant(values))


def _lookup(to: Builder, x: int) -> Node:
    """By a tensor whose interval starts at 0 and is small: there may be one, or it is made."""
    small = [index for index, fact in enumerate(to.place.facts) if fact.low >= 0 and fact.high < 64]
    if not small:
        return ops.Clip(x, 0, to.draw(st.integers(0, 20)))
    index = to.draw(st.sampled_from(small))
    shape = (to.fact(index).high + 1, *to.draw(st.lists(st.integers(1, 3), max_size=2)))
    return ops.Lookup(index, to.constant(to.random.integers(-DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX, shape, endpoint=True)))


def _matmul(to: Builder, x: int) -> Node | None:
    """Of x and what fits it, or x turned; cut so that the sums meet the bound."""
    shape = to.fact(x).shape
    if len(shape) < 2:
        return None
    fits = [at for at, fact in enumerate(to.place.facts) if _multiply(shape, fact.shape)]
    turned = ops.Transpose(x, (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2))
    y = to.draw(st.sampled_from(fits)) if fits else to.made(turned)
    width, room = shape[-1], DOUBLE_EXACT_MAX // shape[-1]
    if to.fact(x).magnitude * to.fact(y).magnitude * width > DOUBLE_EXACT_MAX:
        small = 1 << to.draw(st.sampled_from([0, 8, 26]))
        y = to.made(ops.Clip(y, -small, small - 1))
        most = room // max(to.fact(y).magnitude, 1)
        x = to.made(ops.Clip(x, -most, most))
    return ops.MatMul(x, y, to.draw(st.one_of(st.just(0), st.integers(0, 60), st.integers(0, 127))))


def _multiply(a: Dims, b: Dims) -> bool:
    lead = zip(a[:-2], b[:-2], strict=False)
    return len(a) == len(b) and a[-1] == b[-2] and all(p == q or 1 in (p, q) for p, q in lead)


def _take(to: Builder, x: int) -> Node | None:
    """By a tensor whose interval lies inside: there may be one, or it is made."""
    shape = to.fact(x).shape
    if not shape:
        return None
    axis = to.draw(st.integers(0, len(shape) - 1))
    fits = [at for at, fact in enumerate(to.place.facts) if _index(shape, fact.shape, axis)]
    inside = [at for at in fits if to.fact(at).low >= 0 and to.fact(at).high < shape[axis]]
    if inside:
        return ops.Take(x, to.draw(st.sampled_from(inside)), axis)
    low, high = to.draw(st.integers(0, shape[axis] - 1)), shape[axis] - 1
    return ops.Take(x, to.made(ops.Clip(to.draw(st.sampled_from(fits)), low, high)), axis)


def _index(shape: Dims, found: Dims, axis: int) -> bool:
    return len(found) == len(shape) and all(
        place == axis or size in (1, shape[place]) for place, size in enumerate(found)
    )


def _top_k(to: Builder, x: int) -> Node | None:
    """Often of few different values: ties."""
    shape = to.fact(x).shape
    if not shape:
        return None
    if to.draw(st.booleans()):
        x = to.made(ops.Clip(x, 0, 1))
    axis = to.draw(st.integers(0, len(shape) - 1))
    return ops.TopK(x, axis, to.draw(st.integers(1, shape[axis])), to.draw(st.booleans()))


_Propose = Callable[[Builder, int], Node | None]
PROPOSALS: dict[type, _Propose] = {
    ops.Gemm: _gemm, ops.Conv: _conv, ops.Affine: _affine, ops.Rescale: _rescale, ops.Add: _pair(ops.Add),
    ops.Sub: _pair(ops.Sub), ops.Mul: _mul, ops.Clip: _clip, ops.Relu: lambda to, x: ops.Relu(x),
    ops.MaxPool: _max_pool, ops.Reshape: _reshape, ops.Transpose: _transpose, ops.Concat: _concat, ops.Slice: _slice,
    ops.Pad: _pad, ops.ReduceSum: _reduce(ops.ReduceSum), ops.ReduceMax: _reduce(ops.ReduceMax), ops.ArgMax: _arg_max,
    ops.Softmax: _softmax, ops.Div: _div, ops.Sqrt: _sqrt, ops.Trees: _trees, ops.Lookup: _lookup,
    ops.MatMul: _matmul, ops.Take: _take, ops.TopK: _top_k,
}  # fmt: skip
"""One for each op that a graph may hold."""


@st.composite
def graphs(draw: Draw, nodes_max: int = 8, only: type | None = None, *, wide: bool = False) -> Graph:
    """Graphs that the verifier accepts, with one to three small inputs and at least one node. `only`: the first node
    is of this op, where one was found on the inputs, and follows only what makes an operand fit for it. `wide`: as in
    Builder."""
    builder = Builder(draw, wide=wide)
    for _ in range(draw(st.integers(1, 3))):
        builder.add_input()
    for _ in range(3):
        if only is not None and not any(isinstance(node, only) for node in builder.nodes):
            builder.grow([PROPOSALS[only]])
    for _ in range(draw(st.sampled_from([1, nodes_max // 2, nodes_max]))):
        builder.grow(list(PROPOSALS.values()))
    if not builder.nodes:
        builder.accept(ops.Relu(0))
    return builder.graph()


@st.composite
def inputs_of(draw: Draw, graph: Graph, rows_max: int = 3) -> dict[str, npt.NDArray[np.int64]]:
    """Inputs of a graph; half of the elements at the ends of their intervals, where the bounds are met."""
    rows = draw(st.integers(1, rows_max))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    result = {}
    for spec in graph.inputs:
        shape = (rows, *spec.shape)
        values = random.integers(spec.low, spec.high, size=shape, endpoint=True)
        ends = random.choice([spec.low, spec.high], size=shape)
        one_end = np.full(shape, random.choice([spec.low, spec.high]))
        kind = random.random(size=shape) if random.random() < 0.8 else np.ones(shape)
        result[spec.name] = np.where(kind < 0.5, values, np.where(kind < 1, ends, one_end)).astype(np.int64)
    return result


def wrap(inputs: list[TensorSpec], constants: list[npt.NDArray[Any]], nodes: list[Node], shape: Dims = ()) -> Graph:
    """A graph whose one output "y" is the last node's tensor, of this shape, in the widest interval; not judged."""
    spec = TensorSpec("y", shape, 0, -DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX)
    return Graph(
        version=GRAPH_VERSION, lowering_version="test", source_hash=ZERO_HASH, labels=(), inputs=tuple(inputs),
        outputs=(Output(len(inputs) + len(nodes) - 1, spec),), constants=tuple(pack(c) for c in constants),
        nodes=tuple(nodes),
    )  # fmt: skip
