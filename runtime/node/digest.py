"""What program this is: its version, for people; and 32 bytes that are told in the handshake, so that a divergence has
a first suspect."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import runtime
from runtime.crypto import hash_bytes
from runtime.types import Hash

PINNED: Final = ("onnxruntime", "msgspec", "pynacl", "numpy")


def runtime_digest() -> Hash:
    """Of the runtime's sources, the Python minor version and the libraries that results depend on."""
    folder = Path(runtime.__file__).parent
    parts = [f"python {sys.version_info.major}.{sys.version_info.minor}"]
    parts += [f"{name} {_version(name)}" for name in PINNED]
    for path in sorted(folder.rglob("*.py")):
        parts.append(f"{path.relative_to(folder).as_posix()} {hash_bytes('armillary/source', path.read_bytes()).hex()}")
    return hash_bytes("armillary/runtime", "\n".join(parts).encode())


def program_version() -> str:
    """Of the installed distribution."""
    return _version("armillary")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
