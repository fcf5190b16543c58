"""The verifier: canonical bytes -> Verified, or Refused naming node, rule and values. Consensus-critical.

Total: any byte string gives one of the two, with work and memory linear in its length and node count. The verdict is a
function of the bytes alone: Python integers, and numpy int64 only where overflow is excluded; no float anywhere.

What a verdict says, on any machine whose float64 conforms to IEEE 754 with round-half-even and no flush to zero, and
whose dot products are sums of full-width products in any order: for every input that `check_inputs` accepts, the engine
returns what the interpreter returns; every tensor stays in its interval; no error path exists (shapes agree, indices
lie inside, no denominator is 0, casts are in range); rows do not influence each other; and the cost is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from runtime.errors import CodecError
from runtime.inference import rules_elementwise, rules_linear, rules_shape, rules_trees, rules_windows
from runtime.inference.cost import Cost, Kept, model_cost
from runtime.inference.errors import Refused
from runtime.inference.facts import Fact, Place, Proof, Work, check_constants
from runtime.inference.graph import (
    GRAPH_VERSION,
    Add,
    Affine,
    ArgMax,
    Clip,
    Concat,
    Conv,
    Div,
    Gemm,
    Graph,
    Lookup,
    MatMul,
    MaxPool,
    Mul,
    Output,
    Pad,
    ReduceMax,
    ReduceSum,
    Relu,
    Rescale,
    Reshape,
    Slice,
    Softmax,
    Sqrt,
    Sub,
    Take,
    TensorSpec,
    TopK,
    Transpose,
    Trees,
    count_parts,
    decode_graph,
    model_hash,
    operands,
)
from runtime.inference.layout import is_channels_last
from runtime.inference.limits import (
    COLUMN_VISITS_PER_BYTE,
    COLUMN_VISITS_PER_NODE,
    CONSTANTS_PER_NODE_MAX,
    DOUBLE_EXACT_MAX,
    ELEMENTS_MAX,
    FRAC_BITS_MAX,
    GAS_LOAD_MAX,
    GAS_PER_ROW_MAX,
    KERNELS_MAX,
    MEMORY_BYTES_MAX,
    MODEL_BYTES_MAX,
    NODES_MAX,
    RANK_MAX,
)
from runtime.types import Hash

RULES: Final[dict[type, Callable[[Any, Place], Proof]]] = {
    Gemm: rules_linear.gemm,
    Conv: rules_windows.conv,
    Affine: rules_linear.affine,
    Rescale: rules_linear.rescale,
    Add: rules_elementwise.add,
    Sub: rules_elementwise.sub,
    Mul: rules_elementwise.mul,
    Clip: rules_elementwise.clip,
    Relu: rules_elementwise.relu,
    Softmax: rules_elementwise.softmax,
    Div: rules_elementwise.div,
    Sqrt: rules_elementwise.sqrt,
    MaxPool: rules_windows.max_pool,
    Reshape: rules_shape.reshape,
    Transpose: rules_shape.transpose,
    Concat: rules_shape.concat,
    Slice: rules_shape.slice_,
    Pad: rules_shape.pad,
    ReduceSum: rules_shape.reduce_sum,
    ReduceMax: rules_shape.reduce_max,
    ArgMax: rules_shape.arg_max,
    Trees: rules_trees.trees,
    Lookup: rules_trees.lookup,
    MatMul: rules_linear.matmul,
    Take: rules_shape.take,
    TopK: rules_shape.top_k,
}
"""The ops of graph version 1. A later version has a table of its own; this one never changes."""


_NAMES_OF_CONSTANTS: Final = ("weights", "bias", "shifts", "features", "thresholds", "leaves", "table")


@dataclass(frozen=True, slots=True)
class Proven:
    """What a caller needs to know of a proven model; small, whatever the model's size. `batched`: any number of rows
    may be run together."""

    model_hash: Hash
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    cost: Cost
    batched: bool


@dataclass(frozen=True, slots=True)
class Verified(Proven):
    """A proven model with its graph. `facts`: shape and interval of every tensor, in order."""

    graph: Graph
    facts: tuple[Fact, ...]
    work: Work

    def without_graph(self) -> Proven:
        """What may be kept of many models."""
        return Proven(self.model_hash, self.inputs, self.outputs, self.cost, self.batched)


def verify(model: bytes, *, nodes_max: int = NODES_MAX) -> Verified:
    """Proves the model or raises Refused. `nodes_max`: how many nodes were paid for (`verification_gas`)."""
    if len(model) > MODEL_BYTES_MAX:
        raise Refused("bytes", "a model is small enough", {"bytes": len(model), "bytes_max": MODEL_BYTES_MAX})
    _check_counts(*count_parts(model), nodes_max)
    try:
        graph = decode_graph(model)
    except CodecError as error:
        raise Refused(
            "bytes", "a model is the canonical encoding of a graph", {"path": error.path, "found": error.reason}
        ) from None
    _check_frame(graph)
    check_constants(graph.constants)
    budget = COLUMN_VISITS_PER_BYTE * len(model) + COLUMN_VISITS_PER_NODE * len(graph.nodes)
    place = Place(graph.constants, budget)
    place.facts.extend(_input_facts(graph.inputs))
    place.stored.extend({False} for _ in graph.inputs)
    works = [_prove(place, number, node) for number, node in enumerate(graph.nodes)]
    works.append(_check_outputs(place, graph.outputs) + _port_work(graph) + Work(constants=place.constants_named))
    _check_uses(place, graph)
    work = sum(works, Work())
    kept = Kept(
        elements=place.expanded,
        gone_through=place.gone_through,
        largest=place.largest,
        visited=budget - place.visits_left,
        data_bytes=sum(len(constant.data) for constant in graph.constants),
    )
    cost = model_cost(work, kept, _live_elements(place, graph, works))
    _check_cost(cost, work)
    outputs = tuple(output.spec for output in graph.outputs)
    return Verified(model_hash(model), graph.inputs, outputs, cost, True, graph, tuple(place.facts), work)


def _check_counts(constants: int, nodes: int, nodes_max: int) -> None:
    """Before anything is made of the bytes: what is paid for is bytes and nodes, and a node or constant of few bytes is
    most of the work that they can ask for."""
    if nodes > nodes_max:
        raise Refused("graph", "nodes are within what was paid for", {"nodes": nodes, "nodes_max": nodes_max})
    if constants > CONSTANTS_PER_NODE_MAX * nodes:
        raise Refused("graph", "no more constants than nodes can name", {"constants": constants, "nodes": nodes})


def _check_frame(graph: Graph) -> None:
    def demand(holds: bool, rule: str, **values: object) -> None:
        if not holds:
            raise Refused("graph", rule, values)

    demand(graph.version == GRAPH_VERSION, "the version is known", version=graph.version, known=GRAPH_VERSION)
    demand(len(graph.inputs) >= 1, "a graph has an input")
    demand(len(graph.outputs) >= 1, "a graph has an output")
    for side, names in (
        ("inputs", [spec.name for spec in graph.inputs]),
        ("outputs", [output.spec.name for output in graph.outputs]),
    ):
        demand(len(set(names)) == len(names), f"names of {side} are unique", names=names)


def _check_spec(where: str, spec: TensorSpec) -> None:
    def demand(holds: bool, rule: str, **values: object) -> None:
        if not holds:
            raise Refused(where, rule, values)

    demand(
        0 not in spec.shape and prod(spec.shape) <= ELEMENTS_MAX, "a tensor has 1 to 2**27 elements", shape=spec.shape
    )
    demand(spec.frac_bits <= FRAC_BITS_MAX, "frac_bits is 0 to 62", frac_bits=spec.frac_bits)
    demand(
        -DOUBLE_EXACT_MAX <= spec.low <= spec.high <= DOUBLE_EXACT_MAX,
        "low and high are ordered and within 2**53",
        low=spec.low,
        high=spec.high,
    )


def _input_facts(inputs: Iterable[TensorSpec]) -> Iterable[Fact]:
    for number, spec in enumerate(inputs):
        _check_spec(f"inputs[{number}] {spec.name!r}", spec)
        yield Fact(spec.shape, spec.low, spec.high)


def _prove(place: Place, number: int, node: Any) -> Work:
    """Runs the node's rule, and checks what holds for every tensor."""
    place.node, place.where = number, f"nodes[{number}] {type(node).__name__}"
    place.last = is_channels_last(node, place.shape_of, place.is_only_last)
    proof = RULES[type(node)](node, place)
    fact = proof.fact
    place.demand(
        len(fact.shape) <= RANK_MAX and 0 not in fact.shape,
        "a tensor has at most 7 dimensions, none 0",
        shape=fact.shape,
    )
    place.demand(fact.elements <= ELEMENTS_MAX, "a tensor has at most 2**27 elements", shape=fact.shape)
    turned = [place.turn(operand) for operand in set(operands(node)) if place.is_turned(operand)]
    place.constants_named += sum(getattr(node, name, None) is not None for name in _NAMES_OF_CONSTANTS)
    place.facts.append(fact)
    place.stored.append({place.last})
    return sum(turned, proof.work)


def _check_outputs(place: Place, outputs: Iterable[Output]) -> Work:
    """The work: of turning what callers see into the graph's layout."""
    place.node, place.last = NODES_MAX, False  # after every node: an output stays alive to the end
    work = Work()
    for number, output in enumerate(outputs):
        spec = output.spec
        place.where = f"outputs[{number}] {spec.name!r}"
        _check_spec(place.where, spec)
        fact = place.fact(output.tensor)
        place.demand(
            spec.shape == fact.shape, "an output's shape is its tensor's", declared=spec.shape, proven=fact.shape
        )
        place.demand(
            spec.low <= fact.low and fact.high <= spec.high,
            "an output's interval holds all proven values",
            declared=(spec.low, spec.high),
            proven=(fact.low, fact.high),
        )
        if place.is_turned(output.tensor):
            work += place.turn(output.tensor)
    return work


def _port_work(graph: Graph) -> Work:
    """Inputs are checked and become float64, outputs integers."""
    specs = [*graph.inputs, *(output.spec for output in graph.outputs)]
    return Work(kernels=len(specs), strided=sum(prod(spec.shape) for spec in specs))


def _check_uses(place: Place, graph: Graph) -> None:
    for number in range(len(graph.nodes)):
        if len(graph.inputs) + number not in place.last_use:
            raise Refused(f"nodes[{number}]", "every node's tensor is used", {})
    if len(place.named) < len(graph.constants):
        unused = next(number for number in range(len(graph.constants)) if number not in place.named)
        raise Refused(f"constants[{unused}]", "every constant is named by a node", {})


def _live_elements(place: Place, graph: Graph, works: list[Work]) -> int:
    """The most elements of one row that are alive at once: tensors from their making to their last use, and scratch.
    Inputs and outputs exist twice, as int64 and as float64; other tensors too, where two layouts are asked for."""
    inputs = len(graph.inputs)
    born, dying = Counter[int](), Counter[int]()
    for tensor, node in place.last_use.items():
        dying[node] += place.facts[tensor].elements
    for node, tensor, elements in place.stored_twice:
        born[node] += elements
        dying[place.last_use[tensor]] += elements
    live = sum(2 * fact.elements for fact in place.facts[:inputs])
    most = live
    for number, work in enumerate(works[:-1]):
        live += place.facts[inputs + number].elements + born[number]
        most = max(most, live + work.scratch)
        live -= dying[number]
    return max(most, live + born[NODES_MAX]) + 2 * sum(prod(output.spec.shape) for output in graph.outputs)


def _check_cost(cost: Cost, work: Work) -> None:
    for rule, found, most in (
        ("kernels per run are few enough", work.kernels, KERNELS_MAX),
        ("memory of one row is within bounds", cost.memory_bytes, MEMORY_BYTES_MAX),
        ("gas per row is within bounds", cost.gas_fixed + cost.gas_per_row, GAS_PER_ROW_MAX),
        ("gas to load is within bounds", cost.gas_load, GAS_LOAD_MAX),
    ):
        if found > most:
            raise Refused("graph", rule, {"found": found, "most": most})
