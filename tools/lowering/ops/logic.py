"""Comparisons, And, Or, Xor, Not, Where, Binarizer, Imputer, OneHotEncoder: what is asked of numbers and answered by 0
or 1. No op of the graph is for them: n >= t is Clip(n - t + 1, 0, 1) of integers, and n = t is where Clip(n - t, -1,
1)**2 is 0.

A comparison with a constant is exact on the tensor's grid, wherever the constant lies. That the tensor itself was
rounded may change an answer: its error is then unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops.columns import filled, floats, regridded
from tools.lowering.ops.elementwise import pair
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.missing import is_missing
from tools.lowering.protobuf import TEXT
from tools.lowering.source import Array, Node

BOOL: Final = np.dtype(np.bool_)
_MIRRORED: Final = {
    "Less": "Greater", "Greater": "Less", "LessOrEqual": "GreaterOrEqual", "GreaterOrEqual": "LessOrEqual",
    "Equal": "Equal",
}  # fmt: skip
CATEGORIES_MAX: Final = 65_536


def compare(node: Node, b: Builder) -> None:
    """Less, LessOrEqual, Greater, GreaterOrEqual, Equal of two tensors, or of one and a constant on either side."""
    first, second = (b.is_constant(name) for name in node.inputs)
    if first or second:
        x, op = b.tensor(node, int(first)), _MIRRORED[node.op] if first else node.op
        constant = floats(b.constant(node, int(second), "the other operand"))
        b.bind(node, compared(node, b, x, op, constant))
        return
    x, y = pair(node, b.tensor(node, 0), b.tensor(node, 1))
    b.bind(node, _difference(node, b, x, y, node.op))


def compared(node: Node, b: Builder, x: Tensor, op: str, constant: Floats) -> Tensor:
    """x `op` constant, with a bound on x's own grid for each of its elements."""
    shape = constant.shape[1:] if constant.ndim == len(x.shape) + 1 and constant.shape[0] == 1 else constant.shape
    shape = (1,) * (len(x.shape) - len(shape)) + tuple(shape)
    if len(shape) != len(x.shape) or not constant.size:
        raise node.refuse(f"a constant of shape {list(constant.shape)} does not fit rows of shape {list(x.shape)}")
    constant = constant.reshape(shape)
    if any(size not in (1, full) for size, full in zip(shape, x.shape, strict=True)):
        other = filled(node, b, replace(x, dtype=np.dtype(np.float32)), constant)
        return _difference(node, b, *pair(node, x, replace(other, dtype=x.dtype)), op)
    scaled = np.clip(np.ldexp(constant, x.frac_bits), x.fact.low - 1, x.fact.high + 1)
    if op == "Equal":
        return _is_zero(b, _plus(b, x, -np.rint(scaled)))
    least = {"GreaterOrEqual": np.ceil(scaled), "Less": np.ceil(scaled)}.get(op, np.floor(scaled) + 1)
    answer = _answer(b, _plus(b, x, 1 - least), x.error)
    return answer if op.startswith("Greater") else negation(b, answer)


def _difference(node: Node, b: Builder, x: Tensor, y: Tensor, op: str) -> Tensor:
    x, y = regridded(node, b, (x, y), max(x.frac_bits, y.frac_bits))
    if op in ("Less", "LessOrEqual"):
        x, y = y, x
    error = x.error + y.error
    found = b.derive(x, ir.Sub(a=x.index, b=y.index), error=error, limit=None)
    if op == "Equal":
        return _is_zero(b, found)
    return _answer(b, found if op in ("Less", "Greater") else _plus(b, found, np.ones((1,) * len(x.shape))), error)


def _plus(b: Builder, x: Tensor, addend: Array) -> Tensor:
    """x + addend, integers of x's grid; addend has x's rank."""
    if not x.shape:
        return reshaped(b, _plus(b, reshaped(b, x, (1,)), addend.reshape(1)), ())
    bias = b.store(addend.astype(np.int64))
    return b.derive(x, ir.Affine(x=x.index, weights=None, bias=bias, shifts=None), limit=None)


def _answer(b: Builder, x: Tensor, error: float) -> Tensor:
    """1 where the integer is at least 1, else 0."""
    unknown = float("inf") if error else 0.0
    return b.derive(x, ir.Clip(x=x.index, low=0, high=1), frac_bits=0, dtype=BOOL, error=unknown, limit=None)


def _is_zero(b: Builder, x: Tensor) -> Tensor:
    sign = b.derive(x, ir.Clip(x=x.index, low=-1, high=1))
    apart = b.derive(sign, ir.Mul(a=sign.index, b=sign.index, shift=0))
    return negation(b, _answer(b, apart, x.error))


def is_true(b: Builder, x: Tensor) -> Tensor:
    """Whether x is not 0."""
    return negation(b, _is_zero(b, x))


def negation(b: Builder, x: Tensor) -> Tensor:
    """1 - x, of 0 or 1."""
    if not x.shape:
        return reshaped(b, negation(b, reshaped(b, x, (1,))), ())
    ones = np.ones((1,) * len(x.shape), np.int64)
    return b.derive(x, ir.Affine(x=x.index, weights=b.store(-ones), bias=b.store(ones), shifts=None))


def not_(node: Node, b: Builder) -> None:
    """1 where it was 0."""
    b.bind(node, negation(b, _truth(node, b, 0)))


def connect(node: Node, b: Builder) -> None:
    """And, Or, Xor of two tensors of 0 and 1, of which one may be constant: their product; whether their sum is 1 or 2;
    whether it is 1."""
    given = [b.is_constant(name) for name in node.inputs]
    like = _truth(node, b, 1 if given[0] else 0)
    x, y = pair(node, *(_operand(node, b, place, like) if given[place] else _truth(node, b, place) for place in (0, 1)))
    error = max(x.error, y.error)
    if node.op == "And":
        b.bind(node, b.derive(x, ir.Mul(a=x.index, b=y.index, shift=0), error=error))
        return
    op = ir.Add if node.op == "Or" else ir.Sub
    both = b.derive(x, op(a=x.index, b=y.index), error=error)
    if node.op == "Xor":
        both = b.derive(both, ir.Mul(a=both.index, b=both.index, shift=0))
    b.bind(node, _answer(b, both, error))


def _truth(node: Node, b: Builder, position: int) -> Tensor:
    x = b.tensor(node, position)
    if x.dtype != BOOL:
        raise node.refuse(f"it asks whether {x.dtype} is true")
    return x


def where(node: Node, b: Builder) -> None:
    """y + condition * (x - y): exact on the finer grid of x and y. Any of the three may be constant."""
    computed = [place for place in (0, 1, 2) if not b.is_constant(node.inputs[place])]
    like = _truth(node, b, 0) if 0 in computed else b.tensor(node, computed[0])
    condition = like if 0 in computed else _operand(node, b, 0, like)
    parts = [_operand(node, b, place, like) for place in (1, 2)]
    if parts[0].dtype != parts[1].dtype:
        raise node.refuse(f"it chooses between {parts[0].dtype} and {parts[1].dtype}")
    always = parts[0] if condition.fact.low == 1 else parts[1] if condition.fact.high == 0 else None
    shapes = (condition.shape, parts[0].shape, parts[1].shape)
    if always is not None and always.shape == np.broadcast_shapes(*shapes):
        b.bind(node, always)
        return
    b.bind(node, chosen(node, b, condition, *parts))


def _operand(node: Node, b: Builder, place: int, like: Tensor) -> Tensor:
    if not b.is_constant(node.inputs[place]):
        return b.tensor(node, place)
    constant = b.constant(node, place, "what it chooses")
    rank = len(like.shape)
    rows = constant.reshape((1,) * (rank + 1 - constant.ndim) + constant.shape)
    if rows.ndim != rank + 1 or rows.shape[0] != 1 or not rows.size:
        reason = f"a constant of shape {list(constant.shape)} holds nothing, or has rows of its own; the batch is open"
        raise node.refuse(reason)
    made = filled(node, b, replace(like, dtype=np.dtype(np.float32)), floats(rows[0]))
    if constant.dtype.kind == "f":
        return replace(made, dtype=constant.dtype)
    return replace(b.regrid(made, 0), dtype=constant.dtype, error=0.0)


def chosen(node: Node, b: Builder, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x where the condition is 1, y where it is 0: exact on their finer grid."""
    pair(node, condition, x)
    pair(node, *pair(node, x, y))
    error = max(x.error, y.error) if condition.error == 0 else float("inf")
    x, y = regridded(node, b, (x, y), max(x.frac_bits, y.frac_bits))
    apart = b.derive(x, ir.Sub(a=x.index, b=y.index), limit=None)
    kept = b.derive(apart, ir.Mul(a=condition.index, b=apart.index, shift=0))
    result = b.derive(x, ir.Add(a=kept.index, b=y.index), error=error, limit=None)
    low, high = min(x.fact.low, y.fact.low), max(x.fact.high, y.fact.high)
    return b.derive(result, ir.Clip(x=result.index, low=low, high=high))  # changes nothing, but says how large it is


def binarizer(node: Node, b: Builder) -> None:
    """1 where x > threshold, else 0."""
    x = b.tensor(node, 0)
    threshold = np.full((1,) * len(x.shape), node.number("threshold", 0.0))
    b.bind(node, replace(compared(node, b, x, "Greater", threshold), dtype=x.dtype))


def imputer(node: Node, b: Builder) -> None:
    """One value replaced by another, for each feature or the same for all: NaN, which does not exist where none is
    missing, or a number."""
    x = b.tensor(node, 0, missing=True)
    kind = "float" if x.dtype.kind == "f" else "int64"
    replaced: Any = node.attributes.get(f"replaced_value_{kind}", 0)
    if not np.isnan(replaced):
        x = b.tensor(node, 0)
    if x.missing is None and not np.isfinite(replaced):
        b.bind(node, x)
        return
    values = (node.numbers if kind == "float" else node.integers)(f"imputed_value_{kind}s") or ()
    if not x.shape or len(values) not in (1, x.shape[-1]):
        raise node.refuse(f"{len(values)} imputed values do not fit rows of shape {list(x.shape)}")
    ones = (1,) * len(x.shape)
    condition = is_missing(b, x) if x.missing is not None else compared(node, b, x, "Equal", np.full(ones, replaced))
    x = replace(x, missing=None)
    new = filled(node, b, replace(x, dtype=np.dtype(np.float32)), floats(np.array(values)).reshape(*ones[:-1], -1))
    new = replace(new if kind == "float" else b.regrid(new, 0), dtype=x.dtype)
    b.bind(node, chosen(node, b, condition, new, x))


def one_hot_encoder(node: Node, b: Builder) -> None:
    """For each category, in a dimension of its own at the end, whether x is it: 1 or 0. What is no category is none of
    them, also where attribute zeros says to fail."""
    x = b.tensor(node, 0, classes=True)
    if x.dtype != TEXT:
        x = b.tensor(node, 0)
    categories = node.texts("cats_strings") if x.classes else node.integers("cats_int64s")
    if categories is None:
        raise node.refuse(f"its categories are {'numbers' if x.classes else 'texts'}, and it is given {x.dtype}")
    if not 1 <= len(categories) <= CATEGORIES_MAX:
        raise node.refuse(f"it has {len(categories)} categories, 1 to {CATEGORIES_MAX} are supported")
    alone = reshaped(b, x, (*x.shape, 1))
    if x.classes:
        known = {text: place for place, text in enumerate(x.classes)}
        alone = replace(alone, classes=None, dtype=np.dtype(np.int64))
        categories = tuple(known.get(text, -1) for text in categories)
    found = compared(node, b, alone, "Equal", np.array(categories, np.float64).reshape((1,) * len(x.shape) + (-1,)))
    b.bind(node, replace(found, dtype=np.dtype(np.float32)))


Handler = Callable[[Node, Builder], None]
LOGIC: Final[dict[str, Handler]] = {
    "And": connect, "Binarizer": binarizer, "Equal": compare, "Greater": compare, "GreaterOrEqual": compare,
    "Imputer": imputer, "Less": compare, "LessOrEqual": compare, "Not": not_, "OneHotEncoder": one_hot_encoder,
    "Or": connect, "Where": where, "Xor": connect,
}  # fmt: skip
