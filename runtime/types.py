"""The wire's types. Each is a plain Python type with a declaration beside it, so that author code stays ordinary.

Rules: no type here has an unbounded size; integers say their width; text is bounded; bytes of a fixed size are
NewTypes, so that mypy tells an account from a hash. What reads the declarations: runtime.codec (bytes) and
pydantic (JSON). In JSON, integers above 64 bits are decimal strings, bytes are lower-case hex, accounts are
bech32m with the chain's prefix (pydantic's validation and serialisation context {"prefix": ...}).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, NewType, dataclass_transform, get_type_hints

import msgspec
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, PydanticSerializationUnexpectedValue, core_schema

from runtime.bech32m import DEFAULT_PREFIX, Bech32mError, decode_address, encode_address

_DECIMAL = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)


@dataclass(frozen=True)
class IntWidth:
    """An integer of a fixed width in bits. Above 64 bits it travels as big-endian bytes (msgpack ends at 2**64)."""

    bits: int
    signed: bool = False

    @property
    def low(self) -> int:
        """The least value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The greatest value."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)  # with what a Field(ge=...) beside it asks for
        strict = {**inner, "strict": True} if inner["type"] == "int" else inner
        bounded = core_schema.no_info_before_validator_function(self._from_people, strict)
        if self.bits <= 64:
            return core_schema.no_info_after_validator_function(self._check, bounded)
        return core_schema.no_info_after_validator_function(
            self._check, bounded, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if self.bits > 64:
            return {"type": "string", "pattern": "^(0|[1-9][0-9]*)$", "description": f"0 to 2^{self.bits} - 1"}
        asked = handler(schema)
        low, high = asked.get("minimum", self.low), asked.get("maximum", self.high)
        return {"type": "integer", "minimum": max(low, self.low), "maximum": min(high, self.high)}

    def _from_people(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) <= 80 and _DECIMAL.fullmatch(value):
            return int(value)
        return value

    def _check(self, value: int) -> int:
        if not self.low <= value <= self.high:
            raise PydanticCustomError(
                "integer_range",
                "{value} is outside {low} to {high}",
                {"value": value, "low": self.low, "high": self.high},
            )
        return value


@dataclass(frozen=True)
class FixedBytes:
    """Bytes of exactly `size`. kind "account" is shown as a bech32m address, everything else as hex."""

    size: int
    kind: str = "bytes"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._from_people,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._to_people, info_arg=True, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if self.kind == "account":
            return {"type": "string", "description": "an address: bech32m with the chain's prefix"}
        return {
            "type": "string",
            "pattern": f"^[0-9a-f]{{{2 * self.size}}}$",
            "description": f"{self.size} bytes in hex",
        }

    def _from_people(self, value: Any, info: core_schema.ValidationInfo) -> bytes:
        if isinstance(value, bytes) and len(value) == self.size:
            return value
        if isinstance(value, str) and self.kind == "account":
            try:
                return decode_address(value, (info.context or {}).get("prefix", DEFAULT_PREFIX))
            except Bech32mError as error:
                raise PydanticCustomError("address", "{reason}", {"reason": str(error)}) from None
        if isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{2 * self.size}}}", value):
            return bytes.fromhex(value)
        raise PydanticCustomError("fixed_bytes", "expected {size} bytes in lower-case hex", {"size": self.size})

    def _to_people(self, value: bytes, info: core_schema.SerializationInfo) -> str:
        if self.kind == "account":
            return encode_address(value, (info.context or {}).get("prefix", DEFAULT_PREFIX))
        return value.hex()


@dataclass(frozen=True)
class MaxLen:
    """The most elements of a tuple, bytes of a byte string or characters of a text. Every such type must state one."""

    limit: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if source is bytes:
            return core_schema.no_info_plain_validator_function(
                self._bytes_from_people,
                serialization=core_schema.plain_serializer_function_ser_schema(bytes.hex, when_used="json"),
            )
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if schema["type"] == "function-plain":
            return {
                "type": "string",
                "pattern": "^([0-9a-f]{2})*$",
                "maxLength": 2 * self.limit,
                "description": "bytes in hex",
            }
        inner = handler(schema)
        return {**inner, "maxItems" if inner.get("type") == "array" else "maxLength": self.limit}

    def _bytes_from_people(self, value: Any) -> bytes:
        if isinstance(value, str) and re.fullmatch("([0-9a-f]{2})*", value):
            value = bytes.fromhex(value)
        if not isinstance(value, bytes):
            raise PydanticCustomError("bytes_hex", "expected bytes in lower-case hex")
        result: bytes = self._check(value)
        return result

    def _check(self, value: Any) -> Any:
        if len(value) > self.limit:
            raise PydanticCustomError(
                "too_long", "length {length} is above {limit}", {"length": len(value), "limit": self.limit}
            )
        return value


@dataclass(frozen=True)
class Pattern:
    """ASCII text that matches the whole regular expression; for identifiers."""

    regex: str
    limit: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.regex}$", "maxLength": self.limit}

    def _check(self, value: str) -> str:
        if len(value) > self.limit or not re.fullmatch(self.regex, value, re.ASCII):
            raise PydanticCustomError(
                "identifier",
                "'{value}' is not of the form {regex}, at most {limit} characters",
                {"value": value[:80], "regex": self.regex, "limit": self.limit},
            )
        return value


U8 = Annotated[int, IntWidth(8)]
U16 = Annotated[int, IntWidth(16)]
U32 = Annotated[int, IntWidth(32)]
U64 = Annotated[int, IntWidth(64)]
U128 = Annotated[int, IntWidth(128)]
I64 = Annotated[int, IntWidth(64, signed=True)]

AccountId = NewType("AccountId", Annotated[bytes, FixedBytes(32, "account")])
Hash = NewType("Hash", Annotated[bytes, FixedBytes(32, "hash")])
PublicKey = NewType("PublicKey", Annotated[bytes, FixedBytes(32, "public key")])
Signature = NewType("Signature", Annotated[bytes, FixedBytes(64, "signature")])

IDENTIFIER = r"[a-z][a-z0-9_]*"
Name = Annotated[str, Pattern(IDENTIFIER, 48)]
Denom = Annotated[str, Pattern(r"[a-z][a-z0-9/_-]*", 48)]

ZERO_HASH = Hash(bytes(32))


@dataclass_transform(frozen_default=True)  # for type checkers: every record below it is frozen too
class Struct(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A record of declared fields: a value of storage, an argument, a result. On the wire an array, in order.

    In JSON it is an object with the fields' names; pydantic reads the same declarations. A tagged record (a member of
    a union) also has "type": its class' name, so that the members stay apart.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        hints = get_type_hints(cls, include_extras=True)
        fields = {
            name: core_schema.typed_dict_field(handler.generate_schema(hints[name]), required=True)
            for name in cls.__struct_fields__
        }
        names, kind = cls.__struct_fields__, {}
        if cls.__struct_config__.tag is not None:
            fields["type"] = core_schema.typed_dict_field(core_schema.literal_schema([cls.__name__]), required=True)
            kind = {"type": cls.__name__}

        def build(value: Any) -> Any:
            return cls(**{name: value[name] for name in names})

        def to_dict(value: Any, nxt: Any) -> Any:
            if not isinstance(value, cls):  # of a union, pydantic then tries the next member
                raise PydanticSerializationUnexpectedValue(f"expected a {cls.__name__}, got {type(value).__name__}")
            return nxt(kind | {name: getattr(value, name) for name in names})

        from_object = core_schema.typed_dict_schema(fields, extra_behavior="forbid", cls_name=cls.__name__)
        return core_schema.no_info_wrap_validator_function(
            lambda value, nxt: value if isinstance(value, cls) else build(nxt(value)),
            from_object,
            serialization=core_schema.wrap_serializer_function_ser_schema(to_dict, schema=from_object),
        )
