"""The demo's models and images, written by `python -m tools.demo.train_digits`. Data and its reader only.

digits_cnn.onnx, digits_mlp.onnx   float models: image [N, 1, 8, 8] float32 in 0..1
                                   -> probabilities [N, 10] float32, label [N] int64
digits_heldout.npz                 images [360, 8, 8] float32 in 0..1, labels [360] int64: never trained on
digits_calibration.npz             image [256, 1, 8, 8]: training images in the models' own input form
"""

from __future__ import annotations

from importlib.resources import files


def read_asset(name: str) -> bytes:
    """The bytes of one of the files above."""
    return (files(__name__) / name).read_bytes()
