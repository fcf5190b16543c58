"""Tensors of a call may be a file of integers; it says the same as the JSON with bytes in hex."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from modules.oracle import Oracle
from runtime.codec.schema import schema_of
from runtime.errors import UsageError
from runtime.inference import from_arrays
from runtime.module import Field
from runtime.module.metadata import CallInfo
from tools.cli.arguments import gather, typed

ROWS = {"b": np.array([[1, -2]], np.int64), "a": np.array([[[5], [6]]], np.int32)}


@pytest.fixture
def inputs() -> Field:
    """The argument `inputs` of oracle.infer."""
    return next(field for field in infer().fields if field.name == "inputs")


def infer() -> CallInfo:
    return Oracle.metadata().calls["infer"]


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_a_file_of_integers_is_the_same_as_its_json(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"rows.{ending}"
    if ending == "npz":
        np.savez(file, allow_pickle=False, **ROWS)
    else:
        file.write_text(json.dumps({name: array.tolist() for name, array in ROWS.items()}))
    given = {"argument_model": "00" * 32, "argument_inputs": str(file)}
    record = typed(infer().arguments, gather(infer().fields, given, None), "arm")
    expected = from_arrays(ROWS)
    assert [(each.name, each.shape, each.data) for each in record.inputs] == [
        (each.name, each.shape, each.data) for each in expected
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"[1.5]", "has no name"),
        (b'{"x": [1.5]}', "--inputs: .*rows.json: input 'x': expected integers"),
        (b'{"x": ["y"]}', "not numbers"),
        (b"{", "not JSON"),
    ],
)
def test_invalid_files_of_tensors_are_named(inputs: Field, content: bytes | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        gather((inputs,), {"argument_inputs": str(file)}, None)
    assert str(file) in str(caught.value)


def test_invalid_json_of_tensors_is_said_to_be_json(inputs: Field) -> None:
    assert schema_of(inputs.type).kind == "array"
    with pytest.raises(UsageError, match=r"--inputs: .* is not JSON"):
        gather((inputs,), {"argument_inputs": "[{"}, None)
