"""Rules about what objects are beside their values: ARM011 hash() and id(), ARM012 their text."""

from __future__ import annotations

import ast

from runtime.module.lint.facts import Facts
from runtime.module.lint.kinds import SET, kind_of
from runtime.module.lint.rules import Hit, Hits


def check(facts: Facts) -> Hits:
    """Both. Messages of assertions and invariants may say what they like: nothing of it is kept."""
    for node in facts.nodes:
        match node:
            case ast.Name(ctx=ast.Load()) if facts.is_builtin(node, "hash", "id"):
                yield Hit("ARM011", node, f"`{node.id}`")
            case ast.Name(ctx=ast.Load()) if facts.is_builtin(node, "repr", "ascii"):
                if not facts.is_proof_only(node):
                    yield Hit("ARM012", node, f"`{node.id}`")
            case ast.FormattedValue():
                yield from _formatted(facts, node)
            case ast.Call(args=[shown, *_]) if facts.is_builtin(node.func, "str", "format"):
                if _has_no_text(facts, shown) and not facts.is_proof_only(node):
                    yield Hit("ARM012", node, "the text of an object that has none of its own")
            case ast.BinOp(left=ast.Constant(value=str() as text), op=ast.Mod()) if "%r" in text or "%a" in text:
                if not facts.is_proof_only(node):
                    yield Hit("ARM012", node, "`%r`")


def _formatted(facts: Facts, node: ast.FormattedValue) -> Hits:
    if facts.is_proof_only(node):
        return
    if node.conversion in (ord("r"), ord("a")):
        yield Hit("ARM012", node.value, f"`!{chr(node.conversion)}`")
    elif _has_no_text(facts, node.value):
        yield Hit("ARM012", node.value, "the text of an object that has none of its own")


def _has_no_text(facts: Facts, node: ast.expr) -> bool:
    """The module itself, a function, a class, a set, an exception that was caught, an `object()`."""
    if kind_of(facts, node) == SET or isinstance(node, (ast.Lambda, ast.GeneratorExp)) or facts.calls(node, "object"):
        return True
    if not isinstance(node, ast.Name):
        return False
    if node.id in ("self", "cls"):
        return True
    if any(isinstance(outer, ast.ExceptHandler) and outer.name == node.id for outer in facts.around(node)):
        return True
    scope = facts.scope_of(node, node.id)
    defined = node.id in facts.classes or node.id in facts.functions
    return scope is facts.tree and defined
