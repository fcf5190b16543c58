"""The strategies of values and graphs: every kind of wire type is drawn and encodes, every graph is proven."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import I64, U8, U128, AccountId, Denom, Genesis, MaxLen, Name, Struct
from runtime.codec import codec
from runtime.codec.schema import schema_of
from runtime.errors import CodecError
from runtime.inference import encode_graph, interpret, verify
from runtime.inference.graph import Graph
from runtime.testing import strategies
from runtime.testing.graphs import graphs, inputs_of
from runtime.testing.strategies import from_type, near_encodings


class Colour(enum.IntEnum):
    RED = 0
    BLUE = 7


class One(Struct, tag=1):
    number: U128


class Other(Struct, tag=2):
    names: Annotated[tuple[Name, ...], MaxLen(3)]


class Held(Genesis):
    held: dict[AccountId, I64] = {}


KINDS: dict[str, Any] = {
    "int": I64,
    "bool": bool,
    "enum": Colour,
    "bytes": AccountId,
    "str": Denom,
    "tuple": tuple[U8, bool],
    "array": Annotated[tuple[U8, ...], MaxLen(4)],
    "optional": U128 | None,
    "struct": One,
    "union": One | Other,
    "model": Held,
    "map": dict[Name, U8],
}


def test_every_kind_of_wire_type_has_a_strategy() -> None:
    assert strategies._STRATEGIES.keys() == KINDS.keys()
    assert {name: schema_of(declared).kind for name, declared in KINDS.items()} == {name: name for name in KINDS}


@pytest.mark.parametrize("declared", [each for name, each in KINDS.items() if name != "map"], ids=str)
@settings(max_examples=30)
@given(data=st.data())
def test_every_value_encodes_and_hostile_bytes_are_refused_or_canonical(declared: Any, data: st.DataObject) -> None:
    coder = codec(declared)
    value = data.draw(from_type(declared))
    assert coder.decode(coder.encode(value)) == value
    hostile = data.draw(near_encodings(declared))
    try:
        assert coder.encode(coder.decode(hostile)) == hostile
    except CodecError:
        return


@settings(max_examples=25)
@given(data=st.data())
def test_every_graph_is_proven_and_runs_on_its_inputs(data: st.DataObject) -> None:
    graph: Graph = data.draw(graphs(nodes_max=4))
    model = encode_graph(graph)
    verified = verify(model)
    rows = data.draw(inputs_of(graph))
    made = interpret(model, rows)
    for spec in verified.outputs:
        assert np.all((made[spec.name] >= spec.low) & (made[spec.name] <= spec.high))
