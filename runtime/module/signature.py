"""The signature of a verb is its schema and its authorisation: how it is read, and what is refused.

Lives here: the rules for calls, queries and methods without arguments. Must not: know storage or whole modules.
"""

from __future__ import annotations

import copy
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin

import msgspec

from runtime.codec import codec
from runtime.errors import DefinitionError
from runtime.module.metadata import CallInfo, Field, QueryInfo
from runtime.module.origin import ORIGINS, Origin
from runtime.module.services import InferenceRequest
from runtime.module.verbs import CallMethod, QueryMethod, Verb
from runtime.types import FixedBytes, IntWidth, MaxLen, Pattern, Struct

Hints = Callable[[str, Mapping[str, Any]], dict[str, Any]]
QUERY_OPTIONS: Final = ("height", "prove")
"""What HTTP and the command line take beside a query's own arguments: at which height, and whether with a proof."""
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_FORM = "write def {name}(self, origin: Signed, *, amount: U64) -> None"


def declare_call(module: Any, owner: str, name: str, method: CallMethod[Any, ...], hints: Hints) -> CallInfo:
    """Reads a call's signature; puts a copy of the method, filled in, on the class. Raises DefinitionError."""
    where = f"{module.__name__}.{name}"
    function = method.function
    _check_function(where, function)
    parameters = _after_self(where, function, _FORM.format(name=name))
    if not parameters or parameters[0].name != "origin" or parameters[0].kind is _KEYWORD:
        raise DefinitionError(f"{where} says no origin, so nobody knows who may call it: {_FORM.format(name=name)}")
    types_ = hints(f"{where}, parameter ", function.__annotations__)
    if "origin" not in types_:
        raise DefinitionError(
            f"{where}: origin has no annotation: write origin: Signed, origin: Root or a union of them"
        )
    if types_.get("return", Any) is not type(None):
        raise DefinitionError(f"{where}: a call returns nothing: write -> None, and emit an event for what came out")
    made = _filled(module, owner, name, method, parameters[1:], types_)
    made.origins = _origins(where, types_["origin"])
    if made.infers is not None:
        _check_infers(f"{where}, infers", made.infers, made.arguments.__struct_fields__, types_, hints)
    return CallInfo(
        name=name,
        full_name=made.full_name,
        docs=_docs(function),
        origins=made.origins,
        gas=made.gas,
        fields=_as_fields(made, types_),
        arguments=made.arguments,
        codec=made.codec,
        method=made,
        infers=made.infers,
    )


def declare_query(module: Any, owner: str, name: str, method: QueryMethod[..., Any], hints: Hints) -> QueryInfo:
    """Reads a query's signature; puts a copy of the method, filled in, on the class. Raises DefinitionError."""
    where, function = f"{module.__name__}.{name}", method.function
    _check_function(where, function)
    parameters = _after_self(where, function, f"write def {name}(self, *, account: AccountId) -> U64")
    for parameter in parameters:
        if parameter.name in QUERY_OPTIONS:
            raise DefinitionError(
                f"{where}: {parameter.name} is what is asked of every query beside its arguments "
                f"({', '.join(QUERY_OPTIONS)}): give the argument another name"
            )
    types_ = hints(f"{where}, parameter ", function.__annotations__)
    if "return" not in types_:
        raise DefinitionError(f"{where}: a query says what it answers: write -> U64, or another bounded type")
    made = _filled(module, owner, name, method, parameters, types_)
    made.result = types_["return"]
    try:
        made.result_codec = codec(made.result)
    except DefinitionError as error:
        raise DefinitionError(f"{where}: its answer {shown(made.result)}: {error}") from None
    fields = _as_fields(made, types_)
    return QueryInfo(
        name, made.full_name, _docs(function), fields, made.arguments, made.codec, made.result, made.result_codec, made
    )


def _check_infers(where: str, function: Any, names: tuple[str, ...], types_: Mapping[str, Any], hints: Hints) -> None:
    """A plain method of the call's arguments, each by the same name and type, that gives requests."""
    parts = ", ".join(["self", *(["*", *(f"{name}: {shown(types_[name])}" for name in names)] if names else [])])
    mend = f"write def runs({parts}) -> tuple[InferenceRequest, ...] above the call, and infers=runs"
    if not isinstance(function, types.FunctionType):
        raise DefinitionError(f"{where}: {function!r} is no method of this class: {mend}")
    _check_function(where, function)
    parameters = _after_self(where, function, mend)
    found = hints(f"{where}, parameter ", function.__annotations__)
    for parameter in parameters:
        _check_parameter(where, parameter, found)
    if {parameter.name: found[parameter.name] for parameter in parameters} != {name: types_[name] for name in names}:
        raise DefinitionError(f"{where}: its arguments are not the call's: {mend}")
    if found.get("return") != tuple[InferenceRequest, ...]:
        raise DefinitionError(f"{where}: it does not say that it gives requests: {mend}")


def check_plain_method(where: str, what: str, function: Callable[..., Any]) -> None:
    """Raises DefinitionError unless the method takes self alone."""
    _check_function(where, function)
    if len(inspect.signature(function).parameters) != 1:
        raise DefinitionError(f"{where}: {what} takes no arguments: write def {function.__name__}(self) -> None")


def _filled(module: Any, owner: str, name: str, method: Any, parameters: list[inspect.Parameter], types_: Any) -> Any:
    where = f"{module.__name__}.{name}"
    fields = []
    for parameter in parameters:
        _check_parameter(where, parameter, types_)
        try:
            codec(types_[parameter.name])
        except DefinitionError as error:
            raise DefinitionError(f"{where}, parameter {parameter.name}: {error}") from None
        fields.append((parameter.name, types_[parameter.name]))
    made: Verb = copy.copy(method)
    made.name, made.full_name = name, f"{owner}.{name}"
    record = msgspec.defstruct(f"{module.__name__}_{name}", fields, bases=(Struct,), module=module.__module__)
    made.arguments = cast("type[Struct]", record)
    made.codec = codec(made.arguments)
    setattr(module, name, made)
    return made


def _check_function(where: str, function: Any) -> None:
    if not isinstance(function, types.FunctionType):
        raise DefinitionError(
            f"{where}: the decorator belongs directly above a method: def {where.rpartition('.')[2]}(self, ...)"
        )
    if (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    ):
        raise DefinitionError(f"{where} is async or a generator: a verb runs to its end: write a plain def")


def _after_self(where: str, function: Callable[..., Any], mend: str) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].name != "self":
        raise DefinitionError(f"{where} has no self: {mend}")
    return parameters[1:]


def _check_parameter(where: str, parameter: inspect.Parameter, types_: Mapping[str, Any]) -> None:
    name = parameter.name
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise DefinitionError(f"{where}: *{name} has no schema: write each argument with its type")
    if parameter.kind is not _KEYWORD:
        raise DefinitionError(
            f"{where}: {name} is positional: arguments travel by name; write *, before the first of them"
        )
    if name not in types_:
        raise DefinitionError(f"{where}: {name} has no annotation: write {name}: U64, or another bounded type")
    if parameter.default is not inspect.Parameter.empty:
        raise DefinitionError(
            f"{where}: {name} has a default: every argument is in the bytes; drop = {parameter.default!r}"
        )


def _origins(where: str, annotation: Any) -> tuple[type[Origin], ...]:
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    for member in members:
        if member not in ORIGINS:
            raise DefinitionError(
                f"{where}: origin is {shown(member)}: write Signed, Root, ModuleOrigin or a union of them"
            )
    return members


def _as_fields(verb: Verb, types_: Mapping[str, Any]) -> tuple[Field, ...]:
    return tuple(Field(name, types_[name], shown(types_[name])) for name in verb.arguments.__struct_fields__)


def _docs(function: Callable[..., Any]) -> str:
    return inspect.cleandoc(function.__doc__ or "")


def shown(declared: Any) -> str:
    """A type as an author would write it."""
    if get_origin(declared) is Annotated:
        base, *metadata = get_args(declared)
        for item in metadata:
            if isinstance(item, IntWidth):
                return f"{'I' if item.signed else 'U'}{item.bits}"
            if isinstance(item, MaxLen):
                return f"{shown(base)} up to {item.limit}"
            if isinstance(item, FixedBytes | Pattern):
                return shown(base)
        return shown(base)
    if get_origin(declared) in (Union, types.UnionType):
        return " | ".join(shown(member) for member in get_args(declared))
    if get_origin(declared) is not None:
        inner = ", ".join("..." if part is Ellipsis else shown(part) for part in get_args(declared))
        return f"{get_origin(declared).__name__}[{inner}]"
    return "None" if declared is type(None) else str(getattr(declared, "__name__", declared))
