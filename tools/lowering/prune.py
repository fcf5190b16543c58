"""Graph -> Graph without the nodes and constants that no output needs. The function of the outputs is the same.

An op may be built of parts of which not all are read: the verifier refuses what nobody uses.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from runtime.inference import graph as ir
from runtime.inference.verifier import RULES


def _fields(kind: type[Any], annotation: str) -> tuple[str, ...]:
    return tuple(name for name, written in kind.__annotations__.items() if annotation in str(written))


_TENSORS: Final = {kind: _fields(kind, "TensorIndex") for kind in RULES}
_CONSTANTS: Final = {kind: _fields(kind, "ConstantIndex") for kind in RULES}


def _named(node: ir.Node, fields: tuple[str, ...]) -> set[int]:
    """The numbers that the fields hold: one, none or several each."""
    found: set[int] = set()
    for name in fields:
        value = getattr(node, name)
        found.update(value if isinstance(value, tuple) else () if value is None else (value,))
    return found


def _renamed(node: ir.Node, tensors: dict[int, int], constants: dict[int, int]) -> ir.Node:
    changes: dict[str, Any] = {}
    for fields, places in ((_TENSORS[type(node)], tensors), (_CONSTANTS[type(node)], constants)):
        for name in fields:
            value = getattr(node, name)
            if value is not None:
                changes[name] = tuple(places[v] for v in value) if isinstance(value, tuple) else places[value]
    renamed: ir.Node = msgspec.structs.replace(node, **changes)
    return renamed


def pruned(graph: ir.Graph) -> ir.Graph:
    """The graph itself where everything is used."""
    inputs = len(graph.inputs)
    needed = {output.tensor for output in graph.outputs}
    for number in reversed(range(len(graph.nodes))):
        if inputs + number in needed:
            node = graph.nodes[number]
            needed |= _named(node, _TENSORS[type(node)])
    kept = [number for number in range(len(graph.nodes)) if inputs + number in needed]
    if len(kept) == len(graph.nodes):
        return graph
    nodes = [graph.nodes[number] for number in kept]
    tensors = {number: number for number in range(inputs)}
    tensors |= {inputs + number: inputs + place for place, number in enumerate(kept)}
    used = sorted(set().union(*(_named(node, _CONSTANTS[type(node)]) for node in nodes)))
    constants = {number: place for place, number in enumerate(used)}
    return msgspec.structs.replace(
        graph,
        nodes=tuple(_renamed(node, tensors, constants) for node in nodes),
        constants=tuple(graph.constants[number] for number in used),
        outputs=tuple(msgspec.structs.replace(out, tensor=tensors[out.tensor]) for out in graph.outputs),
    )
