"""From a class body to ModuleMetadata, once, when the class is made. A wrong declaration is refused with its mend.

Lives here: the rules of the author's page. Must not: run anything of the module.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, get_args, get_origin, get_type_hints

from runtime.codec import codec
from runtime.errors import CodecError, DefinitionError
from runtime.module.body import HOOKS, NAME_CHARACTERS_MAX, OVERRIDABLE, check_body, check_name, layers, root_of
from runtime.module.config import Genesis, ModuleParams
from runtime.module.facts import errors_of, events_of
from runtime.module.metadata import (
    CallInfo,
    InvariantInfo,
    ModuleMetadata,
    QueryInfo,
    StorageInfo,
)
from runtime.module.signature import check_plain_method, declare_call, declare_query, shown
from runtime.module.storage import NO_DEFAULT, Declared, Item, Map
from runtime.module.uses import Uses
from runtime.module.verbs import CallMethod, Invariant, QueryMethod, Verb
from runtime.types import IDENTIFIER


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a class statement stands: the names that its annotations may use."""

    globals: Mapping[str, Any]
    locals: Mapping[str, Any]

    @classmethod
    def of(cls, module: type, frame_locals: Mapping[str, Any]) -> Scope:
        """The file's names, the enclosing function's, and those of the class body."""
        around = vars(sys.modules[module.__module__]) if module.__module__ in sys.modules else {}
        return cls(around, {**frame_locals, **vars(module)})

    def within(self, layer: type) -> Scope:
        """The scope of one of the module's bases, which may stand in another file."""
        return Scope.of(layer, self.locals if layer.__module__ == self.globals.get("__name__") else {})

    def hints(self, where: str, annotations: Mapping[str, Any]) -> dict[str, Any]:
        """The annotations as types. Raises DefinitionError naming the one that does not resolve."""
        found: dict[str, Any] = {}
        for name, annotation in annotations.items():
            holder = type("_Annotated", (), {"__annotations__": {name: annotation}})
            try:
                found |= get_type_hints(holder, dict(self.globals), dict(self.locals), include_extras=True)
            except (NameError, AttributeError, TypeError, SyntaxError) as error:
                raise DefinitionError(
                    f"{where}{name}: its annotation {annotation!r} is no type that is known here ({error}): define or "
                    "import it above the class"
                ) from None
        return found


def declare(module: Any, scope: Scope) -> ModuleMetadata:
    """The metadata of a module's class; names and types are filled in on its verbs and storage. Raises
    DefinitionError."""
    name, version = check_name(module)
    check_body(module)
    storage, uses = _nouns(module, name, scope)
    calls, queries = _verbs(module, name, scope)
    for field in (*storage, *uses, *calls, *queries):
        if len(field) > NAME_CHARACTERS_MAX or not re.fullmatch(IDENTIFIER, field, re.ASCII):
            raise DefinitionError(
                f"{module.__name__}.{field}: a declared name is lower case, digits and _, a letter first, "
                f"at most {NAME_CHARACTERS_MAX} characters"
            )
    return ModuleMetadata(
        name=name,
        version=version,
        docs=inspect.cleandoc(module.__doc__ or ""),
        calls=calls,
        queries=queries,
        storage=storage,
        events=events_of(module, scope.locals.values()),
        errors=errors_of(module, scope.locals.values()),
        invariants=_invariants(module),
        uses=uses,
        params=_config(module, "Params", ModuleParams),
        genesis=_genesis(module),
        hooks=_hooks(module),
    )


def _nouns(module: Any, owner: str, scope: Scope) -> tuple[dict[str, StorageInfo], dict[str, Uses[Any]]]:
    storage: dict[str, StorageInfo] = {}
    uses: dict[str, Uses[Any]] = {}
    for layer, body in _bodies(module):
        annotations = inspect.get_annotations(layer)
        for name, value in body.items():
            if isinstance(value, Declared) and not value.name and name not in annotations:  # named: put here, of a base
                raise DefinitionError(f"{module.__name__}.{name} has no annotation: {_mend(name, value)}")
        hints = scope.within(layer).hints(
            f"{module.__name__}.", {n: a for n, a in annotations.items() if n not in OVERRIDABLE}
        )
        for name, hint in hints.items():
            kind = get_origin(hint) or hint
            if kind in (Item, Map):
                storage[name] = _storage(module, body, owner, name, hint)
            elif kind is Uses:
                uses[name] = _uses(module, body, name, hint)
            elif kind not in (ClassVar, Final):
                raise DefinitionError(
                    f"{module.__name__}.{name}: {shown(hint)} is no storage: write {name}: Item[{shown(hint)}] = "
                    f"Item(default=...) for state, {name}: ClassVar[...] for a constant"
                )
    return storage, uses


def _mend(name: str, value: Declared) -> str:
    return (
        f"write {name}: Item[U64] = Item(...)"
        if isinstance(value, Item)
        else f"write {name}: Map[AccountId, U64] = Map(...)"
    )


def _storage(module: Any, body: Mapping[str, Any], owner: str, name: str, hint: Any) -> StorageInfo:
    where, kind, parts = f"{module.__name__}.{name}", get_origin(hint), get_args(hint)
    if kind is None:
        form = "Item[U64]" if hint is Item else "Map[AccountId, U64]"
        raise DefinitionError(f"{where}: {hint.__name__} says no types: write {name}: {form}")
    if name not in body:
        raise DefinitionError(f"{where} is declared and not made: write {name}: {shown(hint)} = {kind.__name__}()")
    declared = body[name]
    if not isinstance(declared, kind):
        raise DefinitionError(
            f"{where} is annotated as {kind.__name__} and is {declared!r}: write = {kind.__name__}(...)"
        )
    declared = type(declared)(default=declared.default)  # a class of its own module name: layers may be shared
    try:
        declared.bind_types(name, owner, *parts)
        if declared.default is not NO_DEFAULT:
            codec(parts[-1]).encode(declared.default)
    except DefinitionError as error:
        raise DefinitionError(f"{where}: {error}") from None
    except CodecError as error:
        raise DefinitionError(f"{where}: its default {declared.default!r} is no {shown(parts[-1])}: {error}") from None
    setattr(module, name, declared)
    key = parts[0] if kind is Map else None
    return StorageInfo(name, kind.__name__.lower(), key, parts[-1], declared.default, declared)


def _uses(module: Any, body: Mapping[str, Any], name: str, hint: Any) -> Uses[Any]:
    where, parts = f"{module.__name__}.{name}", get_args(hint)
    if len(parts) != 1 or not getattr(parts[0], "_is_protocol", False):
        raise DefinitionError(f"{where}: Uses names a Protocol: write {name}: Uses[Ledger], class Ledger(Protocol)")
    given = body.get(name, Uses())
    if not isinstance(given, Uses):
        raise DefinitionError(f"{where} is annotated as Uses and is {given!r}: write {name}: {shown(hint)}")
    made: Uses[Any] = Uses(given.provider)
    made.name, made.protocol = name, parts[0]
    setattr(module, name, made)
    return made


def _verbs(module: Any, owner: str, scope: Scope) -> tuple[dict[str, CallInfo], dict[str, QueryInfo]]:
    calls: dict[str, CallInfo] = {}
    queries: dict[str, QueryInfo] = {}
    found: dict[str, tuple[Any, Scope]] = {}
    for layer, body in _bodies(module):
        for name, value in body.items():
            known = found.get(name, (None, scope))[0]
            if not (isinstance(value, Verb) and isinstance(known, Verb) and value.function is known.function):
                found[name] = value, scope.within(layer)  # else it was put there, of a base: that one's scope holds
    for name, (value, around) in found.items():
        if isinstance(value, CallMethod):
            calls[name] = declare_call(module, owner, name, value, around.hints)
        elif isinstance(value, QueryMethod):
            queries[name] = declare_query(module, owner, name, value, around.hints)
    return calls, queries


def _bodies(module: Any) -> list[tuple[Any, dict[str, Any]]]:
    """The class bodies, base first, as they are now: what is declared is put on the module while they are read."""
    return [(layer, dict(vars(layer))) for layer in layers(module)]


def _invariants(module: Any) -> dict[str, InvariantInfo]:
    found = {}
    for layer in layers(module):
        for name, value in vars(layer).items():
            if isinstance(value, Invariant):
                check_plain_method(f"{module.__name__}.{name}", "@invariant", value.function)
                found[name] = InvariantInfo(name, inspect.cleandoc(value.__doc__ or ""), value)
    return found


def _hooks(module: Any) -> dict[str, int]:
    hooks = {}
    for name in HOOKS:
        function = getattr(module, name)
        gas = vars(function).get("hook_gas")
        if function is getattr(root_of(module), name):
            continue
        if gas is None:
            raise DefinitionError(f"{module.__name__}.{name} says no gas: write @hook(gas=100_000) above it")
        check_plain_method(f"{module.__name__}.{name}", "a hook", function)
        hooks[name] = gas
    for name, value in vars(module).items():
        if isinstance(value, types.FunctionType) and "hook_gas" in vars(value) and name not in HOOKS:
            raise DefinitionError(f"{module.__name__}.{name}: @hook is for {' and '.join(HOOKS)} only")
    return hooks


def _config(module: Any, name: str, base: type[Any]) -> Any:
    declared = getattr(module, name, None)
    if declared is None:
        return None
    if not (isinstance(declared, type) and issubclass(declared, base)):
        raise DefinitionError(f"{module.__name__}.{name}: write class {name}({base.__name__})")
    try:
        codec(declared)
    except DefinitionError as error:
        raise DefinitionError(f"{module.__name__}.{name}: {error}") from None
    return declared


def _genesis(module: Any) -> type[Genesis] | None:
    declared: type[Genesis] | None = _config(module, "GenesisConfig", Genesis)
    has_method = module.genesis is not root_of(module).genesis
    if declared is not None and not has_method:
        raise DefinitionError(
            f"{module.__name__} declares GenesisConfig and does not use it: "
            "write def genesis(self, config: GenesisConfig) -> None"
        )
    if has_method and declared is None:
        raise DefinitionError(
            f"{module.__name__}.genesis needs its configuration's type: write class GenesisConfig(Genesis)"
        )
    return declared
