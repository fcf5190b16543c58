"""Protobuf -> protobuf: a call of a function becomes the nodes of its body. What is called may be a local function of
the file, or an operator that the ONNX standard itself defines by others and that has no handler here. Control flow
whose course is known (control.py) becomes the nodes that it runs.

The file is hostile: bodies are copied into a bounded number of nodes, in a bounded number of rounds, so that functions
that call themselves end in a refusal. A body that was written for another opset is taken where its operators mean the
same in the file's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import onnx
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, numpy_helper

from tools.lowering.bodies import Around, ShapeNeeded, has_own_body, written
from tools.lowering.control import OPS as CONTROL
from tools.lowering.control import Known, unrolled
from tools.lowering.errors import ModelRefused
from tools.lowering.sequences import SEQUENCES, without_sequences
from tools.lowering.source import Array

ROUNDS_MAX: Final = 16
"""How deep functions may call functions."""
EXPANDED_MAX: Final = 1 << 14
"""Nodes of a model whose functions were replaced."""
AXES_MAX: Final = 64
"""No tensor has so many dimensions."""
INFERENCE_FAILS: Final = (RuntimeError, ValueError, IndexError, onnx.shape_inference.InferenceError)
"""What onnx raises of shapes: of what a node's own rule says, and of operands that are not there."""
STANDARD: Final = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview")
Key = tuple[str, str]


def inlined(proto: ModelProto, handled: Collection[str]) -> ModelProto:
    """The model without local functions, and without operators of the standard that are not `handled` but have a body.
    Raises ModelRefused where that has no end."""
    local = {(_domain(function.domain), function.name): function for function in proto.functions}
    if len(local) != len(proto.functions):
        raise ModelRefused("file", "two of its local functions have one name")
    copy = ModelProto()
    copy.CopyFrom(proto)
    del copy.functions[:]
    for function in local.values():
        _import(copy, function)
    names = _Names(copy)
    for _ in range(ROUNDS_MAX):
        bodies = _Bodies(copy, local, handled)
        expanded: list[NodeProto] = []
        changed = False
        for node in copy.graph.node:
            part = bodies.parts(node, names)
            changed = changed or part is not None
            expanded += [node] if part is None else part
            if changed and len(expanded) > EXPANDED_MAX:
                raise ModelRefused("file", f"its functions and loops hold more than {EXPANDED_MAX} nodes")
        if not changed and bodies.waiting is not None:
            raise bodies.waiting
        if not changed:
            found = {node.op_type for node in expanded}
            if found.intersection(SEQUENCES) and found.isdisjoint(CONTROL):
                value = bodies.known_things().value
                _replace(copy, without_sequences(expanded, value, names.prefix, bodies.opsets.get("", 0)))
            return copy
        _replace(copy, expanded)
    raise ModelRefused("file", f"its functions call each other more than {ROUNDS_MAX} deep", "inline them")


def _replace(proto: ModelProto, nodes: Iterable[NodeProto]) -> None:
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def has_body(op: str) -> bool:
    """Whether the standard defines the operator by others."""
    try:
        schema: Any = onnx.defs.get_schema(op)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _import(proto: ModelProto, function: FunctionProto) -> None:
    """The opsets that only a function's body uses."""
    known = {_domain(entry.domain) for entry in proto.opset_import}
    proto.opset_import.extend(entry for entry in function.opset_import if _domain(entry.domain) not in known)


class _Bodies:
    """Finds what a node calls. The types of tensors are inferred once, where some body depends on them."""

    def __init__(self, proto: ModelProto, local: dict[Key, FunctionProto], handled: Collection[str]) -> None:
        self.proto = proto
        self.local = local
        self.handled = handled
        self.opsets = {_domain(entry.domain): entry.version for entry in proto.opset_import}
        self.types: dict[str, onnx.TypeProto] | None = None
        self.known: Known | None = None
        self.waiting: ShapeNeeded | None = None

    def parts(self, node: NodeProto, names: _Names) -> list[NodeProto] | None:
        """The nodes that it stands for, or None where it stays."""
        if node.op_type in CONTROL and _domain(node.domain) == "":
            prefix = names.prefix(node)
            return unrolled(
                node, self.known_things(), prefix, lambda inner, rename: _renamed(inner, rename, prefix, {})
            )
        body = self.of(node)
        if body is not None:
            return list(_expanded(node, body, names))
        if (_domain(node.domain), node.op_type) in self.local or not has_own_body(node, self.opsets):
            return None
        try:
            return written(node, self._around(), names.prefix(node))
        except ShapeNeeded as needed:
            self.waiting = needed
            return None

    def _around(self) -> Around:
        known = self.known_things()

        def kind(name: str) -> int:
            found = self._all_types().get(name)
            return 0 if found is None else int(found.tensor_type.elem_type)

        return Around(self.opsets.get("", 0), known.shape, known.value, kind)

    def known_things(self) -> Known:
        """What of the model is the same for all inputs. Shapes give sizes, and these, as constants, more shapes."""
        if self.known is not None:
            return self.known
        self.known = Known(self.proto, self._all_types())
        sizes: dict[str, Array] = {}
        for _ in range(ROUNDS_MAX):
            more = self.known.sizes()
            if more.keys() == sizes.keys():
                break
            sizes = more
            self.types = _inferred(_with_constants(self.proto, sizes))
            self.known = Known(self.proto, self.types)
        return self.known

    def of(self, node: NodeProto) -> FunctionProto | None:
        """The body, or None where the node stays."""
        domain = _domain(node.domain)
        function = self.local.get((domain, node.op_type))
        if function is not None:
            return self._checked(function)
        if domain not in STANDARD or node.op_type in self.handled or domain not in self.opsets:
            return None
        try:
            schema = onnx.defs.get_schema(node.op_type, self.opsets[domain], domain)
        except onnx.defs.SchemaError:
            return None
        function = self._standard(node, schema)
        return None if function is None else self._same_meaning(function, schema)

    def _standard(self, node: NodeProto, schema: Any) -> FunctionProto | None:
        opset = self.opsets[_domain(node.domain)]
        versions = [version for version in schema.function_opset_versions if version <= opset]
        if versions:
            return FunctionProto.FromString(schema.get_function_with_opset_version(max(versions)))
        versions = [version for version in schema.context_dependent_function_opset_versions if version <= opset]
        if not versions:
            return None
        types = [self._type(name) for name in node.input]
        if any(kind is None for kind in types):
            return None
        given = [kind.SerializeToString() for kind in types if kind is not None]
        try:
            body = schema.get_context_dependent_function_with_opset_version(
                max(versions), node.SerializeToString(), given
            )
        except (RuntimeError, ValueError):
            return None
        return FunctionProto.FromString(body) if body else None

    def _type(self, name: str) -> onnx.TypeProto | None:
        if not name:
            return onnx.TypeProto()
        return self._all_types().get(name)

    def _all_types(self) -> dict[str, onnx.TypeProto]:
        if self.types is None:
            self.types = _inferred(self.proto)
        return self.types

    def _same_meaning(self, function: FunctionProto, schema: onnx.defs.OpSchema) -> FunctionProto | None:
        """The body, completed by the defaults of the operator's attributes, if each of its operators is the same one in
        the file's opsets."""
        for entry in function.opset_import:
            ours = self.opsets.setdefault(_domain(entry.domain), entry.version)
            for node in function.node:
                if _domain(node.domain) == _domain(entry.domain) and not _alike(node, entry.version, ours):
                    return None
        if not any(_domain(entry.domain) == "" for entry in self.proto.opset_import):
            return None
        named = {attribute.name for attribute in function.attribute_proto}
        for name, attribute in schema.attributes.items():
            if name not in named and attribute.default_value.name:
                function.attribute_proto.append(attribute.default_value)
        return function

    def _checked(self, function: FunctionProto) -> FunctionProto:
        for entry in function.opset_import:
            ours = self.opsets.get(_domain(entry.domain), entry.version)
            for node in function.node:
                if _domain(node.domain) == _domain(entry.domain) and not _alike(node, entry.version, ours):
                    reason = f"the local function {function.name!r} is of opset {entry.version}, the file of {ours}"
                    raise ModelRefused("file", reason, "export both with one opset")
        return function


def _with_constants(proto: ModelProto, values: Mapping[str, Array]) -> ModelProto:
    """The model with these tensors as initializers, where nodes made them."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    stored = [name for node in copy.graph.node if set(node.output) <= values.keys() for name in node.output]
    _replace(copy, [node for node in proto.graph.node if not set(node.output) <= values.keys()])
    copy.graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in stored)
    return copy


def _alike(node: NodeProto, one: int, other: int) -> bool:
    if one == other:
        return True
    try:
        schemas = [onnx.defs.get_schema(node.op_type, version, _domain(node.domain)) for version in (one, other)]
    except onnx.defs.SchemaError:
        return True  # a local function, or an unknown operator: judged later
    return schemas[0].since_version == schemas[1].since_version or _only_wider(schemas[0], schemas[1])


def _only_wider(one: onnx.defs.OpSchema, other: onnx.defs.OpSchema) -> bool:
    """Whether the newer one takes the same operands and attributes: then it differs in element types."""
    if one.name in ("Softmax", "LogSoftmax", "Hardmax"):
        return False  # opset 13 gave `axis` another meaning
    same = [
        ([part.name for part in schema.inputs], [part.name for part in schema.outputs], sorted(schema.attributes))
        for schema in (one, other)
    ]
    return same[0] == same[1]


def _inferred(proto: ModelProto) -> dict[str, onnx.TypeProto]:
    """Not of a file with an axis beyond all dimensions: onnx takes it for a 32-bit number, and the process ends."""
    try:
        nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
        inferred = onnx.shape_inference.infer_shapes(proto) if all(map(_has_axes, nodes)) else proto
    except INFERENCE_FAILS:
        inferred = proto
    graph = inferred.graph
    found = {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}
    for tensor in graph.initializer:
        found[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tuple(tensor.dims))
    return found


def _has_axes(node: NodeProto) -> bool:
    """Whether the axes of it, and of graphs inside, may be some tensor's."""
    for attribute in node.attribute:
        axes = (attribute.i, *attribute.ints) if attribute.name in ("axis", "axes") else ()
        inner = [*attribute.g.node, *(part for graph in attribute.graphs for part in graph.node)]
        if any(abs(axis) > AXES_MAX for axis in axes) or not all(map(_has_axes, inner)):
            return False
    return True


class _Names:
    """Prefixes under which a body's own names are new: a number behind a mark that no name of the file holds."""

    def __init__(self, proto: ModelProto) -> None:
        taken = [name for node in proto.graph.node for name in (*node.input, *node.output)]
        taken += [value.name for value in proto.graph.input]
        taken += [tensor.name for tensor in proto.graph.initializer]
        longest = max((len(run) for name in taken for run in re.findall("~+", name)), default=0)
        self.mark = "~" * (longest + 1)
        self.count = 0

    def prefix(self, node: NodeProto) -> str:
        self.count += 1
        base = next((name for name in node.output if name), node.op_type).partition(self.mark)[0]
        return f"{base}{self.mark}{self.count}/"


def _expanded(node: NodeProto, body: FunctionProto, names: _Names) -> Iterator[NodeProto]:
    """The body's nodes, with the call's operands and attributes in place of its own."""
    if len(node.input) > len(body.input) or len(node.output) > len(body.output):
        where = f"{node.op_type} {node.name!r}"
        raise ModelRefused(where, f"it has more operands than {body.name!r} takes")
    prefix = names.prefix(node)
    mapping = dict.fromkeys(body.input, "")
    mapping.update(zip(body.input, node.input, strict=False))
    outputs = {name: given for name, given in zip(body.output, node.output, strict=False) if given}
    rename = {**mapping, **outputs}
    given = {attribute.name: attribute for attribute in (*body.attribute_proto, *node.attribute)}
    for number, inner in enumerate(body.node):
        copy = _renamed(inner, rename, prefix, given)
        copy.name = f"{prefix}{inner.op_type}{number}"
        yield copy
    for name, given_name in outputs.items():
        if name in mapping:  # an operand that is handed on
            yield onnx.helper.make_node("Identity", [mapping[name]], [given_name])


def _renamed(node: NodeProto, rename: dict[str, str], prefix: str, given: dict[str, AttributeProto]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = _all(node.input, rename, prefix)
    copy.output[:] = _all(node.output, rename, prefix)
    del copy.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            copy.attribute.append(_in_subgraphs(attribute, rename, prefix, given))
        elif attribute.ref_attr_name in given:
            passed = copy.attribute.add()
            passed.CopyFrom(given[attribute.ref_attr_name])
            passed.name = attribute.name
    return copy


def _all(names: Iterable[str], rename: dict[str, str], prefix: str) -> list[str]:
    return [rename.get(name, f"{prefix}{name}") if name else "" for name in names]


def _in_subgraphs(
    attribute: AttributeProto, rename: dict[str, str], prefix: str, given: dict[str, AttributeProto]
) -> AttributeProto:
    """The attribute; a branch in it reads the call's operands too."""
    if attribute.type != AttributeProto.GRAPH:
        return attribute
    copy = AttributeProto()
    copy.CopyFrom(attribute)
    nodes = [_renamed(node, rename, prefix, given) for node in attribute.g.node]
    del copy.g.node[:]
    copy.g.node.extend(nodes)
    for values in (copy.g.input, copy.g.output, copy.g.initializer):
        for value in values:
            value.name = _all([value.name], rename, prefix)[0]
    return copy
