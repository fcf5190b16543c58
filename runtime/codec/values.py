"""Values as canonical msgpack: msgspec decodes and checks against the declared type in C, then the value is encoded
again and the bytes compared, so that of all spellings of a value exactly one is accepted.

Structs are arrays, tagged unions carry their tag first, integers above 64 bits are fixed-width big-endian bytes,
pydantic models are arrays of their fields and their maps arrays of pairs, sorted by the encoded key.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from runtime.codec.schema import Schema, schema_of
from runtime.codec.work import work_of
from runtime.errors import CodecError

T = TypeVar("T")
Convert = Callable[[Any], Any]
_encode = msgspec.msgpack.Encoder().encode
_PATH = re.compile(r"^(.*) - at `(.*)`$", re.DOTALL)


class Codec(Generic[T]):
    """Reads and writes one declared type. Get one by `codec(T)`."""

    def __init__(self, declared: Any) -> None:
        self.schema = schema_of(declared)
        self._decoder = msgspec.msgpack.Decoder(_wire_type(self.schema))
        self._to_wire = _to_wire(self.schema)
        self._from_wire = _from_wire(self.schema)
        self._work = work_of(self.schema)

    def work(self, size_bytes: int) -> int:
        """What decoding so many bytes, or encoding to them, is at most, in units (runtime.codec.work)."""
        return self._work.of(size_bytes)

    def encode(self, value: T) -> bytes:
        """The canonical bytes of `value`. Raises CodecError when it is not of the declared type."""
        try:
            data = _encode(self._to_wire(value) if self._to_wire else value)
            self._decoder.decode(data)
        except (msgspec.MsgspecError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise _codec_error(self.schema, error) from None
        return data

    def decode(self, data: bytes) -> T:
        """The value of `data`. Raises CodecError unless `data` is the canonical encoding of a value of the type."""
        try:
            wire = self._decoder.decode(data)
            value = self._from_wire(wire) if self._from_wire else wire
            again = _encode(self._to_wire(value) if self._to_wire else value)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _codec_error(self.schema, error) from None
        if again != data:
            raise CodecError("$", "the bytes are not the canonical encoding of their value")
        result: T = value
        return result


@functools.lru_cache(maxsize=4096)
def codec(declared: Any) -> Codec[Any]:
    """The codec of a declared type, made once. Raises DefinitionError where the type has no canonical bytes."""
    return Codec(declared)


def _codec_error(schema: Schema, error: Exception) -> CodecError:
    if isinstance(error, RecursionError):
        return CodecError("$", "the bytes nest too deeply")
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return CodecError("$" + "".join(f".{part}" for part in first["loc"]), first["msg"])
    found = _PATH.match(str(error))
    return CodecError(_named_path(schema, found[2]), found[1]) if found else CodecError("$", str(error))


def _named_path(schema: Schema, path: str) -> str:
    """msgspec's "$[2][...]" with the fields' names in place of their numbers."""
    named, node = "$", schema
    for step in re.findall(r"\[(\d+|\.\.\.)\]", path):
        while node.kind == "optional":
            node = node.items[0]
        place = int(step) - (node.tag is not None) if step.isdigit() else -1  # a tag comes before the fields
        named += f".{node.names[place]}" if 0 <= place < len(node.names) else f"[{step}]"
        if node.kind == "union" or not node.items:
            return named
        node = node.items[place] if 0 <= place < len(node.items) else node.items[0]
    return named


# --- the type that msgspec checks ------------------------------------------------------------------------------------


def _wire_type(schema: Schema) -> Any:
    return _WIRE[schema.kind](schema)


def _wire_int(schema: Schema) -> Any:
    if schema.bits > 64:
        width = schema.bits // 8
        return Annotated[bytes, msgspec.Meta(min_length=width, max_length=width)]
    if schema.signed:
        return Annotated[int, msgspec.Meta(ge=-(1 << (schema.bits - 1)), le=(1 << (schema.bits - 1)) - 1)]
    if schema.bits == 64:  # msgpack's own integers end there
        return Annotated[int, msgspec.Meta(ge=0)]
    return Annotated[int, msgspec.Meta(ge=0, le=(1 << schema.bits) - 1)]


def _wire_text(schema: Schema) -> Any:
    pattern = f"^(?:{schema.regex})\\Z" if schema.regex else None
    return Annotated[str, msgspec.Meta(max_length=schema.limit, pattern=pattern)]


def _wire_bytes(schema: Schema) -> Any:
    if schema.size is not None:
        return Annotated[bytes, msgspec.Meta(min_length=schema.size, max_length=schema.size)]
    return Annotated[bytes, msgspec.Meta(max_length=schema.limit)]


def _wire_struct(schema: Schema) -> Any:
    """A twin of the record, made of wire types alone: the bounds that msgspec is to check are in it."""
    fields = [(f"f{place}", _wire_type(item)) for place, item in enumerate(schema.items)]
    return msgspec.defstruct(
        schema.name,
        fields,
        array_like=True,
        frozen=True,
        forbid_unknown_fields=True,
        tag_field=None if schema.tag is None else "tag",
        tag=schema.tag,
    )


def _wire_union(schema: Schema) -> Any:
    members = [_wire_type(item) for item in schema.items]
    return functools.reduce(lambda left, right: left | right, members)


_WIRE: dict[str, Callable[[Schema], Any]] = {
    "int": _wire_int,
    "bool": lambda schema: bool,
    "enum": lambda schema: Annotated[int, msgspec.Meta(ge=0, le=255)],
    "bytes": _wire_bytes,
    "str": _wire_text,
    "tuple": lambda schema: tuple[tuple(_wire_type(item) for item in schema.items)],  # type: ignore[misc] # built at run time
    "array": lambda schema: Annotated[
        tuple[_wire_type(schema.items[0]), ...], msgspec.Meta(max_length=schema.limit)  # type: ignore[misc] # built at run time
    ],
    "optional": lambda schema: _wire_type(schema.items[0]) | None,
    "struct": _wire_struct,
    "union": _wire_union,
    "model": lambda schema: tuple[tuple(_wire_type(item) for item in schema.items)],  # type: ignore[misc] # built at run time
    "map": lambda schema: tuple[tuple[_wire_type(schema.items[0]), _wire_type(schema.items[1])], ...],  # type: ignore[misc] # built at run time
}


# --- value -> wire ---------------------------------------------------------------------------------------------------


def _to_wire(schema: Schema) -> Convert | None:
    """A function from value to what msgspec encodes, or None where the value can be encoded as it is."""
    if schema.kind == "int":
        return functools.partial(_wide_to_bytes, schema.bits // 8) if schema.bits > 64 else None
    if schema.kind in ("bool", "bytes", "str"):
        return None
    if schema.kind == "enum":
        return functools.partial(_enum_to_wire, schema.python)
    parts = [_to_wire(item) for item in schema.items]
    if schema.kind == "optional":
        part = parts[0]
        return None if part is None else (lambda value: None if value is None else part(value))
    if schema.kind == "array":
        return functools.partial(_array_to_wire, parts[0])
    if schema.kind == "tuple":
        return functools.partial(_tuple_to_wire, parts if any(parts) else None)
    if schema.kind == "struct":
        return functools.partial(_struct_to_wire, schema, parts if any(parts) else None)
    if schema.kind == "union":
        members = {item.python: part for item, part in zip(schema.items, parts, strict=True)}
        return functools.partial(_union_to_wire, members)
    if schema.kind == "model":
        return lambda value: _sequence(parts, [getattr(value, name) for name in schema.names])
    return functools.partial(_map_to_wire, parts[0], parts[1])


def _wide_to_bytes(width: int, value: int) -> bytes:
    if type(value) is not int:
        raise TypeError(f"expected an integer, got {type(value).__name__}")
    if not 0 <= value < 1 << (8 * width):
        raise ValueError(f"{value} is outside 0 to 2^{8 * width} - 1")
    return value.to_bytes(width, "big")


def _enum_to_wire(kind: type[enum.IntEnum], value: Any) -> int:
    if not isinstance(value, kind):
        raise TypeError(f"expected a {kind.__name__}, got {type(value).__name__}")
    return int(value)


def _array_to_wire(part: Convert | None, value: Any) -> Any:
    if type(value) is not tuple:  # msgspec would write a set too, in whatever order it is
        raise TypeError(f"expected a tuple, got {type(value).__name__}")
    return [part(item) for item in value] if part else value


def _tuple_to_wire(parts: list[Convert | None] | None, value: Any) -> Any:
    if type(value) is not tuple:
        raise TypeError(f"expected a tuple, got {type(value).__name__}")
    return _sequence(parts, value) if parts else value


def _sequence(parts: list[Convert | None], value: Any) -> list[Any]:
    return [part(item) if part else item for part, item in zip(parts, value, strict=True)]


def _struct_to_wire(schema: Schema, parts: list[Convert | None] | None, value: Any) -> Any:
    if type(value) is not schema.python:
        raise TypeError(f"expected a {schema.name}, got {type(value).__name__}")
    if parts is None:
        return value
    fields = _sequence(parts, [getattr(value, name) for name in schema.names])
    return fields if schema.tag is None else [schema.tag, *fields]


def _union_to_wire(members: dict[type[Any], Convert | None], value: Any) -> Any:
    convert = members.get(type(value))
    if convert is None:
        names = ", ".join(member.__name__ for member in members)
        raise TypeError(f"expected one of {names}, got {type(value).__name__}")
    return convert(value)


def _map_to_wire(key: Convert | None, value: Convert | None, mapping: dict[Any, Any]) -> list[Any]:
    pairs = [[key(k) if key else k, value(v) if value else v] for k, v in mapping.items()]
    return sorted(pairs, key=lambda pair: _encode(pair[0]))


# --- wire -> value ---------------------------------------------------------------------------------------------------


def _from_wire(schema: Schema) -> Convert | None:
    """A function from what msgspec decoded to the value, or None where that is the value already."""
    if schema.kind == "int":
        return (lambda data: int.from_bytes(data, "big")) if schema.bits > 64 else None
    if schema.kind in ("bool", "bytes", "str"):
        return None
    if schema.kind == "enum":
        members: Convert = schema.python
        return members
    parts = [_from_wire(item) for item in schema.items]
    if schema.kind in ("array", "optional"):
        part = parts[0]
        if part is None:
            return None
        if schema.kind == "optional":
            return lambda wire: None if wire is None else part(wire)
        return lambda wire: tuple(part(item) for item in wire)
    if schema.kind == "tuple":
        return None if not any(parts) else lambda wire: tuple(_sequence(parts, wire))
    if schema.kind == "struct":
        return functools.partial(_struct_from_wire, schema.python, [f"f{place}" for place in range(len(parts))], parts)
    if schema.kind == "union":
        by_tag = {item.tag: part for item, part in zip(schema.items, parts, strict=True)}
        return lambda wire: by_tag[type(wire).__struct_config__.tag](wire)  # type: ignore[misc] # a struct's part is never None
    if schema.kind == "model":
        return functools.partial(_model_from_wire, schema, parts)
    return functools.partial(_map_from_wire, parts[0], parts[1])


def _struct_from_wire(python: type[Any], names: list[str], parts: list[Convert | None], wire: Any) -> Any:
    values = [getattr(wire, name) for name in names]
    return python(*[part(value) if part else value for part, value in zip(parts, values, strict=True)])


def _model_from_wire(schema: Schema, parts: list[Convert | None], wire: Any) -> BaseModel:
    fields = dict(zip(schema.names, _sequence(parts, wire), strict=True))
    model: BaseModel = schema.python.model_validate(fields)
    return model


def _map_from_wire(key: Convert | None, value: Convert | None, wire: Any) -> dict[Any, Any]:
    return {(key(k) if key else k): (value(v) if value else v) for k, v in wire}
