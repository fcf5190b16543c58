"""Rules about storage: ARM060 keys glued together, ARM061 another module's storage."""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.facts import Facts
from runtime.module.lint.kinds import MAP, TEXT, USES, kind_of
from runtime.module.lint.rules import Hit, Hits

_KEYED: Final = frozenset({"get", "pop", "setdefault"})


def check(facts: Facts) -> Hits:
    """Keys in `self.map[key]`, `key in self.map` and `self.map.get(key)`; and what is read past a `Uses`."""
    for node in facts.nodes:
        for key in _keys(facts, node):
            if glued := _glued(facts, key):
                yield Hit("ARM060", key, f"a storage key made by {glued}")
        if isinstance(node, ast.Attribute) and _is_used_module(facts, node.value):
            outer = facts.parents.get(node)
            if not (isinstance(outer, ast.Call) and outer.func is node):
                yield Hit("ARM061", node, f"`{ast.unparse(node)}`, which is no call of a method")


def _keys(facts: Facts, node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Subscript(value=base, slice=key) if _is_map(facts, base):
            return list(key.elts) if isinstance(key, ast.Tuple) else [key]
        case ast.Call(func=ast.Attribute(value=base, attr=name), args=[key, *_]) if name in _KEYED:
            return ([*key.elts] if isinstance(key, ast.Tuple) else [key]) if _is_map(facts, base) else []
        case ast.Compare(left=key, ops=[ast.In() | ast.NotIn()], comparators=[base]) if _is_map(facts, base):
            return [key]
        case _:
            return []


def _is_map(facts: Facts, node: ast.expr) -> bool:
    """`self.x` that this file declares as a Map, or does not declare: then a class elsewhere does."""
    if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"):
        return False
    return kind_of(facts, node) == MAP or node.attr not in facts.fields


def _glued(facts: Facts, node: ast.expr, depth: int = 4) -> str | None:
    """How the key is glued together; None where it is not."""
    if depth == 0:
        return None
    match node:
        case ast.JoinedStr(values=parts) if sum(isinstance(part, ast.FormattedValue) for part in parts) > 1:
            return "an f-string"
        case ast.BinOp(op=ast.Add()) if kind_of(facts, node) == TEXT and _varying(node) > 1:
            return "`+`"
        case ast.BinOp(op=ast.Mod(), left=left, right=ast.Tuple(elts=[_, _, *_])) if kind_of(facts, left) == TEXT:
            return "`%`"
        case ast.Call(func=ast.Attribute(attr="format"), args=[_, _, *_]):
            return "format()"
        case ast.Call(func=ast.Attribute(attr="join")):
            return "join()"
        case ast.Call(func=ast.Attribute(value=inner, attr="encode")):
            return _glued(facts, inner, depth - 1)
        case ast.Call(func=ast.Name(), args=[inner]):
            return _glued(facts, inner, depth - 1)
        case ast.Name():
            values = (each.value for each in facts.values(node) if each.value is not None and not each.element)
            return next((glued for glued in (_glued(facts, each, depth - 1) for each in values) if glued), None)
        case _:
            return None


def _varying(node: ast.expr) -> int:
    """How many parts of a sum are no constants: a prefix that is always the same glues nothing together."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _varying(node.left) + _varying(node.right)
    return 0 if isinstance(node, ast.Constant) else 1


def _is_used_module(facts: Facts, node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and kind_of(facts, node) == USES
