"""What may be a module's name, a key, a value: checked at the doors, `Overlay.set`, `Store.prepare`, `Store.commit`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from runtime.limits import STORAGE_KEY_BYTES_MAX, STORAGE_VALUE_BYTES_MAX
from runtime.state.errors import StateBoundError, StateError
from runtime.types import IDENTIFIER

MODULE_NAME_BYTES_MAX: Final = 48
EXTRA_VALUE_BYTES_MAX: Final = 64 * 1024 * 1024  # holds a block with its receipts
_MODULE = re.compile(IDENTIFIER, re.ASCII)


def check_module(module: str) -> None:
    """Raises StateError unless `module` is an identifier of at most 48 characters."""
    if len(module) > MODULE_NAME_BYTES_MAX or not _MODULE.fullmatch(module):
        raise StateError(f"{module[:64]!r} is no module name: a-z, 0-9 and _, a letter first, at most 48")


def check_key(key: bytes) -> None:
    """Raises StateBoundError above STORAGE_KEY_BYTES_MAX."""
    if len(key) > STORAGE_KEY_BYTES_MAX:
        raise StateBoundError("storage key, bytes", len(key), STORAGE_KEY_BYTES_MAX)


def check_value(value: bytes) -> None:
    """Raises StateBoundError above STORAGE_VALUE_BYTES_MAX."""
    if len(value) > STORAGE_VALUE_BYTES_MAX:
        raise StateBoundError("storage value, bytes", len(value), STORAGE_VALUE_BYTES_MAX)


def check_extra(extra: Mapping[bytes, bytes | None]) -> None:
    """Raises StateBoundError where an extra record's key or value is too long."""
    for key, value in extra.items():
        if len(key) > STORAGE_KEY_BYTES_MAX:
            raise StateBoundError("extra key, bytes", len(key), STORAGE_KEY_BYTES_MAX)
        if value is not None and len(value) > EXTRA_VALUE_BYTES_MAX:
            raise StateBoundError("extra value, bytes", len(value), EXTRA_VALUE_BYTES_MAX)
