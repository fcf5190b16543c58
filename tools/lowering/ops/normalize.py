"""Normalizer: rows divided by their length or by the sum of their magnitudes. FeatureVectorizer: rows side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.columns import as_floating, regridded
from tools.lowering.ops.elementwise import ratio
from tools.lowering.ops.layout import joined
from tools.lowering.ops.reduce import Reduction, largest, magnitudes
from tools.lowering.source import Node, Shape

NORM_BITS: Final = 50
"""Of a sum of squares: x gets half of them."""
NORM_FRAC_BITS: Final = 24


def normalizer(node: Node, b: Builder) -> None:
    """Each row divided by the sum of its magnitudes (L1), by its length (L2) or by its largest element (MAX); a row of
    zeros stays. Over a largest element of 0, in a row of none above, all is 0."""
    x = as_floating(b.tensor(node, 0))
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    norms = {"L1": magnitudes, "L2": _length}
    kind = node.text("norm", "MAX")
    if kind == "MAX":
        b.bind(node, _over_largest(node, b, x))
        return
    if kind not in norms:
        raise node.refuse(f"norm {kind} is unknown, L1, L2 and MAX are known")
    b.bind(node, shares(node, b, x, 0, norms[kind]))


def _over_largest(node: Node, b: Builder, x: Tensor) -> Tensor:
    """As onnxruntime does, by the largest element, not the largest magnitude: its sign is taken apart where it may have
    either and calibration says how large quotients are."""
    top, limit = largest(node, b, x, (0,)), b.limit(node.outputs[0])
    if top.fact.low >= 0 or limit is None:
        return ratio(node, b, x, top, NORM_FRAC_BITS)
    x = b.within_limit(x)
    top = largest(node, b, x, (0,))
    sign = b.derive(top, ir.Clip(x=top.index, low=-1, high=1), frac_bits=0, error=0.0, limit=None)
    turned = b.derive(x, ir.Mul(a=x.index, b=sign.index, shift=0))
    size = b.derive(top, ir.Mul(a=top.index, b=sign.index, shift=0), limit=None)
    size = b.derive(size, ir.Clip(x=size.index, low=1, high=size.fact.magnitude))
    return ratio(node, b, turned, size, NORM_FRAC_BITS, limit)


def shares(node: Node, b: Builder, x: Tensor, axis: int, norm: Reduction) -> Tensor:
    """x divided by its norm along one axis, which no element exceeds."""
    x = b.within_limit(x)
    spread = max(0, x.shape[axis] - 1).bit_length()
    x = b.drop(x, min(x.frac_bits, max(0, x.fact.magnitude.bit_length() - (NORM_BITS - spread) // 2)))
    result = ratio(node, b, x, norm(node, b, x, (axis,)), NORM_FRAC_BITS)
    one = 1 << result.frac_bits
    return replace(b.derive(result, ir.Clip(x=result.index, low=-one, high=one)), error=min(result.error, 2.0))


def _length(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The root of the sum of squares, on x's grid with two bits more."""
    squares = b.derive(x, ir.Mul(a=x.index, b=x.index, shift=0), frac_bits=2 * x.frac_bits)
    total = b.derive(squares, ir.ReduceSum(x=squares.index, axes=axes))
    root = ir.Sqrt(x=total.index, shift=-2)
    return b.derive(total, root, frac_bits=x.frac_bits + 2, error=x.error * x.shape[0] ** 0.5 + 2.0**-x.frac_bits / 8)


def feature_vectorizer(node: Node, b: Builder) -> None:
    """Rows of all inputs one after another, as float32; attribute inputdimensions says how wide each is."""
    parts = [as_floating(b.tensor(node, place)) for place in range(len(node.inputs))]
    widths = tuple(part.shape[0] if len(part.shape) == 1 else -1 for part in parts)
    stated = node.integers("inputdimensions") or widths
    if stated != widths or -1 in widths:
        shapes = ", ".join(str(list(part.shape)) for part in parts)
        raise node.refuse(f"inputdimensions {list(stated)} do not fit rows of shapes {shapes}")
    finest = max(part.frac_bits for part in parts)
    result = joined(b, regridded(node, b, parts, finest), 0)
    b.bind(node, replace(result, dtype=as_floating(parts[0]).dtype, limit=None))
