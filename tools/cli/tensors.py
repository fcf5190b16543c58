"""Tensors as arguments of calls: a file of integer arrays in place of JSON with bytes in hex."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from runtime.codec.schema import Schema
from runtime.errors import UsageError
from runtime.module import Tensor

FORM: Final = "a file of the model's integers (.npz, .npy or .json)"


def takes_tensors(schema: Schema) -> bool:
    """Whether an argument is a list of tensors."""
    return schema.kind == "array" and schema.items[0].python is Tensor


def is_file(text: str) -> bool:
    """Whether an option's text names a file: JSON of tensors begins with a bracket."""
    return not text.lstrip().startswith("[")


def read_tensors(text: str, option: str) -> list[dict[str, Any]]:
    """The tensors in the file, by name, as JSON would hold them. Raises UsageError: no such file, no integers."""
    from runtime.inference import from_arrays  # these bring numpy and onnx: only when a file is read
    from runtime.inference.errors import InvalidInput
    from tools.lowering.tensors import load_tensors

    path = Path(text)
    arrays = load_tensors(path)
    try:
        tensors = from_arrays(arrays)
    except InvalidInput as error:
        raise UsageError(f"{option}: {path}: {error}") from None
    return [{"name": each.name, "shape": list(each.shape), "data": each.data.hex()} for each in tensors]
