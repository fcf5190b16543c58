"""Rules about numbers: ARM001 floats, ARM002 true division, ARM003 powers, ARM004 integers from text."""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.bounds import bound_of
from runtime.module.lint.facts import Facts
from runtime.module.lint.kinds import TEXT, kind_of
from runtime.module.lint.rules import Hit, Hits

EXPONENT_MAX: Final = 256
SHIFT_MAX: Final = 4096


def check(facts: Facts) -> Hits:
    """All four."""
    for node in facts.nodes:
        match node:
            case ast.Constant(value=float() | complex()):
                yield Hit("ARM001", node, f"the number {node.value!r}")
            case ast.Name() if facts.is_builtin(node, "float", "complex"):
                yield Hit("ARM001", node, f"`{node.id}`")
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield Hit("ARM002", node, "true division `/`")
            case ast.Attribute() | ast.Name() if facts.dotted(node) in ("operator.truediv", "operator.itruediv"):
                yield Hit("ARM002", node, "true division by `operator`")
            case (
                ast.BinOp(left=base, op=ast.Pow() as operator, right=amount)
                | ast.BinOp(left=base, op=ast.LShift() as operator, right=amount)
            ):
                yield from _power(facts, node, base, operator, amount)
            case ast.AugAssign(target=base, op=ast.Pow() | ast.LShift() as operator, value=amount):
                yield from _power(facts, node, base, operator, amount)
            case ast.Call(args=[base, amount], keywords=[]) if facts.is_builtin(node.func, "pow"):
                yield from _power(facts, node, base, ast.Pow(), amount)
            case ast.Call() if facts.is_builtin(node.func, "int"):
                yield from _from_text(facts, node)
            case ast.Call(args=[function, *_]) if facts.calls(node, "map") and facts.is_builtin(function, "int"):
                yield Hit("ARM004", node, "`map(int, ...)`")


def _power(facts: Facts, node: ast.stmt | ast.expr, base: ast.expr, operator: ast.operator, amount: ast.expr) -> Hits:
    if isinstance(amount, ast.UnaryOp) and isinstance(amount.op, ast.USub) and isinstance(operator, ast.Pow):
        yield Hit("ARM001", node, "a negative power, which is a float")
        return
    bound = bound_of(facts, amount)
    limit = EXPONENT_MAX if isinstance(operator, ast.Pow) else SHIFT_MAX
    sign = "**" if isinstance(operator, ast.Pow) else "<<"
    if bound is None:
        yield Hit("ARM003", node, f"`{sign}` by an amount whose bound is not visible")
    elif bound > limit:
        yield Hit("ARM003", node, f"`{sign}` by up to {bound:,}, more than {limit:,}")
    elif isinstance(operator, ast.Pow) and isinstance(base, ast.BinOp) and isinstance(base.op, ast.Pow):
        yield Hit("ARM003", node, "a power of a power")


def _from_text(facts: Facts, node: ast.Call) -> Hits:
    if len(node.args) + len(node.keywords) > 1:
        yield Hit("ARM004", node, "int() of text in a base")
    elif node.args and kind_of(facts, node.args[0]) == TEXT:
        yield Hit("ARM004", node, "int() of text")
