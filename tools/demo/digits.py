"""The demo's data: a float model trained on scikit-learn's digits, images it never saw, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from runtime.errors import UsageError

ASSETS = Path(__file__).parent / "assets"
MODEL_FILE = ASSETS / "digits_cnn.onnx"
IMAGES_FILE = ASSETS / "digits_heldout.npz"
INPUT, PROBABILITIES, LABEL = "image", "probabilities", "label"
CALIBRATION_ROWS = 100

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Digits:
    """images: [count, 8, 8] float32 in 0..1 with their true labels; calibration: other images, for the lowering.
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
        with np.load(IMAGES_FILE, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
        if not 1 <= count <= len(images) - CALIBRATION_ROWS:
            raise UsageError(f"--transactions {count}: 1 to {len(images) - CALIBRATION_ROWS} images are there")
        model = MODEL_FILE.read_bytes()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        found = dict(
            zip([o.name for o in session.get_outputs()], session.run(None, {INPUT: images[:count, None]}), strict=True)
        )
        return cls(
            model=model,
            images=images[:count],
            labels=labels[:count],
            calibration={INPUT: images[-CALIBRATION_ROWS:, None]},
            float_labels=found[LABEL],
            float_probabilities=found[PROBABILITIES],
        )
