"""`ledger: Uses[Ledger]`: another module, by what is needed of it. The consumer owns the Protocol.

A provider is a composed module that has every method of the Protocol, with the same parameters and a fitting type at
each. One provider is bound by itself; among several, `ledger: Uses[Ledger] = Uses("tokens")` names one.
Lives here: the descriptor and structural conformance. Must not: compose (runtime.execution.compose binds).
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from runtime.errors import DefinitionError
from runtime.module.errors import OutsideContext
from runtime.module.verbs import Verb

if TYPE_CHECKING:
    from runtime.module.module import Module

T = TypeVar("T")
REMEMBERED_MAX = 1_024


class Uses(Generic[T]):
    """A module that provides T. Reads as T on an instance."""

    def __init__(self, provider: str | None = None) -> None:
        self.provider = provider
        self.name = ""
        self.protocol: Any = None

    @overload
    def __get__(self, instance: None, owner: Any) -> Uses[T]: ...
    @overload
    def __get__(self, instance: Module, owner: Any) -> T: ...
    def __get__(self, instance: Module | None, owner: Any) -> Uses[T] | T:
        if instance is None:
            return self
        try:
            return cast("T", instance._bound[self.name])
        except KeyError:
            raise OutsideContext from None


def find_provider(uses: Uses[Any], user: str, modules: Iterable[type[Module]]) -> str:
    """The name of the module that provides. Raises DefinitionError where none does, or several and none is named."""
    candidates = {module.name: missing(module, uses.protocol) for module in modules if module.name != user}
    wanted = f"{user}.{uses.name}: Uses[{uses.protocol.__name__}]"
    if uses.provider is not None:
        reason = candidates.get(uses.provider, "is not in this chain")
        if reason:
            raise DefinitionError(f"{wanted}: module {uses.provider} {reason}")
        return uses.provider
    fitting = sorted(name for name, reason in candidates.items() if not reason)
    if len(fitting) > 1:
        raise DefinitionError(f'{wanted}: {", ".join(fitting)} all provide it: name one, = Uses("{fitting[0]}")')
    if not fitting:
        near = "; ".join(f"{name} {reason}" for name, reason in candidates.items() if reason and "misfits" in reason)
        raise DefinitionError(f"{wanted}: no module of this chain provides it" + (f" ({near})" if near else ""))
    return fitting[0]


@lru_cache(REMEMBERED_MAX)
def missing(module: type[Module], protocol: Any) -> str:
    """Why `module` does not provide `protocol`; "" where it does. Remembered, as every chain that is composed asks."""
    for name, wanted in protocol_methods(protocol).items():
        offered = inspect.getattr_static(module, name, None)
        if isinstance(offered, Verb):
            offered = offered.function
        if not isinstance(offered, types.FunctionType):
            return f"has no method {name}"
        reason = _misfit(wanted, offered)
        if reason:
            return f"misfits in {name}: {reason}"
    return ""


def protocol_methods(protocol: Any) -> dict[str, Callable[..., Any]]:
    """The methods that a Protocol asks for, its bases' included."""
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(protocol.__mro__):
        if base.__module__ in ("typing", "builtins"):
            continue
        found |= {name: value for name, value in vars(base).items() if inspect.isfunction(value) and name[0] != "_"}
    return found


def _misfit(wanted: Callable[..., Any], offered: Callable[..., Any]) -> str:
    want, have = _parameters(wanted), _parameters(offered)
    for name, parameter in want.items():
        if name not in have:
            return f"it takes no {name}"
        if have[name].kind is not parameter.kind:
            return f"{name} is passed another way ({have[name].kind.description})"
    for name, parameter in have.items():
        if name not in want and parameter.default is parameter.empty:
            return f"it needs {name} besides"
    want_types, have_types = get_type_hints(wanted), get_type_hints(offered)
    for name in want:
        if not _fits(want_types.get(name), have_types.get(name)):
            return f"{name} is {_show(have_types.get(name))}, not {_show(want_types.get(name))}"
    if not _fits(have_types.get("return"), want_types.get("return")):
        return f"it returns {_show(have_types.get('return'))}, not {_show(want_types.get('return'))}"
    return ""


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(list(inspect.signature(function).parameters.items())[1:])


def _fits(given: Any, taken: Any) -> bool:
    """Whether a value of `given` may be passed where `taken` is declared; widths aside, the store checks them."""
    if given == taken or taken is Any or taken is object:
        return True
    givens, takens = _members(given), _members(taken)
    return all(any(_same(one, other) for other in takens) for one in givens)


def _same(given: Any, taken: Any) -> bool:
    if given == taken:
        return True
    if get_origin(given) is not None and get_origin(given) is get_origin(taken):
        left, right = get_args(given), get_args(taken)
        return len(left) == len(right) and all(map(_fits, left, right))
    if hasattr(given, "__supertype__"):
        return _fits(given.__supertype__, taken)
    return isinstance(given, type) and isinstance(taken, type) and issubclass(given, taken)


def _members(declared: Any) -> tuple[Any, ...]:
    if get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    if get_origin(declared) in (Union, types.UnionType):
        return get_args(declared)
    return (declared,)


def _show(declared: Any) -> str:
    return str(getattr(declared, "__name__", declared))
