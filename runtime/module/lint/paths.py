"""Which files are module code, and what package they belong to.

Lives here: walking folders. Must not: read what is in the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def python_files(path: Path) -> list[Path]:
    """The file itself, or a folder's Python files in the order of their paths, without tests, hidden folders and
    virtual environments. Raises OSError where the path does not exist."""
    if not path.is_dir():
        path.stat()
        return [path]
    return module_files(path, path.rglob("*.py"))


def module_files(folder: Path, files: Iterable[Path]) -> list[Path]:
    """Those of the folder's files that are module code."""
    environments = {marker.parent for marker in folder.rglob("pyvenv.cfg")}
    return sorted(
        file
        for file in files
        if file.is_file()
        and not is_test(file.relative_to(folder))
        and not any(part.startswith((".", "__pycache__")) for part in file.relative_to(folder).parts)
        and not environments.intersection(file.parents)
    )


def is_test(file: Path) -> bool:
    """conftest.py, test_*.py, and all below a folder `tests`: never part of a chain."""
    return "tests" in file.parts[:-1] or file.name == "conftest.py" or file.name.startswith("test_")


def package_of(file: Path) -> str:
    """The dotted package that the file is in; "" for a file that stands alone."""
    parts: list[str] = []
    folder = file.resolve().parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        parts.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(parts))
