"""A node's folder: where its data is, and its keys.

What lives here: reading keys of a home. Must not: open anything else of it (run.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.crypto import SigningKey
from runtime.errors import UsageError
from runtime.network.identity import NetworkKey
from runtime.node.config import NodeConfig
from runtime.node.keystore import open_keystore


@dataclass(frozen=True)
class NodeHome:
    """A node's folder and what it says."""

    path: Path
    config: NodeConfig

    @property
    def data(self) -> Path:
        """The folder of everything that the node writes: state, blocks, logs."""
        return self.path / self.config.data

    def network_key(self) -> NetworkKey:
        """Raises UsageError when the file is missing or holds something else."""
        path = self.path / self.config.keys.network
        try:
            seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}; `armillary init` makes a home") from None
        except ValueError:
            seed = b""
        if len(seed) != 32:
            raise UsageError(f"{path}: expected 64 hexadecimal digits")
        return NetworkKey(seed)

    def validator_key(self, password: Callable[[], str]) -> SigningKey | None:
        """The key that signs; None for a full node. Raises KeystoreError."""
        file = self.config.keys.validator
        return open_keystore(self.path / file, password()) if file else None
