"""The demo's data: a float model trained on scikit-learn's digits, images it never saw, and what it says of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.errors import UsageError
from runtime.inference.library import onnxruntime
from tools.demo.assets import read_asset

INPUT, PROBABILITIES, LABEL = "image", "probabilities", "label"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Digits:
    """images: [count, 8, 8] float32 in 0..1 with their true labels; calibration: training images, for the lowering.
    float_*: what the float model computes of the images."""

    model: bytes
    images: Array
    labels: Array
    calibration: dict[str, Array]
    float_labels: Array
    float_probabilities: Array

    @property
    def inputs(self) -> dict[str, Array]:
        """The images as the model takes them, [count, 1, 8, 8]."""
        return {INPUT: self.images[:, None]}

    @classmethod
    def load(cls, count: int) -> Digits:
        """The first `count` held-out images. Raises UsageError when there are not so many."""
        held_out, calibration = _read("digits_heldout.npz"), _read("digits_calibration.npz")
        images, labels = held_out["images"], held_out["labels"]
        if not 1 <= count <= len(images):
            raise UsageError(f"--transactions {count}: 1 to {len(images)} images are there")
        model = read_asset("digits_cnn.onnx")
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(None, {INPUT: images[:count, None]}), strict=True))
        return cls(
            model=model,
            images=images[:count],
            labels=labels[:count],
            calibration=calibration,
            float_labels=found[LABEL],
            float_probabilities=found[PROBABILITIES],
        )


def _read(name: str) -> dict[str, Array]:
    with np.load(io.BytesIO(read_asset(name)), allow_pickle=False) as file:
        return dict(file)
