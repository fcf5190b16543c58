"""The rule about recursion: ARM040. Who calls whom within one file, and the circles in it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from runtime.module.lint.facts import Facts, FunctionNode
from runtime.module.lint.rules import Hit, Hits

FAMILY_MAX: Final = 64
"""Classes above and below one that are looked through."""
Calls = dict[ast.AST, list[tuple[ast.Call, FunctionNode]]]


def check(facts: Facts) -> Hits:
    """One finding for each circle, at its first call."""
    calls: Calls = {function: [] for function in facts.every_function()}
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
            found = None if scope is None else facts.defined.get((scope, name))
            return [found] if found else []
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
            return _methods(facts, facts.class_of(node), name)
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in facts.classes:
            return _methods(facts, facts.classes[owner], name)
        case _:
            return []


def _methods(facts: Facts, owner: ast.ClassDef | None, name: str) -> list[FunctionNode]:
    """The class's method; else the nearest base's; else those of what derives from it: all of them in this file."""
    if owner is None:
        return []
    for base in _reached(owner, lambda each: _bases(facts, each)):
        if found := facts.defined.get((base, name)):
            return [found]
    derived = _reached(owner, lambda each: facts.derived.get(each.name, []))
    return [found for each in derived if (found := facts.defined.get((each, name)))]


def _bases(facts: Facts, made: ast.ClassDef) -> list[ast.ClassDef]:
    return [facts.classes[name] for each in made.bases if (name := facts.dotted(each)) in facts.classes]


def _reached(start: ast.ClassDef, following: Callable[[ast.ClassDef], list[ast.ClassDef]]) -> list[ast.ClassDef]:
    """The class and what follows from it, the nearest first."""
    found = [start]
    for each in found:  # grows while it is read
        found.extend(one for one in following(each)[:FAMILY_MAX] if one not in found)
        if len(found) >= FAMILY_MAX:
            break
    return found


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
                    at = len(open_) - 1
                    while open_[at] is not function:
                        at -= 1
                    circle = frozenset(open_[at:])
                    del open_[at:]
                    closed |= circle
                    found.append(circle)
    return found
