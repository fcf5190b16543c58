"""Verbs: `@call`, `@query`, `@invariant`, `@hook`. Each is a descriptor that keeps the method's exact type.

Lives here: what decorators make. Must not: judge the declaration (runtime.module.declaration fills the blanks in).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, Never, ParamSpec, TypeVar, cast, overload

from runtime.codec import Codec
from runtime.errors import CodecError, DefinitionError
from runtime.module.origin import Origin
from runtime.module.services import InferenceRequest
from runtime.module.wire import Call
from runtime.types import Struct

if TYPE_CHECKING:
    from runtime.module.module import Module

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
O_contra = TypeVar("O_contra", bound=Origin, contravariant=True)
F = TypeVar("F", bound=Callable[..., None])
NO_GAS: Final = -1
Infers = Callable[Concatenate[Any, P], tuple[InferenceRequest, ...]]
"""A method that says what a call with these arguments will infer."""


class Verb:
    """What calls and queries share: the function, the record of its arguments and that record's codec."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", repr(function))
        self.full_name = ""
        self.arguments: type[Struct] = Struct
        self.codec: Codec[Any] = cast("Codec[Any]", None)  # set when the module's class is made
        self.__doc__ = function.__doc__

    def record(self, fields: dict[str, Any]) -> Struct:
        """The record of keyword arguments. Raises CodecError naming a missing or an unknown one."""
        names = self.arguments.__struct_fields__
        for name in names:
            if name not in fields:
                raise CodecError(f"$.{name}", f"{self.full_name} needs this argument")
        for name in fields:
            if name not in names:
                raise CodecError(
                    f"$.{name}", f"{self.full_name} has no such argument; it takes {', '.join(names) or 'none'}"
                )
        return self.arguments(**fields)

    def keywords(self, record: Struct) -> dict[str, Any]:
        """The record as keyword arguments."""
        return {name: getattr(record, name) for name in self.arguments.__struct_fields__}


class CallMethod(Verb, Generic[O_contra, P]):
    """A call of a module. On the class: `.build(...)`. On an instance: the method itself, for use by other methods."""

    def __init__(
        self, function: Callable[Concatenate[Any, O_contra, P], None], gas: int, infers: Infers[P] | None = None
    ) -> None:
        super().__init__(function)
        self.gas = gas
        self.infers = infers
        self.origins: tuple[type[Origin], ...] = ()

    def build(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """The typed call with these arguments. Raises CodecError where one is missing or not of its type."""
        if args:
            raise CodecError("$", f"{self.full_name} takes keyword arguments only")
        return Call(self.full_name, self.codec.encode(self.record(kwargs)))

    @overload
    def __get__(self, instance: None, owner: Any) -> CallMethod[O_contra, P]: ...
    @overload
    def __get__(self, instance: Module, owner: Any) -> Callable[Concatenate[O_contra, P], None]: ...
    def __get__(self, instance: Module | None, owner: Any) -> Any:
        return self if instance is None else MethodType(self.function, instance)


class QueryMethod(Verb, Generic[P, R_co]):
    """A query of a module: reads, never writes. On an instance: the method itself."""

    def __init__(self, function: Callable[Concatenate[Any, P], R_co]) -> None:
        super().__init__(function)
        self.result: Any = None
        self.result_codec: Codec[Any] = cast("Codec[Any]", None)  # set when the module's class is made

    @overload
    def __get__(self, instance: None, owner: Any) -> QueryMethod[P, R_co]: ...
    @overload
    def __get__(self, instance: Module, owner: Any) -> Callable[P, R_co]: ...
    def __get__(self, instance: Module | None, owner: Any) -> Any:
        return self if instance is None else MethodType(self.function, instance)


class Invariant:
    """Something that must hold after every block: the method raises (AssertionError, by `assert`) where it does not."""

    def __init__(self, function: Callable[[Any], None]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", repr(function))
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: Any) -> Invariant: ...
    @overload
    def __get__(self, instance: Module, owner: Any) -> Callable[[], None]: ...
    def __get__(self, instance: Module | None, owner: Any) -> Any:
        return self if instance is None else MethodType(self.function, instance)


@overload
def call(
    *misplaced: Never, gas: int = NO_GAS
) -> Callable[[Callable[Concatenate[Any, O_contra, P], None]], CallMethod[O_contra, P]]: ...
@overload
def call(
    *misplaced: Never, gas: int = NO_GAS, infers: Infers[P]
) -> Callable[[Callable[Concatenate[Any, O_contra, P], None]], CallMethod[O_contra, P]]: ...
def call(*misplaced: Never, gas: int = NO_GAS, infers: Any = None) -> Any:
    """A method that transactions may call: `def name(self, origin: Signed, *, argument: Type, ...) -> None`.

    gas: what the method's own work costs, in nanoseconds on the reference machine; storage, events and services are
    metered besides. The annotation of `origin` is the authorisation.
    infers: a method of the same arguments, `def runs(self, *, argument: Type, ...) -> tuple[InferenceRequest, ...]`,
    that says which runs the call will ask `Inference.run` for, by its arguments and the state before the block. It
    makes blocks faster and changes nothing else: a block's runs of one model are made together, and one that it did
    not name is made in place. It only reads; it pays no gas, and is not asked where a block has too much of it. Raises
    DefinitionError without gas.
    """
    if misplaced or gas == NO_GAS:
        raise DefinitionError("@call needs its gas: write @call(gas=5_000)")
    if not isinstance(gas, int) or isinstance(gas, bool) or not 0 <= gas < 1 << 63:
        raise DefinitionError(f"@call(gas={gas!r}): gas is an integer from 0 to 2^63 - 1")
    return lambda function: CallMethod(function, gas, infers)


def query(function: Callable[Concatenate[Any, P], R]) -> QueryMethod[P, R]:
    """A method that anyone may ask, at any retained height: `def name(self, *, argument: Type, ...) -> Result`."""
    return QueryMethod(function)


def invariant(function: Callable[[Any], None]) -> Invariant:
    """A method without arguments that raises where the module's state is not as it must be."""
    return Invariant(function)


def hook(*misplaced: Never, gas: int = NO_GAS) -> Callable[[F], F]:
    """Declares what `begin_block` or `end_block` may use at most, its storage included; that much of each block's gas
    is set aside. A hook that uses more, or raises, is rolled back and emits HookFailed; the chain goes on."""
    if misplaced or not isinstance(gas, int) or isinstance(gas, bool) or not 0 < gas < 1 << 63:
        raise DefinitionError("@hook needs its gas: write @hook(gas=100_000)")

    def mark(function: F) -> F:
        function.__dict__["hook_gas"] = gas
        return function

    return mark
