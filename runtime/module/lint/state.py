"""Rules about state that no rollback reaches: ARM030 outside of storage, ARM031 global, ARM033 default arguments.

Caches of functions, ARM032, are found where they are imported (imports.py).
"""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.facts import Facts
from runtime.module.lint.rules import Hit, Hits, words

_MUTATORS: Final = words(
    "add append appendleft clear discard extend extendleft insert pop popitem popleft remove reverse setdefault sort "
    "update difference_update intersection_update symmetric_difference_update"
)
_CONTAINERS: Final = frozenset(
    {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict", "ChainMap"}
)


def check(facts: Facts) -> Hits:
    """Each place in a function that changes what a file, a class or a default argument keeps."""
    for node in facts.nodes:
        match node:
            case ast.Global() | ast.Nonlocal():
                word = "global" if isinstance(node, ast.Global) else "nonlocal"
                yield Hit("ARM031", node, f"`{word} {', '.join(node.names)}`")
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                for default in (*node.args.defaults, *(each for each in node.args.kw_defaults if each)):
                    if _is_container(facts, default):
                        yield Hit("ARM033", default, "a mutable default argument")
        for changed in _changed(facts, node):
            if facts.function_of(changed) is not None and (name := _kept(facts, changed)):
                yield Hit("ARM030", changed, f"`{name}` is changed by a function")


def _changed(facts: Facts, node: ast.AST) -> list[ast.expr]:
    """What the node changes without giving a name to it: `x` of `x[k] = v`, `del x[k]`, `x.f = v`, `x.append(v)`."""
    match node:
        case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
            return [node.value]
        case ast.Call(func=ast.Attribute(value=changed, attr=name)) if name in _MUTATORS:
            return [changed]
        case ast.Call(args=[changed, *_]) if facts.calls(node, "next", "setattr", "delattr"):
            return [changed]
        case ast.Call(args=[changed, *_]) if facts.dotted(node.func).startswith(("heapq.heap", "bisect.insort")):
            return [changed]
        case _:
            return []


def _kept(facts: Facts, node: ast.expr) -> str | None:
    """The name of what outlives a call: a name of the file, a class, a container that a class keeps."""
    while isinstance(node, ast.Subscript):
        node = node.value
    match node:
        case ast.Call() if facts.calls(node, "type"):
            return "type(...)"
        case ast.Name(id="cls"):
            return "cls"
        case ast.Name() if facts.scope_of(node, node.id) is facts.tree:
            is_module = facts.imports.get(node.id) == node.id
            return None if is_module else node.id
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if name in _kept_by(
            facts, facts.class_of(node)
        ):
            return name
        case ast.Attribute(attr="__class__"):
            return "__class__"
        case ast.Attribute(value=ast.Name() as owner, attr=name) if facts.scope_of(owner, owner.id) is facts.tree:
            return None if facts.imports.get(owner.id) == owner.id else f"{owner.id}.{name}"
        case _:
            return None


def _kept_by(facts: Facts, owner: ast.ClassDef | None) -> frozenset[str]:
    """Names that the class gives a container: one object for all of its instances."""
    found: set[str] = set()
    for statement in owner.body if owner else ():
        match statement:
            case ast.Assign(targets=targets, value=value) if _is_container(facts, value):
                found |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _is_container(facts, value):
                found.add(name)
    return frozenset(found)


def _is_container(facts: Facts, node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return facts.dotted(node.func).rpartition(".")[2] in _CONTAINERS
    return isinstance(node, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp))
