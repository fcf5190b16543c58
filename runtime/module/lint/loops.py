"""Rules about how long something takes: ARM041 while without a visible bound, ARM042 as often as an argument says.

A while loop has a visible bound where, in every round, without a condition, it
- counts a name that its condition compares: `n += 1`, `n -= STEP`, or shortens it: `n >>= 1`, `n //= 2`; or
- pops from what its condition asks for, and puts nothing there.
"""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.bounds import bound_of, charged_since
from runtime.module.lint.facts import Facts, FunctionNode
from runtime.module.lint.kinds import NUMBER, annotated_kind
from runtime.module.lint.rules import Hit, Hits

_STEPS: Final = (ast.Add, ast.Sub, ast.FloorDiv, ast.RShift)
_TAKES: Final = frozenset({"pop", "popleft", "popitem"})
_PUTS: Final = frozenset({"append", "appendleft", "extend", "extendleft", "insert", "add", "update", "setdefault"})


def check(facts: Facts) -> Hits:
    """Both."""
    for node in facts.nodes:
        if isinstance(node, ast.While) and not _is_bounded(facts, node):
            yield Hit("ARM041", node, "`while` without a visible bound")
    for function in facts.every_function():
        if {"call", "hook"} & set(facts.decorators(function)):
            yield from _driven(facts, function)


def _is_bounded(facts: Facts, loop: ast.While) -> bool:
    tested = loop.test if not _is_endless(loop.test) else None
    if tested is None:
        return _leaves_by_counting(facts, loop)
    asked = tested.values if isinstance(tested, ast.BoolOp) and isinstance(tested.op, ast.And) else [tested]
    return any(_ends(facts, loop, each) for each in asked)


def _is_endless(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def _leaves_by_counting(facts: Facts, loop: ast.While) -> bool:
    """`while True` that counts, and leaves by an `if` that compares the count."""
    return any(
        isinstance(each, ast.If)
        and isinstance(each.body[-1], (ast.Break, ast.Return, ast.Raise))
        and isinstance(each.test, ast.Compare)
        and _ends(facts, loop, each.test)
        for each in loop.body
    )


def _ends(facts: Facts, loop: ast.While, test: ast.expr) -> bool:
    """Whether this part of the condition comes to an end by what every round does."""
    names = {ast.unparse(each) for each in ast.walk(test) if isinstance(each, (ast.Name, ast.Attribute))}
    has_put = any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in _PUTS
        and ast.unparse(each.func.value) in names
        for each in ast.walk(loop)
    )
    return any(
        _counts(facts, statement, names) or (not has_put and _pops(statement, names))
        for statement in _every_round(loop.body)
    )


def _counts(facts: Facts, statement: ast.stmt, names: set[str]) -> bool:
    return (
        isinstance(statement, ast.AugAssign)
        and isinstance(statement.op, _STEPS)
        and ast.unparse(statement.target) in names
        and _is_step(facts, statement.op, statement.value)
    )


def _every_round(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements that each round reaches: up to the first that may begin the next round early."""
    found: list[ast.stmt] = []
    for statement in body:
        if any(isinstance(each, ast.Continue) for each in ast.walk(statement)):
            break
        found.extend(_every_round(statement.body) if isinstance(statement, ast.With) else [statement])
    return found


def _is_step(facts: Facts, operator: ast.operator, value: ast.expr) -> bool:
    """A constant that moves: not 0, and for a division not 1."""
    if isinstance(value, ast.Constant):
        least = 2 if isinstance(operator, ast.FloorDiv) else 1
        return isinstance(value.value, int) and value.value >= least
    return isinstance(value, (ast.Name, ast.Attribute)) and facts.dotted(value).rpartition(".")[2].isupper()


def _pops(statement: ast.stmt, names: set[str]) -> bool:
    if isinstance(statement, (ast.If, ast.For, ast.While, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef)):
        return False
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in _TAKES
        and ast.unparse(each.func.value) in names
        for each in ast.walk(statement)
    )


def _driven(facts: Facts, function: FunctionNode) -> Hits:
    """Ranges and repetitions whose size an argument says."""
    charged = charged_since(function)
    for node in ast.walk(function):
        match node:
            case ast.Call() if facts.calls(node, "range"):
                sizes, what = _lengths(node), "a range"
            case ast.Call(args=[size]) if facts.calls(node, "bytes", "bytearray"):
                sizes, what = [size], "bytes"
            case ast.BinOp(left=left, op=ast.Mult(), right=right) if _is_sequence(left) or _is_sequence(right):
                sizes, what = [right if _is_sequence(left) else left], "a repetition"
            case _:
                continue
        if charged is not None and charged < (node.lineno, node.col_offset):
            continue
        for size in sizes:
            name = _argument(facts, function, size)
            if name and bound_of(facts, size) is None:
                yield Hit("ARM042", node, f"{what} as long as the argument `{name}` says")
                break


def _lengths(call: ast.Call) -> list[ast.expr]:
    """What says how long a range is: of `range(start, start + n)` it is n."""
    match call.args:
        case [start, ast.BinOp(left=left, op=ast.Add(), right=right), *_] if ast.dump(start) == ast.dump(left):
            return [right]
        case _:
            return call.args


def _is_sequence(node: ast.expr) -> bool:
    return isinstance(node, (ast.List, ast.Tuple)) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    )


def _argument(facts: Facts, function: FunctionNode, size: ast.expr, depth: int = 4) -> str | None:
    """The number among the function's arguments that the size is made of, over a few names; None: none is."""
    arguments = {each.arg for each in function.args.kwonlyargs if annotated_kind(facts, each.annotation) == NUMBER}
    for each in ast.walk(size):
        if not isinstance(each, ast.Name) or _is_counted(each, size):
            continue
        if each.id in arguments:
            return each.id
        for binding in facts.values(each) if depth else ():
            if binding.value is not None and not binding.element:
                found = _argument(facts, function, binding.value, depth - 1)
                if found and bound_of(facts, each) is None:
                    return found
    return None


def _is_counted(name: ast.Name, size: ast.expr) -> bool:
    """Whether the name is inside of a call within the size: len(x), min(x, 4): its own value is not the size."""
    return any(isinstance(each, (ast.Call, ast.Subscript)) and name in ast.walk(each) for each in ast.walk(size))
