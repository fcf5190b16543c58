"""What a file's rules need to know of it: who is inside whom, what names mean, what classes declare.

Lives here: facts that several rules ask for. Must not: judge.
"""

from __future__ import annotations

import ast
import builtins
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module
DOTS_MAX: Final = 8
MEANINGS_MAX: Final = 32
"""Values of one name that are looked at: the last ones. More would let a file take the square of its size."""
BUILTINS: Final = frozenset(dir(builtins))
Position = tuple[int, int]


@dataclass(frozen=True)
class Binding:
    """A name gets a value. annotation: where it is declared. element: the value is what `value` gives one by one.
    since: the end of the statement; certain: it happens whenever its function gets there."""

    value: ast.expr | None
    annotation: ast.expr | None
    element: bool
    since: Position
    certain: bool


@dataclass
class Facts:
    """One file. package: its dotted package, "" where it is in none."""

    tree: ast.Module
    package: str = ""
    nodes: list[ast.AST] = field(default_factory=list)
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    derived: dict[str, list[ast.ClassDef]] = field(default_factory=dict)
    functions: dict[str, list[FunctionNode]] = field(default_factory=dict)
    defined: dict[tuple[ast.AST, str], FunctionNode] = field(default_factory=dict)
    fields: dict[str, list[ast.expr]] = field(default_factory=dict)
    bindings: dict[ast.AST, dict[str, list[Binding]]] = field(default_factory=dict)
    kinds: dict[ast.AST, str | None] = field(default_factory=dict)  # filled by kinds.py
    bounds: dict[ast.AST, int | None] = field(default_factory=dict)  # filled by bounds.py
    guards: dict[ast.AST, list[tuple[Position, frozenset[str]]]] = field(default_factory=dict)  # likewise

    def __post_init__(self) -> None:
        self.nodes = list(ast.walk(self.tree))
        for node in self.nodes:
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, (ast.expr_context, ast.operator, ast.cmpop, ast.boolop, ast.unaryop)):
                    self.parents[child] = node  # those are one object for the whole tree
        for node in self.nodes:
            self._learn(node)
        for named in self.bindings.values():
            for found in named.values():
                found.sort(key=lambda binding: binding.since)

    # --- where

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Everything that the node is in, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def function_of(self, node: ast.AST) -> FunctionNode | None:
        """The function whose code the node is."""
        return next((outer for outer in self.around(node) if isinstance(outer, FunctionNode)), None)

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The class that the node is in, at any depth."""
        return next((outer for outer in self.around(node) if isinstance(outer, ast.ClassDef)), None)

    def is_proof_only(self, node: ast.AST) -> bool:
        """Whether the node is in an @invariant, or the message of an assertion: nothing of it reaches the state."""
        inner = node
        for outer in self.around(node):
            if isinstance(outer, ast.Assert) and outer.msg is inner:
                return True
            if isinstance(outer, FunctionNode) and "invariant" in self.decorators(outer):
                return True
            inner = outer
        return False

    def decorators(self, function: FunctionNode) -> list[str]:
        """Names of the decorators, without arguments."""
        made = (each.func if isinstance(each, ast.Call) else each for each in function.decorator_list)
        return [self.dotted(each).rpartition(".")[2] for each in made]

    def every_function(self) -> Iterator[FunctionNode]:
        """All functions and methods of the file."""
        for named in self.functions.values():
            yield from named

    # --- names

    def scope_of(self, node: ast.AST, name: str) -> ast.AST | None:
        """The function, lambda or module that binds the name as seen from the node; None: nobody does."""
        for outer in self.around(node):
            if isinstance(outer, Scope) and name in self.bindings.get(outer, {}):
                return outer
        return None

    def is_builtin(self, node: ast.AST, *names: str) -> bool:
        """Whether the node is one of these names and means what Python gives it."""
        return (
            isinstance(node, ast.Name)
            and node.id in names
            and node.id in BUILTINS
            and self.scope_of(node, node.id) is None
        )

    def calls(self, node: ast.AST, *names: str) -> bool:
        """Whether the node is a call of one of these builtins."""
        return isinstance(node, ast.Call) and self.is_builtin(node.func, *names)

    def dotted(self, node: ast.AST) -> str:
        """`a.b.c` with an imported `a` written out; "" where the node is nothing of that form, or very long."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and len(parts) < DOTS_MAX:
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imports.get(node.id, node.id), *reversed(parts)])

    def values(self, node: ast.Name) -> list[Binding]:
        """What the name may have got before the node: back to the last time that it certainly got a value."""
        scope = self.scope_of(node, node.id)
        if scope is None:
            return []
        found = self.bindings[scope][node.id]
        at = (node.lineno, node.col_offset)
        if self.function_of(node) is not scope and isinstance(scope, ast.Module):
            return found[-MEANINGS_MAX:]
        before = bisect_right(found, at, key=lambda binding: binding.since)
        seen: list[Binding] = []
        for binding in reversed(found[max(before - MEANINGS_MAX, 0) : before]):
            seen.append(binding)
            if binding.certain:
                break
        return seen or found[:MEANINGS_MAX]

    # --- learning

    def _learn(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.functions.setdefault(node.name, []).append(node)
                self.defined[self.parents[node], node.name] = node
                self._bind(node, node.name, None)
                self._learn_arguments(node, node.args)
            case ast.Lambda():
                self._learn_arguments(node, node.args)
            case ast.ClassDef():
                self.classes[node.name] = node
                for base in node.bases:
                    self.derived.setdefault(self.dotted(base), []).append(node)
                self._bind(node, node.name, None)
            case ast.Import():
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self.imports[name] = alias.name if alias.asname else name
                    self._bind(node, name, None)
            case ast.ImportFrom():
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"
                    self._bind(node, alias.asname or alias.name, None)
            case ast.Assign():
                for target in node.targets:
                    self._bind_target(node, target, node.value)
            case ast.AnnAssign():
                if isinstance(self.parents[node], ast.ClassDef) and isinstance(node.target, ast.Name):
                    self.fields.setdefault(node.target.id, []).append(node.annotation)
                else:
                    self._bind_target(node, node.target, node.value, annotation=node.annotation)
            case ast.AugAssign() | ast.NamedExpr():
                self._bind_target(node, node.target, node.value)
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                self._bind_target(node, node.target, node.iter, element=True)
            case ast.withitem(optional_vars=ast.expr() as target):
                self._bind_target(node, target, None)
            case ast.ExceptHandler(name=str() as name):
                self._bind(node, name, None)
            case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
                self._bind(node, name, None)

    def _learn_arguments(self, scope: ast.AST, arguments: ast.arguments) -> None:
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        plain = {each.arg: each.annotation for each in every}
        for star in (arguments.vararg, arguments.kwarg):
            if star is not None:
                plain[star.arg] = None
        for name, annotation in plain.items():
            binding = Binding(None, annotation, element=False, since=(0, 0), certain=True)
            self.bindings.setdefault(scope, {}).setdefault(name, []).append(binding)

    def _bind_target(
        self,
        node: ast.AST,
        target: ast.expr,
        value: ast.expr | None,
        *,
        annotation: ast.expr | None = None,
        element: bool = False,
    ) -> None:
        if isinstance(target, ast.Name):
            self._bind(node, target.id, value, annotation, element=element)
            return
        if element and value is not None and _is_enumerate(value) and isinstance(target, ast.Tuple):
            number, *others = target.elts
            self._bind_target(node, number, value, element=True)
            for other in others:
                self._bind_target(node, other, None)
            return
        for each in ast.walk(target):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                self._bind(node, each.id, None)

    def _bind(
        self,
        node: ast.AST,
        name: str,
        value: ast.expr | None,
        annotation: ast.expr | None = None,
        *,
        element: bool = False,
    ) -> None:
        scope = next(
            outer for outer in self.around(node)
            if isinstance(outer, Scope | ast.ClassDef)
        )  # fmt: skip
        since = self._end(node, value)
        certain = self.parents[node] is scope and not isinstance(node, ast.AugAssign)
        self.bindings.setdefault(scope, {}).setdefault(name, []).append(
            Binding(value, annotation, element, since, certain)
        )

    def _end(self, node: ast.AST, value: ast.expr | None) -> Position:
        """From where on the name has the value. A loop's target has it in the loop's body; a comprehension's
        everywhere in the comprehension."""
        if isinstance(node, ast.comprehension):
            whole = self.parents[node]
            return (getattr(whole, "lineno", 0), getattr(whole, "col_offset", 0))
        last = value if isinstance(node, (ast.For, ast.AsyncFor)) and value is not None else node
        return (getattr(last, "end_lineno", 0) or 0, getattr(last, "end_col_offset", 0) or 0)


def _is_enumerate(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "enumerate"
