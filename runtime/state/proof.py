"""State proofs: that a key holds a value, or is absent, under a state root. Verified without a store.

Two steps, each a walk in a tree of runtime.state.tree: from the state root to the module's root, from there to the
key. A step carries the whole bucket where its path ends (so absence shows) and the siblings on the way up.

Lives here: the proof's form, how it is made from trees, and `verify_proof`, pure and bounded. Every byte counts: all of
a proof is hashed, and what could vary without changing the hash (lengths, order, absence) is checked.
"""

from __future__ import annotations

import itertools
from typing import Annotated

from runtime.state.errors import ProofError
from runtime.state.forest import Forest, key_path, module_path, root_over, value_hash
from runtime.state.tree import (
    ARITY,
    BUCKET_ENTRIES_MAX,
    ENTRY_BYTES,
    HASH_BYTES,
    LEVELS_MAX,
    PATH_BYTES,
    Inner,
    Node,
    digit,
    entry_offset,
    hash_bucket,
    hash_inner,
)
from runtime.types import MaxLen, Struct

_SIBLINGS_BYTES = (ARITY - 1) * HASH_BYTES


class TreeProof(Struct):
    """The end of one path in one tree.

    bucket: the entries of the bucket where the path ends, sorted (empty: an empty subtree). siblings: the three other
    hashes of each level, in order, from the bucket up to the root.
    """

    bucket: Annotated[bytes, MaxLen(BUCKET_ENTRIES_MAX * ENTRY_BYTES)]
    siblings: Annotated[bytes, MaxLen(LEVELS_MAX * _SIBLINGS_BYTES)]


class StateProof(Struct):
    """module: the module's path in the upper tree. key: the key's path in the module's tree; None: no such module."""

    module: TreeProof
    key: TreeProof | None


def prove(forest: Forest, module: str, key: bytes) -> StateProof:
    """The proof for `key` of `module`, whether it is there or not."""
    upper = _prove(forest.upper, module_path(module))
    tree = forest.modules.get(module)
    return StateProof(upper, None if tree is None else _prove(tree, key_path(key)))


def _prove(node: Node, path: bytes) -> TreeProof:
    levels: list[bytes] = []
    while isinstance(node, Inner):
        taken = digit(path, len(levels))
        at = taken * HASH_BYTES
        levels.append(node.hashes[:at] + node.hashes[at + HASH_BYTES :])
        node = node.children[taken]
    return TreeProof(node, b"".join(reversed(levels)))


def verify_proof(state_root: bytes, module: str, key: bytes, value: bytes | None, proof: StateProof) -> None:
    """Returns if `key` of `module` holds `value` (None: is absent) under the state root; else raises ProofError.

    Total for any well-formed arguments; at most 2 * LEVELS_MAX hashes besides those of key and value.
    """
    verify_key(verify_module(state_root, module, proof.module), module, key, value, proof.key)


def verify_module(state_root: bytes, module: str, proof: TreeProof) -> bytes | None:
    """The module's root under the state root; None where it has no state. Raises ProofError."""
    upper, module_root = _fold("module", _path_of_module(module), proof)
    if root_over(upper) != state_root:
        raise ProofError("module", "its hashes do not lead to the state root")
    return module_root


def verify_key(
    module_root: bytes | None, module: str, key: bytes, value: bytes | None, proof: TreeProof | None
) -> None:
    """Returns if `key` holds `value` (None: is absent) under the module's root; else raises ProofError."""
    if module_root is None:
        if proof is not None:
            raise ProofError("key", f"is given though module {module} has no state")
        if value is not None:
            raise ProofError("value", f"is claimed though module {module} has no state")
        return
    if proof is None:
        raise ProofError("key", f"is missing though module {module} has state")
    tree_root, bound = _fold("key", key_path(key), proof)
    if tree_root != module_root:
        raise ProofError("key", f"its hashes do not lead to the root of module {module}")
    if value is None and bound is not None:
        raise ProofError("value", "the key is present, not absent")
    if value is not None and bound is None:
        raise ProofError("value", "the key is absent")
    if value is not None and bound != value_hash(value):
        raise ProofError("value", "the key holds another value")


def _path_of_module(module: str) -> bytes:
    if not module.isascii():
        raise ProofError("module", "the name is not ASCII")
    return module_path(module)


def _fold(part: str, path: bytes, proof: TreeProof) -> tuple[bytes, bytes | None]:
    """The root that a tree proof leads to, and what `path` is bound to there."""
    bucket, siblings = proof.bucket, proof.siblings
    levels, rest = divmod(len(siblings), _SIBLINGS_BYTES)
    if rest or levels > LEVELS_MAX:
        raise ProofError(f"{part}.siblings", f"{len(siblings)} bytes are not 0 to {LEVELS_MAX} times {_SIBLINGS_BYTES}")
    _check_bucket(part, path, bucket, levels)
    node: bytes = hash_bucket(bucket)
    for above in range(levels):
        others = siblings[above * _SIBLINGS_BYTES : (above + 1) * _SIBLINGS_BYTES]
        at = digit(path, levels - 1 - above) * HASH_BYTES
        node = hash_inner(others[:at] + node + others[at:])
    offset = entry_offset(bucket, path)
    found = bucket[offset : offset + PATH_BYTES] == path
    return node, bucket[offset + PATH_BYTES : offset + ENTRY_BYTES] if found else None


def _check_bucket(part: str, path: bytes, bucket: bytes, levels: int) -> None:
    if len(bucket) % ENTRY_BYTES or len(bucket) > BUCKET_ENTRIES_MAX * ENTRY_BYTES:
        raise ProofError(
            f"{part}.bucket", f"{len(bucket)} bytes are not 0 to {BUCKET_ENTRIES_MAX} entries of {ENTRY_BYTES}"
        )
    paths = [bucket[at : at + PATH_BYTES] for at in range(0, len(bucket), ENTRY_BYTES)]
    if any(left >= right for left, right in itertools.pairwise(paths)):
        raise ProofError(f"{part}.bucket", "the entries are not strictly sorted")
    for held in paths:
        if any(digit(held, level) != digit(path, level) for level in range(levels)):
            raise ProofError(f"{part}.bucket", "an entry does not belong under this path")
