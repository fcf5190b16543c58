"""Builds the exact-grid graph node by node, knowing each tensor's proven interval while it does.

The intervals come from the verifier's own rules, so what is built here is what a validator will prove. Handlers see
only this: operands by name, `emit` for a new node, `bind` for a finished source tensor.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any, Final, cast

import msgspec
import numpy as np

from runtime.inference import graph as ir
from runtime.inference.constants import pack, unpack
from runtime.inference.facts import Fact, Place
from runtime.inference.verifier import RULES
from runtime.types import Hash
from tools.lowering.crossings import Thresholds
from tools.lowering.errors import ModelRefused
from tools.lowering.grids import SUM_BITS, Floats, least_frac_bits
from tools.lowering.names import as_labels, graph_names
from tools.lowering.observed import Limits
from tools.lowering.precision import INPUT_MAGNITUDE, Precision
from tools.lowering.protobuf import TEXT
from tools.lowering.prune import pruned
from tools.lowering.source import HELPER, Array, Node, Port, Shape, Source
from tools.lowering.texts import with_other

Classes = tuple[str, ...] | tuple[int, ...]
Where = tuple[int, tuple[int, int]]
BATCH_FIRST: Final[Where] = (0, (0, 0))
CALIBRATE: Final = "pass calibration rows like those the model will see"


@dataclass(frozen=True)
class Tensor:
    """A computed tensor. Its elements n are read as n * 2**-frac_bits.

    dtype: the source's element type; integers have frac_bits 0 and are never rounded.
    limit: the largest magnitude, as a real number, that calibration asks to keep; None where nothing was observed.
    error: a bound on the distance to the real-valued model, as long as no Clip saturates; infinite where none is known.
    classes: what the integers stand for, where they are places in a list of class names or numbers.
    away: how near to 0 calibration saw it, in real numbers; negative where all was; None where it changed its sign.
    missing: the integer that stands for NaN, less than any other; None where all values are there.
    batch_axis: where N stands among the dimensions that the file knows. In a graph it is always the first.
    merged: whether the file's dimension at batch_axis is more than N: the product of so many dimensions of the row
    before N, of N, and of so many behind it. The row has them apart.
    """

    index: int
    fact: Fact
    frac_bits: int
    dtype: np.dtype[Any]
    limit: float | None = None
    error: float = 0.0
    classes: Classes | None = None
    missing: int | None = None
    away: float | None = None
    batch_axis: int = 0
    merged: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", float(self.error))  # numpy's numbers warn where a bound overflows

    @property
    def place(self) -> Where:
        """Where the batch is in the file."""
        return self.batch_axis, self.merged

    @property
    def file_rank(self) -> int:
        """The number of dimensions in the file."""
        return len(self.shape) + 1 - sum(self.merged)

    @property
    def around(self) -> tuple[Shape, Shape]:
        """The row's dimensions before N and behind it, in the file's order of elements."""
        cut = self.batch_axis + self.merged[0]
        return self.shape[:cut], self.shape[cut:]

    @property
    def shape(self) -> Shape:
        """Of a row."""
        return self.fact.shape

    @property
    def magnitude(self) -> float:
        """The largest magnitude as a real number."""
        return float(np.ldexp(float(self.fact.magnitude), -self.frac_bits))


@dataclass(frozen=True)
class Clipped:
    """An operand that was clipped to +-most because calibration allows it."""

    tensor: Tensor
    most: int


@dataclass(frozen=True)
class Layer:
    """A finished source tensor, where it came from and the graph nodes that were added for it."""

    node: Node
    name: str
    tensor: Tensor
    weight_bits: tuple[int, int] | None
    dropped_bits: int
    clips: tuple[Clipped, ...]
    became: tuple[str, ...]


class Builder:
    """One graph in the making. `limits`: the largest magnitude to expect of source tensors, by name."""

    def __init__(self, source: Source, limits: Mapping[str, float]) -> None:
        self._held: dict[str, Array] = {}
        self.source = replace(source, constants=ChainMap(self._held, cast("dict[str, Array]", source.constants)))
        self.layers: list[Layer] = []
        declared = [port for port in source.inputs if port.reach is not None]
        self._away = limits.away if isinstance(limits, Limits) else {}
        self._ends = limits.ends if isinstance(limits, Limits) else {}
        self._limits = {**limits, **{port.name: port.magnitude for port in declared}}
        self._place = Place(constants=(), visits_left=1 << 62)
        self._nodes: list[ir.Node] = []
        self._seen: dict[ir.Node, int] = {}
        self._stored: dict[ir.Constant, int] = {}
        self._tensors: dict[str, Tensor] = {}
        self._weight_bits: tuple[int, int] | None = None
        self._dropped_bits = 0
        self._clips: list[Clipped] = []
        self._became: list[str] = []
        self._uses = source.use_counts()
        self._precision = Precision(self.source, self._limits, self._ends)
        self._columns: Classes = ()
        self._carried: Where = BATCH_FIRST
        self._carried_to: Where = BATCH_FIRST
        self.thresholds: list[Thresholds] = []
        self._specs = tuple(self._input(port) for port in source.inputs)

    # ---- operands

    def tensor(
        self,
        node: Node,
        position: int,
        *,
        classes: bool = False,
        anywhere: bool = False,
        merged: bool = False,
        missing: bool = False,
    ) -> Tensor:
        """A computed operand; refused where it is a constant or left out, or holds what the caller did not ask for:
        `classes`, values that may be `missing`, a batch elsewhere than first (`anywhere`), or one merged with other
        dimensions (`merged`, which is anywhere too)."""
        name = node.inputs[position] if node.has_input(position) else ""
        if name not in self._tensors:
            what = "constant" if name in self.source.constants else "missing"
            raise node.refuse(f"input {position} is {what}, a computed tensor is needed")
        found = self._tensors[name]
        if found.missing is not None and not missing:
            reason = "calibration has NaN there: a missing value, which an Imputer and trees take"
            raise node.refuse(f"input {position}: {reason}", "impute it first, or calibrate with rows without NaN")
        if found.classes is not None and not classes:
            if isinstance(found.classes[0], str):
                raise node.refuse("it computes with names of classes", "let it read scores or probabilities instead")
            found = self._numbers(found)
        found = self._fine_enough(node, found)
        if found.place == self._carried:
            return replace(found, batch_axis=0, merged=(0, 0))
        if found.place == BATCH_FIRST:
            return found
        if sum(found.merged) and not merged:
            reason = f"dimension {found.batch_axis} of its input {position} is the batch and more"
            raise node.refuse(reason, "keep the batch a dimension of its own")
        if found.batch_axis and not (anywhere or merged):
            reason = (
                f"dimension {found.batch_axis} of its input {position} is the batch, which should be the first here"
            )
            raise node.refuse(reason, "transpose before, so that the batch is dimension 0 (batch_first=True)")
        return found

    def _numbers(self, x: Tensor) -> Tensor:
        """Classes that are numbers, as these numbers."""
        table = np.array(x.classes, np.int64).reshape(-1, 1)
        found = self.derive(x, ir.Lookup(x=x.index, table=self.store(table)), classes=None, limit=None)
        return self.derive(found, ir.Reshape(x=found.index, shape=x.shape))

    def _fine_enough(self, node: Node, x: Tensor) -> Tensor:
        """x, on the grid of whole numbers where the operator knows no coarser one."""
        if x.frac_bits >= least_frac_bits(node.op):
            return x
        if x.fact.magnitude << -x.frac_bits > 1 << SUM_BITS:
            reason = f"what it reads reaches {x.magnitude:.3g}, too large for {node.op}"
            raise node.refuse(reason, "pass calibration rows, or scale the model")
        return self.regrid(x, 0)

    def constant(self, node: Node, position: int, what: str, *, text: bool = False) -> Array:
        """A constant operand; refused where it is computed or left out, or holds texts."""
        name = node.inputs[position] if node.has_input(position) else ""
        if name not in self.source.constants:
            raise node.needs_constant(position, what)
        array = self.source.constants[name]
        if array.dtype == TEXT and not text:
            raise node.refuse(f"{what} (input {position}) holds texts, numbers are needed")
        return array

    def is_read(self, node: Node, position: int) -> bool:
        """Whether anything reads the node's output of this number."""
        return position < len(node.outputs) and node.outputs[position] in self._uses

    def is_constant(self, name: str) -> bool:
        """Whether the file holds the tensor's value."""
        return name in self.source.constants

    def hold(self, name: str, values: Array) -> str:
        """The name of a constant that no file has, made from this one."""
        while name in self._tensors or name in self.source.constants:
            name += "'"
        self._held[name] = values
        return name

    @contextmanager
    def carrying(self, place: Where, to: Where) -> Iterator[None]:
        """Meanwhile operands that have the batch there are read as rows, and what is bound has it at `to`."""
        self._carried, self._carried_to = place, to
        try:
            yield
        finally:
            self._carried = self._carried_to = BATCH_FIRST

    # ---- the graph

    def emit(self, node: ir.Node) -> tuple[int, Fact]:
        """Adds a node (once: an equal one is shared) and proves it. Raises the verifier's Refused."""
        if node not in self._seen:
            self._place.node = len(self._nodes)
            self._place.where = f"nodes[{len(self._nodes)}] {type(node).__name__}"
            proof = RULES[type(node)](node, self._place)
            self._place.facts.append(proof.fact)
            self._nodes.append(node)
            self._became.append(type(node).__name__)
            self._seen[node] = len(self._place.facts) - 1
        index = self._seen[node]
        return index, self._place.facts[index]

    def maker(self, x: Tensor) -> ir.Node | None:
        """The graph node that makes x; None for an input."""
        return self._nodes[x.index - len(self._specs)] if x.index >= len(self._specs) else None

    def derive(self, x: Tensor, node: ir.Node, **changes: Any) -> Tensor:
        """A tensor made by `node` with x's grid, type, limit and error, unless `changes` says otherwise."""
        index, fact = self.emit(node)
        return replace(x, index=index, fact=fact, **changes)

    def store(self, values: Array) -> int:
        """The number of a constant; equal ones are stored once."""
        constant = pack(values)
        if constant not in self._stored:
            self._stored[constant] = len(self._stored)
            self._place.constants = (*self._place.constants, constant)
        return self._stored[constant]

    def stored(self, number: int) -> Array:
        """The constant of this number."""
        return unpack(self._place.constants[number])

    def bind(self, node: Node, tensor: Tensor, position: int = 0) -> None:
        """Declares an output of the node finished, under calibration's limit for it if there is one."""
        name = node.outputs[position]
        bound = replace(tensor, limit=self._limits.get(name, tensor.limit), away=self._away.get(name))
        if self._carried != BATCH_FIRST:
            bound = replace(bound, batch_axis=self._carried_to[0], merged=self._carried_to[1])
        self._tensors[name] = bound
        if node.index == HELPER:
            return  # what it became is told of the node that it helps
        clips, became = tuple(self._clips), tuple(self._became)
        self.layers.append(Layer(node, name, bound, self._weight_bits, self._dropped_bits, clips, became))
        self._weight_bits, self._dropped_bits, self._clips, self._became = None, 0, [], []

    def is_bound(self, name: str) -> bool:
        """Whether the tensor is computed already."""
        return name in self._tensors

    def reread(self, name: str, tensor: Tensor) -> None:
        """The name stands for another reading of the same elements from now on."""
        self._tensors[name] = tensor

    def rebind(self, node: Node, tensor: Tensor, position: int = 0) -> None:
        """Another tensor for an output that was bound last."""
        name = node.outputs[position]
        limit, away = self._limits.get(name, tensor.limit), self._away.get(name)
        self._tensors[name] = bound = replace(tensor, limit=limit, away=away)
        if node.index != HELPER:
            place = max(place for place, layer in enumerate(self.layers) if layer.name == name)
            became = (*self.layers[place].became, *self._became)
            self.layers[place] = replace(self.layers[place], tensor=bound, became=became)
            self._became = []

    # ---- grids

    def limit(self, name: str) -> float | None:
        """The largest magnitude that calibration asks to keep of a source tensor."""
        return self._limits.get(name)

    def ends(self, name: str) -> tuple[Floats, Floats] | None:
        """The least and the greatest value that calibration asks to keep of each number of a row; None where it shows
        none."""
        return self._ends.get(name)

    def wanted_frac_bits(self, name: str) -> int:
        """How fine a source tensor's grid should be, if there is room."""
        return self._precision.wanted(name)

    def regrid(self, x: Tensor, frac_bits: int) -> Tensor:
        """x on another grid: finer is exact, coarser rounds half to even."""
        shift = x.frac_bits - frac_bits
        if shift == 0:
            return x
        error = x.error + (2.0**-frac_bits / 2 if shift > 0 else 0.0)
        return self.derive(x, ir.Rescale(x=x.index, shift=shift), frac_bits=frac_bits, error=error)

    def drop(self, x: Tensor, bits: int) -> Tensor:
        """x with so many fractional bits fewer, which the report tells."""
        self.note_dropped(bits)
        return self.regrid(x, x.frac_bits - bits)

    def within_limit(self, x: Tensor) -> Tensor:
        """x clipped to calibration's limit, if its proven interval is wider."""
        if x.limit is None or x.limit >= x.magnitude:
            return x
        most, before = int(np.ldexp(x.limit, x.frac_bits)), self.maker(x)
        index, low = (before.x, 0) if isinstance(before, ir.Relu) else (x.index, -most)
        clipped = self.derive(x, ir.Clip(x=index, low=low, high=most))
        self._clips.append(Clipped(clipped, most))
        return clipped

    def confine(self, x: Tensor, low: int, high: int) -> Tensor:
        """x, where it is an input's elements moved about: the input's interval is cut to low..high, so that a row that
        leaves it is refused before it runs. Any other x is returned as it is, and so is a part of an input: the other
        columns may hold what this one may not."""
        way = [x.index]
        while way[-1] >= len(self._specs):
            node = self._nodes[way[-1] - len(self._specs)]
            if not isinstance(node, ir.Reshape | ir.Transpose):
                return x
            way.append(node.x)
        spec = self._specs[way[-1]]
        low, high = max(low, spec.low), min(high, spec.high)
        if low > high or x.fact.low > low or x.fact.high < high:
            return x
        specs = [*self._specs]
        specs[way[-1]] = msgspec.structs.replace(spec, low=low, high=high)
        self._specs = tuple(specs)
        for index in way:
            self._place.facts[index] = replace(self._place.facts[index], low=low, high=high)
        for name, tensor in self._tensors.items():
            if tensor.index in way:
                self._tensors[name] = replace(tensor, fact=self._place.facts[tensor.index])
        return replace(x, fact=self._place.facts[x.index])

    def kept_away(self, x: Tensor) -> Tensor:
        """x without 0 and the other sign, where calibration saw one: an input is declared so, others are clipped."""
        if x.away is None or x.fact.low > 0 or x.fact.high < 0:
            return x
        least = max(1, int(np.ldexp(abs(x.away), x.frac_bits)))
        low, high = (least, max(x.fact.high, least)) if x.away > 0 else (min(x.fact.low, -least), -least)
        x = self.confine(x, low, high)
        if low <= x.fact.low and x.fact.high <= high:
            return x
        clipped = self.derive(x, ir.Clip(x=x.index, low=low, high=high))
        self._clips.append(Clipped(clipped, max(-low, high)))
        return clipped

    def note_columns(self, classes: Classes) -> None:
        """The classes that an output's columns are for: the graph's labels, where no output is a class itself."""
        self._columns = classes

    def note_thresholds(self, thresholds: Thresholds) -> None:
        """For the report: what trees compare a tensor with."""
        self.thresholds.append(thresholds)

    def note_dropped(self, bits: int) -> None:
        """For the report: how many bits of an operand were given up."""
        self._dropped_bits = max(self._dropped_bits, bits)

    def note_weight_bits(self, bits: tuple[int, int]) -> None:
        """For the report: the fewest and most bits that a column's largest weight kept."""
        self._weight_bits = bits

    def _input(self, port: Port) -> ir.TensorSpec:
        shape = port.shape or ()
        limit = self._limits.get(port.name)
        classes = None
        if port.dtype == TEXT:
            classes = with_other(port.texts)
            frac_bits, low, high = 0, 0, len(port.texts)
        elif port.dtype.kind == "b":
            frac_bits, low, high = 0, 0, 1
        elif port.dtype.kind == "f":
            frac_bits = self._precision.of_input(port, limit)
            high = int(np.ldexp(INPUT_MAGNITUDE if limit is None else limit, frac_bits))
            low = -high
        else:
            info, most = np.iinfo(port.dtype), (1 << 31) - 1 if limit is None else max(1, int(limit))
            frac_bits, low, high = 0, max(int(info.min), -most), min(int(info.max), most)
        if port.reach is not None:
            low = max(low, ceil(port.reach[0] * 2.0**frac_bits))
            high = min(high, floor(port.reach[1] * 2.0**frac_bits))
        low -= port.missing
        fact = Fact(shape, low, high)
        error = 2.0**-frac_bits / 2 if port.dtype.kind == "f" else 0.0
        lacking, away = low if port.missing else None, self._away.get(port.name)
        made = Tensor(len(self._place.facts), fact, frac_bits, port.dtype, limit, error, classes, lacking, away)
        self._tensors[port.name] = made
        self._place.facts.append(fact)
        name = graph_names(self.source.inputs)[port.name]
        return ir.TensorSpec(name=name, shape=shape, frac_bits=frac_bits, low=low, high=high)

    # ---- the end

    def build(self, version: str, source_hash: bytes) -> ir.Graph:
        """The graph with the source's outputs."""
        names = graph_names(self.source.outputs)
        for port in self.source.outputs:
            self._tensors[port.name] = self._whole(port, self._tensors[port.name])
        outputs = tuple(self.output(names[port.name], self._tensors[port.name]) for port in self.source.outputs)
        return self.graph(outputs, version, source_hash, self._labels())

    def _whole(self, port: Port, x: Tensor) -> Tensor:
        """An output, on the grid of whole numbers at least: rows leave as integers of 64 bits."""
        if x.frac_bits >= 0:
            return x
        x = self.within_limit(x)
        if x.fact.magnitude << -x.frac_bits > 1 << SUM_BITS:
            reason = f"it reaches {x.magnitude:.3g}, more than integers hold exactly"
            raise ModelRefused(f"output {port.name!r}", reason, "pass calibration rows, or scale the output")
        return self.regrid(x, 0)

    def classes(self) -> dict[str, Classes]:
        """The classes of those outputs that are places in such a list, by source name."""
        found = {port.name: self._tensors[port.name].classes for port in self.source.outputs}
        return {name: classes for name, classes in found.items() if classes is not None}

    def batch_axes(self) -> dict[str, int]:
        """Where the file has N, of those outputs that do not have it first, by source name. Refused where it is merged
        with other dimensions."""
        for port in self.source.outputs:
            if sum(self._tensors[port.name].merged):
                reason = "its dimension of the batch holds more than the batch"
                raise ModelRefused(f"output {port.name!r}", reason, "keep the batch a dimension of its own")
        found = {port.name: self._tensors[port.name].batch_axis for port in self.source.outputs}
        return {name: axis for name, axis in found.items() if axis}

    def _labels(self) -> tuple[str, ...]:
        """The one list of class names that the outputs are places in, or that their columns are for."""
        lists = list(dict.fromkeys(self.classes().values()))
        if len(lists) > 1:
            raise ModelRefused("outputs", "two of them name different lists of classes", "keep one of them")
        return as_labels(lists[0] if lists else self._columns)

    def output(self, name: str, tensor: Tensor) -> ir.Output:
        """`tensor` as it leaves the graph, with its proven interval; a probe of an inner one on a coarse grid as its
        integers."""
        spec = ir.TensorSpec(
            name=name,
            shape=tensor.shape,
            frac_bits=max(0, tensor.frac_bits),
            low=tensor.fact.low,
            high=tensor.fact.high,
        )
        return ir.Output(tensor=tensor.index, spec=spec)

    def finished(self, name: str) -> Tensor:
        """The tensor bound to a source name."""
        return self._tensors[name]

    def graph(
        self, outputs: tuple[ir.Output, ...], version: str, source_hash: bytes, labels: tuple[str, ...] = ()
    ) -> ir.Graph:
        """What these outputs need, whatever the source's are: comparisons look at inner tensors so."""
        everything = ir.Graph(
            version=ir.GRAPH_VERSION,
            lowering_version=version,
            source_hash=Hash(source_hash),
            labels=labels,
            inputs=self._specs,
            outputs=outputs,
            constants=self._place.constants,
            nodes=tuple(self._nodes),
        )
        return pruned(everything)
