"""What a state is to the rest of the runtime: Reader, Store, PreparedState, BlobStore.

Lives here: protocols and their rules. Must not: any implementation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runtime.types import Hash

if TYPE_CHECKING:
    from runtime.state.forest import Forest
    from runtime.state.proof import StateProof

Changes = Mapping[str, Mapping[bytes, bytes | None]]
"""By module and key: the new value, or None where the key is deleted."""

HEIGHT_EMPTY = -1
"""The height of a store that holds no block, not even the genesis (which is height 0)."""


class Reader(Protocol):
    """State that can be read."""

    def get(self, module: str, key: bytes) -> bytes | None:
        """The value, or None where the key is absent."""
        ...

    def iterate(
        self, module: str, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """The items whose key begins with `prefix`, in key order, from `start` (inclusive) on, at most `limit`."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedState:
    """A block's effect on the state, computed but not committed. Several may exist for one height; one is committed.

    root, module_roots: what they will be after it. changes: net (a key set to what it held before is left out).
    """

    height: int
    root: Hash
    module_roots: Mapping[str, Hash]
    changes: Changes
    undo: Changes
    base: Forest
    forest: Forest


class BlobStore(Protocol):
    """Content-addressed chunks of large artifacts. Nothing here is in the state root: the state holds the hashes."""

    def put(self, chunks: Iterable[bytes]) -> tuple[Hash, ...]:
        """Keep the chunks, durably once it returns. Known chunks cost nothing. Raises StateBoundError on a bad size."""
        ...

    def get(self, chunk: Hash) -> bytes | None:
        """The chunk of this hash (checked), or None where it is not held."""
        ...

    def assemble(self, chunks: Sequence[Hash]) -> bytes:
        """The whole blob. Raises BlobMissing naming the first chunk that is not held."""
        ...

    def held(self, first_byte: int) -> tuple[Hash, ...]:
        """The chunks whose hash begins with this byte, 0 to 255: so that a look at all of them comes in pieces."""
        ...

    def remove(self, chunks: Iterable[Hash]) -> None:
        """Delete chunks, those that are not held too. Which ones may go, the caller knows."""
        ...


class Store(Reader, Protocol):
    """The committed state, its history and its proofs."""

    @property
    def height(self) -> int:
        """Of the last committed block; HEIGHT_EMPTY before the genesis."""
        ...

    @property
    def oldest_height(self) -> int:
        """The oldest height at which `at` and `prove` still work."""
        ...

    @property
    def root(self) -> Hash:
        """The state root at `height`."""
        ...

    @property
    def blobs(self) -> BlobStore:
        """The chunks that live beside this state."""
        ...

    def module_roots(self) -> Mapping[str, Hash]:
        """The root of each module that holds any key, sorted by name."""
        ...

    def prepare(self, height: int, changes: Changes) -> PreparedState:
        """What the state would be after `changes`. Nothing is written.

        The genesis is prepared at height 0; every other block at `self.height + 1`; an empty store takes any height
        from 0 on (a restored snapshot). Raises StateError on another height, StateBoundError on a bad key or value.
        """
        ...

    def commit(
        self, prepared: PreparedState, *, blobs: Iterable[bytes] = (), extra: Mapping[bytes, bytes | None] | None = None
    ) -> None:
        """Make `prepared` the state: all of it, the blobs and the extra records, or nothing, also across a crash.

        blobs: chunks, durable before the block that refers to them. extra: records of the node beside the state
        (block, receipts, certificate), under no root; None deletes one. Raises StateError where `prepared` stands on
        another state than the present one, StoreUnwritable where the disk refuses (the state is then unchanged).
        """
        ...

    def get_extra(self, key: bytes) -> bytes | None:
        """An extra record, or None."""
        ...

    def iterate_extra(
        self, prefix: bytes = b"", *, limit: int | None = None, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Extra records in key order, as `iterate`."""
        ...

    def prove(self, module: str, key: bytes, height: int | None = None) -> StateProof:
        """The proof that `key` holds its value, or is absent, at `height` (None: now). Raises HeightUnavailable."""
        ...

    def root_at(self, height: int) -> Hash:
        """The state root at a retained height. Raises HeightUnavailable."""
        ...

    def at(self, height: int) -> Reader:
        """The state as it was at a retained height. Raises HeightUnavailable, also later, once it is pruned."""
        ...

    def close(self) -> None:
        """Release files and threads. Idempotent. The store is not to be used afterwards."""
        ...
