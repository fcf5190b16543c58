"""Bytes -> Source: every check of the file's structure. Whether an op can be lowered is its handler's business.

Refused with a reason: bytes that do not parse, training parts, custom domains, sparse or external
tensors, subgraphs, duplicate or undefined names, initializers that are inputs too (a caller could replace them),
shapes that are missing, opsets outside the ranges below, sequences and maps other than ZipMap's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from runtime.inference.limits import ELEMENTS_MAX, INPUTS_MAX, NODES_MAX, OUTPUTS_MAX
from runtime.inference.limits import RANK_MAX as ROW_RANK_MAX
from tools.lowering import texts
from tools.lowering.errors import DataRefused, ModelRefused
from tools.lowering.order import put_in_order
from tools.lowering.protobuf import RANK_MAX, TEXT, dtype_of, read_attributes, read_tensor
from tools.lowering.source import Array, Node, Port, Source

SOURCE_BYTES_MAX: Final = 1 << 30
OPSETS: Final = {"": (6, 28), "ai.onnx.ml": (1, 5)}
"""By domain, the versions that are read. What skl2onnx writes for a linear model alone says 9."""
SINCE: Final = {"Concat": 4, "Flatten": 1, "Identity": 1, "Reshape": 5, "Transpose": 1}
"""Operators that mean the same since that opset: beside trees, skl2onnx writes the least opset that will do."""
OF_TEXTS: Final = ("Tokenizer", "StringNormalizer", "TfIdfVectorizer", "StringConcat", "StringSplit", "RegexFullMatch")
TEXTS_MEND: Final = "texts have no exact form: vectorise before the model, and export what follows the vectoriser"
FOREIGN: Final = (("com.microsoft", "CDist"),)
"""Operators of other domains that exporters write."""
NUMPY_BROADCAST: Final = 7
"""From this opset on operands are broadcast as numpy does; before, attributes said how."""
INITIALIZERS_APART: Final = 4
"""From this version of the format on an initializer that is an input too may be replaced; before, all had to be."""

DeclaredShapes = Mapping[str, tuple[int | None, ...]]


def decode(model: bytes) -> onnx.ModelProto:
    """The protobuf message; ModelRefused where the bytes are none, or hold parts that no model here needs."""
    if len(model) > SOURCE_BYTES_MAX:
        raise ModelRefused("file", f"{len(model)} bytes, at most {SOURCE_BYTES_MAX} are supported")
    try:
        proto = onnx.ModelProto.FromString(model)
    except DecodeError as error:
        raise ModelRefused("file", "these bytes are not an ONNX model") from error
    if not proto.HasField("graph") or not proto.graph.node:
        raise ModelRefused("file", "it holds no graph")
    if proto.training_info:
        raise ModelRefused("file", "it holds training information", "export for inference")
    if proto.graph.sparse_initializer:
        raise ModelRefused("file", "it holds sparse initializers", "export dense weights")
    if proto.ir_version < INITIALIZERS_APART:
        _take_initializers_apart(proto)
    put_in_order(proto.graph)
    _take_sequences_apart(proto)
    return proto


def _take_sequences_apart(proto: onnx.ModelProto) -> None:
    """An output that is a sequence of tensors (of a classifier of several targets, one each) becomes its members."""
    members = {
        name: list(node.input)
        for node in proto.graph.node
        if node.op_type == "SequenceConstruct"
        for name in node.output
    }
    outputs: dict[str, onnx.ValueInfoProto] = {}
    for value in proto.graph.output:
        kind = value.type.sequence_type.elem_type
        if value.name in members and kind.HasField("tensor_type"):
            for name in members[value.name]:
                outputs.setdefault(name, onnx.helper.make_tensor_value_info(name, kind.tensor_type.elem_type, None))
        else:
            outputs[value.name] = value
    if len(outputs) != len(proto.graph.output):
        found = list(outputs.values())
        del proto.graph.output[:]
        proto.graph.output.extend(found)


def _take_initializers_apart(proto: onnx.ModelProto) -> None:
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constants]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    proto.ir_version = INITIALIZERS_APART


def readings(proto: onnx.ModelProto, shapes: DeclaredShapes) -> list[Source]:
    """The checked model as it may be read, the better way first: its leading dimension is the batch; or N is put in
    front of all its dimensions, which must be fixed then. `shapes` replaces the declared shape of inputs by name; None
    first is the batch. Raises ModelRefused, and DataRefused for `shapes` that do not fit."""
    try:
        batched = parse(proto, shapes)
    except ModelRefused:
        if not _is_fixed(proto.graph, shapes):
            raise
        return [parse(proto, shapes, whole=True)]
    return [batched, parse(proto, shapes, whole=True)] if _is_fixed(proto.graph, shapes) else [batched]


def told(proto: onnx.ModelProto, shapes: DeclaredShapes, rows: int | None = None) -> onnx.ModelProto:
    """The model whose inputs declare what is known of their sizes: `shapes`, and the number of `rows` where the batch
    is open. The same object where nothing is."""
    found = {}
    for value in proto.graph.input:
        given = value.name in shapes or value.type.tensor_type.HasField("shape")
        shape = _chosen(value, shapes) if given else ()
        sizes = (rows if shape[0] is None else shape[0], *shape[1:]) if shape else ()
        if sizes and (not value.type.tensor_type.HasField("shape") or sizes != _declared(value)):
            found[value.name] = sizes
    if not found:
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    for value in copy.graph.input:
        dims = value.type.tensor_type.shape.dim
        for place, size in enumerate(found.get(value.name, ())):
            dim = dims[place] if place < len(dims) else dims.add()
            if size is not None:
                dim.dim_value = size
    return copy


def _is_fixed(graph: onnx.GraphProto, shapes: DeclaredShapes) -> bool:
    """Whether every dimension of every input is a number."""
    tensors = [value for value in graph.input if value.name in shapes or value.type.tensor_type.HasField("shape")]
    return len(tensors) == len(graph.input) and all(None not in _chosen(value, shapes) for value in tensors)


def parse(proto: onnx.ModelProto, shapes: DeclaredShapes, *, whole: bool = False) -> Source:
    """One reading of the model."""
    graph = proto.graph
    opsets = _opsets(proto)
    constants = _constants(graph)
    for value in graph.input:
        if value.name in constants:
            mend = "export with keep_initializers_as_inputs=False"
            raise ModelRefused(f"initializer {value.name!r}", "it is an input too, so a caller could replace it", mend)
    _unique([value.name for value in graph.input], "input", INPUTS_MAX)
    _unique([value.name for value in graph.output], "output", OUTPUTS_MAX)
    unknown = sorted(set(shapes) - {value.name for value in graph.input})
    if unknown:
        raise DataRefused(f"shapes[{unknown[0]!r}]", f"the model has no such input; it has {_names(graph.input)}")
    inputs = tuple(_whole_input(value, shapes) if whole else _input(value, shapes) for value in graph.input)
    fixed_rows = None if whole else _fixed_rows(graph, shapes)
    nodes = _nodes(graph, opsets, {port.name for port in inputs} | set(constants))
    inputs = tuple(_with_texts(port, nodes) for port in inputs)
    maps = {name for node in nodes if node.op == "ZipMap" for name in node.outputs}
    outputs = tuple(_output(value, maps) for value in graph.output)
    defined = {name for node in nodes for name in node.outputs} | {port.name for port in inputs}
    for port in outputs:
        if port.name not in defined:
            raise ModelRefused(f"output {port.name!r}", "no node computes it")
    return Source(opsets.get("", OPSETS[""][1]), fixed_rows, whole, inputs, outputs, constants, nodes)


def _fixed_rows(graph: onnx.GraphProto, shapes: DeclaredShapes) -> int | None:
    """The leading dimension that the file fixes in all its inputs. Raises ModelRefused where they have several."""
    found = {value.name: size for value in graph.input if (size := _leading(value)) is not None}
    if len(found) == len(graph.input) and len(set(found.values())) == 1:
        return next(iter(found.values()))
    for name, size in found.items():
        if size != 1 or shapes.get(name, (1,))[0] not in (None, 1):
            mend = (
                f"pass shapes={{{name!r}: (None, ...)}} with None for the batch and a number for every other dimension"
            )
            raise ModelRefused(f"input {name!r}", f"its leading dimension is fixed at {size}, not the batch", mend)
    return None


def _opsets(proto: onnx.ModelProto) -> dict[str, int]:
    """The version of each domain that the file uses; the default one has two names."""
    imported = [("" if entry.domain == "ai.onnx" else entry.domain, entry.version) for entry in proto.opset_import]
    used = {"" if node.domain == "ai.onnx" else node.domain for node in proto.graph.node}
    for domain, (lowest, highest) in OPSETS.items():
        versions = sorted({version for name, version in imported if name == domain})  # exporters repeat some
        name = domain or "default"
        if len(versions) > 1 or (domain in used and not versions):
            found = f"versions {versions}" if versions else "none"
            raise ModelRefused("file", f"one version of the {name} opset is required, it imports {found}")
        ops = {node.op_type for node in proto.graph.node if node.domain in ("", "ai.onnx")}
        old = domain == "" and all(SINCE.get(op, lowest) <= versions[0] < lowest for op in ops if versions)
        if domain in used and not old and not lowest <= versions[0] <= highest:
            reason = f"{name} opset {versions[0]} is not supported, only {lowest} to {highest}"
            raise ModelRefused("file", reason, "export with target_opset 17, or use onnx.version_converter")
    return {name: int(version) for name, version in imported if name in used}


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    _unique([tensor.name for tensor in graph.initializer], "initializer", NODES_MAX)
    return {tensor.name: read_tensor(tensor, f"initializer {tensor.name!r}") for tensor in graph.initializer}


def _unique(names: Iterable[str], what: str, count_max: int) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise ModelRefused("file", f"an {what} has no name")
        if name in seen:
            raise ModelRefused(f"{what} {name!r}", "two have this name")
        seen.add(name)
    if len(seen) > count_max:
        raise ModelRefused("file", f"{len(seen)} {what}s, at most {count_max} are supported")


def _names(values: Iterable[onnx.ValueInfoProto]) -> str:
    return ", ".join(repr(value.name) for value in values)


def _dtype(value: onnx.ValueInfoProto, what: str) -> np.dtype[Any]:
    where = f"{what} {value.name!r}"
    if not value.type.HasField("tensor_type"):
        raise ModelRefused(where, "it is not a tensor (a sequence, map or optional)", "export tensors only")
    kind = value.type.tensor_type.elem_type
    return dtype_of(kind, where, text=True)


def _with_texts(port: Port, nodes: tuple[Node, ...]) -> Port:
    """An input of texts with the list of those that the file knows."""
    if port.dtype != TEXT:
        return port
    found = texts.known(nodes)
    if not 1 <= len(found) <= texts.KNOWN_MAX:
        reason = f"it takes texts, which have no exact form, and the file knows {len(found)} of them"
        raise ModelRefused(f"input {port.name!r}", reason, "encode categories before the model")
    return replace(port, texts=found)


def _output(value: onnx.ValueInfoProto, maps: set[str]) -> Port:
    """An output that is a ZipMap's maps from class to probability is read as the tensor of probabilities."""
    dtype = np.dtype(np.float32) if value.name in maps else _dtype(value, "output")
    return Port(value.name, dtype, None)


def _declared(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """The file's shape, None for a symbolic dimension."""
    where = f"input {value.name!r}"
    if not value.type.tensor_type.HasField("shape"):
        raise ModelRefused(where, "it declares no shape", f"pass shapes={{{value.name!r}: (None, ...)}}")
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def _leading(value: onnx.ValueInfoProto) -> int | None:
    """The leading dimension that the file fixes, if it fixes one."""
    dims = value.type.tensor_type.shape.dim
    return int(dims[0].dim_value) if dims and dims[0].HasField("dim_value") else None


def _chosen(value: onnx.ValueInfoProto, shapes: DeclaredShapes) -> tuple[int | None, ...]:
    """The shape asked for, or the file's. A fixed dimension behind the first cannot be asked to be another."""
    if value.name not in shapes:
        return _declared(value)
    asked = shapes[value.name]
    if value.type.tensor_type.HasField("shape"):
        declared = _declared(value)
        fits = len(asked) == len(declared) and all(
            want == has or has is None for want, has in zip(asked[1:], declared[1:], strict=True)
        )
        if not fits:
            raise DataRefused(f"shapes[{value.name!r}]", f"{list(asked)} contradicts the file's {list(declared)}")
    return asked


def _input(value: onnx.ValueInfoProto, shapes: DeclaredShapes) -> Port:
    where = f"input {value.name!r}"
    dtype = _dtype(value, "input")
    shape = _chosen(value, shapes)
    mend = f"pass shapes={{{value.name!r}: (None, ...)}} with None for the batch and a number for every other dimension"
    if not 1 <= len(shape) <= RANK_MAX:
        raise ModelRefused(where, f"it has {len(shape)} dimensions, 1 to {RANK_MAX} are supported", mend)
    if shape[0] not in (None, 1, _leading(value)):
        raise ModelRefused(where, f"its leading dimension is fixed at {shape[0]}, not the batch", mend)
    rows = tuple(size for size in shape[1:] if size is not None)
    if len(rows) != len(shape) - 1:
        raise ModelRefused(where, f"shape {list(shape)} has an open dimension after the batch", mend)
    if any(size < 1 for size in rows) or prod(rows) > ELEMENTS_MAX:
        raise ModelRefused(where, f"shape {list(shape)} is empty or too large", mend)
    return Port(value.name, dtype, rows)


def _whole_input(value: onnx.ValueInfoProto, shapes: DeclaredShapes) -> Port:
    where, dtype = f"input {value.name!r}", _dtype(value, "input")
    rows = tuple(size for size in _chosen(value, shapes) if size is not None)
    if len(rows) > ROW_RANK_MAX or any(size < 1 for size in rows) or prod(rows) > ELEMENTS_MAX:
        raise ModelRefused(where, f"shape {list(rows)} is empty, too large or has more than {ROW_RANK_MAX} dimensions")
    return Port(value.name, dtype, rows)


def _nodes(graph: onnx.GraphProto, opsets: dict[str, int], defined: set[str]) -> tuple[Node, ...]:
    if len(graph.node) > NODES_MAX:
        raise ModelRefused("file", f"{len(graph.node)} nodes, at most {NODES_MAX} are supported")
    known = set(defined)
    schema = onnx.checker.C.CheckerContext()
    schema.ir_version = onnx.IR_VERSION
    schema.opset_imports = opsets
    nodes = []
    for index, proto in enumerate(graph.node):
        nodes.append(_node(proto, index, known))
        _check_schema(proto, nodes[-1], schema)
        if opsets.get("", NUMPY_BROADCAST) < NUMPY_BROADCAST:
            _check_old(nodes[-1])
    return tuple(nodes)


def _check_schema(proto: onnx.NodeProto, node: Node, schema: Any) -> None:
    """onnx's own checker: number of inputs, required attributes, their kinds. After ours: no subgraph is left."""
    try:
        onnx.checker.check_node(proto, schema)
    except (onnx.checker.ValidationError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelRefused(node.where, f"the ONNX standard does not allow it ({first})") from error


def _node(proto: onnx.NodeProto, index: int, known: set[str]) -> Node:
    """One node; `known` grows by its outputs."""
    named = Node(proto.op_type, proto.name, index, tuple(proto.input), tuple(proto.output))
    if proto.domain not in (*OPSETS, "ai.onnx") and (proto.domain, proto.op_type) not in FOREIGN:
        mend = "use those of ai.onnx and ai.onnx.ml: quantise with QuantFormat.QDQ, optimise for no one machine"
        mend = TEXTS_MEND if proto.op_type in OF_TEXTS else mend
        raise named.refuse(f"operators of the domain {proto.domain!r} are not supported", mend)
    for name in named.inputs:
        if name and name not in known:
            raise ModelRefused(named.where, f"its input {name!r} is not defined before it")
    for name in named.outputs:
        if name and name in known:
            raise ModelRefused(named.where, f"its output {name!r} is defined twice")
        known.add(name)
    return Node(**{**vars(named), "attributes": read_attributes(proto, named.where)})


def _check_old(node: Node) -> None:
    """What an op meant before opset 7 and does not since, so that no handler takes it for the newer one."""
    mend = "make it of opset 9 with onnx.version_converter"
    if "broadcast" in node.attributes and "axis" in node.attributes:
        raise node.refuse("it is broadcast from an axis, which only opsets before 7 allow", mend)
    if node.op == "PRelu":
        raise node.refuse("its slopes are along the channels before opset 7", mend)
    if node.op in ("BatchNormalization", "Dropout") and not node.flag("is_test"):
        raise node.refuse(
            "it is in training mode, which opsets before 7 take for the usual one", "export for inference"
        )
