"""Rules about what cannot be read: ARM070 code and names made at run time, ARM071 Python's inside."""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.facts import Facts
from runtime.module.lint.rules import Hit, Hits

_CODE: Final = ("eval", "exec", "compile", "__import__", "globals", "locals", "vars")
_BY_NAME: Final = ("getattr", "setattr", "delattr", "hasattr")
_HARMLESS: Final = frozenset({"__init__", "__name__", "__doc__", "__post_init__", "__init_subclass__", "__len__"})
_UNCALLED: Final = frozenset(
    {"__del__", "__getattr__", "__getattribute__", "__setattr__", "__delattr__", "__class_getitem__"}
)


def check(facts: Facts) -> Hits:
    """Both. `super().__init__(...)` and definitions of ordinary special methods are fine."""
    for node in facts.nodes:
        match node:
            case ast.Name(ctx=ast.Load()) if facts.is_builtin(node, *_CODE):
                yield Hit("ARM070", node, f"`{node.id}`")
            case ast.Name(ctx=ast.Load()) if facts.is_builtin(node, *_BY_NAME):
                call = facts.parents.get(node)
                if not (isinstance(call, ast.Call) and call.func is node and _has_literal_name(call)):
                    yield Hit("ARM070", node, f"`{node.id}` by a name that is not written here")
            case ast.Attribute(attr=name) if _is_special(name) and name not in _HARMLESS:
                yield Hit("ARM071", node, f"`.{name}`")
            case ast.Name(id="__builtins__" | "__loader__" | "__spec__" as name):
                yield Hit("ARM071", node, f"`{name}`")
            case ast.FunctionDef(name=name) if name in _UNCALLED:
                yield Hit("ARM071", node, f"`{name}`, which Python calls when it likes")


def _has_literal_name(call: ast.Call) -> bool:
    if len(call.args) < 2 or not isinstance(call.args[1], ast.Constant):
        return False
    return isinstance(call.args[1].value, str) and not _is_special(call.args[1].value)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and len(name) > 4
