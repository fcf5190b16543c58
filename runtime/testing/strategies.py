"""Hypothesis strategies made from declared types: any value of any wire type, and bytes that only look like one.

Lives here: values and bytes from types. Must not: know modules or chains (their attacks build on this).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from runtime.codec import codec
from runtime.codec.schema import Schema, schema_of

_ELEMENTS_MAX = 8
"""Longer tuples and maps find no more faults and make examples slow; the bound itself is tested with short limits."""
_BYTES_MAX = 64


def from_type(declared: Any) -> st.SearchStrategy[Any]:
    """Values of a wire type (see runtime.codec): every one encodes. Edges of integers come often.

    Tuples and maps have at most 8 elements, byte strings and texts 64, where their bounds allow more. Raises
    DefinitionError where `declared` has no canonical bytes.
    """
    return from_schema(schema_of(declared))


def from_schema(schema: Schema) -> st.SearchStrategy[Any]:
    """As `from_type`, from a schema."""
    return _STRATEGIES[schema.kind](schema)


def near_encodings(declared: Any) -> st.SearchStrategy[bytes]:
    """Byte strings close to a value's encoding: cut, extended, with bytes changed or spliced; sometimes the encoding
    itself. For the property that a decoder accepts canonical bytes alone and refuses all others with a CodecError."""
    encodings: st.SearchStrategy[bytes] = from_type(declared).map(codec(declared).encode)
    return st.one_of(encodings, st.binary(max_size=_BYTES_MAX), _mutated(encodings))


@st.composite
def _mutated(draw: st.DrawFn, encodings: st.SearchStrategy[bytes]) -> bytes:
    data = draw(encodings)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(start + 3, len(data))))
        data = data[:start] + draw(st.one_of(_spellings, st.binary(max_size=3))) + data[end:]
    return data


_spellings = st.sampled_from(
    [
        *(b"\xcc\x05", b"\xcd\x00\x05", b"\xce\x00\x00\x00\x05", b"\xcf" + bytes(7) + b"\x05"),  # 5, wider than needed
        *(b"\xd0\x05", b"\xd1\x00\x05", b"\xd3" + bytes(8), b"\xca" + bytes(4), b"\xcb" + bytes(8)),  # signed; floats
        *(b"\x80", b"\x81\x00\x00", b"\xde\x00\x00", b"\xdc\x00\x00", b"\xdd\x00\x00\x00\x00"),  # maps; long arrays
        *(b"\xd9\x00", b"\xda\x00\x00", b"\xc4\x00", b"\xc5\x00\x00", b"\xc6\x00\x00\x00\x00"),  # long texts, bytes
        *(b"\xd4\x01\x00", b"\xc7\x00\x01", b"\xd6\xff" + bytes(4), b"\xc0", b"\xc1", b"\xc2", b"\xc3"),  # extensions
        *(b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 40),  # a length that is not there; deep nesting
    ]
)


def _integers(schema: Schema) -> st.SearchStrategy[int]:
    low = -(1 << (schema.bits - 1)) if schema.signed else 0
    high = low + (1 << schema.bits) - 1
    edges = sorted({low, low + 1, 0, 1, high // 2, high - 1, high})
    return st.one_of(st.sampled_from(edges), st.integers(low, high), st.integers(max(low, -100), min(high, 100)))


def _bytes(schema: Schema) -> st.SearchStrategy[bytes]:
    if schema.size is not None:
        return st.binary(min_size=schema.size, max_size=schema.size)
    return st.binary(max_size=min(schema.limit or 0, _BYTES_MAX))


def _text(schema: Schema) -> st.SearchStrategy[str]:
    limit = min(schema.limit or 0, _BYTES_MAX)
    if schema.regex is None:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=limit)
    return st.from_regex(schema.regex, fullmatch=True, alphabet=st.characters(max_codepoint=127)).filter(
        lambda text: len(text) <= limit
    )


def _record(schema: Schema) -> st.SearchStrategy[Any]:
    return st.tuples(*map(from_schema, schema.items)).map(lambda fields: schema.python(*fields))


def _model(schema: Schema) -> st.SearchStrategy[Any]:
    """Models may refuse combinations of fields by validators of their own: those are drawn again."""
    fields = st.fixed_dictionaries(dict(zip(schema.names, map(from_schema, schema.items), strict=True)))
    return fields.map(functools.partial(_validated, schema.python)).filter(lambda model: model is not None)


def _validated(model: Any, fields: dict[str, Any]) -> Any:
    try:
        return model.model_validate(fields)
    except ValidationError:
        return None


_STRATEGIES: dict[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
    "int": _integers,
    "bool": lambda schema: st.booleans(),
    "enum": lambda schema: st.sampled_from(list(schema.python)),
    "bytes": _bytes,
    "str": _text,
    "tuple": lambda schema: st.tuples(*map(from_schema, schema.items)),
    "array": lambda schema: st.lists(from_schema(schema.items[0]), max_size=min(schema.limit or 0, _ELEMENTS_MAX)).map(
        tuple
    ),
    "optional": lambda schema: st.none() | from_schema(schema.items[0]),
    "struct": _record,
    "union": lambda schema: st.one_of(*map(from_schema, schema.items)),
    "model": _model,
    "map": lambda schema: st.dictionaries(
        from_schema(schema.items[0]), from_schema(schema.items[1]), max_size=_ELEMENTS_MAX
    ),
}
