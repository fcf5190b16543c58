"""Storage keys: bytes whose order is the order of the values, so that a prefix of a tuple is a range of keys.

Integers are fixed-width big-endian (signed ones with the sign bit flipped), bytes of a fixed size stand as they are;
bytes and text of variable length escape 00 as 00 FF and end with 00 00, so that no key is a prefix of another's part
and ("a", "bc") never meets ("ab", "c").
"""

from __future__ import annotations

import functools
from typing import Any, Generic, TypeVar

from runtime.codec.schema import Schema, schema_of
from runtime.codec.values import codec
from runtime.errors import CodecError, DefinitionError
from runtime.limits import STORAGE_KEY_BYTES_MAX

K = TypeVar("K")
_END = b"\x00\x00"


class KeyCodec(Generic[K]):
    """Reads and writes one declared key type. Get one by `key_codec(K)`."""

    def __init__(self, declared: Any) -> None:
        schema = schema_of(declared)
        self.schema = schema
        self._is_tuple = schema.kind == "tuple"
        self._parts = schema.items if self._is_tuple else (schema,)
        self._values = codec(declared)
        for part in self._parts:
            if part.kind not in ("int", "bool", "enum", "bytes", "str"):
                raise DefinitionError(
                    f"a storage key is an integer, a bool, an enum, bytes, a text or a tuple of them, not {part.kind}"
                )

    def encode(self, key: K) -> bytes:
        """The bytes of a key. Raises CodecError when it is not of the declared type."""
        self._values.encode(key)
        return self._join(key if self._is_tuple else (key,))  # type: ignore[arg-type] # a tuple by declaration

    def prefix(self, parts: tuple[Any, ...]) -> bytes:
        """The bytes that begin every key whose first parts are `parts`. Raises CodecError on wrong parts."""
        if len(parts) > len(self._parts):
            raise CodecError("$", f"a prefix of {len(parts)} parts of a key of {len(self._parts)}")
        return self._join(parts)

    def decode(self, data: bytes) -> K:
        """The key of `data`. Raises CodecError unless `data` is a key's encoding."""
        values, rest = [], data
        for part in self._parts:
            value, rest = _take(part, rest)
            values.append(value)
        if rest:
            raise CodecError("$", f"{len(rest)} bytes too many after the key")
        key: Any = tuple(values) if self._is_tuple else values[0]
        if self.encode(key) != data:
            raise CodecError("$", "the bytes are not the canonical encoding of their key")
        result: K = key
        return result

    def _join(self, parts: tuple[Any, ...]) -> bytes:
        data = b"".join([_put(schema, part) for schema, part in zip(self._parts, parts, strict=False)])
        if len(data) > STORAGE_KEY_BYTES_MAX:
            raise CodecError("$", f"the key has {len(data)} bytes, at most {STORAGE_KEY_BYTES_MAX} are allowed")
        return data


@functools.lru_cache(maxsize=1024)
def key_codec(declared: Any) -> KeyCodec[Any]:
    """The key codec of a declared type, made once. Raises DefinitionError where the type cannot be a key."""
    return KeyCodec(declared)


def _put(schema: Schema, value: Any) -> bytes:
    wanted = schema.python
    if not isinstance(value, wanted) or (wanted is int and type(value) is bool):
        raise CodecError("$", f"expected {schema.name or wanted.__name__}, got {type(value).__name__}")
    try:
        if schema.kind in ("int", "enum"):
            offset = 1 << (schema.bits - 1) if schema.signed else 0
            return int(value + offset).to_bytes(schema.bits // 8, "big")
        if schema.kind == "bool":
            return b"\x01" if value else b"\x00"
        if schema.size is not None:
            if len(value) != schema.size:
                raise CodecError("$", f"expected {schema.size} bytes, got {len(value)}")
            return bytes(value)
        raw = value.encode() if schema.kind == "str" else bytes(value)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CodecError("$", str(error)) from None
    return raw.replace(b"\x00", b"\x00\xff") + _END


def _take(schema: Schema, data: bytes) -> tuple[Any, bytes]:
    if schema.kind in ("int", "bool", "enum") or schema.size is not None:
        width = schema.size if schema.size is not None else max(schema.bits // 8, 1)
        if len(data) < width:
            raise CodecError("$", f"the key ends early: {width} bytes expected, {len(data)} left")
        return _fixed(schema, data[:width]), data[width:]
    end = 0
    while (end := data.find(b"\x00", end)) >= 0 and data[end + 1 : end + 2] == b"\xff":
        end += 2
    if end < 0 or data[end : end + 2] != _END:
        raise CodecError("$", "the key ends early: a text or byte string is not closed")
    raw = data[:end].replace(b"\x00\xff", b"\x00")
    try:
        return (raw.decode() if schema.kind == "str" else raw), data[end + 2 :]
    except UnicodeDecodeError:
        raise CodecError("$", "the key's text is not UTF-8") from None


def _fixed(schema: Schema, data: bytes) -> Any:
    if schema.kind == "bool":
        if data not in (b"\x00", b"\x01"):
            raise CodecError("$", "a bool is 00 or 01")
        return data == b"\x01"
    if schema.kind == "bytes":
        return data
    number = int.from_bytes(data, "big") - (1 << (schema.bits - 1) if schema.signed else 0)
    if schema.kind == "enum":
        try:
            return schema.python(number)
        except ValueError as error:
            raise CodecError("$", str(error)) from None
    return number
