"""The form of what people write: a tree made of declared types, pydantic models and wire records alike.

What reads it: the JSON Schema (json_schema.py), and explanations of what is wrong (explain.py). What decides whether a
value is of the form is pydantic alone, from the same declarations.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from runtime.codec.schema import Schema, schema_of
from runtime.types import MaxLen

NO_DEFAULT: Any = PydanticUndefined


@dataclass(frozen=True)
class Member:
    """A member of an object. description: "" where its declaration says nothing."""

    form: Form
    is_required: bool = True
    default: Any = NO_DEFAULT
    description: str = ""


@dataclass(frozen=True)
class Form:
    """kind says which fields count: object (members, tag) | map (items: key, value) | list (items: the element; least,
    most) | tuple (items) | optional (items: what it is when it is there) | union (items: objects with tags) |
    constant (values) | scalar (schema) | free (anything). python: the declared type of an object."""

    kind: str
    members: Mapping[str, Member] = field(default_factory=dict)
    items: tuple[Form, ...] = ()
    least: int | None = None
    most: int | None = None
    values: tuple[Any, ...] = ()
    schema: Schema | None = None
    tag: str = ""
    docs: str = ""
    python: Any = None


@cache
def form_of(declared: Any) -> Form:
    """The form of a declared type: a model, a wire record, or what their fields are."""
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        members = {name: _member(info) for name, info in declared.model_fields.items()}
        return Form("object", members=members, docs=_docs(declared), python=declared)
    return _form(declared, ())


def _member(info: FieldInfo) -> Member:
    default = NO_DEFAULT
    if not info.is_required():
        default = info.get_default(call_default_factory=True, validated_data={})
    annotation: Any = info.annotation
    form = _form(annotation, tuple(info.metadata))
    return Member(form, info.is_required(), default, info.description or "")


def _form(declared: Any, metadata: tuple[Any, ...]) -> Form:
    origin = get_origin(declared)
    if origin is Annotated:
        base, *extra = get_args(declared)
        return _form(base, (*extra, *metadata))
    if origin is Union or origin is types.UnionType:
        members = [each for each in get_args(declared) if each is not type(None)]
        inner = _form(members[0], metadata) if len(members) == 1 else Form("union", items=tuple(map(form_of, members)))
        return inner if len(members) == len(get_args(declared)) else Form("optional", items=(inner,))
    if origin is Literal:
        return Form("constant", values=get_args(declared))
    if declared is Any:
        return Form("free")
    if origin is dict:
        key, value = get_args(declared)
        return Form("map", items=(form_of(key), form_of(value)))
    if origin in (list, tuple):
        return _series(get_args(declared), metadata, is_list=origin is list)
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        return form_of(declared)
    if isinstance(declared, type) and issubclass(declared, Struct):
        return _record(declared)
    return _scalar(declared, metadata)


def _series(arguments: tuple[Any, ...], metadata: tuple[Any, ...], *, is_list: bool) -> Form:
    if not is_list and arguments[1:] != (Ellipsis,):
        return Form("tuple", items=tuple(map(form_of, arguments)))
    least = [each.min_length for each in metadata if getattr(each, "min_length", None) is not None]
    most = [each.max_length for each in metadata if getattr(each, "max_length", None) is not None]
    most += [each.limit for each in metadata if isinstance(each, MaxLen)]
    return Form("list", items=(form_of(arguments[0]),), least=max(least, default=None), most=min(most, default=None))


def _record(declared: type[Struct]) -> Form:
    hints = get_type_hints(declared, include_extras=True)
    members = {name: Member(form_of(hints[name])) for name in declared.__struct_fields__}
    is_tagged = declared.__struct_config__.tag is not None
    if is_tagged:
        members["type"] = Member(Form("constant", values=(declared.__name__,)))
    tag = declared.__name__ if is_tagged else ""
    return Form("object", members=members, tag=tag, docs=_docs(declared), python=declared)


def _scalar(declared: Any, metadata: tuple[Any, ...]) -> Form:
    """A number, a text, bytes, a choice. What narrows it, Annotated[U64, Field(ge=1)], is `least` and `most`."""
    plain = declared.__supertype__ if isinstance(declared, typing.NewType) else declared
    schema = schema_of(Annotated[plain, *metadata] if metadata else plain) if _is_wire(plain, metadata) else None
    least = [each.ge for each in metadata if getattr(each, "ge", None) is not None]
    most = [each.le for each in metadata if getattr(each, "le", None) is not None]
    python = Schema(plain.__name__, plain) if schema is None else schema
    return Form("scalar", schema=python, least=max(least, default=None), most=min(most, default=None))


def _is_wire(plain: Any, metadata: tuple[Any, ...]) -> bool:
    """A text of a chain spec's own may be without bound; everything else has the wire's types."""
    return plain is not str or any(hasattr(each, "limit") for each in metadata)


def _docs(declared: type[Any]) -> str:
    own = declared.__dict__.get("__doc__") or ""
    return "" if own.startswith(f"{declared.__name__}(") else " ".join(own.split())
