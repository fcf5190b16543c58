"""A query's arguments are those of its own: what every query is asked beside them is refused as a name."""

from __future__ import annotations

import pytest

from runtime import U64, Module, query
from runtime.errors import DefinitionError
from runtime.module import QueryInfo, Signed, call


def test_invalid_argument_named_height_is_refused_with_its_mend() -> None:
    with pytest.raises(
        DefinitionError,
        match=r"^Past\.at: height is what is asked of every .* \(height, prove\): give the argument another name$",
    ):

        class Past(Module):
            """Asks for a height of its own."""

            name = "past"

            @query
            def at(self, *, height: U64) -> U64:
                """Never asked."""
                return height


def test_invalid_argument_named_prove_is_refused_with_its_mend() -> None:
    with pytest.raises(
        DefinitionError, match=r"^Proof\.of: prove is what is asked .*: give the argument another name$"
    ):

        class Proof(Module):
            """Asks for a proof of its own."""

            name = "proof"

            @query
            def of(self, *, number: U64, prove: bool) -> U64:
                """Never asked."""
                return number if prove else 0


def test_names_that_only_resemble_them_and_calls_arguments_are_fine() -> None:
    class Fine(Module):
        """Close to it."""

        name = "fine"

        @query
        def at(self, *, height_of: U64, proven: bool) -> U64:
            """Asked as any other."""
            return height_of if proven else 0

        @call(gas=0)
        def set_height(self, origin: Signed, *, height: U64, prove: bool) -> None:
            """A call has no such options."""

    info: QueryInfo = Fine.metadata().queries["at"]
    assert [field.name for field in info.fields] == ["height_of", "proven"]
    assert [field.name for field in Fine.metadata().calls["set_height"].fields] == ["height", "prove"]
