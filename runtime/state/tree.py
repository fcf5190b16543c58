"""The authenticated tree: a canonical radix tree of buckets over 256-bit paths, as immutable nodes.

Shape. A subtree of 0 entries is EMPTY and hashes to ZERO_HASH; of 1 to BUCKET_ENTRIES_MAX entries it is a bucket; of
more it is an Inner of 4 children, by the next two bits of the path. So content alone decides the shape: a subtree
splits above the count and merges at it, whatever came before. Paths are hashes, so nobody can grow a deep branch.
Updates return new nodes and share the rest: several candidates of one height, and old heights, cost only their
changed paths.

Lives here: shape and hashes. Must not: know modules, values, heights, stores.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from runtime.crypto import hash_bytes
from runtime.types import ZERO_HASH, Hash

HASH_BYTES: Final = 32
PATH_BYTES: Final = 32
ENTRY_BYTES: Final = 64  # path, then what it is bound to (32 bytes each)
BUCKET_ENTRIES_MAX: Final = 8
ARITY: Final = 4
LEVELS_MAX: Final = 128  # two bits of the path each
_BUCKET_BYTES_MAX = BUCKET_ENTRIES_MAX * ENTRY_BYTES

_BUCKET = "armillary/state-bucket"
_INNER = "armillary/state-inner"


class Inner:
    """Four subtrees. hashes: theirs, joined, so that a change touches no sibling. count: of all entries below."""

    __slots__ = ("children", "count", "hashes")

    def __init__(self, children: tuple[Node, ...], hashes: bytes, count: int) -> None:
        self.children = children
        self.hashes = hashes
        self.count = count


Node = bytes | Inner
"""A bucket is the string of its entries, sorted by path; an empty subtree is the empty string."""

Change = tuple[bytes, bytes | None]
"""A path and what it is bound to, or None where its entry is removed."""

EMPTY: Final = b""


def hash_bucket(entries: bytes) -> Hash:
    """The hash of a bucket's entries; of no entries: ZERO_HASH."""
    return hash_bytes(_BUCKET, entries) if entries else ZERO_HASH


def hash_inner(hashes: bytes) -> Hash:
    """The hash of four children's hashes, joined."""
    return hash_bytes(_INNER, hashes)


def hash_of(node: Node) -> Hash:
    """The hash of a subtree."""
    return hash_inner(node.hashes) if isinstance(node, Inner) else hash_bucket(node)


def count_of(node: Node) -> int:
    """The number of entries of a subtree."""
    return node.count if isinstance(node, Inner) else len(node) // ENTRY_BYTES


def digit(path: bytes, level: int) -> int:
    """Which of the four children `path` takes at `level`."""
    return path[level >> 2] >> (6 - 2 * (level & 3)) & 3


def find(node: Node, path: bytes) -> bytes | None:
    """What `path` is bound to, or None."""
    level = 0
    while isinstance(node, Inner):
        node = node.children[digit(path, level)]
        level += 1
    at = entry_offset(node, path)
    return node[at + PATH_BYTES : at + ENTRY_BYTES] if node[at : at + PATH_BYTES] == path else None


def entry_offset(entries: bytes, path: bytes) -> int:
    """Where the entry of `path` is in sorted entries, or would be inserted."""
    at = 0
    while at < len(entries) and entries[at : at + PATH_BYTES] < path:
        at += ENTRY_BYTES
    return at


def build(entries: bytes, level: int = 0) -> Node:
    """The subtree of sorted entries that share the path's first `level` digits."""
    if len(entries) <= _BUCKET_BYTES_MAX:
        return entries
    paths = range(0, len(entries), ENTRY_BYTES)
    cuts = [
        ENTRY_BYTES * bisect_left(paths, child, key=lambda at: digit(entries[at : at + PATH_BYTES], level))
        for child in range(ARITY + 1)
    ]
    children = tuple(build(entries[low:high], level + 1) for low, high in pairwise(cuts))
    return Inner(children, b"".join(hash_of(child) for child in children), len(paths))


def update(node: Node, changes: Sequence[Change], level: int = 0) -> Node:
    """The subtree after `changes`, which are sorted by path, one for each. Cost: the changed paths."""
    if len(changes) == 1:
        return _update_one(node, changes[0], level)
    if not isinstance(node, Inner):
        return build(_apply(node, changes), level)
    split: tuple[list[Change], ...] = ([], [], [], [])
    place, shift = level >> 2, 6 - 2 * (level & 3)
    for change in changes:
        split[change[0][place] >> shift & 3].append(change)
    children, hashes, count = list(node.children), bytearray(node.hashes), node.count
    for taken, below in enumerate(split):
        if below:
            count -= count_of(children[taken])
            child = children[taken] = update(children[taken], below, level + 1)
            count += count_of(child)
            hashes[taken * HASH_BYTES : (taken + 1) * HASH_BYTES] = hash_of(child)
    return _canonical(Inner(tuple(children), bytes(hashes), count), level)


def _update_one(node: Node, change: Change, level: int) -> Node:
    """As `update`; most of a block's changes end up alone in their branch, so this is the hot path: a loop."""
    path = change[0]
    trail: list[tuple[Inner, int]] = []
    while isinstance(node, Inner):
        taken = path[level >> 2] >> (6 - 2 * (level & 3)) & 3  # digit(), written out
        trail.append((node, taken))
        node = node.children[taken]
        level += 1
    entries = _apply(node, (change,))
    grown = (len(entries) - len(node)) // ENTRY_BYTES
    node = build(entries, level)
    for above, taken in reversed(trail):
        level -= 1
        first, second, third, fourth = above.children
        if taken == 0:
            children: tuple[Node, ...] = (node, second, third, fourth)
        elif taken == 1:
            children = (first, node, third, fourth)
        elif taken == 2:
            children = (first, second, node, fourth)
        else:
            children = (first, second, third, node)
        at, hashes = taken * HASH_BYTES, above.hashes
        hashes = hashes[:at] + hash_of(node) + hashes[at + HASH_BYTES :]
        node = _canonical(Inner(children, hashes, above.count + grown), level)
    return node


def _canonical(node: Inner, level: int) -> Node:
    """An inner node that holds too few entries to be one becomes a bucket."""
    return node if node.count > BUCKET_ENTRIES_MAX else build(b"".join(_gather(node)), level)


def _apply(entries: bytes, changes: Sequence[Change]) -> bytes:
    if len(changes) > 2 * BUCKET_ENTRIES_MAX:
        bound: dict[bytes, bytes | None] = {
            entries[at : at + PATH_BYTES]: entries[at + PATH_BYTES : at + ENTRY_BYTES]
            for at in range(0, len(entries), ENTRY_BYTES)
        }
        bound.update(changes)
        return b"".join(path + bound_to for path, bound_to in sorted(bound.items()) if bound_to is not None)
    for path, bound_to in changes:
        at = entry_offset(entries, path)
        after = at + ENTRY_BYTES if entries[at : at + PATH_BYTES] == path else at
        entries = entries[:at] + (path + bound_to if bound_to is not None else b"") + entries[after:]
    return entries


def _gather(node: Node) -> list[bytes]:
    if not isinstance(node, Inner):
        return [node]
    return [part for child in node.children for part in _gather(child)]
