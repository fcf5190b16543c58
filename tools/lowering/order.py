"""Protobuf -> protobuf: nodes in an order in which each comes behind those whose results it reads.

The standard asks for that; onnxruntime sorts by itself, and tools that insert casts for float16 put them last. Nodes
that read each other in a circle, or what nobody defines, keep their order. Must not: judge them; parse.py refuses them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from onnx import GraphProto, NodeProto


def put_in_order(graph: GraphProto) -> None:
    """Sorts the graph's nodes, the earlier first where both may be."""
    made = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    behind: list[list[int]] = [[] for _ in graph.node]
    missing = [0] * len(graph.node)
    for place, node in enumerate(graph.node):
        for before in {made[name] for name in _read(node) if name in made} - {place}:
            behind[before].append(place)
            missing[place] += 1
    if all(place < after for place, found in enumerate(behind) for after in found):
        return
    ready = [place for place, count in enumerate(missing) if not count]
    order: list[int] = []
    while ready:
        place = heapq.heappop(ready)
        order.append(place)
        for after in behind[place]:
            missing[after] -= 1
            if not missing[after]:
                heapq.heappush(ready, after)
    circle = set(range(len(graph.node))) - set(order)
    nodes = [graph.node[place] for place in (*order, *sorted(circle))]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _read(node: NodeProto) -> Iterator[str]:
    """What the node and its subgraphs read."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield from found.input
        for attribute in found.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)
                yield from (output.name for output in graph.output)
