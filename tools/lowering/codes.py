"""Source -> Source: a layer that reads dequantised numbers and has dequantised weights computes with the codes.

Conv(DequantizeLinear(x), DequantizeLinear(w)), as onnxruntime.quantization writes it (QDQ), becomes a Conv of integers,
which is exact, and then one scale for each output channel. Numbers of 24 bits in place of codes of 8 would leave the
weights few bits, and a result on the other side of a middle is another code. Others who read the dequantised tensor
still do. Before constants are folded: then the codes of weights are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from tools.lowering.source import HELPER, Array, Node, Source

LINEAR: Final = ("Conv", "Gemm", "MatMul")


def with_codes(source: Source) -> Source:
    """The same function of real numbers."""
    makers = {node.outputs[0]: node for node in source.nodes if node.op == "DequantizeLinear"}
    return _Rewriter(source, makers).run() if makers else source


class _Rewriter:
    def __init__(self, source: Source, makers: Mapping[str, Node]) -> None:
        self.source, self.makers = source, makers
        self.constants = dict(source.constants)
        self.taken = {name for node in source.nodes for name in node.outputs} | set(self.constants)
        self.taken |= {port.name for port in source.inputs}
        self.nodes: list[Node] = []
        self.read: dict[str, str] = {}

    def run(self) -> Source:
        for node in self.source.nodes:
            scales = self._scales(node) if node.op in LINEAR else None
            if scales is None:
                self.nodes.append(node)
            else:
                self._rewrite(node, scales)
        return replace(self.source, constants=self.constants, nodes=tuple(self.nodes))

    def _scales(self, node: Node) -> Array | None:
        """What the sums of codes are multiplied by, for each output channel; None where the node is another thing."""
        x, weights = (self.makers.get(name) for name in node.inputs[:2])
        if x is None or weights is None or weights.inputs[0] not in self.constants:
            return None
        own, each = (self.constants.get(maker.inputs[1]) for maker in (x, weights))
        codes = self.constants[weights.inputs[0]]
        if own is None or each is None or own.size != 1 or not _are_scales(own) or not _are_scales(each):
            return None
        if (
            codes.dtype.kind not in "iu"
            or codes.dtype.itemsize > 2
            or codes.ndim < 2
            or weights.integer("block_size", 0)
        ):
            return None
        if len(node.inputs) > 2 and node.op == "Gemm" and node.number("beta", 1.0) != 1:
            return None
        axis = 0 if node.op == "Conv" or node.flag("transB") else codes.ndim - 1
        if each.size > 1 and (each.size != codes.shape[axis] or weights.integer("axis", 1) % codes.ndim != axis):
            return None
        scales = own.astype(np.float64).reshape(-1) * each.astype(np.float64).reshape(-1)
        return np.broadcast_to(scales, codes.shape[axis : axis + 1])

    def _rewrite(self, node: Node, scales: Array) -> None:
        base, weights = node.outputs[0], self.makers[node.inputs[1]]
        shape = (-1, *[1] * (self.constants[weights.inputs[0]].ndim - 2)) if node.op == "Conv" else (-1,)
        sums = self._add(node, node.op, (self._codes(node.inputs[0]), self._codes(node.inputs[1])), "sums")
        scale = self._store(f"{base}/scales", scales.reshape(1, *shape) if node.op == "Conv" else scales)
        if not node.has_input(2):
            self.nodes.append(Node("Mul", node.name, node.index, (sums, scale), (base,)))
            return
        sized = self._store(f"{base}/sizes", np.array([1, *shape] if node.op == "Conv" else shape, np.int64))
        bias = self._add(node, "Reshape", (node.inputs[2], sized), "bias", plain=True)
        scaled = self._add(node, "Mul", (sums, scale), "scaled", plain=True)
        self.nodes.append(Node("Add", node.name, node.index, (scaled, bias), (base,)))

    def _codes(self, name: str) -> str:
        """A dequantised tensor in steps: the codes without their zero point, as real numbers."""
        if name not in self.read:
            maker = self.makers[name]
            scale = self.constants[maker.inputs[1]]
            one = self._store(f"{name}/step", np.ones(scale.shape, np.float32))
            inputs = (maker.inputs[0], one, *maker.inputs[2:])
            self.read[name] = self._free(f"{name}/codes")
            self.nodes.append(replace(maker, index=HELPER, inputs=inputs, outputs=(self.read[name],)))
        return self.read[name]

    def _add(self, node: Node, op: str, inputs: tuple[str, ...], what: str, *, plain: bool = False) -> str:
        name = self._free(f"{node.outputs[0]}/{what}")
        self.nodes.append(Node(op, node.name, HELPER, inputs, (name,), {} if plain else node.attributes))
        return name

    def _store(self, name: str, values: Array) -> str:
        name = self._free(name)
        self.constants[name] = values
        return name

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += "'"
        self.taken.add(name)
        return name


def _are_scales(found: Array) -> bool:
    return found.dtype.kind == "f" and found.ndim < 2 and bool((found > 0).all() and np.isfinite(found).all())
