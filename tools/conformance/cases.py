"""The test cases that ship in the onnx package, as plain data: models as bytes, inputs and outputs as arrays.

node                                             one operator each, made by onnx.backend.test.case.node
simple, pytorch-converted, pytorch-operator      folders in the package's data
light                                            picture networks of full size, most of their weights one number

What is not read is left as it is: sequences, maps and optional values become None, and the judge says so.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from tools.lowering.source import Array

SUITES: Final = ("node", "simple", "pytorch-operator", "pytorch-converted", "light")
_EXPANDED: Final = "_expanded"


@dataclass(frozen=True)
class Sample:
    """What goes in and what must come out, by the model's names; None where it is no tensor."""

    inputs: dict[str, Array | None]
    outputs: dict[str, Array | None]


@dataclass(frozen=True)
class Case:
    """`op`: the operator that a node case is about, or the suite of a graph that has many."""

    suite: str
    name: str
    op: str
    model: bytes
    samples: tuple[Sample, ...]


def known_ops() -> set[str]:
    """The standard's operators, and the suites: what cases can be about."""
    return {schema.name for schema in onnx.defs.get_all_schemas()} | set(SUITES)


def collect(suites: Sequence[str] = SUITES) -> list[Case]:
    """All cases of these suites, in the package's order. Takes seconds: the package computes the node cases anew."""
    makers = {"node": _nodes, "light": _light}
    return [case for suite in suites for case in (makers[suite]() if suite in makers else _folder(suite))]


def collect_nodes(modules: Sequence[str]) -> list[Case]:
    """The node cases of these modules of onnx.backend.test.case.node, as "conv": a fraction of the time of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            importlib.import_module(f"onnx.backend.test.case.node.{module}")
        from onnx.backend.test.case import node

    return list(_cases(list(node._NodeTestCases)))  # what collect_testcases returns, before it imports the rest


def _nodes() -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return _cases(collect_testcases(None))


def _cases(found: Sequence[Any]) -> Iterator[Case]:
    models: dict[str, onnx.ModelProto] = {case.name: case.model for case in found if case.model is not None}
    for case in found:
        op = models.get(case.name.split(_EXPANDED)[0], models[case.name]).graph.node[0].op_type
        model = models[case.name]
        samples = tuple(_sample(model, inputs, outputs) for inputs, outputs in case.data_sets or ())
        yield Case("node", case.name, op, bytes(model.SerializeToString()), samples)


def _sample(model: onnx.ModelProto, inputs: Sequence[Any], outputs: Sequence[Any]) -> Sample:
    return Sample(
        {port.name: _array(value) for port, value in zip(model.graph.input, inputs, strict=False)},
        {port.name: _array(value) for port, value in zip(model.graph.output, outputs, strict=False)},
    )


def _array(value: Any) -> Array | None:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, (np.ndarray, np.generic)) else None


def _data(suite: str) -> Path:
    return Path(onnx.__file__).parent / "backend" / "test" / "data" / suite


def _light() -> Iterator[Case]:
    """A file each, and its output beside it; the input is not stored but counted up, as onnx's own runner does."""
    for path in sorted(_data("light").glob("*.onnx")):
        data = path.read_bytes()
        graph = onnx.ModelProto.FromString(data).graph
        constants = {tensor.name for tensor in graph.initializer}
        shapes = {
            port.name: [dim.dim_value for dim in port.type.tensor_type.shape.dim]
            for port in graph.input
            if port.name not in constants
        }
        inputs: dict[str, Array | None] = {name: _counted_up(shape) for name, shape in shapes.items()}
        outputs = {
            port.name: _read(path.with_name(f"{path.stem}_output_{number}.pb"))
            for number, port in enumerate(graph.output)
        }
        yield Case("light", path.stem, "light", data, (Sample(inputs, outputs),))


def _counted_up(shape: Sequence[int]) -> Array:
    """From 0 up to 1 in equal steps."""
    count = prod(shape)
    return (np.arange(count).reshape(shape) / count).astype(np.float32)


def _folder(suite: str) -> Iterator[Case]:
    root = _data(suite)
    for folder in sorted(path for path in root.iterdir() if (path / "model.onnx").is_file()):
        data = (folder / "model.onnx").read_bytes()
        model = onnx.ModelProto.FromString(data)
        sets = sorted(path for path in folder.iterdir() if path.is_dir())
        yield Case(suite, folder.name, suite, data, tuple(_stored(model, path) for path in sets))


def _stored(model: onnx.ModelProto, folder: Path) -> Sample:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [port.name for port in model.graph.input if port.name not in constants]
    return Sample(
        {name: _read(folder / f"input_{number}.pb") for number, name in enumerate(inputs)},
        {port.name: _read(folder / f"output_{number}.pb") for number, port in enumerate(model.graph.output)},
    )


def _read(path: Path) -> Array | None:
    try:
        return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))
    except (OSError, DecodeError, ValueError, TypeError):
        return None
