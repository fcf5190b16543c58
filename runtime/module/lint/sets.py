"""The rule about sets: ARM010, their order. What comes out of a set must go through something that has no order."""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.facts import Facts
from runtime.module.lint.kinds import SET, kind_of
from runtime.module.lint.rules import Hit, Hits

_ORDERLESS: Final = ("sorted", "set", "frozenset", "any", "all", "sum", "len", "min", "max")
_ORDERED: Final = ("list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "min", "max", "bytes")
_TAKERS: Final = frozenset({"join", "extend", "fromkeys", "writelines"})


def check(facts: Facts) -> Hits:
    """Iteration, unpacking, pop, and calls that take one element after another."""
    for node in facts.nodes:
        for inner in _ordered(facts, node):
            if kind_of(facts, inner) == SET and not facts.is_proof_only(inner) and not _is_orderless(facts, node):
                yield Hit("ARM010", inner, "the order of a set")
        match node:
            case ast.Call(func=ast.Attribute(attr="pop", value=taken), args=[]) if kind_of(facts, taken) == SET:
                yield Hit("ARM010", node, "pop() of a set, which takes any of its elements")


def _ordered(facts: Facts, node: ast.AST) -> list[ast.expr]:
    """What the node takes one by one."""
    match node:
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            return [node.iter]
        case ast.Starred(ctx=ast.Load()):
            return [node.value]
        case ast.YieldFrom():
            return [node.value]
        case ast.Assign(targets=[ast.Tuple(elts=[_, _, *_]) | ast.List(elts=[_, _, *_])]):
            return [node.value]
        case ast.Call(func=ast.Attribute(attr=name)) if name in _TAKERS:
            return node.args
        case ast.Call() if facts.is_builtin(node.func, "min", "max"):
            return node.args[:1] if node.keywords else []
        case ast.Call() if facts.is_builtin(node.func, *_ORDERED):
            return node.args
        case ast.Call() if facts.dotted(node.func).startswith(("itertools.", "functools.reduce")):
            return node.args
        case _:
            return []


def _is_orderless(facts: Facts, node: ast.AST) -> bool:
    """Whether what the node makes goes at once into something where the order is lost."""
    if isinstance(node, ast.comprehension):
        node = facts.parents[node]
        if isinstance(node, ast.SetComp):
            return True
        if not isinstance(node, (ast.GeneratorExp, ast.ListComp)):
            return False
    if isinstance(node, (ast.For, ast.AsyncFor, ast.Assign, ast.YieldFrom)):
        return False
    outer = facts.parents.get(node)
    if isinstance(outer, ast.Set):
        return True
    if isinstance(outer, ast.Call) and node in outer.args:
        if facts.is_builtin(outer.func, "min", "max") and outer.keywords:
            return False
        if facts.is_builtin(outer.func, *_ORDERLESS):
            return True
        return facts.is_builtin(outer.func, "map", "filter", "list", "tuple") and _is_orderless(facts, outer)
    return False
