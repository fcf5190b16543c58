"""The rule about recursion: ARM040. Who calls whom within one file, and the circles in it."""

from __future__ import annotations

import ast

from runtime.module.lint.facts import Facts, FunctionNode
from runtime.module.lint.rules import Hit, Hits

Calls = dict[ast.AST, list[tuple[ast.Call, FunctionNode]]]


def check(facts: Facts) -> Hits:
    """One finding for each circle, at its first call."""
    calls: Calls = {function: [] for function in facts.functions}
    for node in facts.nodes:
        if isinstance(node, ast.Call) and (caller := facts.function_of(node)) is not None:
            calls[caller].extend((node, called) for called in _called(facts, node))
    for circle in _circles(calls):
        inside = [(node, called) for function in circle for node, called in calls[function] if called in circle]
        if inside:
            node, called = min(inside, key=lambda found: (found[0].lineno, found[0].col_offset))
            names = ", ".join(sorted(function.name for function in circle))
            yield Hit(
                "ARM040", node, f"`{called.name}` calls itself" if len(circle) == 1 else f"{names} call each other"
            )


def _called(facts: Facts, node: ast.Call) -> list[FunctionNode]:
    """Functions of this file that the call may be of."""
    match node.func:
        case ast.Name(id=name):
            scope = facts.scope_of(node, name)
            return [
                each for each in facts.functions
                if each.name == name and scope is not None and facts.parents[each] is scope
            ]  # fmt: skip
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
            return _methods(facts, facts.class_of(node), name)
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in facts.classes:
            return _methods(facts, facts.classes[owner], name)
        case _:
            return []


def _methods(facts: Facts, owner: ast.ClassDef | None, name: str) -> list[FunctionNode]:
    """The class's method, else those of its bases and of what derives from it, in this file."""
    if owner is None:
        return []
    family = [
        owner,
        *(each for each in facts.classes.values() if _derives(facts, each, owner) or _derives(facts, owner, each)),
    ]
    found = [each for each in facts.functions if each.name == name and facts.parents[each] in family]
    own = [each for each in found if facts.parents[each] is owner]
    return own or found


def _derives(facts: Facts, derived: ast.ClassDef, base: ast.ClassDef) -> bool:
    waiting, seen = [derived], {derived.name}
    while waiting:
        for each in waiting.pop().bases:
            name = facts.dotted(each)
            if name == base.name:
                return True
            if name in facts.classes and name not in seen:
                seen.add(name)
                waiting.append(facts.classes[name])
    return False


def _circles(calls: Calls) -> list[frozenset[FunctionNode]]:
    """Strongly connected functions (Tarjan 1972), without recursion of our own."""
    number: dict[FunctionNode, int] = {}
    low: dict[FunctionNode, int] = {}
    open_: list[FunctionNode] = []
    found: list[frozenset[FunctionNode]] = []
    closed: set[FunctionNode] = set()
    for root in calls:
        assert isinstance(root, FunctionNode)
        if root in number:
            continue
        path = [(root, iter(calls[root]))]
        number[root] = low[root] = len(number)
        open_.append(root)
        while path:
            function, rest = path[-1]
            for _, called in rest:
                if called not in number:
                    number[called] = low[called] = len(number)
                    open_.append(called)
                    path.append((called, iter(calls[called])))
                    break
                if called not in closed:
                    low[function] = min(low[function], number[called])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[function])
                if low[function] == number[function]:
                    at = open_.index(function)
                    circle = frozenset(open_[at:])
                    del open_[at:]
                    closed |= circle
                    found.append(circle)
    return found
