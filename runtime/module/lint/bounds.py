"""How large a number can become, as far as it can be seen where it is used.

Lives here: constants, min(), remainders, ranges, types, and an `if` before. Must not: prove
anything; a bound is what a reader sees.
"""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.facts import Facts, FunctionNode, Position
from runtime.module.lint.kinds import SMALL, annotated_kind, kind_of

SMALL_MAX: Final = 255
_COMPARISONS: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.Eq)
_LEAVES: Final = (ast.Raise, ast.Return, ast.Continue, ast.Break)


def bound_of(facts: Facts, node: ast.expr) -> int | None:
    """The largest value that can be seen here; 0 for a constant from elsewhere; None where no bound is visible."""
    if node not in facts.bounds:
        facts.bounds[node] = None  # a name that is made of itself has none
        facts.bounds[node] = _bound(facts, node)
    return facts.bounds[node]


def _bound(facts: Facts, node: ast.expr) -> int | None:
    match node:
        case ast.Constant(value=int() as value):
            return int(value)
        case ast.BinOp(op=ast.Mod() | ast.BitAnd()):
            return bound_of(facts, node.right)
        case ast.BinOp(op=ast.Add() | ast.Mult() | ast.Sub() | ast.FloorDiv() | ast.RShift()):
            return _of_operation(facts, node)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            return bound_of(facts, node.operand)
        case ast.Call() if facts.calls(node, "min"):
            return min((each for each in (bound_of(facts, a) for a in node.args) if each is not None), default=None)
        case ast.Call() if facts.calls(node, "len"):
            return 0 if _is_guarded(facts, node) else None
        case ast.Name() | ast.Attribute():
            return _of_name(facts, node)
        case _:
            return None


def _of_operation(facts: Facts, node: ast.BinOp) -> int | None:
    left, right = bound_of(facts, node.left), bound_of(facts, node.right)
    if isinstance(node.op, (ast.Sub, ast.FloorDiv, ast.RShift)):
        return left
    if left is None or right is None:
        return None
    if left.bit_length() + right.bit_length() > 64:
        return 1 << 64
    return left + right if isinstance(node.op, ast.Add) else left * right


def _of_name(facts: Facts, node: ast.Name | ast.Attribute) -> int | None:
    name = node.id if isinstance(node, ast.Name) else node.attr
    if name.isupper():
        return _of_constant(facts, name)
    if kind_of(facts, node) == SMALL:
        return SMALL_MAX
    if isinstance(node, ast.Name) and (found := _of_local(facts, node)) is not None:
        return found
    return 0 if _is_guarded(facts, node) else None


def _of_constant(facts: Facts, name: str) -> int:
    values = [each.value for each in facts.bindings.get(facts.tree, {}).get(name, [])]
    found = [each.value for each in values if isinstance(each, ast.Constant) and isinstance(each.value, int)]
    return max(found, default=0)


def _of_local(facts: Facts, node: ast.Name) -> int | None:
    """Of a name that can only have bounded values: each a visible constant, a min(), or the step of such a range."""
    found = facts.values(node)
    bounds: list[int] = []
    for binding in found:
        if annotated_kind(facts, binding.annotation) == SMALL:
            bounds.append(SMALL_MAX)
            continue
        value = binding.value
        if value is None or (isinstance(value, ast.Name) and value.id == node.id):
            return None
        if binding.element and facts.calls(value, "enumerate"):
            bounds.append(0)  # as many as a value of some type has: the type bounds them
            continue
        if binding.element:
            if not facts.calls(value, "range") or not isinstance(value, ast.Call):
                return None
            each = [bound_of(facts, argument) for argument in value.args]
        else:
            each = [bound_of(facts, value)]
        if None in each:
            return None
        bounds.extend(bound for bound in each if bound is not None)
    return max(bounds, default=None)


def _is_guarded(facts: Facts, node: ast.expr) -> bool:
    """Whether an `if` around the node compares it, or one before leaves the function (or the round) by comparing it."""
    function, wanted = facts.function_of(node), ast.dump(node)
    if function is None:
        return False
    inner: ast.AST = node
    for outer in facts.around(node):
        if (
            isinstance(outer, (ast.If, ast.IfExp, ast.While))
            and inner is not outer.test
            and wanted in _compared(outer.test)
        ):
            return True
        if outer is function:
            break
        inner = outer
    at = (node.lineno, node.col_offset)
    return any(since <= at and wanted in compared for since, compared in _guards(facts, function))


def _guards(facts: Facts, function: FunctionNode) -> list[tuple[Position, frozenset[str]]]:
    """The ends of those `if` in the function that leave it (or the round), and what each compares."""
    if function not in facts.guards:
        facts.guards[function] = [
            ((each.body[-1].end_lineno or 0, each.body[-1].end_col_offset or 0), _compared(each.test))
            for each in ast.walk(function)
            if isinstance(each, ast.If) and isinstance(each.body[-1], _LEAVES)
        ]
    return facts.guards[function]


def _compared(test: ast.expr) -> frozenset[str]:
    return frozenset(
        ast.dump(part)
        for each in ast.walk(test)
        if isinstance(each, ast.Compare) and any(isinstance(operator, _COMPARISONS) for operator in each.ops)
        for part in (each.left, *each.comparators)
    )


def charged_since(function: FunctionNode) -> Position | None:
    """Where the function first says `self.charge(...)`; None where it does not."""
    return min(
        (
            (each.lineno, each.col_offset)
            for each in ast.walk(function)
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr == "charge"
        ),
        default=None,
    )
