"""Source -> Source: pairs of nodes that one exact op computes with one rounding instead of two.

MatMul, Mul by a constant + Add of a constant  ->  the first with a third input, the bias (our own form; no file has it)
Conv, Gemm, MatMul + BatchNormalization  ->  the same with scaled weights and another bias
LinearClassifier with SOFTMAX + Normalizer L1  ->  the Normalizer is an Identity: the rows sum to 1 already

Only where nobody else reads the tensor in between. Arithmetic is float64: products, one square root, one division.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from tools.lowering.source import Array, Node, Source


def fuse(source: Source) -> Source:
    """The same function of real numbers, with fewer nodes."""
    return _Fuser(source).run()


def batch_normalization(node: Node, constants: dict[str, Array]) -> tuple[Array, Array] | None:
    """(scale, offset) per channel in float64, or None where a parameter is not constant. `node` is refused if the
    variance plus epsilon is not positive."""
    if any(name not in constants for name in node.inputs[1:5]):
        return None
    gamma, beta, mean, variance = (constants[name].astype(np.float64) for name in node.inputs[1:5])
    shapes = {array.shape for array in (gamma, beta, mean, variance)}
    if len(shapes) != 1 or gamma.ndim != 1:
        raise node.refuse(f"scale, bias, mean and variance have the shapes {sorted(shapes)}; one per channel is needed")
    spread = variance + node.number("epsilon", 1e-5)
    if not (spread > 0).all():
        raise node.refuse(f"variance plus epsilon is {spread.min()}, it must be positive")
    scale = gamma / np.sqrt(spread)
    return scale, beta - mean * scale


class _Fuser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.constants = dict(source.constants)
        self.uses = source.use_counts()
        self.nodes: list[Node] = []
        self.producer: dict[str, int] = {}  # tensor -> place in self.nodes

    def run(self) -> Source:
        for node in map(self._simpler, self.source.nodes):
            merged = self._merged(node)
            if merged is None:
                self.nodes.append(node)
            else:
                self.nodes[merged[0]] = merged[1]
            place = len(self.nodes) - 1 if merged is None else merged[0]
            self.producer.update(dict.fromkeys(node.outputs, place))
        # A merged node stands where its first part stood: its inputs were defined before that.
        return replace(self.source, nodes=tuple(self.nodes), constants=self.constants)

    def _simpler(self, node: Node) -> Node:
        """The node itself, or an Identity where it changes nothing."""
        place = self.producer.get(node.inputs[0]) if node.op == "Normalizer" else None
        if place is None or node.text("norm", "MAX") != "L1":
            return node
        before = self.nodes[place]
        scores = before.op == "LinearClassifier" and before.outputs[1:] == node.inputs
        if scores and before.text("post_transform", "NONE") == "SOFTMAX":
            return replace(node, op="Identity", attributes={})
        return node

    def _merged(self, node: Node) -> tuple[int, Node] | None:
        if node.op == "Add":
            for x, constant in (node.inputs, node.inputs[::-1]):
                place = self._sole_producer(x, ("MatMul", "Mul"))
                if place is not None and constant in self.constants:
                    biased = self._with_bias if self.nodes[place].op == "MatMul" else self._with_offset
                    return biased(place, node, constant)
        if node.op == "BatchNormalization" and len(node.outputs) == 1 and not node.flag("training_mode"):
            place = self._sole_producer(node.inputs[0], ("Conv", "Gemm", "MatMul"))
            if place is not None:
                return self._scaled(place, node)
        return None

    def _sole_producer(self, name: str, ops: tuple[str, ...]) -> int | None:
        place = self.producer.get(name)
        if place is None or self.uses[name] != 1 or self.nodes[place].op not in ops:
            return None
        return place

    def _with_offset(self, place: int, add: Node, constant: str) -> tuple[int, Node] | None:
        """Mul by a constant, plus another that makes the result no larger."""
        mul = self.nodes[place]
        scales = [self.constants[name] for name in mul.inputs if name in self.constants]
        bias = self.constants[constant]
        if len(mul.inputs) > 2 or len(scales) != 1 or bias.ndim > scales[0].ndim or scales[0].dtype.kind != "f":
            return None
        if any(b not in (1, s) for b, s in zip(bias.shape[::-1], scales[0].shape[::-1], strict=False)):
            return None
        merged = (*mul.merged, add.index)
        return place, replace(mul, inputs=(*mul.inputs, constant), outputs=add.outputs, merged=merged)

    def _weight(self, node: Node) -> Array | None:
        return self.constants.get(node.inputs[1])

    def _with_bias(self, place: int, add: Node, constant: str) -> tuple[int, Node] | None:
        matmul, bias = self.nodes[place], self.constants[constant]
        weight = self._weight(matmul)
        if weight is None or weight.ndim != 2 or len(matmul.inputs) > 2 or bias.size not in (1, weight.shape[1]):
            return None
        if bias.ndim > 2 or bias.size != prod(bias.shape[-1:]):  # only along the last dimension, adding no other
            return None
        name = self._add(f"{add.outputs[0]}/bias", np.broadcast_to(bias.reshape(-1), weight.shape[1:]))
        merged = (*matmul.merged, add.index)
        return place, replace(matmul, inputs=(*matmul.inputs, name), outputs=add.outputs, merged=merged)

    def _scaled(self, place: int, norm: Node) -> tuple[int, Node] | None:
        linear, weight = self.nodes[place], self._weight(self.nodes[place])
        parameters = batch_normalization(norm, self.constants)
        # A rank-3 MatMul has its columns last, but BatchNormalization's channels are dimension 1: leave that alone.
        if parameters is None or weight is None or linear.op == "MatMul":
            return None
        scale, offset = parameters
        columns_last = linear.op == "Gemm" and not linear.flag("transB")
        channels = weight.shape[-1 if columns_last else 0]
        bias = self._bias(linear, channels)
        if bias is None or scale.shape != (channels,):
            return None
        along = scale if columns_last else scale.reshape(-1, *[1] * (weight.ndim - 1))
        base = norm.outputs[0]
        names = (
            self._add(f"{base}/weights", weight.astype(np.float64) * along),
            self._add(f"{base}/bias", bias * scale + offset),
        )
        attributes = {key: value for key, value in linear.attributes.items() if key != "beta"}
        inputs = (linear.inputs[0], *names)
        merged = (*linear.merged, norm.index)
        return place, replace(linear, inputs=inputs, outputs=norm.outputs, attributes=attributes, merged=merged)

    def _bias(self, linear: Node, channels: int) -> Array | None:
        """The constant bias in float64, zeros where there is none, None where it is computed or not per channel."""
        if not linear.has_input(2):
            return np.zeros(channels)
        bias = self.constants.get(linear.inputs[2])
        if bias is None or bias.size not in (1, channels) or bias.size != prod(bias.shape[-1:]):
            return None
        beta = linear.number("beta", 1.0) if linear.op == "Gemm" else 1.0
        return np.broadcast_to(bias.reshape(-1).astype(np.float64), (channels,)) * beta

    def _add(self, name: str, array: Array) -> str:
        while name in self.constants or name in self.uses:
            name += "'"
        self.constants[name] = array
        return name
