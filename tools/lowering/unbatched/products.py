"""Matrix products: a vector becomes a matrix, Gemm a MatMul with what it scales and adds."""

from __future__ import annotations

import numpy as np

from tools.lowering.source import Node
from tools.lowering.unbatched.axes import of_rank
from tools.lowering.unbatched.rows import Rows


def matmul(node: Node, rows: Rows) -> None:
    """A vector is a row on the left, a column on the right, and its dimension is dropped again."""
    left, right = node.inputs[:2]
    a, b = rows.shape(left), rows.shape(right)
    if not a or not b:
        raise node.refuse("a number cannot be multiplied as a matrix")
    if rows.is_constant(right) and len(b) <= 2:
        rows.add(node)
        return
    rank = max(len(a), len(b), 2)
    if rows.is_constant(left) and len(a) <= 2 and len(b) >= 2:
        if len(a) == 2:
            rows.add(node)
            return
        left = rows.store(node, rows.constants[left][np.newaxis])
    if not rows.is_constant(left):
        left = of_rank(node, rows, left if len(a) > 1 else rows.shaped(node, left, (1, *a)), rank)
    if not rows.is_constant(right):
        right = of_rank(node, rows, right if len(b) > 1 else rows.shaped(node, right, (*b, 1)), rank)
    if len(a) > 1 and len(b) > 1:
        rows.finish(node, "MatMul", [left, right])
        return
    product = rows.helper(node, "MatMul", [left, right])
    shape = rows.shape(product)
    kept = [*shape[:-2], *(shape[-2:-1] if len(a) > 1 else ()), *(shape[-1:] if len(b) > 1 else ())]
    rows.finish(node, "Reshape", [product, rows.store(node, [0, *kept])])


def gemm(node: Node, rows: Rows) -> None:
    """alpha * A @ B + beta * C: MatMul, Mul and Add."""
    left, right = (_matrix(node, rows, place, name) for place, name in enumerate(("transA", "transB")))
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    for name in (left, right):
        if alpha != 1 and rows.is_constant(name):
            scaled = rows.store(node, rows.constants[name].astype(np.float64) * alpha)
            left, right, alpha = (scaled if name == left else left), (scaled if name == right else right), 1.0
    product = rows.helper(node, "MatMul", [left, right])
    if alpha != 1:
        product = rows.helper(node, "Mul", [product, rows.store(node, np.array(alpha))])
    if not node.has_input(2):
        rows.finish(node, "Identity", [product])
        return
    offset = node.inputs[2]
    if rows.is_constant(offset):
        offset = rows.store(node, rows.constants[offset].astype(np.float64) * beta)
    else:
        offset = of_rank(node, rows, offset, 2)
        offset = offset if beta == 1 else rows.helper(node, "Mul", [offset, rows.store(node, np.array(beta))])
    rows.finish(node, "Add", [product, offset])


def _matrix(node: Node, rows: Rows, position: int, transposed: str) -> str:
    name = node.inputs[position]
    if len(rows.shape(name)) != 2:
        raise node.refuse(f"its operand {position} has the shape {list(rows.shape(name))}, a matrix is needed")
    if not node.flag(transposed):
        return name
    if rows.is_constant(name):
        return rows.store(node, np.ascontiguousarray(rows.constants[name].T))
    return rows.helper(node, "Transpose", [name], perm=(0, 2, 1))


def einsum(node: Node, rows: Rows) -> None:
    """Computed operands and the result get one more letter."""
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(node.inputs):
        raise node.refuse(f"its equation {equation!r} is for {len(terms)} operands")
    if not arrow:
        once = sorted(letter for letter in set(left) - {",", "."} if left.count(letter) == 1)
        result = ("..." if "..." in left else "") + "".join(once)
    letter = next(letter for letter in "NBZYXWVUTSRQPONMLKJIHGFEDCA" if letter not in equation)
    moved = [term if rows.is_constant(name) else letter + term for term, name in zip(terms, node.inputs, strict=True)]
    rows.finish(node, "Einsum", node.inputs, equation=f"{','.join(moved)}->{letter}{result}")
