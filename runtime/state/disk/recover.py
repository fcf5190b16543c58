"""Opening a store: the trees from LMDB, the history, then the log, each step checked against the roots on disk.

Lives here: what is replayed, what is refused as corrupt. Must not: serve reads or commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from runtime.errors import CodecError
from runtime.state.disk.base import Base, above_stem, state_stem
from runtime.state.disk.records import decode_block, decode_undo
from runtime.state.disk.wal import Record, Segment, scan, segment_path, segments
from runtime.state.errors import StateBoundError, StateError, StoreCorrupt
from runtime.state.forest import EMPTY_FOREST, Forest, forest_of
from runtime.state.protocols import HEIGHT_EMPTY, PreparedState, Reader
from runtime.state.table import in_chunks
from runtime.state.versions import Retention, Versions

Apply = Callable[[PreparedState, Mapping[bytes, bytes | None]], None]


@dataclass(frozen=True)
class Recovery:
    """What opening found. replayed: blocks taken from the log; torn_bytes: of a write that was never acknowledged."""

    replayed: int
    torn_bytes: int


def recovered_versions(base: Base, now: Reader, retention: Retention) -> Versions:
    """The trees and the history as of the last flush. Raises StoreCorrupt where they do not give the stored root."""
    forest = EMPTY_FOREST if base.height == HEIGHT_EMPTY else _forest_from(base)
    if base.root is not None and forest.root != base.root:
        raise StoreCorrupt(
            str(base.path), None, f"the state hashes to {forest.root.hex()}, not to the stored root {base.root.hex()}"
        )
    versions = Versions(now, retention, base.height, forest, base.lock)
    records = base.undo_records()
    first = base.height + 1 - len(records)
    for place, (height, record) in enumerate(records):
        if height != first + place:
            raise StoreCorrupt(str(base.path), None, f"the undo record of height {first + place} is missing")
        try:
            root_before, undo = decode_undo(record)
        except CodecError as error:
            raise StoreCorrupt(str(base.path), None, f"the undo record of height {height}: {error}") from error
        versions.restore_step(height, undo, root_before)
    return versions


def _forest_from(base: Base) -> Forest:
    return forest_of((module, _items(base, state_stem(module))) for module in base.modules())


def _items(base: Base, stem: bytes) -> Iterator[tuple[bytes, bytes]]:
    for key, value in in_chunks(partial(_chunk, base), stem, above_stem(stem)):
        yield key[len(stem) :], value


def _chunk(base: Base, low: bytes, high: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
    return base.chunk_of_state(low, high, count)


def replay(folder: Path, versions: Versions, apply: Apply) -> Recovery:
    """Apply every logged block above the last flush. Raises StoreCorrupt where one is missing, damaged or wrong."""
    replayed = torn_bytes = 0
    paths = segments(folder)
    for path in paths:
        found = scan(path)
        if found.torn_bytes and path != paths[-1]:
            raise StoreCorrupt(str(path), found.end, "a log record is damaged, and a later segment follows")
        torn_bytes = found.torn_bytes
        for record in found.records:
            if record.height > versions.height:
                _replay(path, record, versions, apply)
                replayed += 1
    return Recovery(replayed, torn_bytes)


def _replay(path: Path, record: Record, versions: Versions, apply: Apply) -> None:
    try:
        root, changes, extra = decode_block(record.payload)
        prepared = versions.prepare(record.height, changes)
    except (CodecError, StateBoundError, StateError) as error:
        raise StoreCorrupt(str(path), record.offset, f"the block of height {record.height}: {error}") from error
    if prepared.root != root:
        reason = f"the block of height {record.height} gives root {prepared.root.hex()}, not the logged {root.hex()}"
        raise StoreCorrupt(str(path), record.offset, reason)
    apply(prepared, extra)


def open_segment(folder: Path, height: int) -> Segment:
    """The last segment, its torn tail cut off, or a first one for `height`."""
    paths = segments(folder)
    return Segment(paths[-1], scan(paths[-1])) if paths else Segment(segment_path(folder, height))
