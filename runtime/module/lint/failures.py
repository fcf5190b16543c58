"""The rule about errors: ARM050, errors that are swallowed."""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.facts import Facts
from runtime.module.lint.rules import Hit, Hits, words

_BROAD: Final = words(
    "Exception BaseException ArmillaryError CallerError OutOfGas ModuleFault RecursionError MemoryError "
    "KeyboardInterrupt SystemExit SystemError RuntimeError"
)
_PURE: Final = words(
    "ValueError KeyError IndexError LookupError TypeError ArithmeticError ZeroDivisionError OverflowError "
    "StopIteration AttributeError UnicodeError UnicodeDecodeError UnicodeEncodeError CodecError "
    "DecodeError ValidationError"
)
_LEAVES: Final = (ast.Return, ast.Break, ast.Continue)


def check(facts: Facts) -> Hits:
    """Handlers, contextlib.suppress, and `finally` that leaves."""
    for node in facts.nodes:
        match node:
            case ast.Try() | ast.TryStar():
                for handler in node.handlers:
                    yield from _handled(facts, node, handler)
                for statement in node.finalbody:
                    if isinstance(statement, _LEAVES):
                        yield Hit("ARM050", statement, "`finally` that leaves, and takes any error with it")
            case ast.Call() if facts.dotted(node.func) in ("contextlib.suppress", "suppress"):
                yield Hit("ARM050", node, "suppress()")


def _handled(facts: Facts, node: ast.Try | ast.TryStar, handler: ast.ExceptHandler) -> Hits:
    if _raises(handler.body):
        return
    caught = _names(facts, handler.type)
    if handler.type is None or any(name in _BROAD for name in caught):
        said = f"`except {', '.join(caught)}`" if caught else "`except` of everything"
        yield Hit("ARM050", handler, f"{said} without raising again")
    elif not (all(name in _PURE for name in caught) or _is_undone(node) or _only_reads(node)):
        yield Hit("ARM050", handler, f"`except {', '.join(caught)}` outside of a checkpoint")


def _raises(body: list[ast.stmt]) -> bool:
    """Whether the statements end with an error, whichever way they go."""
    match body[-1:]:
        case [ast.Raise()]:
            return True
        case [ast.If(body=then, orelse=[_, *_] as otherwise)]:
            return _raises(then) and _raises(otherwise)
        case _:
            return False


def _names(facts: Facts, caught: ast.expr | None) -> list[str]:
    each = caught.elts if isinstance(caught, ast.Tuple) else [caught] if caught is not None else []
    return [facts.dotted(one).rpartition(".")[2] or "..." for one in each]


def _is_undone(node: ast.Try | ast.TryStar) -> bool:
    """Whether all that is tried stands in `with self.checkpoint():`."""
    return all(
        isinstance(statement, ast.With)
        and any(
            isinstance(item.context_expr, ast.Call)
            and isinstance(item.context_expr.func, ast.Attribute)
            and item.context_expr.func.attr == "checkpoint"
            for item in statement.items
        )
        for statement in node.body
    )


def _only_reads(node: ast.Try | ast.TryStar) -> bool:
    """Whether what is tried calls nothing and stores nothing: then nothing of it can be half done."""
    return not any(
        isinstance(each, ast.Call)
        or (isinstance(each, (ast.Attribute, ast.Subscript)) and not isinstance(each.ctx, ast.Load))
        for statement in node.body
        for each in ast.walk(statement)
    )
