"""Where the conformance vectors are: the copy beside this file, or the folder that ARMILLARY_VECTORS names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

_COPY = Path(__file__).parent / "vectors"


def vectors_folder() -> Path:
    return Path(os.environ.get("ARMILLARY_VECTORS") or _COPY)


@pytest.fixture(scope="session")
def vectors() -> Path:
    return vectors_folder()


@pytest.fixture(scope="session")
def index(vectors: Path) -> dict[str, dict[str, str | int]]:
    """INDEX.json: path -> size and hash."""
    loaded: dict[str, dict[str, str | int]] = json.loads((vectors / "INDEX.json").read_text())
    return loaded


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `votekeeper_trace`, `consensus_trace` or `driver_trace` runs for each trace in the index."""
    names = json.loads((vectors_folder() / "INDEX.json").read_text())
    for kind in ("votekeeper", "consensus", "driver"):
        if f"{kind}_trace" in metafunc.fixturenames:
            prefix, ending = f"quint/{kind}/", ".itf.json.gz"
            stems = sorted(n[len(prefix) : -len(ending)] for n in names if n.startswith(prefix) and n.endswith(ending))
            metafunc.parametrize(f"{kind}_trace", stems)
