"""A file of rows as a graph takes them: int64, [N, ...]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.inference import TensorSpec
from tools.lowering import quantize
from tools.lowering.source import Array
from tools.lowering.tensors import load_tensors


def read_rows(file: Path, specs: Sequence[TensorSpec], *, fixed_point: bool | None) -> dict[str, Array]:
    """The rows in a .npz, .npy or JSON file. fixed_point: they are the graph's integers already; else real numbers,
    which are rounded to its grids; None: they are integers where the file holds nothing else. A single row may lack
    its N; a file with one tensor need not name it. Raises TensorFileError, DataRefused."""
    alone = specs[0].name if len(specs) == 1 else None
    values = load_tensors(file, name=alone)
    shapes = {spec.name: tuple(spec.shape) for spec in specs}
    rows = {name: array[None] if shapes.get(name) == array.shape else array for name, array in values.items()}
    if fixed_point is None:
        fixed_point = all(array.dtype.kind in "iu" for array in rows.values())
    return rows if fixed_point else dict(quantize(specs, rows))
