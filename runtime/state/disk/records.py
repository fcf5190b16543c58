"""What the log and the undo table hold, in canonical bytes.

Lives here: the records' types and their conversion from and to Changes. Must not: touch a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from runtime.codec import codec
from runtime.errors import CodecError
from runtime.limits import STORAGE_KEY_BYTES_MAX, STORAGE_VALUE_BYTES_MAX
from runtime.state.bounds import EXTRA_VALUE_BYTES_MAX
from runtime.state.protocols import Changes
from runtime.types import Hash, MaxLen, Name, Struct

_CHANGES_MAX = 1 << 24
_MODULES_MAX = 1 << 12

_Key = Annotated[bytes, MaxLen(STORAGE_KEY_BYTES_MAX)]
_Value = Annotated[bytes, MaxLen(STORAGE_VALUE_BYTES_MAX)]
_ExtraValue = Annotated[bytes, MaxLen(EXTRA_VALUE_BYTES_MAX)]


class ModuleChanges(Struct):
    """The changed keys of one module, in order."""

    module: Name
    changed: Annotated[tuple[tuple[_Key, _Value | None], ...], MaxLen(_CHANGES_MAX)]


_Modules = Annotated[tuple[ModuleChanges, ...], MaxLen(_MODULES_MAX)]


class BlockRecord(Struct):
    """A committed block: the root after it, the net changes, the extra records."""

    root: Hash
    modules: _Modules
    extra: Annotated[tuple[tuple[_Key, _ExtraValue | None], ...], MaxLen(_CHANGES_MAX)]


class UndoRecord(Struct):
    """What leads back from a height: the root before it, and what its changed keys held."""

    root_before: Hash
    modules: _Modules


def encode_block(root: Hash, changes: Changes, extra: Mapping[bytes, bytes | None]) -> bytes:
    """A block's log record."""
    return codec(BlockRecord).encode(BlockRecord(root, _to_modules(changes), tuple(sorted(extra.items()))))


def decode_block(data: bytes) -> tuple[Hash, Changes, Mapping[bytes, bytes | None]]:
    """Root, changes and extra records of a log record. Raises CodecError."""
    record = codec(BlockRecord).decode(data)
    return record.root, _from_modules(record.modules), dict(record.extra)


def encode_undo(root_before: Hash, undo: Changes) -> bytes:
    """An undo record."""
    return codec(UndoRecord).encode(UndoRecord(root_before, _to_modules(undo)))


def decode_undo(data: bytes) -> tuple[Hash, Changes]:
    """The root before and what was held. Raises CodecError."""
    record = codec(UndoRecord).decode(data)
    return record.root_before, _from_modules(record.modules)


def _to_modules(changes: Changes) -> tuple[ModuleChanges, ...]:
    return tuple(
        ModuleChanges(Name(module), tuple(sorted(changed.items()))) for module, changed in sorted(changes.items())
    )


def _from_modules(modules: tuple[ModuleChanges, ...]) -> Changes:
    changes: dict[str, dict[bytes, bytes | None]] = {module.module: dict(module.changed) for module in modules}
    if len(changes) != len(modules):
        raise CodecError("$.modules", "a module appears twice")
    return changes
