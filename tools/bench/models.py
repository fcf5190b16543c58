"""The models that inference is measured on: float ONNX files of ordinary shapes, made from a fixed seed.

Weights are random at the scale that training leaves them at (He 2015, arXiv 1502.01852), so that activations are of
order one: what is measured is time, and time does not depend on what a model has learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

Rows = npt.NDArray[np.float32]

OPSET: Final = 17
ML_OPSET: Final = 3


@dataclass(frozen=True)
class Golden:
    """A float model and what its rows look like. shape: of a row of its one input, `x`."""

    name: str
    model: bytes
    shape: tuple[int, ...]
    parameters: int

    def rows(self, count: int, seed: int = 1) -> Rows:
        """Standard normal rows, [count, *shape]."""
        return np.random.default_rng(seed).standard_normal((count, *self.shape)).astype(np.float32)


@dataclass
class _Writer:
    """Nodes and weights of a model in the making; `add` returns the name of the node's output."""

    seed: int
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, values: npt.ArrayLike, kind: Any = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weight(self, *shape: int, fan_in: int, gain: float = 2.0) -> str:
        return self.constant(self.random.standard_normal(shape) * (gain / fan_in) ** 0.5)

    def golden(self, name: str, shape: tuple[int, ...], output: str, out_shape: tuple[int, ...]) -> Golden:
        ports = [
            helper.make_tensor_value_info(port, TensorProto.FLOAT, ["N", *sizes])
            for port, sizes in (("x", shape), (output, out_shape))
        ]
        graph = helper.make_graph(self.nodes, name, ports[:1], ports[1:], self.weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        parameters = sum(int(np.prod(tensor.dims)) for tensor in self.weights)
        return Golden(name, model.SerializeToString(), shape, parameters)

    # ---- layers

    def dense(self, x: str, fan_in: int, fan_out: int, gain: float = 2.0) -> str:
        return self.add(
            "Gemm",
            x,
            self.weight(fan_out, fan_in, fan_in=fan_in, gain=gain),
            self.constant(np.zeros(fan_out)),
            transB=1,
        )

    def linear(self, x: str, fan_in: int, fan_out: int) -> str:
        """Over the last dimension of a sequence, as exporters write it: MatMul and Add."""
        product = self.add("MatMul", x, self.weight(fan_in, fan_out, fan_in=fan_in, gain=1.0))
        return self.add("Add", product, self.constant(np.zeros(fan_out)))

    def conv(self, x: str, channels: int, filters: int, kernel: int = 3, stride: int = 1) -> str:
        """Convolution, normalised and with BatchNormalization as it is left by training."""
        weights = self.weight(filters, channels, kernel, kernel, fan_in=channels * kernel**2)
        pad = kernel // 2
        x = self.add("Conv", x, weights, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)
        scale, variance = (self.constant(self.random.uniform(0.5, 1.5, filters)) for _ in range(2))
        offset, mean = (self.constant(self.random.standard_normal(filters) * 0.1) for _ in range(2))
        return self.add("BatchNormalization", x, scale, offset, mean, variance)

    def layer_norm(self, x: str, width: int) -> str:
        return self.add("LayerNormalization", x, self.constant(np.ones(width)), self.constant(np.zeros(width)), axis=-1)


def mlp(features: int = 784, width: int = 1024) -> Golden:
    """Three hidden layers, ten outputs."""
    w = _Writer(10)
    x, size = "x", features
    for _ in range(3):
        x, size = w.add("Relu", w.dense(x, size, width)), width
    return w.golden("mlp", (features,), w.dense(x, size, 10), (10,))


def cnn(side: int = 28, filters: int = 32) -> Golden:
    """Square pictures: two convolutions, pooling, two dense layers, softmax."""
    w = _Writer(11)
    x = w.add("Relu", w.conv("x", 1, filters))
    x = w.add("Relu", w.conv(x, filters, 2 * filters))
    x = w.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = w.add("Relu", w.dense(w.add("Flatten", x), 2 * filters * (side // 2) ** 2, 4 * filters))
    return w.golden("cnn", (1, side, side), w.add("Softmax", w.dense(x, 4 * filters, 10, 1.0), axis=-1), (10,))


def resnet18(side: int = 64, first: int = 64) -> Golden:
    """ResNet-18 (arXiv 1512.03385) on square pictures, 10 classes; `first`: filters of its first stage."""
    w = _Writer(12)
    x = w.add("Relu", w.conv("x", 3, first, 7, 2))
    x = w.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = first
    for filters in (first, 2 * first, 4 * first, 8 * first):
        for stride in (1 if filters == first else 2, 1):
            inner = w.conv(w.add("Relu", w.conv(x, channels, filters, 3, stride)), filters, filters)
            beside = x if stride == 1 else w.conv(x, channels, filters, 1, stride)
            x, channels = w.add("Relu", w.add("Add", inner, beside)), filters
    x = w.add("Flatten", w.add("GlobalAveragePool", x))
    return w.golden("resnet18", (3, side, side), w.dense(x, channels, 10, 1.0), (10,))


def transformer(sequence: int = 128, width: int = 384, heads: int = 12) -> Golden:
    """One encoder block, attention and then Gelu (exact, by Erf) between two dense layers, each after LayerNorm."""
    w, head = _Writer(13), width // heads
    normal = w.layer_norm("x", width)
    split = w.constant([0, sequence, heads, head], np.int64)
    query, key, value = (w.add("Reshape", w.linear(normal, width, width), split) for _ in range(3))
    query, value = (w.add("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
    scores = w.add("MatMul", query, w.add("Transpose", key, perm=[0, 2, 3, 1]))
    weights = w.add("Softmax", w.add("Div", scores, w.constant(head**0.5)), axis=-1)
    seen = w.add("Transpose", w.add("MatMul", weights, value), perm=[0, 2, 1, 3])
    seen = w.add("Reshape", seen, w.constant([0, sequence, width], np.int64))
    x = w.add("Add", "x", w.linear(seen, width, width))
    inner = w.linear(w.layer_norm(x, width), width, 4 * width)
    erf = w.add("Erf", w.add("Div", inner, w.constant(2**0.5)))
    gelu = w.add("Mul", w.add("Mul", inner, w.add("Add", erf, w.constant(1.0))), w.constant(0.5))
    x = w.add("Add", x, w.linear(gelu, 4 * width, width))
    return w.golden("transformer", (sequence, width), x, (sequence, width))


def trees(count: int = 100, depth: int = 6, features: int = 32) -> Golden:
    """A forest of complete trees: one score."""
    w = _Writer(14)
    size = 2 ** (depth + 1) - 1
    inner = 2**depth - 1
    numbers = np.tile(np.arange(size), count)
    owners = np.repeat(np.arange(count), size)
    branches = numbers < inner
    leaves = np.flatnonzero(~branches)
    thresholds = np.where(branches, w.random.standard_normal(len(numbers)), 0.0)
    score = w.add(
        "TreeEnsembleRegressor",
        "x",
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=owners.tolist(),
        nodes_nodeids=numbers.tolist(),
        nodes_modes=["BRANCH_LEQ" if branch else "LEAF" for branch in branches],
        nodes_featureids=np.where(branches, w.random.integers(0, features, len(numbers)), 0).tolist(),
        nodes_values=thresholds.astype(np.float32).tolist(),
        nodes_truenodeids=np.where(branches, 2 * numbers + 1, 0).tolist(),
        nodes_falsenodeids=np.where(branches, 2 * numbers + 2, 0).tolist(),
        target_treeids=owners[leaves].tolist(),
        target_nodeids=numbers[leaves].tolist(),
        target_ids=[0] * len(leaves),
        target_weights=(w.random.standard_normal(len(leaves)) / count).astype(np.float32).tolist(),
    )
    return w.golden("trees", (features,), score, (1,))


def lstm(sequence: int = 32, width: int = 64, hidden: int = 128) -> Golden:
    """One layer over a sequence, batch first as PyTorch writes it, and a dense layer over its last state."""
    w = _Writer(15)
    gates = [w.weight(1, 4 * hidden, size, fan_in=size, gain=1.0) for size in (width, hidden)]
    steps = w.add("Transpose", "x", perm=[1, 0, 2])
    name = f"t{len(w.nodes)}"
    bias = w.constant(np.zeros((1, 8 * hidden)))
    w.nodes.append(helper.make_node("LSTM", [steps, *gates, bias], ["", name], hidden_size=hidden))
    last = w.add("Squeeze", name, w.constant([0], np.int64))
    return w.golden("lstm", (sequence, width), w.dense(last, hidden, 10, 1.0), (10,))


GOLDEN: Final[dict[str, Callable[[], Golden]]] = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet18": resnet18,
    "transformer": transformer,
    "trees": trees,
    "lstm": lstm,
}
