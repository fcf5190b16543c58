"""Removing blob chunks that nothing refers to any more, a piece at a time, between blocks.

The rule: a chunk goes once no retained height refers to it. A block's execution needs the chunks of the state it stands
on, and so does a node that catches up by executing; queries at older heights may read the chunks of theirs. So a chunk
that is found unreferenced at height H is remembered, and removed at a later look when H itself is no older than the
oldest retained height; one that a block puts again meanwhile begins anew.

Crash-safe: what is remembered is only ever a reason to remove later, a crash forgets it, and the committed state never
goes back behind what was seen. Chunks of a block whose commit was cut short are found in the same way.

What must not live here: when to look (the executor says that), what refers to a chunk (the execution knows that).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from runtime.state import BlobStore, StoreUnwritable, chunk_hash
from runtime.types import Hash

PIECES: Final = 256
REMOVED_PER_LOOK_MAX: Final = 64


class Chunks(Protocol):
    """Who knows which chunks are referred to."""

    def live_chunks(self, among: Iterable[Hash] | None = None) -> frozenset[Hash]:
        """Those of them that the committed state refers to."""
        ...


class RetainedBlobs(Protocol):
    """What of a state store is needed here."""

    @property
    def height(self) -> int:
        """Of the last committed block."""
        ...

    @property
    def oldest_height(self) -> int:
        """The first height that queries may still ask about."""
        ...

    @property
    def blobs(self) -> BlobStore:
        """The chunks beside the state, of all heights together."""
        ...


class BlobSweep:
    """Looks through one 256th of the chunks in every `interval_blocks`-th block; 0: never.

    removed: how many chunks it has removed.
    """

    def __init__(self, chunks: Chunks, store: RetainedBlobs, interval_blocks: int, log: Any) -> None:
        self._chunks = chunks
        self._store = store
        self._interval = interval_blocks
        self._log = log
        self._dead_at: dict[Hash, int] = {}  # since which height at the latest; 256 looks see every chunk once
        self.removed = 0

    def committed(self, blobs: Iterable[bytes]) -> None:
        """A block was committed that put these chunks. Not to be called beside a commit."""
        if self._interval == 0:
            return
        for blob in blobs:
            self._dead_at.pop(chunk_hash(blob), None)
        looks, rest = divmod(self._store.height, self._interval)
        if rest == 0:
            try:
                self._look(looks % PIECES)
            except StoreUnwritable as error:
                self._log.warning("blob chunks not removed", reason=str(error))

    def _look(self, piece: int) -> None:
        held = self._store.blobs.held(piece)
        live = self._chunks.live_chunks(held) if held else ()
        gone: list[Hash] = []
        for chunk in held:
            if chunk in live:
                self._dead_at.pop(chunk, None)
            elif self._dead_at.setdefault(chunk, self._store.height) <= self._store.oldest_height:
                gone.append(chunk)
        for chunk in gone[:REMOVED_PER_LOOK_MAX]:
            self._store.blobs.remove([chunk])
            del self._dead_at[chunk]
            self.removed += 1
