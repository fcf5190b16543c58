"""What kind of value an expression has, as far as its file says: a set, text, a number, storage.

Lives here: evidence from literals, annotations, names, declared fields. Must not: guess. Where nothing says it, the
kind is None, and no rule that asks for one is broken.
"""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.facts import Facts
from runtime.module.lint.rules import words

SET: Final = "set"
TEXT: Final = "text"
NUMBER: Final = "number"
SMALL: Final = "small number"
MAP: Final = "map"
USES: Final = "uses"

_BY_NAME: Final = {
    **dict.fromkeys(("set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet", "KeysView"), SET),
    **dict.fromkeys(("str", "bytes", "Name", "Denom", "AccountId", "Hash", "PublicKey", "Signature"), TEXT),
    **dict.fromkeys(("int", "U16", "U32", "U64", "U128", "I64"), NUMBER),
    **dict.fromkeys(("U8", "bool"), SMALL),
    "Map": MAP,
    "Uses": USES,
}
_TEXT_METHODS: Final = words(
    "capitalize casefold decode encode format hex join ljust lower lstrip removeprefix removesuffix rjust rstrip "
    "strip title translate upper zfill"
)
_SET_METHODS: Final = frozenset({"union", "intersection", "difference", "symmetric_difference"})


def kind_of(facts: Facts, node: ast.expr) -> str | None:
    """The kind of the expression's value; None where the file does not say."""
    if node not in facts.kinds:
        facts.kinds[node] = None  # a name that is made of itself says nothing
        facts.kinds[node] = _kind(facts, node)
    return facts.kinds[node]


def _kind(facts: Facts, node: ast.expr) -> str | None:
    match node:
        case ast.Set() | ast.SetComp():
            return SET
        case ast.Constant(value=bool()):
            return SMALL
        case ast.Constant(value=int()):
            return NUMBER
        case ast.Constant(value=str() | bytes()) | ast.JoinedStr():
            return TEXT
        case ast.BinOp():
            return _of_operation(facts, node)
        case ast.IfExp():
            return kind_of(facts, node.body) or kind_of(facts, node.orelse)
        case ast.BoolOp():
            return next((kind for kind in (kind_of(facts, each) for each in node.values) if kind), None)
        case ast.NamedExpr():
            return kind_of(facts, node.value)
        case ast.Subscript(slice=ast.Slice()):
            return TEXT if kind_of(facts, node.value) == TEXT else None
        case ast.Call():
            return _of_call(facts, node)
        case ast.Attribute():
            return _of_field(facts, node)
        case ast.Name():
            return _of_name(facts, node)
        case _:
            return None


def annotated_kind(facts: Facts, node: ast.expr | None, depth: int = 8) -> str | None:
    """The kind that an annotation names: `set[int]`, `Annotated[str, ...]`, `U8 | None`, an alias of this file."""
    if node is None or depth == 0:
        return None
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return annotated_kind(facts, node.left, depth - 1) or annotated_kind(facts, node.right, depth - 1)
        case ast.Subscript():
            base = facts.dotted(node.value).rpartition(".")[2]
            if base in ("Annotated", "Optional", "Final", "ClassVar"):
                first = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
                return annotated_kind(facts, first, depth - 1)
            return _BY_NAME.get(base)
        case ast.Name() | ast.Attribute():
            named = _BY_NAME.get(facts.dotted(node).rpartition(".")[2])
            if named or not isinstance(node, ast.Name):
                return named
            aliases = facts.bindings.get(facts.tree, {}).get(node.id, [])
            return next((annotated_kind(facts, each.value, depth - 1) for each in aliases if each.value), None)
        case _:
            return None


def _of_operation(facts: Facts, node: ast.BinOp) -> str | None:
    kinds = {kind_of(facts, node.left), kind_of(facts, node.right)}
    if isinstance(node.op, (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)) and (
        SET in kinds or _is_view(node.left) or _is_view(node.right)
    ):
        return SET
    if isinstance(node.op, (ast.Add, ast.Mod)) and kind_of(facts, node.left) == TEXT:
        return TEXT
    if isinstance(node.op, ast.Add) and TEXT in kinds:
        return TEXT
    return NUMBER if kinds <= {NUMBER, SMALL} else None


def _is_view(node: ast.expr) -> bool:
    """`d.keys()` and `d.items()`: a set, once it is combined with another."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("keys", "items")


def _of_call(facts: Facts, node: ast.Call) -> str | None:
    if facts.is_builtin(node.func, "set", "frozenset"):
        return SET
    if facts.is_builtin(node.func, "str", "bytes", "repr", "ascii", "format", "chr", "hex", "bin", "input"):
        return TEXT
    if facts.is_builtin(node.func, "len", "abs", "int", "ord", "round"):
        return NUMBER
    if isinstance(node.func, ast.Attribute):
        if node.func.attr in _SET_METHODS or (node.func.attr == "copy" and kind_of(facts, node.func.value) == SET):
            return SET if kind_of(facts, node.func.value) == SET else None
        if node.func.attr in _TEXT_METHODS:
            return TEXT
    called = facts.dotted(node.func).rpartition(".")[2]
    if called in ("Name", "Denom", "AccountId", "Hash", "PublicKey", "Signature"):
        return TEXT
    named = facts.functions.get(called, [])
    return annotated_kind(facts, named[0].returns) if named else None


def _of_field(facts: Facts, node: ast.Attribute) -> str | None:
    """By the classes of this file that declare such a field, where they agree."""
    kinds = {annotated_kind(facts, each) for each in facts.fields.get(node.attr, [])}
    return kinds.pop() if len(kinds) == 1 else None


def _of_name(facts: Facts, node: ast.Name) -> str | None:
    for binding in facts.values(node):
        kind = annotated_kind(facts, binding.annotation)
        if kind is None and binding.value is not None:
            if not binding.element:
                kind = kind_of(facts, binding.value)
            elif facts.calls(binding.value, "range"):
                kind = NUMBER
        if kind:
            return kind
    return None
