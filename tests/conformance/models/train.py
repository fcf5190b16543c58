"""Trains the networks of nets.py on scikit-learn's data and exports them by PyTorch's two exporters.

What lives here: what is trained on what, and how it is exported. Needs torch and onnxscript, which nothing else in the
project does: run by make_models.py alone.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import nets
import nets_places as places
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's users know
from sklearn import datasets
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

EPOCHS: Final = 12
Rows = tuple[dict[str, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Task:
    """`rows`: inputs by name, and what is wanted; `loss`: (outputs, wanted); `metric`: how the table calls it."""

    rows: Callable[[], Rows]
    loss: Callable[[Any, Tensor], Tensor]
    metric: str = "accuracy"


@dataclass(frozen=True)
class Export:
    """One file: a network, its task, by which exporter, at which opset, with an open batch or one row."""

    net: Callable[[], nn.Module]
    task: str
    opset: int
    dynamo: bool = True
    dynamic: bool = True
    epochs: int = EPOCHS


def _digits() -> tuple[np.ndarray, np.ndarray]:
    found = datasets.load_digits()
    return found.images.astype(np.float32), found.target.astype(np.int64)


def _images() -> Rows:
    images, labels = _digits()
    return {"image": images[:, None] / 16}, labels


def _sequences() -> Rows:
    images, labels = _digits()
    return {"sequence": images / 16}, labels


def _tokens() -> Rows:
    images, labels = _digits()
    return {"tokens": images.reshape(-1, 64).astype(np.int64)}, labels


def _masked(names: Sequence[str]) -> Callable[[], Rows]:
    def rows() -> Rows:
        images, labels = _digits()
        ids = images.reshape(-1, 64).astype(np.int64)
        lengths = 48 + np.arange(len(ids)) % 17
        mask = (np.arange(64) < lengths[:, None]).astype(np.int64)
        values = {
            "input_ids": ids * mask,
            "attention_mask": mask,
            "token_type_ids": np.tile(np.arange(64) // 32, (len(ids), 1)),
        }
        return {name: values[name] for name in names}, labels

    return rows


def _noisy() -> Rows:
    images, _ = _digits()
    noise = np.random.default_rng(0).normal(0, 0.2, images.shape)
    return {"image": (images / 16 + noise).astype(np.float32)[:, None]}, (images > 6).astype(np.int64)


def _same() -> Rows:
    images, _ = _digits()
    return {"image": images[:, None] / 16}, images[:, None] / 16


def _pairs() -> Rows:
    images, labels = _digits()
    order = np.random.default_rng(1).permutation(len(images))
    return {"a": images[:, None] / 16, "b": images[order][:, None] / 16}, (labels == labels[order]).astype(np.float32)


def _wine() -> Rows:
    found = datasets.load_wine()
    x = found.data.astype(np.float32)
    parts = np.stack([np.digitize(x[:, c], np.quantile(x[:, c], [0.25, 0.5, 0.75])) for c in (0, 9)], 1)
    return {"numbers": x, "categories": parts.astype(np.int64)}, found.target.astype(np.int64)


def _diabetes() -> Rows:
    found = datasets.load_diabetes(scaled=False)
    x = (found.data - found.data.mean(0)) / found.data.std(0)
    return {"x": x.astype(np.float32)}, (found.target / 100).astype(np.float32)


def _cross(outputs: Any, wanted: Tensor) -> Tensor:
    return F.cross_entropy(outputs, wanted)


def _probability(outputs: Any, wanted: Tensor) -> Tensor:
    return F.nll_loss(torch.log(outputs + 1e-9), wanted)


def _squared(outputs: Any, wanted: Tensor) -> Tensor:
    return F.mse_loss(outputs[0] if isinstance(outputs, tuple) else outputs, wanted)


def _contrast(outputs: Any, wanted: Tensor) -> Tensor:
    """Rows of one class are near, others far."""
    same = wanted[:, None] == wanted[None, :]
    scores = (outputs @ outputs.T) * 8 - 1e9 * torch.eye(len(outputs))
    return -(torch.log_softmax(scores, 1) * same).sum() / same.sum()


TASKS: Final[dict[str, Task]] = {
    "images": Task(_images, _cross),
    "sequences": Task(_sequences, _cross),
    "tokens": Task(_tokens, _cross),
    "input_ids": Task(_masked(["input_ids"]), _cross),
    "bert": Task(_masked(["input_ids", "attention_mask", "token_type_ids"]), _cross),
    "distil": Task(_masked(["input_ids", "attention_mask"]), _cross),
    "sentence": Task(_masked(["input_ids", "attention_mask"]), _contrast, "cosine"),
    "pixels": Task(_noisy, _cross),
    "same": Task(_same, _squared, "r2"),
    "pairs": Task(_pairs, _squared, "r2"),
    "wine": Task(_wine, _probability),
    "diabetes": Task(_diabetes, _squared, "r2"),
}

EXPORTS: Final[dict[str, Export]] = {
    "mlp": Export(nets.Mlp, "images", 17, dynamo=False),
    "mlp_20": Export(nets.Mlp, "images", 20),
    "cnn_13": Export(nets.Cnn, "images", 13, dynamo=False, dynamic=False),
    "cnn_18": Export(nets.Cnn, "images", 18),
    "resnet_14": Export(nets.ResNet, "images", 14, dynamo=False),
    "resnet_21": Export(nets.ResNet, "images", 21, dynamic=False, epochs=8),
    "mobilenet_v3": Export(nets.MobileNet, "images", 17, dynamo=False),
    "mobilenet_v2": Export(lambda: nets.MobileNet(nn.ReLU6), "images", 18),
    "efficientnet": Export(lambda: nets.MobileNet(nn.SiLU), "images", 15, dynamo=False),
    "densenet": Export(nets.Dense, "images", 18),
    "convnext": Export(nets.ConvNext, "images", 19, epochs=40),
    "unet_16": Export(nets.Unet, "pixels", 16, dynamo=False),
    "unet_18": Export(nets.Unet, "pixels", 18, dynamic=False),
    "autoencoder": Export(nets.Autoencoder, "same", 18, epochs=40),
    "conv_autoencoder": Export(nets.ConvAutoencoder, "same", 17, dynamo=False, epochs=40),
    "variational": Export(nets.Variational, "same", 18, epochs=40),
    "rnn": Export(lambda: nets.Recurrent("RNN"), "sequences", 17, dynamo=False, epochs=40),
    "lstm": Export(lambda: nets.Recurrent("LSTM"), "sequences", 14, dynamo=False),
    "lstm_18": Export(lambda: nets.Recurrent("LSTM"), "sequences", 18, dynamic=False),
    "lstm_two_ways": Export(lambda: nets.Recurrent("LSTM", True, 2), "sequences", 17, dynamo=False, dynamic=False),
    "lstm_attention": Export(nets.RecurrentAttention, "sequences", 18),
    "gru": Export(lambda: nets.Recurrent("GRU"), "sequences", 18),
    "gru_two_ways": Export(lambda: nets.Recurrent("GRU", True), "sequences", 16, dynamo=False),
    "temporal": Export(nets.Temporal, "sequences", 18),
    "encoder_17": Export(nets.Encoder, "sequences", 17, dynamo=False),
    "encoder_18": Export(lambda: nets.Encoder(True, "gelu"), "sequences", 18),
    "encoder_static": Export(nets.Encoder, "sequences", 14, dynamo=False, dynamic=False),
    "mixer": Export(nets.Mixer, "sequences", 20, epochs=30),
    "vit_18": Export(nets.Vit, "images", 18),
    "vit_17": Export(nets.Vit, "images", 17, dynamo=False),
    "bert": Export(nets.Bert, "bert", 14, dynamo=False, epochs=10),
    "bert_18": Export(nets.Bert, "bert", 18, epochs=10),
    "distilbert": Export(nets.Distil, "distil", 18, epochs=8),
    "distilbert_13": Export(nets.Distil, "distil", 13, dynamo=False, dynamic=False, epochs=8),
    "sentence": Export(nets.Sentence, "sentence", 18, epochs=6),
    "sentence_14": Export(nets.Sentence, "sentence", 14, dynamo=False, epochs=6),
    "gpt2": Export(nets.Gpt, "input_ids", 18, epochs=8),
    "gpt2_15": Export(nets.Gpt, "input_ids", 15, dynamo=False, epochs=8),
    "llama": Export(nets.Llama, "input_ids", 18, epochs=10),
    "embedding_bag": Export(nets.Bag, "tokens", 17, dynamo=False, epochs=60),
    "text_cnn": Export(nets.TextCnn, "tokens", 18, epochs=20),
    "mixed_table": Export(lambda: nets.Mixed(13), "wine", 18, epochs=200),
    "mixed_table_13": Export(lambda: nets.Mixed(13), "wine", 13, dynamo=False, epochs=200),
    "regression": Export(lambda: nets.Regression(10), "diabetes", 18, epochs=200),
    "siamese": Export(nets.Siamese, "pairs", 18, epochs=40),
    "pyramid": Export(places.Pyramid, "pixels", 13, dynamo=False, epochs=8),
    "perceiver": Export(places.Perceiver, "images", 20, epochs=20),
    "cells": Export(places.Cells, "sequences", 15, dynamo=False, epochs=30),
    "padded": Export(places.Padded, "distil", 17, dynamo=False, epochs=40),
    "padded_18": Export(places.Padded, "distil", 18, epochs=8),
    "last_token": Export(places.LastToken, "distil", 17, dynamo=False, epochs=15),
    "last_token_19": Export(places.LastToken, "distil", 19, epochs=15),
    "windows": Export(places.Windows, "images", 21, epochs=15),
    "codes": Export(places.Codes, "same", 16, dynamo=False, epochs=40),
}


def split(task: Task) -> tuple[Rows, Rows]:
    """Training rows and others; the same each time."""
    inputs, wanted = task.rows()
    train, test = train_test_split(np.arange(len(wanted)), test_size=0.25, random_state=0)
    return tuple(({name: array[part] for name, array in inputs.items()}, wanted[part]) for part in (train, test))


def trained(export: Export) -> nn.Module:
    """The network after its epochs, in eval mode."""
    torch.manual_seed(0)
    task = TASKS[export.task]
    (inputs, wanted), _ = split(task)
    net = export.net()
    adam = torch.optim.Adam(net.parameters(), 4e-3)
    tensors, goal = [torch.from_numpy(array) for array in inputs.values()], torch.from_numpy(wanted)
    for _ in range(export.epochs):
        for part in torch.randperm(len(goal)).split(64):
            if len(part) < 8:
                continue
            loss = task.loss(net(*(tensor[part] for tensor in tensors)), goal[part])
            adam.zero_grad()
            loss.backward()
            adam.step()
    return net.eval()


def exported(net: nn.Module, export: Export) -> bytes:
    """The ONNX file."""
    inputs, _ = TASKS[export.task].rows()
    names = list(inputs)
    rows = 2 if export.dynamic else 1
    examples = tuple(torch.from_numpy(inputs[name][:rows]) for name in names)
    out = io.BytesIO()
    given: dict[str, Any] = {"input_names": names, "opset_version": export.opset, "dynamo": export.dynamo}
    if export.dynamo:
        batch = torch.export.Dim("batch", min=1, max=4096)
        given |= {"dynamic_shapes": tuple({0: batch} for _ in names) if export.dynamic else None, "verbose": False}
    elif export.dynamic:
        given |= {"dynamic_axes": {name: {0: "batch"} for name in (*names, "output")}, "output_names": ["output"]}
        if isinstance(net, nets.Variational):
            given["output_names"] = ["output", "mean", "spread"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, examples, out, **given)
    return out.getvalue()
