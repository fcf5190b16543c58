"""The exact-grid graph: a model whose every value is an integer, in canonical bytes. The model's hash is theirs.

What lives here: the types and what each op means. What must not: any judgement of whether a graph is good (verifier)
and any computation of it (interpreter, engine).

The frame
- A tensor holds integers n; a person reads n * 2**-frac_bits, but no op knows of that scale: the ops below are
  functions of integers (Softmax is told its scales). Only TensorSpec of inputs and outputs carries frac_bits.
- Tensors are numbered: the inputs in order, then one per node in order (SSA). A node's operands have smaller numbers.
- Every tensor has a leading dimension N of rows, which no shape here mentions and no op can touch: axis 0 is the
  first dimension after N. Rows are therefore independent by construction. A shape may be () - one number per row.
- Constants are numbered apart, have no N and are named by ops in fields of their own.
- Nothing derivable is stored: shapes and intervals of inner tensors are computed by the verifier.
- A tensor's kind is decided by the op that makes it. Version 1 has one kind, exact: integers within a proven
  interval. A later version adds ops (with new tags) and may add kinds; it changes no bytes of an older graph.

Notation: rhe(v) rounds to the nearest integer, a tie to the even one. A `shift` s is a right shift with rounding:
rhe(v * 2**-s). `sum` is over the named index. All arithmetic is of mathematical integers; the verifier refuses any
graph in which a product, a sum or any partial sum, in whatever order, could leave +-2**53 before its shift.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, cast

import msgspec

from runtime.codec import codec
from runtime.crypto import hash_bytes
from runtime.inference.limits import (
    CONSTANTS_MAX,
    INPUTS_MAX,
    LABEL_CHARACTERS_MAX,
    LABELS_MAX,
    MODEL_BYTES_MAX,
    NODES_MAX,
    OPERANDS_MAX,
    OUTPUTS_MAX,
    RANK_MAX,
    SPATIAL_RANK_MAX,
    TENSOR_NAME_CHARACTERS_MAX,
    VERSION_CHARACTERS_MAX,
)
from runtime.types import I64, U8, U16, U32, Hash, IntWidth, MaxLen, Pattern, Struct

GRAPH_VERSION: Final = 1
"""The set of ops and rules. A verifier keeps every version it ever knew, so that old verdicts can be replayed."""

I8 = Annotated[int, IntWidth(8, signed=True)]
TensorIndex = U32
ConstantIndex = U32
TensorName = Annotated[str, Pattern(r"[!-~]+", TENSOR_NAME_CHARACTERS_MAX)]
Shape = Annotated[tuple[U32, ...], MaxLen(RANK_MAX)]
Axes = Annotated[tuple[U8, ...], MaxLen(RANK_MAX)]
Signed = Annotated[tuple[I64, ...], MaxLen(RANK_MAX)]
Spatial = Annotated[tuple[U32, ...], MaxLen(SPATIAL_RANK_MAX)]


class IntKind(IntEnum):
    """The stored width of a constant's integers: always the smallest that holds all of them."""

    I8 = 0
    I16 = 1
    I32 = 2
    I64 = 3


class ConvForm(IntEnum):
    """How a Conv is computed, hence under which bound it is proven."""

    DOUBLE = 0  # float64 products and sums: every partial sum within 2**53
    SINGLE = 1  # float32 products and sums of weights and inputs: within 2**24; bias, shift and rounding in float64


class Constant(Struct):
    """Integers of a fixed shape: two's complement, little endian, row major, in the smallest kind that holds them.
    Every dimension is at least 1. Build with `constants.pack`, read with `constants.unpack`."""

    shape: Annotated[tuple[U32, ...], MaxLen(RANK_MAX + 1)]
    kind: IntKind
    data: Annotated[bytes, MaxLen(MODEL_BYTES_MAX)]


class TensorSpec(Struct):
    """What a caller sees of a tensor: rows of integers n of `shape` (N left out), low <= n <= high, read as
    n * 2**-frac_bits. An input outside its interval is refused; an output's interval is proven."""

    name: TensorName
    shape: Shape
    frac_bits: U8
    low: I64
    high: I64


# ---- linear ops. weights, bias, shifts are constants; `bias` is at the accumulator's grid, added before the shift


class Gemm(Struct, tag=0):
    """y[..., o] = rhe((sum_k x[..., k] * weights[o, k] + bias[o]) * 2**-shifts[o]).

    x: rank >= 1; weights: [O, K]; bias: [O] or none (zero); shifts: [O], each 0..127, or none (zero).
    """

    x: TensorIndex
    weights: ConstantIndex
    bias: ConstantIndex | None
    shifts: ConstantIndex | None


class Conv(Struct, tag=1):
    """y[o, p] = rhe((sum_{c, k} x[g*C/groups + c, p*strides + k*dilations - pads_begin] * weights[o, c, k] + bias[o])
    * 2**-shifts[o]), g = o's group, in D = 1..3 spatial dimensions; x outside its shape counts as 0 (padding).

    x: [C, spatial...]; weights: [O, C / groups, kernel...]; bias, shifts: as in Gemm; strides, dilations, pads: one
    for each spatial dimension. Output positions: (in + pads - dilations * (kernel - 1) - 1) // strides + 1.
    """

    x: TensorIndex
    weights: ConstantIndex
    bias: ConstantIndex | None
    shifts: ConstantIndex | None
    strides: Spatial
    pads_begin: Spatial
    pads_end: Spatial
    dilations: Spatial
    groups: U32
    form: ConvForm


class Affine(Struct, tag=2):
    """y = rhe((x * weights + bias) * 2**-shifts), element by element.

    weights (none: 1), bias (none: 0), shifts (none: 0; each 0..127): those present have one shape, of x's rank, each
    dimension x's or 1 (repeated). At least weights or bias is present. Scales, offsets, normalisations and adding a
    constant are this op.
    """

    x: TensorIndex
    weights: ConstantIndex | None
    bias: ConstantIndex | None
    shifts: ConstantIndex | None


class Rescale(Struct, tag=3):
    """y = rhe(x * 2**-shift): to a coarser grid (shift > 0, rounds) or a finer one (shift < 0, exact). -127..127."""

    x: TensorIndex
    shift: I8


# ---- element by element. Two tensors have one rank; each dimension is equal, or 1 in one of them (repeated)


class Add(Struct, tag=4):
    """y = a + b."""

    a: TensorIndex
    b: TensorIndex


class Sub(Struct, tag=5):
    """y = a - b."""

    a: TensorIndex
    b: TensorIndex


class Mul(Struct, tag=6):
    """y = rhe(a * b * 2**-shift), shift 0..127. a * b within 2**53."""

    a: TensorIndex
    b: TensorIndex
    shift: U8


class Clip(Struct, tag=7):
    """y = min(max(x, low), high), low <= high, both within 2**53."""

    x: TensorIndex
    low: I64
    high: I64


class Relu(Struct, tag=8):
    """y = max(x, 0)."""

    x: TensorIndex


# ---- windows


class MaxPool(Struct, tag=9):
    """y[c, p] = max over k of x[c, p*strides + k*dilations - pads_begin], over positions inside x; D = 1..3.

    x: [C, spatial...]. Every window holds at least one position inside x: pads_begin <= dilation * (kernel - 1), the
    last window starts inside x, and where pads_begin > 0 the dilation is at most x's size.
    """

    x: TensorIndex
    kernel: Spatial
    strides: Spatial
    pads_begin: Spatial
    pads_end: Spatial
    dilations: Spatial


# ---- shapes


class Reshape(Struct, tag=10):
    """The same elements in row-major order under another shape (N stays)."""

    x: TensorIndex
    shape: Shape


class Transpose(Struct, tag=11):
    """y's dimension i is x's dimension permutation[i] (N stays in front)."""

    x: TensorIndex
    permutation: Axes


class Concat(Struct, tag=12):
    """The tensors one after another along `axis`; all other dimensions equal. One or more."""

    tensors: Annotated[tuple[TensorIndex, ...], MaxLen(OPERANDS_MAX)]
    axis: U8


class Slice(Struct, tag=13):
    """y[i...] = x[starts + i * steps...], 0 <= i < counts, in every dimension. Steps may be negative, never 0; first
    and last position lie inside x."""

    x: TensorIndex
    starts: Signed
    counts: Shape
    steps: Signed


class Pad(Struct, tag=14):
    """x with `before` and `after` elements of `value` added in every dimension. value within 2**53."""

    x: TensorIndex
    before: Shape
    after: Shape
    value: I64


# ---- reductions. The reduced dimensions stay, with size 1 (Reshape drops them)


class ReduceSum(Struct, tag=15):
    """y = the sum over `axes` (strictly ascending, at least one)."""

    x: TensorIndex
    axes: Axes


class ReduceMax(Struct, tag=16):
    """y = the maximum over `axes` (strictly ascending, at least one)."""

    x: TensorIndex
    axes: Axes


class ArgMax(Struct, tag=17):
    """y = the index along `axis` of the maximum; of several, the first."""

    x: TensorIndex
    axis: U8


class Softmax(Struct, tag=18):
    """Softmax along `axis` of x * 2**-frac_bits_in, on the grid 2**-frac_bits_out. Each exponential is within
    6e-10 of the real one. A composite of steps, each exact or one correctly rounded float64 operation, written fl(.):

    d = max(x) - x                                exact integer, 0 <= d <= 2**53
    t = max(-d * 2**-(frac_bits_in + 8), -3/32)   exact: the exponent cut at -24 and divided by 256
    y = fl(fl(t * fl(1/24)) + fl(1/6))            quartic Taylor of exp(t)
    y = fl(fl(y * t) + 1/2); y = fl(fl(y * t) + 1); y = fl(fl(y * t) + 1)
    y = fl(y * y), eight times                    exp(256 t)
    e = rhe(y * 2**30)                            0 <= e <= 2**30; the maximum's own e is 2**30
    S = sum(e)                                    exact: 2**30 <= S <= 2**53
    result = rhe(fl(e / S) * 2**frac_bits_out)    0..2**frac_bits_out; the rows need not sum to exactly 1

    frac_bits_in 0..62, frac_bits_out 0..30; at most 2**23 elements along the axis.
    """

    x: TensorIndex
    axis: U8
    frac_bits_in: U8
    frac_bits_out: U8


class Div(Struct, tag=19):
    """y = rhe(fl(a / b) * 2**-shift), element by element, shift -127..127; fl(.) is the quotient as a correctly rounded
    float64.

    b is positive throughout: its interval starts at 1 or above. Shapes as in Add.
    """

    a: TensorIndex
    b: TensorIndex
    shift: I8


class Sqrt(Struct, tag=20):
    """y = rhe(fl(sqrt(x)) * 2**-shift), shift -127..127; fl(.) is the root as a correctly rounded float64. x >= 0."""

    x: TensorIndex
    shift: I8


# ---- decisions


class Trees(Struct, tag=21):
    """y[k] = sum over the trees of leaves[the leaf of that tree that x reaches, k].

    Trees stand one after another, each in preorder: a branch, all of its left side, all of its right side. `features`
    [nodes] says of each node in this order which of x's elements a branch looks at, or -1: the node is a leaf. From a
    branch x goes left where x[feature] <= threshold, else right.

    x: [F]; thresholds: [branches] in the same order, within 2**53, at least one; leaves: [leaves, K] in the same order.
    Whatever `features` holds, it reads in one way only, and trees that share nodes or go in circles cannot be written.
    """

    x: TensorIndex
    features: ConstantIndex
    thresholds: ConstantIndex
    leaves: ConstantIndex


class Lookup(Struct, tag=22):
    """y[..., c...] = table[x[...], c...]. x's interval lies inside the table's first dimension."""

    x: TensorIndex
    table: ConstantIndex


# ---- of two computed tensors, and by computed places


class MatMul(Struct, tag=23):
    """y[..., m, n] = rhe(sum_k a[..., m, k] * b[..., k, n] * 2**-shift), shift 0..127.

    a: [..., M, K] and b: [..., K, N] of one rank, at least 2; each dimension before the last two is equal, or 1 in one
    of them (repeated).
    """

    a: TensorIndex
    b: TensorIndex
    shift: U8


class Take(Struct, tag=24):
    """y[..., j, ...] = x[..., index[..., j, ...], ...]: along `axis` the element that index names, elsewhere in place.

    index: of x's rank; each other dimension is x's or 1 (repeated). Its interval lies inside x's dimension `axis`. y
    has x's shape with index's size along `axis`.
    """

    x: TensorIndex
    index: TensorIndex
    axis: U8


class TopK(Struct, tag=25):
    """y = the indices along `axis` of the k largest (or smallest) elements, the largest (smallest) first; of equal ones
    the first comes first. 1 <= k <= x's size along `axis`. The elements themselves are `Take` of these."""

    x: TensorIndex
    axis: U8
    k: U32
    largest: bool


Node = (
    Gemm
    | Conv
    | Affine
    | Rescale
    | Add
    | Sub
    | Mul
    | Clip
    | Relu
    | MaxPool
    | Reshape
    | Transpose
    | Concat
    | Slice
    | Pad
    | ReduceSum
    | ReduceMax
    | ArgMax
    | Softmax
    | Div
    | Sqrt
    | Trees
    | Lookup
    | MatMul
    | Take
    | TopK
)


def operands(node: Node) -> tuple[int, ...]:
    """The tensors that a node uses."""
    if isinstance(node, Concat):
        return node.tensors
    return tuple(getattr(node, name) for name in ("x", "a", "b", "index") if hasattr(node, name))


class Output(Struct):
    """A tensor that leaves the graph, and what a caller sees of it."""

    tensor: TensorIndex
    spec: TensorSpec


class Graph(Struct):
    """A model. `source_hash`: SHA-256 of the float model's bytes, zero if there is none. `labels`: names of classes in
    order of their index, or none. Every node's tensor is used, every constant is named; names are unique among
    inputs and among outputs."""

    version: U16
    lowering_version: Annotated[str, MaxLen(VERSION_CHARACTERS_MAX)]
    source_hash: Hash
    labels: Annotated[tuple[Annotated[str, MaxLen(LABEL_CHARACTERS_MAX)], ...], MaxLen(LABELS_MAX)]
    inputs: Annotated[tuple[TensorSpec, ...], MaxLen(INPUTS_MAX)]
    outputs: Annotated[tuple[Output, ...], MaxLen(OUTPUTS_MAX)]
    constants: Annotated[tuple[Constant, ...], MaxLen(CONSTANTS_MAX)]
    nodes: Annotated[tuple[Node, ...], MaxLen(NODES_MAX)]


def encode_graph(graph: Graph) -> bytes:
    """The canonical bytes: what is hashed, stored and verified. CodecError where a field is out of its type."""
    return codec(Graph).encode(graph)


def decode_graph(model: bytes) -> Graph:
    """CodecError unless `model` is the canonical encoding of a graph. Says nothing of whether the graph is sound."""
    return cast(Graph, codec(Graph).decode(model))


class _Outline(msgspec.Struct, array_like=True):
    """A graph's fields, as far as counting needs them."""

    version: msgspec.Raw
    lowering_version: msgspec.Raw
    source_hash: msgspec.Raw
    labels: msgspec.Raw
    inputs: msgspec.Raw
    outputs: msgspec.Raw
    constants: list[msgspec.Raw]
    nodes: list[msgspec.Raw]


_OUTLINE: Final = msgspec.msgpack.Decoder(_Outline)


def count_parts(model: bytes) -> tuple[int, int]:
    """How many constants and nodes the bytes of a graph hold, without making any: a hundredth of the time of decoding.
    (0, 0) where they are no graph's at first sight; `decode_graph` then says why."""
    try:
        outline = _OUTLINE.decode(model)
    except (msgspec.MsgspecError, RecursionError):
        return 0, 0
    return len(outline.constants), len(outline.nodes)


def model_hash(model: bytes) -> Hash:
    """The model's identity."""
    return hash_bytes("armillary/model", model)
