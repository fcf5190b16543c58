"""Files of named tensors for the command line: .npz, .npy and JSON. Never pickled objects.

.npz   arrays by name
.npy   one array, which has no name of its own: the caller says it
.json  {"name": nested lists of numbers, ...}, or one such list, which again the caller names; null is a missing value
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from runtime.errors import UsageError
from tools.lowering.source import Array

FILE_BYTES_MAX: Final = 1 << 30
PLACES_OF_TEXTS: Final = "; a graph takes the places of texts instead, which `armillary model lower` lists"
_NUMBERS: Final = "fiu"
_ROWS: Final = "fiubU"
"""Kinds of what a model may take: texts and truth values too."""


class TensorFileError(UsageError):
    """A file that does not hold tensors. `path`: the file; `reason`: what was found."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


def load_tensors(path: Path, *, name: str | None = None, texts: bool = False) -> dict[str, Array]:
    """The tensors of the file. `name`: of the one tensor in a file that names none. `texts`: texts and truth values
    will do, as in rows for a model. Raises TensorFileError."""
    readers = {".npz": _read_npz, ".npy": _read_npy, ".json": _read_json}
    if path.suffix not in readers:
        raise TensorFileError(path, f"the ending {path.suffix!r} is not known; use .npz, .npy or .json")
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise TensorFileError(path, f"{size} bytes, at most {FILE_BYTES_MAX} are read")
        found = readers[path.suffix](path)
    except OSError as error:
        raise TensorFileError(path, error.strerror or str(error)) from error
    if "" in found:
        if name is None:
            raise TensorFileError(path, "its one tensor has no name; use .npz or a JSON object with names")
        found = {name: found[""]}
    if not found:
        raise TensorFileError(path, "it holds no tensor")
    for key, array in found.items():
        if array.dtype.kind not in (_ROWS if texts else _NUMBERS) or array.size == 0:
            reason = f"tensor {key!r} has {array.size} elements of type {array.dtype}, not numbers"
            raise TensorFileError(path, reason + (PLACES_OF_TEXTS if array.dtype.kind == "U" else ""))
    return found


def save_tensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """Writes .npz, or .json with nested lists. Raises TensorFileError."""
    if path.suffix not in (".npz", ".json"):
        raise TensorFileError(path, f"the ending {path.suffix!r} is not known; use .npz or .json")
    try:
        if path.suffix == ".npz":
            with path.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **dict(tensors))
        else:
            path.write_text(json.dumps({key: array.tolist() for key, array in tensors.items()}) + "\n")
    except OSError as error:
        raise TensorFileError(path, error.strerror or str(error)) from error


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > FILE_BYTES_MAX:
                raise TensorFileError(path, f"{total} bytes unpacked, at most {FILE_BYTES_MAX} are read")
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        raise TensorFileError(path, f"not an .npz of plain arrays ({_mended(error)})") from error


def _read_npy(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            return {"": np.lib.format.read_array(file, allow_pickle=False)}
    except (ValueError, EOFError) as error:
        raise TensorFileError(path, f"not an .npy of a plain array ({_mended(error)})") from error


def _mended(error: Exception) -> str:
    """numpy's sentence; where columns of Python objects were saved, as pandas has them, what to save instead."""
    if "allow_pickle" in str(error) or "Object arrays" in str(error):
        return "it holds Python objects; save texts as column.astype(str), numbers as column.astype(float)"
    return str(error)


def _read_json(path: Path) -> dict[str, Array]:
    try:
        found = json.loads(path.read_text(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise TensorFileError(path, f"not JSON ({error})") from error
    tensors = found if isinstance(found, dict) else {"": found}
    return {key: _from_lists(path, key, value) for key, value in tensors.items()}


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _from_lists(path: Path, key: str, value: Any) -> Array:
    if not isinstance(value, list):
        raise TensorFileError(path, f"tensor {key!r} is {type(value).__name__}, not nested lists of numbers")
    try:
        array = np.array(value)
        lacking = array.dtype == object and any(item is None for item in array.reshape(-1))
        return array.astype(np.float64) if lacking else array
    except (ValueError, TypeError, OverflowError) as error:
        raise TensorFileError(path, f"tensor {key!r} is ragged or out of range ({error})") from error
