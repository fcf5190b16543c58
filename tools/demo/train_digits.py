"""Trains the demo's two models on scikit-learn's digits and writes them beside the held-out images.

    python -m tools.demo.train_digits

What lives here: data, training (an MLP by scikit-learn, a CNN by a little numpy) and the export to ONNX.
Everything is seeded: one machine writes the same bytes each time (another CPU's BLAS may round otherwise).
scikit-learn is a development dependency: a node, and the demo itself, only read the files.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from runtime.inference.library import onnxruntime

ASSETS = Path(__file__).parent / "assets"
HELDOUT_COUNT = 360
CALIBRATION_COUNT = 256
SEED = 20240
Array = np.ndarray[Any, Any]


def load() -> tuple[Array, Array]:
    """All 1,797 images as [count, 8, 8] float32 in 0..1, and their digits, in one seeded order."""
    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    return (digits.images[order] / 16).astype(np.float32), digits.target[order].astype(np.int64)


def shifted(images: Array, rng: np.random.Generator) -> Array:
    """Each image [8, 8] moved, half of the time, by at most one pixel: augmentation against overfitting."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    rows, columns = 1 + rng.integers(-1, 2, (2, len(images))) * rng.integers(0, 2, len(images))
    return np.stack([image[r : r + 8, c : c + 8] for image, r, c in zip(padded, rows, columns, strict=True)])


def patches(x: Array) -> Array:
    """[count, channels, h, w] -> [count * h * w, channels * 9]: every pixel's 3x3 patch, zero-padded."""
    count, channels, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3)).transpose(0, 2, 3, 1, 4, 5)
    return np.ascontiguousarray(windows).reshape(count * h * w, channels * 9)


def unpatch(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of `patches`: sums each neighbourhood's gradient back onto its pixels."""
    count, channels, h, w = shape
    windows = gradient.reshape(count, h, w, channels, 3, 3)
    padded = np.zeros((count, channels, h + 2, w + 2))
    for row in range(3):
        for column in range(3):
            part = windows[..., row, column].transpose(0, 3, 1, 2)
            padded[:, :, row : row + h, column : column + w] += part
    return padded[:, :, 1:-1, 1:-1]


class Cnn:
    """Conv 1->8, Relu, MaxPool 2, Conv 8->16, Relu, Flatten, Gemm 256->10; cross entropy, Adam."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.weights = [
            rng.normal(0, (2 / 9) ** 0.5, (9, 8)), np.zeros(8),
            rng.normal(0, (2 / 72) ** 0.5, (72, 16)), np.zeros(16),
            rng.normal(0, (1 / 256) ** 0.5, (256, 10)), np.zeros(10),
        ]  # fmt: skip
        self.moments = [[np.zeros_like(w), np.zeros_like(w)] for w in self.weights]
        self.steps = 0

    def gradients(self, images: Array, labels: Array) -> list[Array]:
        """Forward and backward over one batch: the mean loss's gradient by each weight."""
        w1, b1, w2, b2, w3, b3 = self.weights
        count = len(images)
        columns1 = patches(images[:, None])
        hidden1 = np.maximum(columns1 @ w1 + b1, 0).reshape(count, 8, 8, 8).transpose(0, 3, 1, 2)
        blocks = hidden1.reshape(count, 8, 4, 2, 4, 2).transpose(0, 1, 2, 4, 3, 5).reshape(count, 8, 4, 4, 4)
        largest = blocks.argmax(-1)[..., None]
        pooled = np.take_along_axis(blocks, largest, -1)[..., 0]
        columns2 = patches(pooled)
        hidden2 = np.maximum(columns2 @ w2 + b2, 0)
        flat = hidden2.reshape(count, 4, 4, 16).transpose(0, 3, 1, 2).reshape(count, 256)
        logits = flat @ w3 + b3
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        error = exponentials / exponentials.sum(1, keepdims=True)
        error[np.arange(count), labels] -= 1
        error /= count
        back2 = (error @ w3.T).reshape(count, 16, 4, 4).transpose(0, 2, 3, 1).reshape(-1, 16) * (hidden2 > 0)
        back_blocks = np.zeros_like(blocks)
        np.put_along_axis(back_blocks, largest, unpatch(back2 @ w2.T, pooled.shape)[..., None], -1)
        back1 = back_blocks.reshape(count, 8, 4, 4, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(count, 8, 8, 8)
        back1 = (back1 * (hidden1 > 0)).transpose(0, 2, 3, 1).reshape(-1, 8)
        return [
            columns1.T @ back1, back1.sum(0), columns2.T @ back2, back2.sum(0), flat.T @ error, error.sum(0),
        ]  # fmt: skip

    def step(self, images: Array, labels: Array, rate: float) -> None:
        """One step of Adam (arXiv 1412.6980, algorithm 1) with a little weight decay."""
        self.steps += 1
        gradients = self.gradients(images, labels)
        for weight, moment, gradient in zip(self.weights, self.moments, gradients, strict=True):
            decayed = gradient + 1e-4 * weight
            moment[0] = 0.9 * moment[0] + 0.1 * decayed
            moment[1] = 0.999 * moment[1] + 0.001 * decayed**2
            mean = moment[0] / (1 - 0.9**self.steps)
            weight -= rate * mean / (np.sqrt(moment[1] / (1 - 0.999**self.steps)) + 1e-8)


def train_cnn(images: Array, labels: Array, epochs: int = 40) -> Cnn:
    """images [N, 8, 8] in 0..1, labels [N] of 0..9; so many passes over them, each shifted by chance."""
    rng = np.random.default_rng(SEED)
    cnn = Cnn(rng)
    for epoch in range(epochs):
        order, moved = rng.permutation(len(images)), shifted(images, rng)
        for batch in np.array_split(order, len(images) // 48):
            cnn.step(moved[batch], labels[batch], 4e-3 * (1 - epoch / epochs))
    return cnn


def export(name: str, nodes: list[onnx.NodeProto], weights: dict[str, Array]) -> bytes:
    """Ends `nodes` (image -> logits) with Softmax and ArgMax and writes the checked model."""
    ends = [
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])]
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10]),
        helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
    ]
    constants = [numpy_helper.from_array(np.ascontiguousarray(a, np.float32), k) for k, a in weights.items()]
    graph = helper.make_graph(nodes + ends, name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="digits")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    (ASSETS / f"{name}.onnx").write_bytes(data)
    return data


def export_cnn(cnn: Cnn) -> bytes:
    """The network as float ONNX: input "image" [N, 1, 8, 8], outputs "label" and probabilities."""
    w1, b1, w2, b2, w3, b3 = cnn.weights
    kernel: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], **kernel),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], **kernel),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"]),
    ]
    kernels = {"w1": w1.T.reshape(8, 1, 3, 3), "w2": w2.T.reshape(16, 8, 3, 3)}
    weights = {**kernels, "w3": w3, "b1": b1, "b2": b2, "b3": b3}
    return export("digits_cnn", nodes, weights)


def export_mlp(images: Array, labels: Array) -> bytes:
    """Train an MLP of 64 and 32 neurons on the images, shifted thrice, and export it as `export_cnn` does."""
    mlp = MLPClassifier((64, 32), alpha=1e-2, random_state=SEED)
    rng = np.random.default_rng(SEED)
    moved = np.concatenate([images, *(shifted(images, rng) for _ in range(3))])
    for _ in range(60):
        mlp.partial_fit(moved.reshape(len(moved), 64), np.tile(labels, 4), classes=np.arange(10))
    nodes = [helper.make_node("Flatten", ["image"], ["h0"])]
    weights: dict[str, Array] = {}
    for layer, (weight, bias) in enumerate(zip(mlp.coefs_, mlp.intercepts_, strict=True)):
        weights |= {f"w{layer}": weight, f"b{layer}": bias}
        last = layer == len(mlp.coefs_) - 1
        out = "logits" if last else f"g{layer}"
        nodes.append(helper.make_node("Gemm", [f"h{layer}", f"w{layer}", f"b{layer}"], [out]))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"h{layer + 1}"]))
    return export("digits_mlp", nodes, weights)


def accuracy(model: bytes, images: Array, labels: Array) -> float:
    """The share of images, 0..1, whose label onnxruntime gives with the float model."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (predicted,) = session.run(["label"], {"image": images[:, None]})
    return float((predicted == labels).mean())


def save(name: str, **arrays: Array) -> None:
    """Write arrays into the assets, compressed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    (ASSETS / name).write_bytes(buffer.getvalue())


def main() -> None:
    """Train both models, write them and the rows beside them, and say how well they do."""
    images, labels = load()
    kept, train = slice(0, HELDOUT_COUNT), slice(HELDOUT_COUNT, None)
    save("digits_heldout.npz", images=images[kept], labels=labels[kept])
    save("digits_calibration.npz", image=images[train][:CALIBRATION_COUNT, None])
    models = {
        "digits_cnn": export_cnn(train_cnn(images[train], labels[train])),
        "digits_mlp": export_mlp(images[train], labels[train]),
    }
    for name, model in models.items():
        for part, rows in (("held out", kept), ("training", train)):
            share = accuracy(model, images[rows], labels[rows])
            print(f"{name} ({len(model):,} bytes): accuracy on {part} images {share:.4f}")


if __name__ == "__main__":
    main()
