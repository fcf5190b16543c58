"""From a declared type to a Schema: what both codecs and the documentation read.

Rules: no floats, sets, unbounded integers, unbounded texts or recursive types; maps only in pydantic models (genesis
and parameters), where they travel as sorted pairs. A type outside the rules is a DefinitionError that says the mend.
"""

from __future__ import annotations

import enum
import types
import typing
from dataclasses import dataclass, replace
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel

from runtime.errors import DefinitionError
from runtime.limits import CODEC_DEPTH_MAX
from runtime.types import FixedBytes, IntWidth, MaxLen, Pattern


@dataclass(frozen=True)
class Schema:
    """A node of a type: `kind` says which fields count.

    kind: int | bool | enum | bytes | str | tuple | array | optional | struct | union | model | map
    items: the parts in order (tuple, struct, model), the element (array, optional), the members (union), or key and
           value (map)
    """

    kind: str
    python: Any
    items: tuple[Schema, ...] = ()
    names: tuple[str, ...] = ()
    bits: int = 0
    signed: bool = False
    size: int | None = None
    limit: int | None = None
    regex: str | None = None
    tag: int | None = None
    name: str = ""


def schema_of(declared: Any) -> Schema:
    """The schema of a declared type. Raises DefinitionError where the type has no canonical bytes."""
    return _schema(declared, (), 0)


def _schema(declared: Any, metadata: tuple[Any, ...], depth: int) -> Schema:
    if depth > CODEC_DEPTH_MAX:
        raise DefinitionError(f"a type nests deeper than {CODEC_DEPTH_MAX}: recursive types have no canonical bytes")
    if isinstance(declared, typing.NewType):
        inner = _schema(declared.__supertype__, metadata, depth)
        return _renamed(inner, str(declared.__name__))
    origin = get_origin(declared)
    if origin is Annotated:
        base, *extra = get_args(declared)
        return _schema(base, (*extra, *metadata), depth)
    if origin is Union or origin is types.UnionType:
        return _union(get_args(declared), metadata, depth)
    if origin is tuple:
        return _tuple(get_args(declared), metadata, depth)
    if origin is dict:
        key, value = get_args(declared)
        return Schema("map", declared, (_schema(key, (), depth + 1), _schema(value, (), depth + 1)))
    return _plain(declared, metadata, depth)


def _renamed(schema: Schema, name: str) -> Schema:
    return replace(schema, name=name)


def _find(metadata: tuple[Any, ...], kind: type[Any]) -> Any:
    return next((item for item in metadata if isinstance(item, kind)), None)


def _plain(declared: Any, metadata: tuple[Any, ...], depth: int) -> Schema:
    if declared is bool:
        return Schema("bool", bool)
    if declared is int:
        width = _find(metadata, IntWidth)
        if width is None:
            raise DefinitionError("a plain int has no bound: write U8, U16, U32, U64, U128 or I64")
        if width.bits % 8 or not 0 < width.bits <= (64 if width.signed else 256):
            raise DefinitionError(f"{width}: an integer has whole bytes, at most 256 bits; a signed one at most 64")
        return Schema("int", int, bits=width.bits, signed=width.signed)
    if declared is bytes:
        fixed = _find(metadata, FixedBytes)
        if fixed is not None:
            return Schema("bytes", bytes, size=fixed.size, name=fixed.kind)
        return Schema("bytes", bytes, limit=_limit(metadata, "bytes"))
    if declared is str:
        pattern = _find(metadata, Pattern)
        if pattern is not None:
            return Schema("str", str, limit=pattern.limit, regex=pattern.regex)
        return Schema("str", str, limit=_limit(metadata, "str"))
    if isinstance(declared, type):
        return _class(declared, depth)
    raise DefinitionError(f"{declared!r} has no canonical bytes")


def _class(declared: type[Any], depth: int) -> Schema:
    if issubclass(declared, enum.IntEnum):
        if any(not 0 <= member.value < 256 for member in declared):
            raise DefinitionError(f"{declared.__name__}: the members of an enum are numbered 0 to 255")
        return Schema("enum", declared, bits=8)
    if issubclass(declared, msgspec.Struct):
        config = declared.__struct_config__
        if not (config.array_like and config.frozen and config.forbid_unknown_fields):
            raise DefinitionError(f"{declared.__name__}: a wire record derives from runtime.Struct")
        if declared.__struct_defaults__:
            raise DefinitionError(f"{declared.__name__}: a wire record has no defaults: give every field")
        return _record("struct", declared, declared.__struct_fields__, config.tag, depth)
    if issubclass(declared, BaseModel):
        return _record("model", declared, tuple(declared.model_fields), None, depth)
    mend = {
        float: "write an integer with fixed-point units",
        set: "write a sorted tuple",
        frozenset: "write a sorted tuple",
        list: "write tuple[T, ...] with MaxLen",
        dict: "write dict[K, V]",
    }.get(declared)
    raise DefinitionError(f"{declared.__name__} has no canonical bytes" + (f": {mend}" if mend else ""))


def _record(kind: str, declared: type[Any], names: tuple[str, ...], tag: Any, depth: int) -> Schema:
    if tag is not None and not (isinstance(tag, int) and 0 <= tag < 128):
        raise DefinitionError(f"{declared.__name__}: a tag is a number from 0 to 127")
    hints = get_type_hints(declared, include_extras=True)
    items = []
    for name in names:
        try:
            items.append(_schema(hints[name], (), depth + 1))
        except DefinitionError as error:
            raise DefinitionError(f"{declared.__name__}.{name}: {error}") from None
    return Schema(kind, declared, tuple(items), names, tag=tag, name=declared.__name__)


def _limit(metadata: tuple[Any, ...], what: str) -> int:
    """The tightest of the bounds stated: a narrower type may be made of a wider one."""
    bounds = [item.limit for item in metadata if isinstance(item, MaxLen)]
    if not bounds:
        raise DefinitionError(f"{what} of any length has no bound: write Annotated[{what}, MaxLen(...)]")
    return min(bounds)


def _tuple(arguments: tuple[Any, ...], metadata: tuple[Any, ...], depth: int) -> Schema:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        limit = _limit(metadata, "tuple[T, ...]")
        return Schema("array", tuple, (_schema(arguments[0], (), depth + 1),), limit=limit)
    return Schema("tuple", tuple, tuple(_schema(argument, (), depth + 1) for argument in arguments))


def _union(arguments: tuple[Any, ...], metadata: tuple[Any, ...], depth: int) -> Schema:
    members = [argument for argument in arguments if argument is not type(None)]
    if len(members) == 1:
        return Schema("optional", None, (_schema(members[0], metadata, depth + 1),))
    if len(members) < len(arguments):
        return Schema("optional", None, (_union(tuple(members), metadata, depth + 1),))
    parts = tuple(_schema(member, (), depth + 1) for member in members)
    tags = [part.tag for part in parts]
    if any(part.kind != "struct" or part.tag is None for part in parts) or len(set(tags)) < len(tags):
        raise DefinitionError("the members of a union are records with distinct tags: class A(Struct, tag=0)")
    return Schema("union", None, parts)
