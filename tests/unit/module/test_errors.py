"""Errors of modules: typed fields, one sentence, canonical bytes."""

from __future__ import annotations

import copy
import pickle
from typing import Annotated

import pytest

from runtime import U8, CallError, DefinitionError, MaxLen
from runtime.codec import codec
from runtime.errors import CodecError


class TooMany(CallError):
    """There are too many.

    More is said below, and not in the sentence.
    """

    found: U8
    note: Annotated[bytes, MaxLen(4)]


class Plain(CallError):
    """Nothing to add."""


class Wordless(CallError):
    pass


def test_an_error_has_fields_a_sentence_and_bytes() -> None:
    error = TooMany(found=3, note=b"\x01\xff")
    assert (error.found, error.note) == (3, b"\x01\xff")
    assert str(error) == "There are too many (found=3, note=01ff)"
    assert codec(TooMany.record()).decode(error.data()) == TooMany.record()(3, b"\x01\xff")
    assert str(Plain()) == "Nothing to add."
    assert str(Wordless()) == "Wordless"
    assert Plain().data() == b"\x90"


def test_errors_are_equal_by_class_and_fields() -> None:
    assert TooMany(found=3, note=b"") == TooMany(found=3, note=b"")
    assert TooMany(found=3, note=b"") != TooMany(found=4, note=b"")
    assert Plain() != Wordless()
    assert len({Plain(), Plain()}) == 1


def test_errors_survive_copying() -> None:
    error = TooMany(found=3, note=b"x")
    assert pickle.loads(pickle.dumps(error)) == error
    assert copy.copy(error) == error


def test_invalid_fields() -> None:
    for wrong in (lambda: TooMany(found=3), lambda: TooMany(found=3, note=b"", more=1), lambda: Plain(found=3)):
        with pytest.raises(TypeError, match="takes the fields"):
            wrong()
    with pytest.raises(CodecError):
        TooMany(found=256, note=b"").data()


def test_invalid_field_types_are_refused() -> None:
    class Loose(CallError):
        count: int

    with pytest.raises(DefinitionError, match="plain int has no bound"):
        Loose.record()


def test_invalid_inheritance_of_fields() -> None:
    with pytest.raises(DefinitionError, match="derive it from CallError"):

        class More(TooMany):
            extra: U8


@pytest.mark.parametrize("name", ["data", "record", "sentence", "args", "with_traceback"])
def test_invalid_field_that_hides_what_an_error_is_made_of(name: str) -> None:
    """It would make each receipt of the error a fault of the module."""
    with pytest.raises(DefinitionError, match=f"Hidden.{name}: this name belongs to CallError"):
        type("Hidden", (CallError,), {"__annotations__": {name: U8}})
